"""The system checks as ``manage.py check`` runs them: what each reports, and that doing what it says cures it."""

from typing import NamedTuple

import pytest
from csp.middleware import CSPMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.core.checks import run_checks
from django.core.checks.registry import registry
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test.utils import override_script_prefix
from mozilla_django_oidc.middleware import SessionRefresh

from numverify_django.backends import NumberVerificationBackend
from numverify_django.checks import check_user_model
from numverify_django.middleware import NumberVerificationMiddleware

from . import settings as good

pytestmark = pytest.mark.django_db  # Django 6.1 asks the database whether it has JSON, of which there is a column

OURS = "numverify_django.backends.NumberVerificationBackend"
OTHER = "mozilla_django_oidc.auth.OIDCAuthenticationBackend"
SESSIONS = "django.contrib.sessions.backends"
CONTRIB = "numverify_django.contrib."
MODEL = "django.contrib.auth.backends.ModelBackend"
MIDDLEWARE = "numverify_django.middleware.NumberVerificationMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"
WITHOUT_DRF = [app for app in good.INSTALLED_APPS if app != "numverify_django.contrib.drf"]
OTHERS = [path for path in good.MIDDLEWARE if path != MIDDLEWARE]
BEARER = "tests.test_checks.BearerBackend"
LAST = {"AUTHENTICATION_BACKENDS": [OURS, BEARER]}
STOCK_REFRESH = "mozilla_django_oidc.middleware.SessionRefresh"
REFRESHED = [*good.MIDDLEWARE, "numverify_django.contrib.sso.SessionRefresh"]
OPERATOR = {"PROFILE": "telefonica", "CLIENT_ID": "client", "CLIENT_SECRET": "secret"}
CAREFUL = {"PEPPERS": ["0123456789abcdef" * 2], "FALLBACK_URL": "/accounts/login/"}
BEFORE = {"AUTHENTICATION_BACKENDS": [OTHER, OURS]}
CAMARA = {"PROFILE": "camara-v2", "ISSUER": "https://operator.example", "API_ROOT": "https://operator.example/api"}
SANDBOX = {"ISSUER": "http://127.0.0.1:8000", "ALLOW_LOOPBACK": True}


class OwnBackend(NumberVerificationBackend):
    """A site's own."""


class MakingBackend(NumberVerificationBackend):
    """A site's own, which makes the accounts as its user model needs them."""

    def create_user(self, claims):
        """Return a user (never called here)."""


class BearerBackend:
    """Stands for django-oauth-toolkit's, which is imported only where its app is installed."""

    __module__ = "oauth2_provider.backends"


class OwnMiddleware(NumberVerificationMiddleware):
    """A site's own."""


class OwnRefresh(SessionRefresh):
    """A site's own, which knows its sessions by a rule of its own."""

    def is_refreshable_url(self, request):
        """Tell whether to ask (never called here)."""


class OwnPolicyMiddleware(CSPMiddleware):
    """A site's own."""


class OwnAuthenticationMiddleware(AuthenticationMiddleware):
    """A site's own."""


def cache(backend):
    """Return CACHES with this backend."""
    return {"default": {"BACKEND": f"django.core.cache.backends.{backend}", "LOCATION": "redis://127.0.0.1:6379/15"}}


def numverify(operator=(), **others):
    """Return the settings of a careful site; a key that is ``...`` is left out."""
    given = CAREFUL | others
    kept = {key: value for key, value in given.items() if value is not ...}
    configured = {"OPERATORS": {"movil": OPERATOR | dict(operator)}} | kept
    return {"NUMVERIFY": configured, "CACHES": cache("redis.RedisCache")}


def forms(*allowed):
    """Return what django-csp is told of where forms may lead."""
    return {"DIRECTIVES": {"default-src": ["'self'"], "form-action": list(allowed)}}


OWN_POLICY = "tests.test_checks.OwnPolicyMiddleware"
CLOSED = {
    "MIDDLEWARE": [*good.MIDDLEWARE, "csp.middleware.CSPMiddleware"],
    "CONTENT_SECURITY_POLICY": forms("'self'"),
}
ISSUER = "https://opengateway.telefonica.com"  # of the profile
CALLBACK = {"REDIRECT_URI": "https://www.site.example/numverify/callback/"}
CLOSED_BY_DJANGO = {
    "MIDDLEWARE": [*good.MIDDLEWARE, "django.middleware.csp.ContentSecurityPolicyMiddleware"],
    "SECURE_CSP": {"form-action": "'self'"},
}


