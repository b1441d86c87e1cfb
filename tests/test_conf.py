"""``NUMVERIFY``: when it is read, with which defaults, and what is said about a wrong value."""

import base64
import hmac
import ipaddress
import subprocess
import sys
import traceback
from dataclasses import FrozenInstanceError, fields, replace
from types import MappingProxyType

import pytest
from django.test import override_settings
from django.urls import reverse_lazy

from numverify_django import conf
from numverify_django.protocol.exceptions import Misconfigured
from numverify_django.protocol.profiles import PROFILES, Operation, Profile
from numverify_django.roster import Fixed

from .protocol.factories import private_key, private_pem, public_pem, refused

SECRET = "k0-the-secret-of-the-site"
PEPPER = "p0-" + "0123456789abcdef" * 2
PEM = private_pem(private_key("RS256"))
WHERE = "NUMVERIFY['OPERATORS']['movil']"
GOOD = {"PROFILE": "telefonica", "CLIENT_ID": "client", "CLIENT_SECRET": SECRET}
PLACE = {"ISSUER": "https://operator.example", "API_ROOT": "https://operator.example"}
CAMARA, APIGATEWAY = {"PROFILE": "camara-v2"} | PLACE, {"PROFILE": "telefonica-apigateway-v1"}
LOOPBACK = dict.fromkeys(PLACE, "http://127.0.0.1:8000")
SIGNING = {"CLIENT_SECRET": ..., "PRIVATE_KEY": PEM, "KEY_ID": "key-1"}
ADDRESSES = ["ISSUER", "DISCOVERY_URL", "AUTHORIZATION_ENDPOINT", "TOKEN_ENDPOINT", "JWKS_URI", "API_ROOT"]
COUNTRIES = ("+34", "+49", "+55")
EVERY_KEY = [*conf.SITE_KEYS, *conf.OPERATOR_KEYS]
READ_NOTHING = """
import django
from django.conf import settings

class Untouched(dict):
    def get(self, key, *args):
        if key != "PEPPERS":  # which is hidden before anything can fail and be reported
            raise AssertionError("NUMVERIFY was read")
    __getitem__ = __contains__ = items = get

apps = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "numverify_django"]
settings.configure(INSTALLED_APPS=apps, NUMVERIFY=Untouched(), SECRET_KEY="x")
django.setup()
import numverify_django.checks, numverify_django.middleware, numverify_django.urls
"""
OWN = Profile(
    name="own",
    verify=Operation("POST", "/verify", "number-verification:verify", "devicePhoneNumberVerified"),
    share=Operation("GET", "/share", "number-verification:share", "devicePhoneNumber"),
    accepts_hash=True,
    accepts_device=True,
    **{key.lower(): f"https://profile.example/{key}" for key in ADDRESSES},
    **{"client_auth": "client_secret_post", "response_iss": False, "login_hint": "tel", "prefixes": ("+351",)},
)


def policy(request, user, attempt):
    return True


@pytest.fixture
def site(settings):
    """Set NUMVERIFY for one operator, ``movil``: each key goes where it belongs, one that is ``...`` is left out."""

    def configure(**keys):
        given = {key: value for key, value in (GOOD | keys).items() if value is not ...}
        others = {key: given.pop(key) for key in conf.SITE_KEYS if key in given}
        settings.NUMVERIFY = {"OPERATORS": {"movil": given}} | others

    return configure


def is_of_site(key):
    return key in conf.SITE_KEYS


def told():
    """Return the code and the whole text of each thing that is wrong."""
    return [(problem.code, f"{problem.message} {problem.hint}") for problem in conf.problems()]


def codes():
    return [code for code, _ in told()]


def the_operator():
    (operator,) = conf.get().operators
    return operator


def values_of(settings):
    return {item.name: getattr(settings, item.name) for item in fields(settings) if item.init}


