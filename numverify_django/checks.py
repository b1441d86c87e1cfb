"""System checks: what is wrong or unwise, and what to change."""

from django.conf import settings as django_settings
from django.core.checks import Error, Tags, Warning, register
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from . import conf
from .backends import NumberVerificationBackend
from .protocol.profiles import is_loopback, origin

MIDDLEWARE = "numverify_django.middleware.NumberVerificationMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@register(Tags.security)
def check_settings(app_configs, **kwargs):
    """Report everything that is wrong in NUMVERIFY."""
    return [Error(problem.message, hint=problem.hint, id=f"numverify.{problem.code}") for problem in conf.problems()]


@register(Tags.security)
def check_installation(app_configs, **kwargs):
    """Report a missing or misplaced backend, middleware or URLconf."""
    return [*_check_backend(), *_check_middleware(), *_check_urls()]


def _check_backend():
    backends = [import_string(path) for path in django_settings.AUTHENTICATION_BACKENDS]
    ours = [index for index, backend in enumerate(backends) if issubclass(backend, NumberVerificationBackend)]
    if not ours:
        hint = "Add 'numverify_django.backends.NumberVerificationBackend' to AUTHENTICATION_BACKENDS."
        yield Error("No authentication backend verifies numbers.", hint=hint, id="numverify.E020")
        return
    others = [backend for backend in backends[: ours[0]] if issubclass(backend, OIDCAuthenticationBackend)]
    if others:
        hint = "List the number verification backend before it: the first to recognise a callback handles it."
        text = f"{others[0].__module__}.{others[0].__qualname__} stands before the number verification backend."
        yield Warning(text, hint=hint, id="numverify.W020")


def _check_middleware():
    order = list(django_settings.MIDDLEWARE)
    if MIDDLEWARE not in order:
        hint = f"Add '{MIDDLEWARE}' to MIDDLEWARE, after AuthenticationMiddleware."
        yield Error("The number verification middleware is missing.", hint=hint, id="numverify.E021")
    elif AUTHENTICATION not in order[: order.index(MIDDLEWARE)]:
        hint = f"Move '{MIDDLEWARE}' below '{AUTHENTICATION}': it reads request.user."
        yield Error("The number verification middleware stands too early.", hint=hint, id="numverify.E022")


def _check_urls():
    try:
        reverse("numverify:callback")
    except NoReverseMatch:
        hint = "Add path('numverify/', include('numverify_django.urls')) to the URLconf."
        yield Error("The URLs of numverify_django are not included.", hint=hint, id="numverify.E023")


@register(Tags.security)
def check_sessions(app_configs, **kwargs):
    """Report session settings that lose or replay logins."""
    found = []
    if django_settings.SESSION_COOKIE_SAMESITE == "Strict":
        hint = (
            "Set SESSION_COOKIE_SAMESITE = 'Lax': with 'Strict' browsers come back from the operator without a session."
        )
        found.append(Error("SESSION_COOKIE_SAMESITE is 'Strict'.", hint=hint, id="numverify.E024"))
    if django_settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        hint = "Use a session engine on the server: a signed cookie that was copied outlives logging out."
        found.append(Warning("Sessions are kept in signed cookies.", hint=hint, id="numverify.W021"))
    return found


@register(Tags.security, deploy=True)
def check_choices(app_configs, **kwargs):
    """Report the ways in which a site chose less than the safe default."""
    if conf.problems():
        return []
    settings = conf.get()
    found = []
    if "PEPPERS" not in django_settings.NUMVERIFY:
        hint = "Set NUMVERIFY['PEPPERS']: derived from SECRET_KEY, a new SECRET_KEY makes old attempts unsearchable."
        found.append(Warning("The digests of numbers depend on SECRET_KEY.", hint=hint, id="numverify.W001"))
    if settings.allow_staff:
        hint = "Set NUMVERIFY['ALLOW_STAFF'] to False: whoever has the phone in hand is staff otherwise."
        found.append(Warning("Staff may log in by SIM alone.", hint=hint, id="numverify.W002"))
    if not settings.fallback_url:
        hint = "Set NUMVERIFY['FALLBACK_URL'] to another way in: phones on Wi-Fi cannot use this one."
        found.append(Warning("There is no other way to log in.", hint=hint, id="numverify.W003"))
    if settings.store_number == "full":
        hint = "Set NUMVERIFY['STORE_NUMBER'] to 'masked' unless the law asks you to keep numbers."
        found.append(Warning("The audit keeps whole numbers.", hint=hint, id="numverify.W004"))
    for operator in settings.operators:
        found.extend(_check_operator(operator))
    return found


def _check_operator(operator):
    where = f"NUMVERIFY['OPERATORS']['{operator.name}']"
    if operator.issuer and is_loopback(_host(operator.issuer)):
        hint = "Set ISSUER to the operator's: this one is a sandbox, which vouches for any number."
        yield Warning(f"{where} runs on this machine.", hint=hint, id="numverify.W005")
    if operator.id_token == "absent":  # noqa: S105
        hint = "Set ID_TOKEN to 'required' as soon as the operator sends one."
        yield Warning(f"{where} accepts answers without an ID token.", hint=hint, id="numverify.W006")
    if not operator.pkce:
        hint = "Set PKCE to True unless the operator refuses it."
        yield Warning(f"{where} does without PKCE.", hint=hint, id="numverify.W007")
    if operator.login_hint != "none":
        hint = "Set LOGIN_HINT to 'none' unless the operator demands it: it puts the number into a URL."
        yield Warning(f"{where} sends the number in the authorization request.", hint=hint, id="numverify.W008")


def _host(url):
    return origin(url)[1].rpartition(":")[0] or origin(url)[1]