def sparing(*prefixes):
    """Return the settings of a site whose policy some pages do without."""
    return CLOSED | {"CONTENT_SECURITY_POLICY": forms("'self'") | {"EXCLUDE_URL_PREFIXES": prefixes}}


TRANSLATED = {"ROOT_URLCONF": "tests.urls_translated", "LANGUAGES": [("de", "German"), ("en", "English")]}


def closed(*allowed):
    """Return the settings of a site whose forms may lead to these sources."""
    return CLOSED | {"CONTENT_SECURITY_POLICY": forms(*allowed)}


def some_operators():
    """Return what a callable in OPERATORS does (never called here)."""


ON_A_PAGE = numverify(REDIRECT_MODE="interstitial")
ASKED = numverify(OPERATORS=some_operators)
WITH_OTP = [*good.INSTALLED_APPS, "django_otp"]


@pytest.fixture(autouse=True)
def without_contrib(monkeypatch):
    """The checks of the apps in contrib have tests of their own."""
    for name in ("registered_checks", "deployment_checks"):
        kept = {check for check in getattr(registry, name) if not check.__module__.startswith(CONTRIB)}
        monkeypatch.setattr(registry, name, kept)


@pytest.fixture
def site(settings):
    """Make the site a careful one, with some settings changed."""

    def configure(changed=()):
        for name, value in (numverify() | dict(changed)).items():
            setattr(settings, name, value)

    configure()
    return configure


def reported(deploy=True):
    """Return our messages among those of every check that is registered."""
    found = run_checks(include_deployment_checks=deploy)
    return [message for message in found if (message.id or "").startswith("numverify.")]


def ids(deploy=True):
    """Sorted: Django keeps its checks in a set, so that their order differs from run to run."""
    return sorted(message.id.removeprefix("numverify.") for message in reported(deploy))


class Case(NamedTuple):
    """A check, the setting it is about, what makes it speak and what its hint asks for."""

    id: str
    named: str
    broken: dict
    cure: dict


