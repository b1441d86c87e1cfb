"""Beside mozilla-django-oidc as the site's single sign-on: whom its middleware must leave alone."""

from django.contrib.auth import BACKEND_SESSION_KEY
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import cached_property
from django.utils.module_loading import import_string
from mozilla_django_oidc.middleware import SessionRefresh as StockSessionRefresh

from ..backends import NumberVerificationBackend


class SessionRefresh(StockSessionRefresh):
    """Takes the place of mozilla-django-oidc's in MIDDLEWARE: who logged in by SIM is not the identity provider's.

    Our backend is a subclass of mozilla-django-oidc's, by which the stock middleware knows its own sessions.
    """

    @cached_property
    def exempt_urls(self) -> set[str]:
        """The callback's too (a set of paths): its code is not put off, nor kept in the session meanwhile."""
        exempt: set[str] = super().exempt_urls
        return exempt | {reverse("numverify:callback")}

    def is_refreshable_url(self, request: HttpRequest) -> bool:
        """Tell whether this request is of a session that the identity provider began, and to be asked about."""
        path = request.session.get(BACKEND_SESSION_KEY)
        is_ours = path is not None and issubclass(import_string(path), NumberVerificationBackend)
        return not is_ours and super().is_refreshable_url(request)  # type: ignore[no-untyped-call]  # no types
