"""Beside mozilla-django-oidc as the site's single sign-on: whom its middleware must leave alone."""

from django.contrib.auth import BACKEND_SESSION_KEY
from django.http import HttpRequest
from django.urls import Resolver404, resolve
from django.utils.module_loading import import_string
from mozilla_django_oidc.middleware import SessionRefresh as StockSessionRefresh

from ..backends import NumberVerificationBackend
from ..views import CallbackView


class SessionRefresh(StockSessionRefresh):
    """Takes the place of mozilla-django-oidc's in MIDDLEWARE: who logged in by SIM is not the identity provider's.

    Our backend is a subclass of mozilla-django-oidc's, by which the stock middleware knows its own sessions.
    """

    def is_refreshable_url(self, request: HttpRequest) -> bool:
        """Tell whether this request is of a session that the identity provider began, and to be asked about.

        No callback is: its code is not put off, nor kept in the session meanwhile.
        """
        path = request.session.get(BACKEND_SESSION_KEY)
        if path is not None and issubclass(import_string(path), NumberVerificationBackend):
            return False
        is_due: bool = super().is_refreshable_url(request)  # type: ignore[no-untyped-call]  # no types
        return is_due and not _is_callback(request)


def _is_callback(request: HttpRequest) -> bool:
    """Tell whether an operator leads here, to the callback of all or to its own; Django has found no view yet."""
    try:
        match = resolve(request.path_info, getattr(request, "urlconf", None))
    except Resolver404:
        return False
    return issubclass(getattr(match.func, "view_class", object), CallbackView)