CASES = [
    Case("E001", "NUMVERIFY", {"NUMVERIFY": {}}, numverify()),
    Case("E002", "CLIENT_ID", numverify({"CLIENTID": "client"}), numverify({"CLIENT_ID": "client"})),
    Case("E003", "ALLOW_STAFF", numverify(ALLOW_STAFF="no"), numverify(ALLOW_STAFF=False)),
    Case("E004", "PROFILE", numverify({"PROFILE": "telefonika"}), numverify({"PROFILE": "telefonica"})),
    Case("E005", "CLIENT_ID", numverify({"CLIENT_ID": ""}), numverify({"CLIENT_ID": "client"})),
    Case("E006", "CLIENT_SECRET", numverify({"CLIENT_SECRET": ""}), numverify({"CLIENT_SECRET": "secret"})),
    Case("E007", "ALLOW_LOOPBACK", numverify(SANDBOX | {"ALLOW_LOOPBACK": False}), numverify()),
    Case("E008", "HASHED", numverify({"HASHED": True}), numverify()),
    Case("E008", "SEND_DEVICE", numverify(CAMARA | {"SEND_DEVICE": True}), numverify(CAMARA)),
    Case("E009", "PKCE", numverify({"PKCE": False, "ID_TOKEN": "absent"}), numverify({"PKCE": True})),
    Case("E020", "AUTHENTICATION_BACKENDS", {"AUTHENTICATION_BACKENDS": [MODEL]}, {"AUTHENTICATION_BACKENDS": [OURS]}),
    Case("E021", "MIDDLEWARE", {"MIDDLEWARE": OTHERS}, {"MIDDLEWARE": [*OTHERS, MIDDLEWARE]}),
    Case("E022", "MIDDLEWARE", {"MIDDLEWARE": [MIDDLEWARE, *OTHERS]}, {"MIDDLEWARE": [*OTHERS, MIDDLEWARE]}),
    Case("E023", "URLconf", {"ROOT_URLCONF": "django.contrib.auth.urls"}, {"ROOT_URLCONF": "tests.urls"}),
    Case("W022", "SESSION_COOKIE_SAMESITE", {"SESSION_COOKIE_SAMESITE": "Strict"}, {"SESSION_COOKIE_SAMESITE": "Lax"}),
    Case("E060", "INSTALLED_APPS", {"INSTALLED_APPS": WITHOUT_DRF}, {"INSTALLED_APPS": good.INSTALLED_APPS}),
    Case(
        "E024",
        "AUTHENTICATION_BACKENDS",
        {"AUTHENTICATION_BACKENDS": ["tests.nowhere.Backend", *good.AUTHENTICATION_BACKENDS]},
        {"AUTHENTICATION_BACKENDS": good.AUTHENTICATION_BACKENDS},
    ),
    Case("E025", "FALLBACK_URL", numverify(FALLBACK_URL="no-such-url"), numverify(FALLBACK_URL="numverify:login")),
    Case("E027", "REDIRECT_URI", {"ALLOWED_HOSTS": ["*"]}, {"ALLOWED_HOSTS": ["site.example"]}),
    Case(
        "E011",
        "RETENTION_DAYS",
        numverify(RETENTION_DAYS=1, RATE_LIMITS={"operator": [2, 86_401]}),
        numverify(RETENTION_DAYS=1, RATE_LIMITS={"operator": [2, 86_400]}),
    ),
    Case("E010", "SCOPES", numverify({"SCOPES": ["dpv:A", "b"]}), numverify({"SCOPES": ["openid", "dpv:A", "b"]})),
    Case("E028", "LOGIN_REDIRECT_URL", {"LOGIN_REDIRECT_URL": "no-such-url"}, {"LOGIN_REDIRECT_URL": "/"}),
    Case("E028", "LOGIN_URL", {"LOGIN_URL": "numverify:log_in"}, {"LOGIN_URL": "numverify:login"}),
    Case("W001", "PEPPERS", numverify(PEPPERS=...), numverify(PEPPERS=CAREFUL["PEPPERS"])),
    Case("W011", "CACHES", {"CACHES": cache("locmem.LocMemCache")}, {"CACHES": cache("redis.RedisCache")}),
    Case("W011", "CACHES", {"CACHES": cache("dummy.DummyCache")}, {"CACHES": cache("db.DatabaseCache")}),
    Case("W002", "ALLOW_STAFF", numverify(ALLOW_STAFF=True), numverify(ALLOW_STAFF=False)),
    Case("W003", "FALLBACK_URL", numverify(FALLBACK_URL=...), numverify(FALLBACK_URL="/accounts/login/")),
    Case("W004", "STORE_NUMBER", numverify(STORE_NUMBER="full"), numverify(STORE_NUMBER="masked")),
    Case("W005", "ISSUER", numverify(SANDBOX), numverify({"ISSUER": "https://operator.example"})),
    Case("W006", "ID_TOKEN", numverify({"ID_TOKEN": "absent"}), numverify({"ID_TOKEN": "required"})),
    Case("W007", "PKCE", numverify({"PKCE": False}), numverify({"PKCE": True})),
    Case("W008", "LOGIN_HINT", numverify({"LOGIN_HINT": "tel"}), numverify({"LOGIN_HINT": "none"})),
    Case("W020", "AUTHENTICATION_BACKENDS", BEFORE, {"AUTHENTICATION_BACKENDS": [OURS, OTHER]}),
    Case("W023", "AUTHENTICATION_BACKENDS", {"AUTHENTICATION_BACKENDS": [BEARER, OURS]}, LAST),
    Case("E030", "MIDDLEWARE", {"MIDDLEWARE": [*good.MIDDLEWARE, STOCK_REFRESH]}, {"MIDDLEWARE": REFRESHED}),
    Case("E031", "OIDC_DRF_AUTH_BACKEND", {"ROOT_URLCONF": "tests.urls_sso"}, {"OIDC_DRF_AUTH_BACKEND": OTHER}),
    Case("W032", "REDIRECT_MODE", CLOSED, numverify(REDIRECT_MODE="interstitial")),
    Case("W032", "form-action", CLOSED, {"CONTENT_SECURITY_POLICY": forms("'self'", ISSUER)}),
    Case("W032", "form-action", CLOSED_BY_DJANGO, {"SECURE_CSP": {"form-action": ["'self'", "https:"]}}),
    Case("W032", "'self'", closed("'none'"), closed("'self'", ISSUER)),
    Case("W032", "'self'", closed("'none'") | ON_A_PAGE, closed("'self'") | ON_A_PAGE),
    Case("W032", "'self'", closed(ISSUER), closed("'self'", ISSUER)),
    Case("W032", ISSUER, closed("'self'", "https://pay.example"), closed("'self'", "https://*.telefonica.com")),
    Case("W032", ISSUER, sparing("/admin/", "/club/numverify/"), sparing("/numverify/login")),
    Case("W032", ISSUER, CLOSED | {"MIDDLEWARE": [*good.MIDDLEWARE, OWN_POLICY]}, {"MIDDLEWARE": good.MIDDLEWARE}),
    Case("W032", "operators' origins", closed("'self'") | ASKED, closed("'self'", "https:") | ASKED),
    Case("W035", "ALLOWED_HOSTS", numverify(CALLBACK), {"ALLOWED_HOSTS": [".site.example"]}),
    Case("W036", "SESSION_COOKIE_PATH", {"SESSION_COOKIE_PATH": "/app/"}, {"SESSION_COOKIE_PATH": "/numverify"}),
    Case("W037", "i18n_patterns", TRANSLATED, {"ROOT_URLCONF": "tests.urls"}),
    Case("W037", "REDIRECT_URI", TRANSLATED, numverify({"REDIRECT_URI": "https://127.0.0.1/en/numverify/callback/"})),
    Case("W037", "/de/numverify/callback/", TRANSLATED, {"LANGUAGES": [("de", "German")]}),
    Case("W038", "LOGIN_POLICY", {"INSTALLED_APPS": WITH_OTP}, numverify(LOGIN_POLICY="builtins.all")),
    Case("W036", "CSRF_COOKIE_PATH", {"CSRF_COOKIE_PATH": "/num"}, {"CSRF_COOKIE_PATH": "/"}),
    Case(
        "W021", "SESSION_ENGINE", {"SESSION_ENGINE": f"{SESSIONS}.signed_cookies"}, {"SESSION_ENGINE": f"{SESSIONS}.db"}
    ),
]
each_case = pytest.mark.parametrize("case", CASES, ids=[f"{case.id} {case.named}" for case in CASES])