def of_an_unknown_curve():
    """Return a PEM key whose curve no library knows."""
    der = base64.b64decode("".join(private_pem(private_key("ES256")).splitlines()[1:-1]))
    p256 = bytes.fromhex("06082a8648ce3d030107")
    body = base64.b64encode(der.replace(p256, p256[:-1] + b"\x70")).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n"


# When it is read


@pytest.mark.parametrize("code", ["import numverify_django.conf", READ_NOTHING], ids=["conf", "package"])
def test_import_reads_no_setting(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_are_read_once(site):
    site()
    assert conf.get() is conf.get()


def test_settings_cannot_be_changed_in_place(site):
    site()
    with pytest.raises(FrozenInstanceError):
        conf.get().allow_staff = True


def test_setting_changed_for_a_while_is_read_again_afterwards(site):
    site(CLIENT_ID="before")
    with override_settings(NUMVERIFY={"OPERATORS": {"movil": GOOD | {"CLIENT_ID": "meanwhile"}}}):
        meanwhile = the_operator().client_id
    assert (meanwhile, the_operator().client_id) == ("meanwhile", "before")


# Defaults, profiles and the site's own values


def test_defaults_are_those_of_a_careful_site(site):
    site()
    assert values_of(conf.get()) == {
        **{"roster": Fixed((the_operator(),)), "peppers": conf.get().peppers, "former_peppers": ()},
        **{"unknown_number": "create", "default_region": None, "fallback_url": "", "store_number": "masked"},
        **{"attempt_lifetime": 300, "retention_days": 90, "redirect_mode": "redirect", "trusted_proxies": ()},
        **{
            "allow_staff": False,
            "login_policy": None,
            "number_taken": "refuse",
            "code_sender": None,
            "app_login": None,
            "send_login_failed": False,
            "route": None,
            "reverify_after": None,
        },
        "rate_limits": {
            **{"number_address": (10, 600), "session": (20, 600), "code_number": (10, 3600)},
            **dict.fromkeys(["address", "site", "operator"]),
        },
    }


def test_defaults_of_an_operator_are_the_documented_ones(site):
    site()
    assert values_of(the_operator()) == {
        **{"name": "movil", "profile": PROFILES["telefonica"], "client_id": "client", "client_secret": SECRET},
        "issuer": "https://opengateway.telefonica.com",
        "api_root": "https://opengateway.telefonica.com/v1",
        **dict.fromkeys(["discovery_url", "authorization_endpoint", "token_endpoint", "jwks_uri", "redirect_uri"]),
        "app_redirect_uri": None,
        **{"private_key": "", "key_id": "", "client_auth": "client_secret_basic", "assertion_alg": "RS256"},
        **{"assertion_audience": "endpoint", "id_token": "required", "id_token_alg": "RS256", "response_iss": None},
        **{"pkce": True, "purpose": None, "scopes": None, "operation": "verify", "hashed": False},
        **{"login_hint": "none", "send_device": False, "prefixes": COUNTRIES, "timeout": 10, "allow_loopback": False},
        **{"rivals": frozenset(), "shares_callback": False},
    }


@pytest.mark.parametrize("profile", PROFILES)
def test_profile_decides_about_id_token_and_countries(site, profile):
    site(**CAMARA | {"PROFILE": profile})
    expected = ("absent" if "apigateway" in profile else "required", COUNTRIES if "telefonica" in profile else ())
    assert (the_operator().id_token, the_operator().prefixes) == expected


def test_profile_at_a_dotted_path_fills_in_what_the_site_leaves_out(site):
    site(PROFILE="tests.test_conf.OWN")
    inherited = values_of(OWN).keys() & values_of(the_operator()).keys() - {"name"}
    assert the_operator().profile is OWN
    assert {name: getattr(the_operator(), name) for name in inherited} == {
        name: getattr(OWN, name) for name in inherited
    }


OVERRIDES = {
    **{key: f"https://other.example/{key}" for key in ADDRESSES},
    **{"CLIENT_ID": "other", "CLIENT_SECRET": "other", "PRIVATE_KEY": PEM, "KEY_ID": "other"},
    **{"CLIENT_AUTH": "client_secret_post", "ASSERTION_ALG": "PS256", "ASSERTION_AUDIENCE": "issuer"},
    **{"ID_TOKEN": "absent", "ID_TOKEN_ALG": "ES256", "RESPONSE_ISS": True, "PKCE": False},
    **{"PURPOSE": "dpv:ServiceProvision", "SCOPES": ["openid", "dpv:ServiceProvision"], "OPERATION": "share"},
    **{"HASHED": True, "LOGIN_HINT": "plain", "SEND_DEVICE": True, "REDIRECT_URI": "https://site.example/back/"},
    **{"PREFIXES": ["+34"], "TIMEOUT": 2.5, "ALLOW_LOOPBACK": True},
    **{"UNKNOWN_NUMBER": "deny", "DEFAULT_REGION": "DE", "FALLBACK_URL": "/accounts/login/", "STORE_NUMBER": "full"},
    **{"PEPPERS": [PEPPER, PEPPER[::-1]], "ATTEMPT_LIFETIME": 60, "RETENTION_DAYS": 7, "ALLOW_STAFF": True},
    "SEND_LOGIN_FAILED": True,
    **{"REVERIFY_AFTER": 86_400},
    **{"REDIRECT_MODE": "interstitial", "LOGIN_POLICY": policy, "CODE_SENDER": policy, "NUMBER_TAKEN": policy},
    **{"APP_LOGIN": policy, "ROUTE": policy, "APP_REDIRECT_URI": "https://site.example/app/"},
    "RATE_LIMITS": MappingProxyType(conf.RATE_LIMITS | {"session": (3, 60), "site": (9, 9), "number_address": None}),
    "TRUSTED_PROXIES": [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1")],
}


@pytest.mark.parametrize("key", EVERY_KEY)
def test_key_overrides_its_field_and_no_other(site, key):
    limits = {"session": [3, 60], "site": (9, 9), "number_address": None}
    written = {
        "RATE_LIMITS": limits,
        "TRUSTED_PROXIES": ["10.0.0.0/8", "::1"],
        "LOGIN_POLICY": "tests.test_conf.policy",
        "CODE_SENDER": "tests.test_conf.policy",
        "APP_LOGIN": "tests.test_conf.policy",
        "ROUTE": "tests.test_conf.policy",
    }
    base, value = {"PROFILE": "tests.test_conf.OWN", "CLIENT_AUTH": "client_secret_basic"}, OVERRIDES[key]
    changed = {key.lower(): tuple(value) if isinstance(value, list) else value}
    if key == "ISSUER":  # another place, whose endpoints discovery tells
        changed |= dict.fromkeys(["authorization_endpoint", "token_endpoint", "jwks_uri"])
    site(**base)
    before, operator = conf.get(), the_operator()
    if key == "PEPPERS":  # what was keyed before they were set is found still
        changed["former_peppers"] = before.peppers
    site(**base | {key: written.get(key, value)})
    assert conf.get() == replace(
        before, **changed if is_of_site(key) else {"roster": Fixed((replace(operator, **changed),))}
    )


NONE = [
    "DEFAULT_REGION",
    "LOGIN_POLICY",
    "ROUTE",
    "REVERIFY_AFTER",
    "REDIRECT_URI",
    "RESPONSE_ISS",
    "PURPOSE",
    "SCOPES",
]


@pytest.mark.parametrize("key", NONE)
def test_default_that_is_none_may_be_written_out(site, key):
    site()
    before = conf.get()
    site(**{key: None})
    assert conf.get() == before


def test_fallback_may_be_lazy(site):
    fallback = reverse_lazy("numverify:login")
    site(FALLBACK_URL=fallback)
    assert conf.get().fallback_url is fallback


@pytest.mark.parametrize("kind", [str, str.encode], ids=["text", "bytes"])
def test_peppers_come_from_secret_key_and_its_fallbacks(site, settings, kind):
    site()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = kind("new" * 20), [kind("old" * 20)]
    expected = tuple(hmac.digest(key, b"numverify_django.pepper", "sha256").hex() for key in (b"new" * 20, b"old" * 20))
    assert conf.get().peppers == expected
    site(PEPPERS=[PEPPER])
    assert (conf.get().peppers, conf.get().former_peppers) == ((PEPPER,), expected)


@pytest.mark.parametrize(("given", "used"), [(..., "private_key_jwt"), ("client_secret_basic", "client_secret_basic")])
def test_private_key_is_used_as_soon_as_there_is_one_unless_the_site_says_otherwise(site, given, used):
    site(**SIGNING | {"PROFILE": "tests.test_conf.OWN", "CLIENT_SECRET": SECRET, "CLIENT_AUTH": given})
    assert the_operator().client_auth == used


@pytest.mark.parametrize("shown", [conf.get, the_operator], ids=["Settings", "Operator"])
@pytest.mark.parametrize("secret", [SECRET, PEPPER, PEM.splitlines()[1]], ids=["client", "pepper", "key"])
def test_repr_shows_no_secret(site, shown, secret):
    site(**SIGNING | {"CLIENT_SECRET": SECRET, "PEPPERS": [PEPPER]})
    assert secret not in repr(shown())


# What is wrong: keys and values

UNKNOWN = {"UNKNOWN_NUMBERS": "UNKNOWN_NUMBER", "PEPPER": "PEPPERS", "allow_staff": "ALLOW_STAFF"}
UNKNOWN_OF_OPERATOR = {"CLIENTID": "CLIENT_ID", "PROFIL": "PROFILE", "PKEC": "PKCE", "client_id": "CLIENT_ID"}


@pytest.mark.parametrize(("key", "meant"), UNKNOWN.items())
def test_unknown_key_is_an_error_with_a_suggestion(settings, key, meant):
    settings.NUMVERIFY = {"OPERATORS": {"movil": GOOD}, key: "value"}
    assert told() == [("E002", f"NUMVERIFY has an unknown key '{key}'. Did you mean '{meant}'?")]


@pytest.mark.parametrize(("key", "meant"), UNKNOWN_OF_OPERATOR.items())
def test_unknown_operator_key_is_an_error_with_a_suggestion(site, key, meant):
    site(**{key: "value"})
    assert told() == [("E002", f"{WHERE} has an unknown key '{key}'. Did you mean '{meant}'?")]


CHOICE, TEXT, FLAG = ["", "none ", "HS256", None, True, []], [5, True, b"bytes", ["text"]], ["True", 1, 0, []]
NUMBER, LIST = [0, -1, True, "5", None, float("nan"), float("inf"), 10**9], ["text", 5, [5], [b"bytes"], {"a": 1}]
CALLABLE = ["", "policy", "tests.test_conf.missing", "missing.policy", ".conf.policy", "tests.test_conf.SECRET", 5]
WRONG_LIMITS = [5, [5], [0, 60], [5, 0], [5, -1], [True, 60], [5.0, 60], ["5", 60], [5, 60, 1], [10**8, 60], {5: 60}]
TEXTS = [*ADDRESSES, "CLIENT_ID", "CLIENT_SECRET", "PRIVATE_KEY", "KEY_ID", "FALLBACK_URL"]
CHOICES = ["CLIENT_AUTH", "ASSERTION_ALG", "ASSERTION_AUDIENCE", "ID_TOKEN", "ID_TOKEN_ALG", "OPERATION", "LOGIN_HINT"]
NO_URLS = ["https://site.example", "https://[site.example/back/", "https://:443/back/"]
WRONG = {
    **dict.fromkeys(TEXTS, (None, *TEXT)),
    **{"REDIRECT_URI": [*TEXT, "", "/back/", "site.example/back/", *NO_URLS], "RESPONSE_ISS": FLAG},
    **dict.fromkeys([*CHOICES, "UNKNOWN_NUMBER", "STORE_NUMBER", "REDIRECT_MODE"], CHOICE),
    **dict.fromkeys(
        ["PKCE", "HASHED", "SEND_DEVICE", "ALLOW_LOOPBACK", "ALLOW_STAFF", "SEND_LOGIN_FAILED"], (None, *FLAG)
    ),
    **dict.fromkeys(["TIMEOUT", "ATTEMPT_LIFETIME", "RETENTION_DAYS"], NUMBER),
    "REVERIFY_AFTER": [value for value in NUMBER if value is not None],
    "PURPOSE": ["", "FraudPreventionAndDetection", "dpv:", "dpv:A ", "dpv:A dpv:B", 5],
    "SCOPES": [*LIST, [], ["openid"], ["dpv:A", "dpv:B"], ["dpv:A dpv:B"], ["dpv:A", ""]],
    "PREFIXES": [*LIST, [""], ["34"], ["+"], ["+034"], ["+34x"], ["+٣٤"], None],
    "DEFAULT_REGION": ["", "es", "ESP", "E1", "UK", "ÑÑ", 34],
    "PEPPERS": [*LIST, [], [PEPPER, "short"], PEPPER, None],
    "TRUSTED_PROXIES": [*LIST, [""], ["10.0.0.0/99"], ["proxy.example"], None],
    "LOGIN_POLICY": CALLABLE,
    "NUMBER_TAKEN": [*CALLABLE, "allow", None],
    "FALLBACK_URL": (None, *TEXT, "accounts/login/", "ftp://site.example/"),
    "CODE_SENDER": CALLABLE,
    "APP_LOGIN": CALLABLE,
    "ROUTE": CALLABLE,
    "APP_REDIRECT_URI": [*TEXT, "", "/app/", "site.example/app/", *NO_URLS],
    "RATE_LIMITS": [None, [], 5, {"sesion": [1, 1]}, *({"session": limit} for limit in WRONG_LIMITS)],
}
EACH_WRONG = [(key, value) for key, values in WRONG.items() for value in values]


def test_every_key_is_tried_with_right_and_wrong_values():
    assert set(EVERY_KEY) == set(OVERRIDES) == set(WRONG)


@pytest.mark.parametrize(("key", "value"), EACH_WRONG, ids=[f"{key}-{value!a}" for key, value in EACH_WRONG])
def test_wrong_value_is_an_error_that_names_the_key(site, key, value):
    site(**{key: value})
    ((code, text),) = told()
    assert (code, text.split()[0]) == ("E003", f"{'NUMVERIFY' if is_of_site(key) else WHERE}['{key}']")


@pytest.mark.parametrize("name", [1, "", "x" * 65], ids=["int", "blank", "long"])
def test_operator_name_that_no_row_can_hold_is_an_error(settings, name):
    settings.NUMVERIFY = {"OPERATORS": {name: GOOD}}
    assert codes() == ["E003"]


LEAKS = [("CLIENT_SECRET", SECRET.encode()), ("CLIENT_AUTH", SECRET), ("PRIVATE_KEY", SECRET), ("PROFILE", SECRET)]
LEAKS += [("ISSUER", f"https://client:{SECRET}@operator.example"), ("PREFIXES", [SECRET]), ("SCOPES", {SECRET: SECRET})]


@pytest.mark.parametrize(("key", "value"), LEAKS)
def test_wrong_value_is_never_repeated(site, key, value):
    site(PEPPERS=[SECRET], TRUSTED_PROXIES=[SECRET], LOGIN_POLICY=SECRET, CODE_SENDER=SECRET, **{key: value})
    raised = "".join(traceback.format_exception(refused(Misconfigured, conf.get)))
    assert len(codes()) == 5
    assert SECRET not in raised + str(conf.problems())


NO_PROFILE = ["", "unknown", "missing.OWN", "tests.test_conf.SECRET", ".OWN", "..conf.OWN", None, 5, [], ...]


@pytest.mark.parametrize("profile", NO_PROFILE)
def test_unknown_profile_is_an_error_that_lists_those_that_exist(site, profile):
    site(PROFILE=profile)
    ((code, text),) = told()
    assert (code, text.split()[0]) == ("E004", f"{WHERE}['PROFILE']")
    assert all(name in text for name in PROFILES)


@pytest.mark.parametrize(("profile", "meant"), [("telefonika", "telefonica"), ("camara-v", "camara-v2")])
def test_misspelled_profile_is_an_error_with_a_suggestion(site, profile, meant):
    site(PROFILE=profile)
    assert told() == [("E004", f"{WHERE}['PROFILE'] is no profile. Did you mean '{meant}'?")]


# What is wrong: an operator that cannot be talked to

NEEDS_ISSUER = {"ID_TOKEN": "required", "RESPONSE_ISS": True, "ASSERTION_AUDIENCE": "issuer"}
MISSING = [
    *[(key, CAMARA | {key: ...}) for key in ("CLIENT_ID", "API_ROOT", "ISSUER")],
    *[(key, {key: ""}) for key in ("CLIENT_ID", "API_ROOT", "ISSUER")],
    *[("ISSUER", APIGATEWAY | {key: value}) for key, value in NEEDS_ISSUER.items()],
    ("TOKEN_ENDPOINT", APIGATEWAY | {"TOKEN_ENDPOINT": ""}),
    ("TOKEN_ENDPOINT", CAMARA | {"ISSUER": ..., "ID_TOKEN": "absent", "AUTHORIZATION_ENDPOINT": "https://x.example"}),
]


@pytest.mark.parametrize(("key", "keys"), MISSING)
def test_missing_or_blank_key_is_an_error_that_names_it(site, key, keys):
    site(**keys)
    assert set(codes()) == {"E005"}
    assert f"{WHERE} has no " in told()[0][1]
    assert key in told()[0][1]


NO_CREDENTIALS = {
    "no secret": ("CLIENT_SECRET", {"CLIENT_SECRET": ...}),
    "blank secret": ("CLIENT_SECRET", {"CLIENT_SECRET": ""}),
    "key that CLIENT_AUTH does not use": ("CLIENT_SECRET", SIGNING | {"CLIENT_AUTH": "client_secret_post"}),
    "signing without key": ("PRIVATE_KEY", SIGNING | {"CLIENT_AUTH": "private_key_jwt", "PRIVATE_KEY": ...}),
    "signing without key id": ("KEY_ID", SIGNING | {"KEY_ID": ...}),
    "public key": ("PRIVATE_KEY", SIGNING | {"PRIVATE_KEY": public_pem(private_key())}),
    "short key": ("PRIVATE_KEY", SIGNING | {"PRIVATE_KEY": private_pem(private_key(bits=1024))}),
    "key of another type": ("ASSERTION_ALG", SIGNING | {"ASSERTION_ALG": "ES256"}),
    "key of an unknown curve": ("PRIVATE_KEY", SIGNING | {"PRIVATE_KEY": of_an_unknown_curve()}),
    "no PEM": ("PRIVATE_KEY", SIGNING | {"PRIVATE_KEY": "text"}),
}


@pytest.mark.parametrize(("named", "keys"), NO_CREDENTIALS.values(), ids=NO_CREDENTIALS)
def test_unusable_credentials_are_an_error_that_names_the_key(site, named, keys):
    site(**keys)
    ((code, text),) = told()
    assert code == "E006"
    assert text.startswith(WHERE)
    assert named in text


@pytest.mark.parametrize("algorithm", ["PS256", "ES256", "ES512", "EdDSA"])
def test_key_of_the_algorithm_is_accepted(site, algorithm):
    site(**SIGNING | {"PRIVATE_KEY": private_pem(private_key(algorithm)), "ASSERTION_ALG": algorithm})
    assert codes() == []


@pytest.mark.parametrize("address", ["http://x.example", "https://10.0.0.1", "https://operator", "x.example"])
@pytest.mark.parametrize("key", ADDRESSES)
def test_address_that_is_not_public_https_is_an_error_that_names_the_key(site, key, address):
    site(**{key: address})
    ((code, text),) = told()
    assert (code, text.split()[0]) == ("E007", f"{WHERE}['{key}']")


LOOPBACK_CASES = [(False, {}, 2), (False, {"ALLOW_LOOPBACK": False}, 2), (False, {"ALLOW_LOOPBACK": True}, 0)]
LOOPBACK_CASES += [(True, {}, 0), (True, {"API_ROOT": "http://127.0.0.1:8001"}, 1)]


@pytest.mark.parametrize(("debug", "keys", "wrong"), LOOPBACK_CASES)
def test_loopback_operator_needs_one_origin_and_debug_or_allow_loopback(site, settings, debug, keys, wrong):
    site(**LOOPBACK | keys)
    settings.DEBUG = debug
    assert codes() == ["E007"] * wrong


@pytest.mark.parametrize("profile", PROFILES)
def test_hashed_is_an_error_where_the_profile_takes_no_hash(site, profile):
    site(**CAMARA | {"PROFILE": profile}, HASHED=True)
    assert codes() == ([] if PROFILES[profile].accepts_hash else ["E008"])


@pytest.mark.parametrize("keys", [{"ID_TOKEN": "absent"}, APIGATEWAY], ids=["site", "profile"])
def test_operator_with_neither_id_token_nor_pkce_is_an_error(site, keys):
    site(PKCE=False, **keys)
    assert codes() == ["E009"]


# What is wrong: operators whose answers nothing tells apart


def at_its_own(name):
    """Return the keys of an operator with a callback of its own."""
    return {"REDIRECT_URI": f"https://site.example/numverify/callback/{name}/"}


SILENT, SENDING, APP = (
    {"RESPONSE_ISS": False},
    {"RESPONSE_ISS": True},
    {"APP_REDIRECT_URI": "https://app.example/back/"},
)
SHARING = {  # keys of one, of the other, and who is told of
    "left to discovery": ({}, {}, []),
    "both send it": (SENDING, SENDING, []),
    "the first does not": (SILENT, SENDING, ["movil"]),
    "the second does not": (SENDING, SILENT, ["other"]),
    "neither does": (SILENT, SILENT, ["movil", "other"]),
    "nothing to discover": (APIGATEWAY, {}, ["movil"]),
    "nothing to discover, and it sends it": (APIGATEWAY | PLACE | SENDING, {}, []),
    "the callback of all by its name": (SILENT | {"REDIRECT_URI": "https://site.example/callback/"}, {}, ["movil"]),
    "a callback each": (SILENT | at_its_own("movil"), SILENT | at_its_own("other"), []),
    "its own": (SILENT | at_its_own("movil"), SILENT, []),
    "the other's own": (SILENT, SENDING | at_its_own("other"), []),
    "each that of the other": (SILENT | at_its_own("other"), SILENT | at_its_own("movil"), ["movil", "other"]),
    "one link of the app": (SILENT | at_its_own("movil") | APP, APP, ["movil"]),
    "a link of the app for one": (SILENT | at_its_own("movil") | APP, {}, []),
}


@pytest.mark.parametrize(("one", "other", "named"), SHARING.values(), ids=SHARING)
def test_operator_without_iss_that_shares_its_callback_is_an_error(settings, one, other, named):
    settings.NUMVERIFY = {"OPERATORS": {"movil": GOOD | one, "other": GOOD | other}}
    assert codes() == ["E012"] * len(named)
    for name, (_, text) in zip(named, told(), strict=True):
        assert text.startswith(f"NUMVERIFY['OPERATORS']['{name}'] shares its callback")
        assert f"callback/{name}/" in text
        assert "RESPONSE_ISS" in text


@pytest.mark.parametrize("keys", [SILENT, APIGATEWAY])
def test_only_operator_needs_no_iss(site, keys):
    site(**keys)
    assert codes() == []
    assert the_operator().shares_callback is False


def test_everything_that_is_wrong_is_listed(settings):
    contrary = {"CLIENT_SECRET": "", "API_ROOT": "http://x", "HASHED": True, "ID_TOKEN": "absent", "PKCE": False}
    operators = {"one": GOOD | {"PROFILE": "x", "PKEC": 1, "TIMEOUT": 0}, "two": GOOD | contrary, "three": None}
    settings.NUMVERIFY = {"ALLOW_STAFF": 1, "REVERIFIED": 1, "OPERATORS": operators}
    assert codes() == ["E003", "E002", "E004", "E002", "E003", "E006", "E007", "E008", "E009", "E003"]


def test_get_raises_the_first_thing_that_is_wrong(site):
    site(ALLOW_STAFF=1, TIMEOUT=0)
    assert str(refused(Misconfigured, conf.get)) == "NUMVERIFY['ALLOW_STAFF'] must be True or False."


def test_operators_know_the_places_of_the_others(settings):
    other = GOOD | {"ISSUER": "https://Other.example/tenant", "TOKEN_ENDPOINT": "https://token.example:8443/token"}
    settings.NUMVERIFY = {"OPERATORS": {"movil": GOOD, "other": other}}
    movil, _ = conf.get().operators

    assert movil.rivals == {("other.example", 443), ("token.example", 8443)}
    for url in ("https://other.example/x", "https://OTHER.example.:443/x", "https://token.example:8443/y"):
        with pytest.raises(Misconfigured):
            movil.check_url(url)
    movil.check_url("https://token.example/another-port")


def test_operators_of_one_host_are_no_rivals(settings):
    other = GOOD | {"CLIENT_ID": "another"}
    settings.NUMVERIFY = {"OPERATORS": {"movil": GOOD, "other": other}}
    assert [operator.rivals for operator in conf.get().operators] == [frozenset()] * 2


def test_key_of_an_operator_is_sent_to_its_dict(settings):
    settings.NUMVERIFY = {"OPERATORS": {"movil": GOOD}, "TIMEOUT": 5}
    assert [problem.hint for problem in conf.problems()] == ["It is a key of an operator: put it into that dict."]


def test_wrong_limit_is_named(site):
    site(**{"RATE_LIMITS": {"numer": [1, 60]}})
    assert "numer is not" in told()[0][1]


# Operators that a callable names


def named():
    raise AssertionError("no check asks this")


@pytest.mark.parametrize("source", [named, "tests.test_conf.named"], ids=["callable", "path"])
def test_callable_of_operators_is_not_asked_to_be_checked(settings, source):
    settings.NUMVERIFY = {"OPERATORS": source}
    assert (codes(), conf.get().listed) == ([], ())
    assert str(refused(Misconfigured, lambda: conf.get().operators)) == "OPERATORS raised AssertionError"


def test_callable_of_operators_is_asked_by_its_path(settings):
    settings.NUMVERIFY = {"OPERATORS": f"{__name__}.two_of_them"}
    assert [operator.name for operator in conf.get().operators] == ["movil", "other"]
    assert conf.get().operator("other").client_id == "another"


def two_of_them():
    return {"movil": GOOD, "other": GOOD | {"CLIENT_ID": "another"}}


@pytest.mark.parametrize("path", [path for path in CALLABLE if isinstance(path, str)])
def test_path_of_operators_that_leads_to_no_callable_is_an_error(settings, path):
    settings.NUMVERIFY = {"OPERATORS": path}
    assert told() == [
        (
            "E003",
            "NUMVERIFY['OPERATORS'] leads to no callable. "
            "Set it to a dict, or to a callable that returns one, or to the dotted path of that.",
        )
    ]


def test_settings_without_operators_are_those_of_nobody(settings):
    settings.NUMVERIFY = {"OPERATORS": named}
    assert conf.served() == ()
    settings.NUMVERIFY = {}
    assert conf.served() == ()
    assert conf.Settings().operators == ()
