"""System checks: what is wrong or unwise, and what to change."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig, apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.core.exceptions import DisallowedHost, ImproperlyConfigured
from django.db.models import Field
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.template import TemplateDoesNotExist
from django.template.loader import get_template
from django.urls import NoReverseMatch, URLResolver, get_resolver, reverse
from django.utils import translation
from django.utils.module_loading import import_string
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.middleware import SessionRefresh

from . import conf, newcomers, pages, policies, roster
from .backends import NumberVerificationBackend
from .protocol.profiles import Operator, is_loopback, origin

MIDDLEWARE = "numverify_django.middleware.NumberVerificationMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
SSO_API = "mozilla_django_oidc.contrib.drf"  # by its name: Django REST framework may be missing
PROVIDER = "oauth2_provider.backends"  # by its name as well
SECOND_FACTORS = ["django_otp", "allauth.mfa"]  # apps
ASKING_AGAIN = ["allauth.account", "allauth.mfa", "allauth.socialaccount"]  # apps that ask for the password once more

AppConfigs = Sequence[AppConfig] | None


@register(Tags.security)
def check_settings(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report everything that is wrong in NUMVERIFY."""
    return [Error(problem.message, hint=problem.hint, id=f"numverify.{problem.code}") for problem in conf.problems()]