def test_careful_site_is_silent(site):
    assert ids() == []


def test_site_as_the_readme_sets_it_up_is_warned_of_its_peppers_and_its_only_way_in(settings):
    settings.NUMVERIFY = {"OPERATORS": {"telefonica": OPERATOR}}
    assert (ids(deploy=False), ids(deploy=True)) == ([], ["W001", "W003", "W011"])


@each_case
def test_setting_is_reported(site, case):
    site(case.broken)
    assert ids() == [case.id]


@each_case
def test_doing_what_the_hint_says_cures_it(site, case):
    site(case.broken)
    site(case.cure)
    assert ids() == []


@each_case
def test_message_has_a_hint_and_names_the_setting_to_change(site, case):
    site(case.broken)
    (message,) = reported()
    assert message.hint
    assert case.named in f"{message.msg} {message.hint}"


@each_case
def test_choices_are_warned_of_at_deployment_only(site, case):
    site(case.broken)
    assert ids(deploy=False) == ([] if case.id.startswith(("W00", "W011")) else [case.id])


@each_case
def test_errors_stop_the_site_and_warnings_do_not(site, case):
    site(case.broken)
    (message,) = reported()
    assert message.is_serious() is case.id.startswith("E")


def test_check_command_prints_message_hint_and_id_of_an_error(site):
    site(numverify({"PKCE": "no"}))
    with pytest.raises(SystemCheckError) as raised:
        call_command("check")
    where = "NUMVERIFY['OPERATORS']['movil']['PKCE']"
    assert f"(numverify.E003) {where} must be True or False.\n\tHINT: Correct {where}." in str(raised.value)


