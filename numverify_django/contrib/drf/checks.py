"""System checks: what keeps apps from being logged in."""

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import NoReverseMatch, reverse

from ... import conf

LOGINS = "numverify_django.contrib.drf.logins"


@register(Tags.security)
def check_apps(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report a package, an app, a setting or a URLconf that is missing."""
    if find_spec("rest_framework") is None:
        hint = "Install it: pip install 'numverify-django[drf]'."
        return [Error("Django REST framework is not installed.", hint=hint, id="numverify.E061")]
    return [*_check_urls(), *_check_login()]


def _check_urls() -> Iterator[CheckMessage]:
    if _is_included() and not conf.problems() and conf.get().app_login is None:
        hint = f"Set NUMVERIFY['APP_LOGIN'] to what logs an app in, for example '{LOGINS}.token.log_in'."
        yield Error("Apps are not logged in by anything.", hint=hint, id="numverify.E062")
    elif not _is_included() and _login_module() is not None:
        hint = "Add path('numverify/app/', include('numverify_django.contrib.drf.urls')) to the URLconf."
        yield Error("The URLs of numverify_django.contrib.drf are not included.", hint=hint, id="numverify.E063")


def _check_login() -> Iterator[CheckMessage]:
    if _login_module() == f"{LOGINS}.token" and not apps.is_installed("rest_framework.authtoken"):
        hint = "Add 'rest_framework.authtoken' to INSTALLED_APPS, and run migrate."
        yield Error("NUMVERIFY['APP_LOGIN'] makes tokens that have no table.", hint=hint, id="numverify.E064")
    if _login_module() == f"{LOGINS}.simplejwt" and find_spec("rest_framework_simplejwt") is None:
        hint = "Install it: pip install djangorestframework-simplejwt; or choose another NUMVERIFY['APP_LOGIN']."
        yield Error("djangorestframework-simplejwt is not installed.", hint=hint, id="numverify.E065")


def _login_module() -> str | None:
    """Return the module (its name) of APP_LOGIN as it is set, be it importable or not, or None."""
    settings = getattr(django_settings, "NUMVERIFY", None)
    login = settings.get("APP_LOGIN") if isinstance(settings, dict) else None
    return login.rpartition(".")[0] if isinstance(login, str) else getattr(login, "__module__", None)


def _is_included() -> bool:
    try:
        return bool(reverse("numverify_drf:start"))
    except NoReverseMatch:
        return False