@register(Tags.security)
def check_installation(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report a missing or misplaced backend, middleware or URLconf."""
    return [*_check_backend(), *_check_middleware(), *_check_urls()]


def _check_backend() -> Iterator[CheckMessage]:
    for path in django_settings.AUTHENTICATION_BACKENDS:
        yield from _check_import(path)
    listed = backends()
    ours = [index for index, backend in enumerate(listed) if issubclass(backend, NumberVerificationBackend)]
    if not ours:
        hint = "Add 'numverify_django.backends.NumberVerificationBackend' to AUTHENTICATION_BACKENDS."
        yield Error("No authentication backend verifies numbers.", hint=hint, id="numverify.E020")
        return
    others = [backend for backend in listed[: ours[0]] if issubclass(backend, OIDCAuthenticationBackend)]
    if others:
        hint = "List ours first in AUTHENTICATION_BACKENDS: the first to recognise a callback handles it."
        text = f"{others[0].__module__}.{others[0].__qualname__} stands before the number verification backend."
        yield Warning(text, hint=hint, id="numverify.W020")
    if apps.is_installed("numverify_django.contrib.drf") and any(map(_takes_bearers, listed[: ours[0]])):
        hint = "List it after ours in AUTHENTICATION_BACKENDS: an app that shows it a token cannot log in again."
        yield Warning("OAuth2Backend stands before the number verification backend.", hint=hint, id="numverify.W023")


def _check_import(path: str) -> Iterator[CheckMessage]:
    try:
        import_string(path)
    except ImportError as error:
        hint = "Correct or remove it: every backend is asked at each login, and none works, by password neither."
        text = f"'{path}' in AUTHENTICATION_BACKENDS cannot be imported: {error}"
        yield Error(text, hint=hint, id="numverify.E024")


def _takes_bearers(backend: type) -> bool:
    """Tell whether it is django-oauth-toolkit's, which takes any login for its own where the request shows a token."""
    return any(part.__module__ == PROVIDER for part in backend.__mro__)


def _check_middleware() -> Iterator[CheckMessage]:
    order = list(map(_part, django_settings.MIDDLEWARE))
    ours = [index for index, part in enumerate(order) if issubclass(part, import_string(MIDDLEWARE))]
    if not ours:
        hint = f"Add '{MIDDLEWARE}' to MIDDLEWARE, after AuthenticationMiddleware."
        yield Error("The number verification middleware is missing.", hint=hint, id="numverify.E021")
    elif not any(issubclass(part, AuthenticationMiddleware) for part in order[: ours[0]]):
        hint = f"In MIDDLEWARE move '{MIDDLEWARE}' below '{AUTHENTICATION}': it reads request.user."
        yield Error("The number verification middleware stands too early.", hint=hint, id="numverify.E022")


@register(Tags.security)
def check_single_sign_on(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report parts of mozilla-django-oidc that take who logged in by SIM for its own: our backend is a subclass."""
    found: list[CheckMessage] = []
    if any(_refreshes(_part(path)) for path in django_settings.MIDDLEWARE):
        hint = "In MIDDLEWARE put 'numverify_django.contrib.sso.SessionRefresh' in its place."
        text = "SessionRefresh of mozilla-django-oidc sends who logged in by SIM to the site's identity provider."
        found.append(Error(text, hint=hint, id="numverify.E030"))
    if not getattr(django_settings, "OIDC_DRF_AUTH_BACKEND", None) and any(map(_takes_tokens, _views(get_resolver()))):
        hint = "Set OIDC_DRF_AUTH_BACKEND to 'mozilla_django_oidc.auth.OIDCAuthenticationBackend', or a subclass of it."
        text = "OIDCAuthentication of mozilla-django-oidc does not know which backend takes the tokens of an API."
        found.append(Error(text, hint=hint, id="numverify.E031"))
    return found


def _refreshes(part: type) -> bool:
    """Tell whether a middleware decides by the stock rule whose sessions are the identity provider's."""
    return getattr(part, "is_refreshable_url", None) is SessionRefresh.is_refreshable_url


def _views(resolver: URLResolver) -> Iterator[Callable[..., Any]]:
    """Yield the views of a URLconf."""
    for pattern in resolver.url_patterns:
        yield from _views(pattern) if hasattr(pattern, "url_patterns") else [pattern.callback]  # type: ignore[arg-type]  # a URLResolver


def _takes_tokens(view: Callable[..., Any]) -> bool:
    """Tell whether a view of Django REST framework asks the stock class, which looks for a backend by itself."""
    classes = getattr(getattr(view, "cls", None), "authentication_classes", None) or ()
    return any(getattr(part.__init__, "__module__", "") == SSO_API for part in classes)


@register(Tags.security)
def check_other_proofs(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report what other packages ask for at a login of theirs, or after it, and cannot where that was by SIM."""
    return [] if conf.problems() else [*_check_second_factor(), *_check_passwords()]


def _check_second_factor() -> Iterator[CheckMessage]:
    passed = [app for app in SECOND_FACTORS if apps.is_installed(app)]
    if passed and conf.get().login_policy is None:
        hint = (
            "Set NUMVERIFY['LOGIN_POLICY'] to what refuses it, or sends the person there first. Silence this where "
            "your pages ask for the second factor themselves."
        )
        text = f"A login by SIM goes past the second factor of {' and '.join(passed)}."
        yield Warning(text, hint=hint, id="numverify.W038")


def _check_passwords() -> Iterator[CheckMessage]:
    asking = [app for app in ASKING_AGAIN if apps.is_installed(app) and _asks_again(app)]
    if asking and conf.get().unknown_number != "deny":
        hint = (
            "Set ACCOUNT_ADAPTER to one whose is_reauthentication_required takes a fresh proof for the password. "
            "Silence this where such accounts have another way."
        )
        text = f"{' and '.join(asking)}: accounts that began with a number are asked for a password, and have none."
        yield Warning(text, hint=hint, id="numverify.W039")


def _asks_again(app: str) -> bool:
    """Tell whether an app of allauth asks again who is there, by allauth's own rule."""
    adapter = _part(getattr(django_settings, "ACCOUNT_ADAPTER", "allauth.account.adapter.DefaultAccountAdapter"))
    rule: Any = getattr(adapter, "is_reauthentication_required", None)
    return getattr(rule, "__module__", None) == "allauth.account.adapter" and bool(rule(None, app=app))


@register(Tags.models)
def check_user_model(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report a user model of which ``create_user`` cannot make the account for an unknown number."""
    listed = [part for part in backends() if issubclass(part, NumberVerificationBackend)]
    makers = [part for part in listed if part.create_user is NumberVerificationBackend.create_user]
    if not makers or conf.problems() or conf.get().unknown_number == "deny":
        return []
    model = get_user_model()
    found = list(_check_fields(model))
    if any(part.get_username is NumberVerificationBackend.get_username for part in makers):
        found.extend(_check_username(model))
    return found


def _check_fields(model: type[AbstractBaseUser]) -> Iterator[CheckMessage]:
    missing = newcomers.lacking(model)
    if missing:
        hint = "Override create_user in a backend of your own, or set NUMVERIFY['UNKNOWN_NUMBER'] to 'deny'."
        text = f"An unknown number cannot get an account: {model.__name__} needs {', '.join(missing)}."
        yield Error(text, hint=hint, id="numverify.E026")


def _check_username(model: type[AbstractBaseUser]) -> Iterator[CheckMessage]:
    """Report a username for which a random text is not fit."""
    username: str = model.USERNAME_FIELD  # type: ignore[attr-defined]  # the stubs leave it to subclasses
    field: Field[Any, Any] = model._meta.get_field(username)  # type: ignore[assignment]  # it has a column
    hint = "Override get_username in a backend of your own, or set NUMVERIFY['UNKNOWN_NUMBER'] to 'deny'."
    if not newcomers.takes_random(field):
        text = f"An unknown number cannot get an account: {username} of {model.__name__} takes no random text."
        yield Error(text, hint=hint, id="numverify.E026")
    elif not newcomers.is_for_random(field):
        text = f"New accounts get a random text for what is something else: {username} of {model.__name__}."
        yield Warning(text, hint=hint, id="numverify.W010")


def _operators() -> tuple[Operator, ...]:
    """Return the operators that stand in the settings: no check asks a callable, which may read a database."""
    return () if conf.problems() else conf.get().listed


def backends() -> list[type]:
    """Return the classes in AUTHENTICATION_BACKENDS; ``object`` stands for what cannot be imported."""
    return [_part(path) for path in django_settings.AUTHENTICATION_BACKENDS]


def _part(path: str) -> type:
    """Return the class at ``path``, or ``object`` where there is none: E024 says so, or Django does."""
    try:
        found = import_string(path)
    except ImportError:
        return object
    return found if isinstance(found, type) else object


def _lineage(path: str) -> list[str]:
    """Return ``path`` and those of all that the class there inherits from; what is not installed has its own alone."""
    return [path, *(f"{part.__module__}.{part.__qualname__}" for part in _part(path).__mro__)]


def _check_urls() -> Iterator[CheckMessage]:
    if _callback() is None:
        hint = (
            "Add path('numverify/', include('numverify_django.urls')) to the URLconf. Where a middleware sets "
            "request.urlconf to one that has them, add 'numverify.E023' to SILENCED_SYSTEM_CHECKS."
        )
        yield Error("The URLs of numverify_django are not included.", hint=hint, id="numverify.E023")
    if _is_without_its_app("numverify_drf:start", "numverify_django.contrib.drf"):
        hint = "Add 'numverify_django.contrib.drf' to INSTALLED_APPS: without it no app's login is completed."
        text = "The URLs of numverify_django.contrib.drf are included, and the app is not installed."
        yield Error(text, hint=hint, id="numverify.E060")
    yield from _check_name("LOGIN_REDIRECT_URL", "logins without next lead there")
    if _callback() is not None:  # else E023 says so
        yield from _check_name("LOGIN_URL", "who is not logged in is sent there, to 'numverify:login' for example")
    try:
        get_template("numverify/login.html")
    except (TemplateDoesNotExist, ImproperlyConfigured):
        hint = "Set APP_DIRS to True in TEMPLATES, or add a loader that finds the templates of apps."
        yield Error("The templates of numverify_django are not found.", hint=hint, id="numverify.E029")
    if any(not operator.redirect_uri for operator in _operators()):
        yield from _check_requests()
    yield from _check_callbacks(_operators())
    try:
        conf.problems() or pages.fallback("")
    except NoReverseMatch:
        hint = "Correct NUMVERIFY['FALLBACK_URL']: a path that begins with '/', a URL, or a URL name."
        yield Error("NUMVERIFY['FALLBACK_URL'] is the name of no URL.", hint=hint, id="numverify.E025")


def _check_name(setting: str, use: str) -> Iterator[CheckMessage]:
    try:
        resolve_url(getattr(django_settings, setting))
    except NoReverseMatch:
        hint = f"Set {setting} to a path that begins with '/', or a URL name: {use}."
        yield Error(f"{setting} is the name of no URL.", hint=hint, id="numverify.E028")


def _callback() -> str | None:
    """Return the path of the callback of all, in the language of this thread, or None where our URLs are missing."""
    try:
        return reverse("numverify:callback")
    except NoReverseMatch:
        return None


def _check_requests() -> Iterator[CheckMessage]:
    """Report requests of which one redirect URI would be made and then another: an operator knows one."""
    if "*" in django_settings.ALLOWED_HOSTS:
        hint = "Set ALLOWED_HOSTS to the site's hosts, or REDIRECT_URI of each operator: the code goes where it says."
        yield Error("ALLOWED_HOSTS takes any host, and REDIRECT_URI is not set.", hint=hint, id="numverify.E027")
    callbacks: dict[str | None, None] = {}
    for code, _ in django_settings.LANGUAGES[:2]:  # two will tell, and each has to be loaded
        with translation.override(code):
            callbacks[_callback()] = None
    if len(callbacks) > 1:
        hint = "Include numverify_django.urls outside i18n_patterns, or set REDIRECT_URI of each operator."
        text = f"Each language has a callback, and operators must know all of them: {', '.join(map(str, callbacks))}..."
        yield Warning(text, hint=hint, id="numverify.W037")


def _is_without_its_app(name: str, app: str) -> bool:
    try:
        return bool(reverse(name)) and not apps.is_installed(app)
    except NoReverseMatch:
        return False


def _check_callbacks(operators: Iterable[Operator]) -> Iterator[CheckMessage]:
    """Report an operator that is to answer where only another may (RFC 9700 4.4.2.2), or where this site does not."""
    for operator in operators:
        where = f"NUMVERIFY['OPERATORS']['{operator.name}']['REDIRECT_URI']"
        others = [other.name for other in operators if other is not operator]
        taken = [name for name in others if roster.is_own_callback(operator.redirect_uri, name)]
        if taken:
            hint = f"Let it end in callback/ or in callback/{operator.name}/, and register that with the operator."
            yield Error(f"{where} is the callback of '{taken[0]}'.", hint=hint, id="numverify.E034")
        if operator.redirect_uri and _is_refused(urlsplit(operator.redirect_uri).netloc):
            hint = "Add its host to ALLOWED_HOSTS, unless a proxy changes it on the way: each callback is a 400."
            yield Warning(f"{where} is at a host that ALLOWED_HOSTS refuses.", hint=hint, id="numverify.W035")


def _is_refused(host: str) -> bool:
    """Tell whether Django refuses requests to ``host``."""
    request = HttpRequest()
    request.META["HTTP_HOST"] = host
    try:
        return not request.get_host()
    except DisallowedHost:
        return True


@register(Tags.security)
def check_sessions(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report settings of sessions, and of cookies, that lose or replay logins."""
    found: list[CheckMessage] = []
    if str(django_settings.SESSION_COOKIE_SAMESITE).lower() == "strict":
        hint = "Logins work, with one more page on the way back. SESSION_COOKIE_SAMESITE = 'Lax' needs none."
        found.append(Warning("SESSION_COOKIE_SAMESITE is 'Strict'.", hint=hint, id="numverify.W022"))
    if django_settings.SESSION_ENGINE == "django.contrib.sessions.backends.signed_cookies":
        hint = "Set SESSION_ENGINE to one on the server: a signed cookie that was copied outlives logging out."
        found.append(Warning("Sessions are kept in signed cookies.", hint=hint, id="numverify.W021"))
    return [*found, *_check_cookies()]


def _check_cookies() -> Iterator[CheckMessage]:
    """Warn of cookies that browsers do not send to our URLs (RFC 6265 5.1.4)."""
    for name in ("SESSION_COOKIE_PATH", "CSRF_COOKIE_PATH"):
        reached = (getattr(django_settings, name) or "").rstrip("/") + "/"
        missed = [path for path in _callbacks() if not path.startswith(reached)]
        if missed:
            hint = f"Set {name} to '/', or, for a site that lives there, FORCE_SCRIPT_NAME to the same path."
            yield Warning(f"{name} does not cover {missed[0]}: no login works.", hint=hint, id="numverify.W036")


def _callbacks() -> list[str]:
    """Return the paths to which operators lead back, as far as the settings say; none where our URLs are missing."""
    own = _callback()
    if own is None:  # E023 says so
        return []
    told = [operator.redirect_uri and urlsplit(operator.redirect_uri).path for operator in _operators()]
    return [path or own for path in told] or [own]


@register(Tags.security)
def check_policy(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report a Content-Security-Policy under which browsers do not send the login's form, or not on to the operator."""
    found: list[CheckMessage] = []
    middleware = {name for path in django_settings.MIDDLEWARE for name in _lineage(path)}
    for sources in [] if conf.problems() else policies.form_sources(middleware):
        missing = policies.lacking(sources, _goals())
        if missing:
            hint = f"Add {', '.join(missing)} to form-action."
            if missing != [policies.SELF]:
                hint = f"{hint} Or set NUMVERIFY['REDIRECT_MODE'] to 'interstitial': then 'self' is enough."
            text = f"The Content-Security-Policy keeps the login's form from {', '.join(missing)}."
            found.append(Warning(text, hint=hint, id="numverify.W032"))
    return found


def _goals() -> list[str]:
    """Return where the login's form leads: to this site and, unless a page is between, on to the operators."""
    if conf.get().redirect_mode != "redirect":
        return [policies.SELF]
    urls = [operator.authorization_endpoint or operator.issuer or "" for operator in _operators()]
    return [policies.SELF, *(dict.fromkeys("://".join(origin(url)) for url in urls) or [policies.ELSEWHERE])]


@register(Tags.security)
def check_hosts(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report one REDIRECT_URI for sites that are told apart by their hosts, each with a session cookie of its own."""
    is_by_host = apps.is_installed("django.contrib.sites") and not getattr(django_settings, "SITE_ID", None)
    bound = [operator.name for operator in _operators() if operator.redirect_uri]
    if not is_by_host or not bound or len(django_settings.ALLOWED_HOSTS) < 2 or django_settings.SESSION_COOKIE_DOMAIN:
        return []
    where = ", ".join(f"NUMVERIFY['OPERATORS']['{name}']['REDIRECT_URI']" for name in bound)
    hint = f"Remove {where}, and have the callback of each host registered; or share sessions by SESSION_COOKIE_DOMAIN."
    text = "Logins that begin on another host than that of REDIRECT_URI cannot end: their session is not there."
    return [Warning(text, hint=hint, id="numverify.W033")]


@register(Tags.caches, deploy=True)
def check_cache(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report a default cache that each worker has for itself."""
    if not django_settings.CACHES["default"]["BACKEND"].endswith(("LocMemCache", "DummyCache")):
        return []
    hint = "Set CACHES['default'] to one that all workers share: else each must find a dead operator for itself."
    return [Warning("The default cache is not shared.", hint=hint, id="numverify.W011")]


@register(Tags.security, deploy=True)
def check_choices(app_configs: AppConfigs, **kwargs: Any) -> list[CheckMessage]:
    """Report the ways in which a site chose less than the safe default."""
    if conf.problems():
        return []
    settings = conf.get()
    found: list[CheckMessage] = []
    if "PEPPERS" not in django_settings.NUMVERIFY:
        hint = (
            "Set NUMVERIFY['PEPPERS'] to a list of one random string of 32 characters or more: with a new SECRET_KEY "
            "the audit and the limits would no longer know the numbers of old attempts."
        )
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
    for operator in settings.listed:
        found.extend(_check_operator(operator))
    return found


def _check_operator(operator: Operator) -> Iterator[CheckMessage]:
    where = f"NUMVERIFY['OPERATORS']['{operator.name}']"
    if operator.issuer and is_loopback(urlsplit(operator.issuer).hostname):
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