def test_check_command_prints_warnings_and_goes_on(site, capsys):
    site(numverify(ALLOW_STAFF=True))
    call_command("check", deploy=True)
    assert "(numverify.W002) Staff may log in by SIM alone." in capsys.readouterr().err


def test_check_command_is_silent_for_a_careful_site(site, capsys):
    call_command("check")
    assert capsys.readouterr().out == "System check identified no issues (0 silenced).\n"


def test_each_operator_has_its_own_warning(site):
    operators = {"one": OPERATOR | {"PKCE": False}, "two": OPERATOR, "three": OPERATOR | {"PKCE": False}}
    site({"NUMVERIFY": CAREFUL | {"OPERATORS": operators}})
    named = [message.msg.split()[0] for message in reported()]
    assert named == ["NUMVERIFY['OPERATORS']['one']", "NUMVERIFY['OPERATORS']['three']"]


LOOPBACK = ["http://localhost", "http://LOCALHOST:8000", "http://127.0.0.9:8000", "http://[::1]", "http://[::1]:8000"]


@pytest.mark.parametrize("issuer", LOOPBACK)
def test_sandbox_is_warned_of_however_its_address_is_spelled(site, issuer):
    site(numverify(SANDBOX | {"ISSUER": issuer}))
    assert ids() == ["W005"]


def test_sandbox_of_a_site_in_development_is_warned_of_at_deployment(site, settings):
    settings.DEBUG = True
    site(numverify({"ISSUER": "http://127.0.0.1:8000"}))
    assert ids() == ["W005"]


def test_samesite_is_read_as_django_reads_it_in_any_case(site):
    site({"SESSION_COOKIE_SAMESITE": "strict"})
    assert ids() == ["W022"]


# A site's own parts


@pytest.mark.parametrize(
    "changed",
    [
        {"AUTHENTICATION_BACKENDS": ["tests.test_checks.OwnBackend"]},
        {"AUTHENTICATION_BACKENDS": [MODEL, OURS, OTHER]},
        {"MIDDLEWARE": [*OTHERS, "tests.test_checks.OwnMiddleware"]},
        {"MIDDLEWARE": [*good.MIDDLEWARE, "tests.test_checks.OwnRefresh"]},
        {
            "MIDDLEWARE": [
                path.replace(AUTHENTICATION, "tests.test_checks.OwnAuthenticationMiddleware")
                for path in good.MIDDLEWARE
            ]
        },
    ],
    ids=["backend", "backend after ours", "middleware", "refresh", "authentication middleware"],
)
def test_own_subclass_or_later_backend_is_no_mistake(site, changed):
    site(changed)
    assert ids() == []


# A check never crashes


BROKEN = [
    *[(value, ["E001"]) for value in (None, "text", [], {}, {"OPERATORS": None}, {"OPERATORS": ["movil"]})],
    ({"OPERATORS": {"movil": None}}, ["E003"]),
    ({"OPERATORS": {"movil": {}}}, ["E004"]),
    ({"OPERATORS": {"movil": OPERATOR | {"PROFILE": ".OWN"}}}, ["E004"]),
    ({"OPERATORS": {"movil": OPERATOR | {5: 6, None: ..., (): {}}}}, ["E002", "E002", "E002"]),
    ({"OPERATORS": {"movil": OPERATOR}, 5: 6, None: None}, ["E002", "E002"]),
    ({"OPERATORS": {"movil": OPERATOR}, "LOGIN_POLICY": ".own.policy"}, ["E003"]),
    ({"OPERATORS": {"movil": OPERATOR | {"ISSUER": "https://[::1"}}}, ["E007"]),
    ({"OPERATORS": {"movil": OPERATOR | {"ISSUER": "https://x.example:99999"}}}, ["E007"]),
]


@pytest.mark.parametrize(("value", "expected"), BROKEN, ids=[f"{value!a}" for value, _ in BROKEN])
def test_broken_numverify_is_reported_and_crashes_no_check(site, value, expected):
    site({"NUMVERIFY": value})
    assert ids() == expected


def test_site_without_numverify_is_told_to_set_it(site, settings):
    del settings.NUMVERIFY
    assert ids() == ["E001"]


def test_broken_numverify_hides_no_mistake_of_the_installation(site):
    site({"NUMVERIFY": {}, "MIDDLEWARE": OTHERS, "AUTHENTICATION_BACKENDS": [], "SESSION_COOKIE_SAMESITE": "Strict"})
    assert sorted(ids()) == ["E001", "E020", "E021", "W022"]


@pytest.mark.parametrize("path", ["", "missing.Part", "tests.test_checks.Missing", "tests.test_checks.ids"])
@pytest.mark.parametrize(("name", "ours"), [("AUTHENTICATION_BACKENDS", [OURS]), ("MIDDLEWARE", good.MIDDLEWARE)])
def test_part_that_is_no_class_crashes_no_check(site, name, ours, path):
    site({name: [path, *ours]})
    is_reported = name == "AUTHENTICATION_BACKENDS" and path != "tests.test_checks.ids"  # which is there
    assert ids() == ["E024"] * is_reported


@pytest.mark.parametrize("path", ["missing.Backend", "tests.test_checks.Missing"])
def test_backend_that_is_missing_is_named_with_what_python_says_of_it(site, path):
    site({"AUTHENTICATION_BACKENDS": [path, OURS]})
    (error,) = [found for found in reported() if found.id == "numverify.E024"]
    assert f"'{path}' in AUTHENTICATION_BACKENDS cannot be imported" in error.msg
    assert "missing" in error.msg.partition("imported: ")[2].lower()


def test_site_with_peppers_needs_no_secret_key_to_be_checked(site, settings):
    settings.SECRET_KEY = ""
    site()
    assert ids() == []


@pytest.fixture
def demanding(site, settings):
    """The careful site with a user model that needs more than a username."""
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.members"]
    settings.AUTH_USER_MODEL = "members.Demanding"


def test_user_model_that_needs_more_than_a_username_is_told_by_column(demanding):
    found = check_user_model(None)

    assert [(message.id, message.msg) for message in found] == [
        ("numverify.E026", "An unknown number cannot get an account: Demanding needs email, born."),
        ("numverify.E026", "An unknown number cannot get an account: code of Demanding takes no random text."),
    ]
    assert ["create_user" in message.hint for message in found] == [True, False]


def test_site_that_makes_no_accounts_may_have_any_user_model(demanding, site):
    site(numverify(UNKNOWN_NUMBER="deny"))

    assert check_user_model(None) == []


def test_backend_that_makes_the_accounts_may_have_any_user_model(demanding, settings):
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.MakingBackend"]

    assert check_user_model(None) == []


def test_username_that_should_be_an_address_is_warned_of(site, settings):
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "tests.members"]
    settings.AUTH_USER_MODEL = "members.Addressed"
    (found,) = check_user_model(None)

    assert found.id == "numverify.W010"
    assert "get_username" in found.hint


def test_templates_that_are_not_found_are_told(site, settings):
    settings.TEMPLATES = [{**settings.TEMPLATES[0], "APP_DIRS": False}]
    assert "numverify.E029" in [message.id for message in run_checks()]


OPEN = {
    "named": closed("'self'", ISSUER),
    "named with its port and a path": closed("'self' HTTPS://opengateway.telefonica.com:443/authorize"),
    "named without a scheme": closed("'self'", "opengateway.telefonica.com:*"),
    "of any host": closed("*"),
    "of any host with TLS": closed("https:"),
    "this site by its name": closed("127.0.0.1", ISSUER) | {"ALLOWED_HOSTS": ["127.0.0.1"]},
    "this site by its domain": closed("site.example", ISSUER) | {"ALLOWED_HOSTS": [".site.example"]},
    "a page between": closed("'self'") | ON_A_PAGE,
    "not sent": CLOSED | {"MIDDLEWARE": good.MIDDLEWARE},
    "silent": CLOSED | {"CONTENT_SECURITY_POLICY": {"DIRECTIVES": {"default-src": ["'self'"]}}},
    "sparing our pages": sparing("/admin/", "/numverify/"),
    "missing": CLOSED | {"CONTENT_SECURITY_POLICY": None},
    "empty": CLOSED_BY_DJANGO | {"SECURE_CSP": {}},
}


@pytest.mark.parametrize("changed", OPEN.values(), ids=OPEN)
def test_policy_that_stops_no_form_is_not_warned_of(site, changed):
    site(changed)
    assert ids() == []


HERE = "https://127.0.0.1/numverify/callback/"
SILENT = {"RESPONSE_ISS": False}


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ({}, {}, []),
        (SILENT, {}, ["E012"]),
        (SILENT | {"REDIRECT_URI": f"{HERE}movil/"}, {}, []),
        (SILENT, {"REDIRECT_URI": f"{HERE}other/"}, []),
        (SILENT | {"REDIRECT_URI": HERE}, {}, ["E012"]),
        ({"REDIRECT_URI": f"{HERE}other/"}, {}, ["E034"]),
        ({"REDIRECT_URI": f"{HERE}other/"}, {"REDIRECT_URI": f"{HERE}movil/"}, ["E034", "E034"]),
        ({"REDIRECT_URI": f"{HERE}movil/"}, {"REDIRECT_URI": f"{HERE}other/"}, []),
    ],
    ids=["iss", "no iss", "own", "the other's own", "of all", "of the other", "swapped", "each its own"],
)
def test_callbacks_tell_operators_apart(site, settings, first, second, found):
    settings.NUMVERIFY = CAREFUL | {"OPERATORS": {"movil": OPERATOR | first, "other": OPERATOR | second}}
    assert sorted(ids()) == found


@pytest.mark.parametrize(
    "place", ["https://opengateway.telefonica.com:8443", "http://telefonica.com", "'unsafe-inline'"]
)
def test_policy_that_names_almost_the_operator_is_warned_of(site, place):
    site(closed("'self'", place))
    assert ids() == ["W032"]


def test_policy_of_another_scheme_is_warned_of(site):
    site(closed("'self'", "https:") | numverify(SANDBOX))
    assert ids(deploy=False) == ["W032"]


def test_endpoint_of_the_settings_is_where_a_form_leads(site):
    endpoints = {"AUTHORIZATION_ENDPOINT": "https://login.example/a", "TOKEN_ENDPOINT": "https://login.example/t"}
    site(closed("'self'", ISSUER) | numverify(endpoints))
    assert [message.msg for message in reported()] == [
        "The Content-Security-Policy keeps the login's form from https://login.example."
    ]


@pytest.mark.parametrize(("host", "found"), [("localhost", []), ("www.site.example", ["W035"])])
def test_site_in_development_takes_the_hosts_that_django_takes(site, host, found):
    site(numverify({"REDIRECT_URI": f"https://{host}/numverify/callback/"}) | {"ALLOWED_HOSTS": [], "DEBUG": True})
    assert ids() == found


def test_path_of_a_site_is_what_its_callbacks_say(site):
    uri = "https://127.0.0.1/club/numverify/callback/"
    site(numverify({"REDIRECT_URI": uri}) | {"SESSION_COOKIE_PATH": "/club/", "CSRF_COOKIE_PATH": "/club"})
    assert ids() == []


def test_callbacks_of_a_site_without_our_urls_crash_no_check(site, settings):
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    operators = {"movil": OPERATOR | {"REDIRECT_URI": f"{HERE}movil/"}, "other": OPERATOR | SILENT}
    settings.NUMVERIFY = CAREFUL | {"OPERATORS": operators}
    assert "E023" in ids()


def test_cookies_must_reach_the_callback_of_each_operator(site):
    given = numverify({"REDIRECT_URI": "https://127.0.0.1/app/numverify/callback/"})
    given["NUMVERIFY"]["OPERATORS"]["other"] = OPERATOR  # which comes back to where our URLs are
    site(given | {"SESSION_COOKIE_PATH": "/app/"})
    assert [message.msg for message in reported() if message.id == "numverify.W036"] == [
        "SESSION_COOKIE_PATH does not cover /numverify/callback/: no login works."
    ]


def test_pages_that_a_policy_spares_are_told_without_the_path_of_the_site(site, settings):
    site(sparing("/club/"))
    with override_script_prefix("/club/"):
        assert ids() == ["W032"]
        site(sparing("/numverify/"))
        assert ids() == []
