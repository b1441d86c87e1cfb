"""numverify_probe against operators on sockets: each row of its table is seen right and wrong."""

import io
import re
import ssl
import time
from email.utils import formatdate
from urllib.parse import urlencode

import pytest
import requests
from django.core.management import call_command
from django.core.management.base import CommandError
from django.urls import clear_script_prefix, set_script_prefix

from numverify_django import conf
from numverify_django.connections import _forget
from numverify_django.management.commands.numverify_probe import Command
from numverify_django.models import VerificationAttempt
from numverify_django.probe import rows

from .conftest import HOST
from .hostile.operator import Operator, Reply
from .hostile.test_nw import CERTIFICATES, LOOPBACK, SERVER, Authority, Rigged, speak
from .protocol.factories import private_key, private_pem

PROFILES = ["telefonica", "telefonica-apigateway-v0", "telefonica-apigateway-v1", "telefonica-apigateway-v2"]
PROFILES += ["camara-v0", "camara-v1", "camara-v2"]
ASKED = ["discovery", "jwks", "authorize", "token"]
URI = f"https://{HOST}/numverify/callback/"
TYPICAL = [
    *("discovery", "endpoints", "keys", "ID token", "client authentication", "PKCE", "scopes to verify"),
    *("iss in the callback", "clock", "redirect URI", "authorization to verify", "client at the token endpoint"),
]
PEM = private_pem(private_key("RS256"))
SECRET = "the-client-secret-of-the-site"
SECRETS = [SECRET, "numverify-demo-secret", PEM.splitlines()[1], "numverify-probe-", "600000001"]


class Probe:
    """What a run printed: a Row by what it is about."""

    def __init__(self, *args):
        (name,) = [operator.name for operator in conf.get().operators][:1]
        out = io.StringIO()
        self.failure = ""
        try:
            call_command("numverify_probe", name, *args, stdout=out, no_color=True)
        except CommandError as error:
            self.failure = str(error)
        self.text, self.rows, what = out.getvalue(), {}, ""
        assert [secret for secret in SECRETS if secret in self.text + self.failure] == []
        for line in self.text.splitlines():
            if found := re.fullmatch(r" +-> (.+)", line):
                self.rows[what] = self.rows[what]._replace(remedy=found[1])
            else:
                verdict, what, told = re.fullmatch(r"(\w+) +(\S+(?: \S+)*)  +(.+)", line).groups()
                self.rows[what] = rows.Row(what, verdict, told)

    def verdict(self, what):
        """Return the verdict about ``what``."""
        return self.rows[what].verdict

    @property
    def wrong(self):
        """What is wrong."""
        return [row.what for row in self.rows.values() if row.verdict == "wrong"]


def document(sandbox, **changed):
    """Let the sandbox answer its discovery document with some members changed; one changed to ... is left out."""
    found = requests.get(f"{sandbox.url}/.well-known/openid-configuration", timeout=5).json() | changed
    body = {name: value for name, value in found.items() if value is not ...}
    sandbox.set(fault={"endpoint": "discovery", "body": body, "times": None})


@pytest.fixture
def hostile(settings):
    """A hostile operator that is the site's; it never knows a code that it did not give."""
    operator = Operator()
    operator.token = lambda operator, received: Reply({"error": "invalid_grant"}, 400)
    configure_for(settings, operator)
    yield operator
    operator.close()


def configure_for(settings, operator, **keys):
    """Set NUMVERIFY for a hostile operator."""
    place = {"PROFILE": "telefonica", "ISSUER": operator.url, "API_ROOT": f"{operator.url}/v1", "ALLOW_LOOPBACK": True}
    client = {"CLIENT_ID": "client-of-the-site", "CLIENT_SECRET": SECRET, "TIMEOUT": 2}
    settings.NUMVERIFY = {"OPERATORS": {"hostile": place | client | keys}}


# What is right


def test_sandbox_is_right(configure):
    probe = Probe()
    assert {row.what: row.verdict for row in probe.rows.values()} == dict.fromkeys(TYPICAL, "right") | {
        "TLS": "unknown"
    }
    assert probe.failure == ""
    assert [row.remedy for row in probe.rows.values() if row.remedy] == []


def test_each_thing_is_asked_once_and_nothing_is_paid_for(configure, sandbox):
    Probe()
    assert sandbox.hops() == ASKED


@pytest.mark.django_db
def test_nothing_is_written(configure, django_assert_num_queries):
    with django_assert_num_queries(0):
        Probe()
    assert VerificationAttempt.objects.count() == 0


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("operation", ["verify", "share"])
def test_every_dialect_of_the_sandbox_is_right(configure, profile, operation):
    gateway = "apigateway" in profile
    place = {"AUTHORIZATION_ENDPOINT": "{}/apigateway/authorize", "TOKEN_ENDPOINT": "{}/apigateway/token"}
    root = conf.get().operators[0].issuer
    keys = {name: url.format(root) for name, url in place.items()} if gateway else {}
    configure(profile, OPERATION=operation, **keys)
    probe = Probe()

    # What the gateway's own endpoints answer is no OAuth error; what they are is not in the document.
    wrong, unknown = (["endpoints"], ["TLS", "client at the token endpoint"]) if gateway else ([], ["TLS"])
    assert probe.wrong == wrong
    assert [row.what for row in probe.rows.values() if row.verdict == "unknown"] == unknown


def test_operator_that_shares_is_tried_with_the_scopes_of_a_typed_number_too(configure, sandbox):
    configure(OPERATION="share")
    probe = Probe()
    assert [row.told.rpartition(" ")[2] for what, row in probe.rows.items() if what.startswith("scopes")] == [
        "number-verification:verify",
        "number-verification:read",
    ]
    assert [what for what in probe.rows if what.startswith("authorization")] == [
        "authorization to verify",
        "authorization to share",
    ]
    assert sandbox.hops() == ["discovery", "jwks", "authorize", "authorize", "token"]


DIFFERING = {  # what the operator leads back with for one of the two, and what is wrong then
    "scopes": ({"code": ..., "error": "invalid_scope"}, ["scopes to {}", "authorization to {}"]),
    "iss": ({"iss": "https://other.example"}, ["iss in the callback"]),
    "state": ({"state": "another"}, ["authorization to {}"]),
}


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize(("changed", "wrong"), DIFFERING.values(), ids=DIFFERING)
def test_each_operation_is_judged_by_its_own_answer(hostile, settings, operation, changed, wrong):
    configure_for(settings, hostile, OPERATION="share")
    end = {"verify": ":verify", "share": ":read"}[operation]

    def authorize(operator, received):
        return lead_back(**changed if received.query["scope"].endswith(end) else {})(operator, received)

    hostile.authorize = authorize
    assert Probe().wrong == [what.format(operation) for what in wrong]


def test_operator_without_a_document_is_asked_what_can_be_asked(configure, sandbox):
    place = {"AUTHORIZATION_ENDPOINT": f"{sandbox.url}/authorize", "TOKEN_ENDPOINT": f"{sandbox.url}/token"}
    sandbox.set(fault={"endpoint": "discovery", "status": 404})
    configure(**place, JWKS_URI=f"{sandbox.url}/jwks")
    probe = Probe()
    assert probe.wrong == ["discovery"]
    assert [probe.verdict(what) for what in ("keys", "authorization to verify", "client at the token endpoint")] == [
        "right"
    ] * 3
    assert [probe.verdict(what) for what in ("ID token", "client authentication", "PKCE")] == ["unknown"] * 3
    assert sandbox.hops() == ASKED


def test_endpoint_that_the_document_leaves_out_is_the_settings_own(configure, sandbox):
    configure(JWKS_URI=f"{sandbox.url}/jwks")
    document(sandbox, jwks_uri=...)
    assert Probe().wrong == []


def test_document_of_an_error_is_none(configure, sandbox):
    document(sandbox)
    sandbox.set(fault=sandbox_fault(sandbox) | {"status": 404})
    probe = Probe()
    assert probe.wrong == ["discovery"]
    assert [probe.verdict(what) for what in ("PKCE", "client authentication", "ID token")] == ["unknown"] * 3


def sandbox_fault(sandbox):
    """Return the fault that the sandbox will meet next."""
    return requests.get(f"{sandbox.url}/_sandbox/state", timeout=5).json()["fault"]


def test_key_of_the_client_is_right(configure, sandbox):
    client = sandbox.client()
    configure(PRIVATE_KEY=client["private_key"], KEY_ID=client["key_id"])
    probe = Probe()
    assert (probe.wrong, probe.verdict("client assertion"), probe.verdict("client at the token endpoint")) == (
        [],
        "right",
        "right",
    )


# What is wrong: the settings

METHODS, ASSERTIONS = "token_endpoint_auth_methods_supported", "token_endpoint_auth_signing_alg_values_supported"
SIGNING = {"PRIVATE_KEY": PEM, "KEY_ID": "unregistered"}
GATEWAY = {"TOKEN_ENDPOINT": "{}/apigateway/token"}
NOT_SHARED = {"OPERATION": "share", "SCOPES": ["openid", "dpv:Nonsense-1"]}
SETTINGS = {  # keys of the operator, members of its document, what is wrong then, and a word of the remedy
    "issuer": ({}, {"issuer": "https://other.example"}, "discovery", "Set ISSUER to 'https://other.example'"),
    "no endpoint": ({}, {"token_endpoint": ...}, "discovery", "set the endpoints"),
    "no object": ({}, {"jwks_uri": "http://10.0.0.1/jwks"}, "discovery", "Correct ISSUER or DISCOVERY_URL"),
    "endpoint": (GATEWAY, {}, "endpoints", "Set TOKEN_ENDPOINT to what"),
    "no such key": ({"ID_TOKEN_ALG": "ES256"}, {}, "keys", "Set ID_TOKEN_ALG"),
    "ID token": ({}, {"id_token_signing_alg_values_supported": ["ES256"]}, "ID token", "Set ID_TOKEN_ALG to one"),
    "method": ({}, {METHODS: ["private_key_jwt"]}, "client authentication", "Set CLIENT_AUTH to one"),
    "no methods": ({"CLIENT_AUTH": "client_secret_post"}, {METHODS: ...}, "client authentication", "Set CLIENT_AUTH"),
    "assertion": (SIGNING, {ASSERTIONS: ["EdDSA"]}, "client assertion", "Set ASSERTION_ALG to one"),
    "no PKCE": ({"PKCE": False}, {}, "PKCE", "Set PKCE to True"),
    "PKCE": ({}, {"code_challenge_methods_supported": ["plain"]}, "PKCE", "set PKCE to False"),
    "scope": ({"SCOPES": ["openid", "dpv:Nonsense-1"]}, {}, "scopes to verify", "which scopes your client has"),
    "scope, too": ({"SCOPES": ["openid", "dpv:Nonsense-1"]}, {}, "authorization to verify", "See the scopes."),
    "scope to share": (NOT_SHARED, {}, "scopes to share", "which scopes your client has"),
    "scope to share, too": (NOT_SHARED, {}, "authorization to share", "See the scopes."),
    "iss": ({"RESPONSE_ISS": False}, {}, "iss in the callback", "Remove RESPONSE_ISS"),
    "client": ({"CLIENT_ID": "nobody"}, {}, "authorization to verify", f"register this redirect URI: {URI}"),
    "client, too": ({"CLIENT_ID": "nobody"}, {}, "client at the token endpoint", "Correct CLIENT_ID"),
    "secret": ({"CLIENT_SECRET": "wrong"}, {}, "client at the token endpoint", "or CLIENT_SECRET."),
    "key": (
        SIGNING,
        {},
        "client at the token endpoint",
        "or PRIVATE_KEY, KEY_ID, ASSERTION_ALG or ASSERTION_AUDIENCE.",
    ),
}


@pytest.mark.parametrize(("keys", "changed", "what", "remedy"), SETTINGS.values(), ids=SETTINGS)
def test_setting_that_is_wrong_is_told_with_its_remedy(configure, sandbox, keys, changed, what, remedy):
    configure(**{name: value.format(sandbox.url) if isinstance(value, str) else value for name, value in keys.items()})
    document(sandbox, **changed)
    probe = Probe()
    assert what in probe.wrong
    assert remedy in probe.rows[what].remedy
    assert probe.failure == f"{len(probe.wrong)} of {len(probe.rows)} are wrong."


ALONE = ["issuer", "endpoint", "ID token", "method", "no methods", "no PKCE", "PKCE", "iss", "secret", "key"]


@pytest.mark.parametrize("case", ALONE)
def test_nothing_else_is_wrong_then(configure, sandbox, case):
    keys, changed, what, _ = SETTINGS[case]
    configure(**{name: value.format(sandbox.url) if isinstance(value, str) else value for name, value in keys.items()})
    document(sandbox, **changed)
    assert Probe().wrong == [what]


@pytest.mark.parametrize("page", ["callback/another/", "login/", "numbers/"])
def test_redirect_uri_that_is_another_operators_or_another_page_of_ours_is_wrong(configure, page):
    assert Probe("--redirect-uri", f"https://{HOST}/numverify/{page}").wrong == ["redirect URI"]


def test_redirect_uri_that_leads_to_another_page_may_be_a_single_page_clients(configure):
    row = Probe("--redirect-uri", f"https://{HOST}/home/").rows["redirect URI"]
    assert (row.verdict, row.told) == ("unknown", f"https://{HOST}/home/ is another page of this site")
    assert row.remedy.startswith("The callback of this site is /numverify/callback/;")


@pytest.fixture
def under_club():
    """The site is at /club, as FORCE_SCRIPT_NAME has it for each command."""
    set_script_prefix("/club/")
    yield
    clear_script_prefix()


def test_redirect_uri_of_a_site_under_a_path_is_right(under_club, configure):
    row = Probe().rows["redirect URI"]
    assert (row.verdict, row.told) == ("right", f"https://{HOST}/club/numverify/callback/")


def test_redirect_uri_without_the_path_of_the_site_is_not_right(under_club, configure):
    row = Probe("--redirect-uri", URI).rows["redirect URI"]
    assert (row.verdict, "is /club/numverify/callback/," in row.remedy) == ("unknown", True)


def test_redirect_uri_of_its_own_is_right(configure):
    (operator,) = conf.get().operators
    configure(REDIRECT_URI=f"https://{HOST}/numverify/callback/{operator.name}/")
    assert (Probe().wrong, Probe().rows["redirect URI"].told) == ([], conf.get().operators[0].redirect_uri)


def test_redirect_uri_that_this_site_has_not_may_be_a_proxys(configure):
    probe = Probe("--redirect-uri", f"https://{HOST}/elsewhere/")
    assert (probe.verdict("redirect URI"), probe.verdict("authorization to verify")) == ("unknown", "right")


def test_redirect_uri_that_the_operator_does_not_know_is_wrong(configure):
    probe = Probe("--redirect-uri", "https://site.example/numverify/callback/")
    assert probe.wrong == ["authorization to verify"]
    assert probe.rows["authorization to verify"].told == "refused with 400, not led back"


# What is wrong: the operator

BACK = {  # what it leads back with -> the verdict
    **dict.fromkeys(["login_required", "interaction_required", "consent_required", "access_denied"], "right"),
    **dict.fromkeys(["unauthorized_client", "unsupported_response_type", "invalid_request"], "wrong"),
    **dict.fromkeys(["invalid_scope", "server_error", "temporarily_unavailable", "registration_required"], "wrong"),
}


@pytest.mark.parametrize(("error", "verdict"), BACK.items())
def test_error_that_it_leads_back_with_is_read(configure, sandbox, error, verdict):
    sandbox.set(fault={"endpoint": "authorize", "error": error})
    probe = Probe()
    row = probe.rows["authorization to verify"]
    assert (row.verdict, bool(row.remedy)) == (verdict, verdict == "wrong")
    otherwise = "right" if verdict == "right" else "unknown"  # the sandbox does not list purposes
    assert probe.verdict("scopes to verify") == ("wrong" if error == "invalid_scope" else otherwise)


def test_invalid_request_may_be_for_want_of_a_number(configure, sandbox):
    configure(LOGIN_HINT="tel")
    sandbox.set(fault={"endpoint": "authorize", "error": "invalid_request"})
    assert Probe().verdict("authorization to verify") == "unknown"


def answer(status, headers=(), body=b""):
    return lambda operator, received: Reply(body, status, dict(headers), "text/html")


def lead_back(**changed):
    """Return an authorization endpoint that leads back with some parameters changed; ... leaves one out."""

    def authorize(operator, received):
        asked = received.query
        given = {"code": operator.secret("code"), "state": asked["state"], "iss": operator.url} | changed
        query = urlencode({name: value for name, value in given.items() if value is not ...})
        return Reply(status=302, headers={"Location": f"{asked['redirect_uri']}?{query}"})

    return authorize


AUTHORIZE = {
    "a code": (lead_back(), "right"),
    "a page": (answer(200, body=b"<p>Sorry"), "unknown"),
    "another place": (answer(302, {"Location": "https://network.example/recognise"}), "unknown"),
    "no place": (answer(302), "unknown"),
    "forbidden": (answer(403), "wrong"),
    "busy": (answer(429), "unknown"),
    "out of order": (answer(503), "wrong"),
    "another state": (lead_back(state="x"), "wrong"),
    "no state": (lead_back(state=...), "wrong"),
    "nothing": (lead_back(code=...), "wrong"),
    "no answer": (lambda operator, received: b"nonsense", "wrong"),
}


@pytest.mark.parametrize(("authorize", "verdict"), AUTHORIZE.values(), ids=AUTHORIZE)
def test_answer_to_the_authorization_request_is_read(hostile, authorize, verdict):
    hostile.authorize = authorize
    probe = Probe()
    assert (probe.verdict("authorization to verify"), probe.verdict("client at the token endpoint")) == (
        verdict,
        "right",
    )


def told(status, error=None, **body):
    return lambda operator, received: Reply(({"error": error} if error else {}) | body, status)


TOKEN = {
    "made-up code": (told(400, "invalid_grant"), "right"),
    "made-up code, as a success": (told(200, "invalid_grant"), "right"),
    "client": (told(400, "invalid_client"), "wrong"),
    "unauthorized": (told(401), "wrong"),
    "flow": (told(400, "unauthorized_client"), "wrong"),
    "grant": (told(400, "unsupported_grant_type"), "wrong"),
    "request": (told(400, "invalid_request"), "unknown"),
    "no error": (told(400), "unknown"),
    "not found": (told(404), "unknown"),
    "token": (told(200, access_token="t", token_type="Bearer"), "wrong"),
    "a page": (answer(200, body=b"<p>Welcome"), "wrong"),
    "a long page": (answer(200, body=b"<p>Welcome" * 40_000), "wrong"),
    "an error of its own": (told(200, "no_such_code"), "wrong"),
    "redirect": (told(302), "wrong"),
    "busy": (told(429), "unknown"),
    "out of order": (told(500), "wrong"),
    "no answer": (lambda operator, received: b"nonsense", "wrong"),
}


@pytest.mark.parametrize(("token", "verdict"), TOKEN.values(), ids=TOKEN)
def test_answer_to_the_token_request_is_read(hostile, token, verdict):
    hostile.token = token
    probe = Probe()
    assert probe.wrong == (["client at the token endpoint"] if verdict == "wrong" else [])
    assert probe.verdict("client at the token endpoint") == verdict


@pytest.mark.parametrize("name", ["token", "a page", "an error of its own"])
def test_token_for_a_made_up_code_is_told_where_there_is_one(hostile, name):
    hostile.token, _ = TOKEN[name]
    told = Probe().rows["client at the token endpoint"].told
    assert told.startswith("gave a token") is (name == "token")


def test_code_of_the_operator_is_not_spent(hostile):
    Probe()
    (code,) = [received.form["code"] for received in hostile.received if received.hop == "token"]
    assert code.startswith("numverify-probe-")
    assert code not in hostile.nonces


ISSUER = {  # what is sent, RESPONSE_ISS, and the verdict
    "sent": ({}, None, "right"),
    "another": ({"iss": "https://other.example"}, None, "wrong"),
    "another, unasked": ({"iss": "https://other.example"}, False, "wrong"),
    "announced and not sent": ({"iss": ...}, None, "wrong"),
    "asked for and not sent": ({"iss": ...}, True, "wrong"),
    "sent and switched off": ({}, False, "wrong"),
}


@pytest.mark.parametrize(("sent", "asked", "verdict"), ISSUER.values(), ids=ISSUER)
def test_issuer_in_the_callback_is_compared(hostile, settings, sent, asked, verdict):
    configure_for(settings, hostile, RESPONSE_ISS=asked)
    hostile.authorize = lead_back(**sent)
    assert Probe().verdict("iss in the callback") == verdict


def test_issuer_that_nobody_speaks_of_is_unknown(hostile):
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    document = {name: f"{hostile.url}/{path}" for name, path in names.items()}
    hostile.discovery = lambda operator, received: Reply({"issuer": operator.url} | document)
    hostile.authorize = lead_back(iss=...)
    assert Probe().verdict("iss in the callback") == "unknown"


OWN = f"https://{HOST}/numverify/callback/{{}}/"
APART = {  # keys of the operator, of the other one, whether it announces iss, and the verdict
    "announced": ({}, {}, True, "right"),
    "configured": ({"RESPONSE_ISS": True}, {}, False, "right"),
    "nothing": ({}, {}, False, "wrong"),
    "nothing, and a callback of all": ({"REDIRECT_URI": URI}, {}, False, "wrong"),
    "own callback": ({"REDIRECT_URI": OWN.format("hostile")}, {}, False, None),
    "the other's own callback": ({}, {"REDIRECT_URI": OWN.format("other")}, False, None),
}


def beside_another(settings, **keys):
    """Let the site have another operator too."""
    other = {"PROFILE": "telefonica", "CLIENT_ID": "id", "CLIENT_SECRET": SECRET} | keys
    settings.NUMVERIFY = {"OPERATORS": settings.NUMVERIFY["OPERATORS"] | {"other": other}}


@pytest.mark.parametrize(("keys", "others", "announced", "verdict"), APART.values(), ids=APART)
def test_operator_is_told_from_the_others(hostile, settings, keys, others, announced, verdict):
    configure_for(settings, hostile, **keys)
    beside_another(settings, **others)
    document = hostile.discovery(hostile, None).body | {"authorization_response_iss_parameter_supported": announced}
    hostile.discovery = lambda operator, received: Reply(document)
    row = Probe().rows.get("told from the others")
    assert (row and row.verdict) == verdict
    assert (row.remedy != "") == (verdict == "wrong") if row else True


def test_operator_that_the_settings_say_sends_no_iss_is_not_asked(hostile, settings):
    configure_for(settings, hostile, RESPONSE_ISS=False)
    beside_another(settings)
    with pytest.raises(CommandError, match="shares its callback, or its link of an app, with another"):
        call_command("numverify_probe", "hostile")
    assert hostile.received == []


@pytest.mark.parametrize(
    ("ahead", "verdict"), [(0, "right"), (25, "right"), (-25, "right"), (90, "wrong"), (-3600, "wrong")]
)
def test_clock_is_compared(hostile, ahead, verdict):
    dated = hostile.discovery

    def discovery(operator, received):
        reply = dated(operator, received)
        reply.headers["Date"] = formatdate(time.time() + ahead, usegmt=True)
        return reply

    hostile.discovery = discovery
    row = Probe().rows["clock"]
    assert row.verdict == verdict
    assert abs(int(re.search(r"is ([+-]\d+) s", row.told)[1]) - ahead) <= 2


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "9" * 300])
def test_time_that_is_none_is_unknown(hostile, date):
    dated = hostile.discovery
    hostile.discovery = lambda operator, received: Reply(dated(operator, received).body, headers={"Date": date})
    assert Probe().verdict("clock") == "unknown"


def test_operator_that_is_not_there_is_told_once(configure, free_port):
    place = f"http://{HOST}:{free_port}"
    configure(ISSUER=place, API_ROOT=place)
    probe = Probe()
    assert probe.wrong == ["discovery"]
    assert [probe.verdict(what) for what in ("authorization to verify", "client at the token endpoint")] == [
        "unknown"
    ] * 2


NONSENSE = [b"nonsense", Reply(b"<html>"), Reply([1]), Reply({"issuer": 5}), Reply({}, 302), Reply(b"x" * 200_000)]


@pytest.mark.parametrize("hop", ["discovery", "jwks"])
@pytest.mark.parametrize("reply", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_wrong_and_no_crash(hostile, hop, reply):
    setattr(hostile, hop, lambda operator, received: reply)
    probe = Probe()
    assert probe.wrong == [{"discovery": "discovery", "jwks": "keys"}[hop]]
    assert "not among those offered" not in probe.text


LISTS = [5, None, "S256", [5, None, {}], ["\x1b[31m" * 3, "a b"], [SECRET * 3], ["x"] * 1000]


@pytest.mark.parametrize("listed", LISTS, ids=range(len(LISTS)))
def test_lists_of_a_document_may_hold_anything(configure, sandbox, listed):
    names = [METHODS, "code_challenge_methods_supported", "id_token_signing_alg_values_supported", "scopes_supported"]
    document(sandbox, **dict.fromkeys(names, listed))
    probe = Probe()
    assert "\x1b" not in probe.text
    assert max(map(len, probe.text.splitlines())) < 250


def test_operator_that_echoes_everything_is_not_repeated(hostile, caplog):
    def authorize(operator, received):
        asked = received.query
        query = urlencode({"error": f"{asked['code_challenge']} {asked['nonce']}", "state": asked["state"]})
        return Reply(status=302, headers={"Location": f"{asked['redirect_uri']}?{query}"})

    hostile.authorize = authorize
    hostile.token = lambda operator, received: Reply(
        {"error": received.raw.decode(), "message": received.raw.decode()}, 400
    )
    probe = Probe()
    asked = next(received for received in hostile.received if received.hop == "authorize").query
    sent = next(received for received in hostile.received if received.hop == "token")
    secrets = [asked["nonce"], asked["state"], asked["code_challenge"], sent.form["code"], sent.form["code_verifier"]]
    assert [secret for secret in [*secrets, sent.headers["authorization"]] if secret in probe.text + caplog.text] == []


# TLS


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """Certificates, one of which lasts long enough."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CERTIFICATES, "lasting", ([LOOPBACK], (-1, 365), SERVER))
        yield Authority(tmp_path_factory.mktemp("certificates"))


TLS = {
    "lasting": "right",
    "nothing": "wrong",  # it ends tomorrow
    "expired": "wrong",
    "another host": "wrong",
    "unknown authority": "wrong",
    "TLS 1.1": "wrong",
}


@pytest.mark.parametrize(("fault", "verdict"), TLS.items())
def test_certificate_is_read(settings, authority, monkeypatch, fault, verdict):
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.trusted))
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent")
    _forget()
    context = authority.context("lasting" if fault == "TLS 1.1" else fault)
    if fault == "TLS 1.1":
        speak(context, ssl.TLSVersion.TLSv1_1)
    operator = Rigged(context)
    operator.token = lambda operator, received: Reply({"error": "invalid_grant"}, 400)
    try:
        configure_for(settings, operator)
        probe = Probe()
    finally:
        operator.close()
        _forget()
    assert probe.verdict("TLS") == verdict
    assert probe.verdict("discovery") == ("right" if fault in ("lasting", "nothing") else "wrong")
    if verdict == "right":
        assert re.fullmatch(r"TLSv1\.[23] with 127\.0\.0\.1:\d+", probe.rows["TLS"].told)


def test_host_that_speaks_no_tls_is_wrong(hostile, settings):
    configure_for(
        settings, hostile, ISSUER=hostile.url.replace("http", "https"), API_ROOT=hostile.url.replace("http", "https")
    )
    row = Probe().rows["TLS"]
    assert (row.verdict, row.told.startswith(hostile.url.partition("//")[2])) == ("wrong", True)


@pytest.mark.parametrize("place", ["https://op..example.com", f"https://{'x' * 64}.example.com"], ids=["empty", "long"])
def test_host_that_can_have_no_name_is_wrong_and_no_crash(configure, sandbox, place):
    document(sandbox, token_endpoint=f"{place}/token")
    row = Probe().rows["TLS"]
    assert (row.verdict, row.told) == ("wrong", f"{place.removeprefix('https://')}:443: no such host is known")


# The command


def test_name_that_is_misspelled_is_told(configure):
    (operator,) = conf.get().operators
    with pytest.raises(CommandError, match=f"Did you mean {operator.name}"):
        call_command("numverify_probe", operator.name[:-1] + "x")
    with pytest.raises(CommandError, match=f"There are: {operator.name}"):
        call_command("numverify_probe", "entirely")


def test_settings_that_are_wrong_are_told(configure):
    configure(PKCE=5)
    with pytest.raises(CommandError, match=r"\['PKCE'\] must be True or False"):
        call_command("numverify_probe", "sandbox")


@pytest.mark.parametrize("hosts", [[], ["*"], [".site.example"]])
def test_callback_that_nothing_tells_is_asked_for(configure, settings, hosts):
    settings.ALLOWED_HOSTS = hosts
    (operator,) = conf.get().operators
    with pytest.raises(CommandError, match="give --redirect-uri"):
        call_command("numverify_probe", operator.name)
    assert Probe("--redirect-uri", URI).wrong == []


@pytest.mark.parametrize(
    "uri", ["/numverify/callback/", "site.example/numverify/callback/", "https:///callback/", "https://[::1", ""]
)
def test_callback_that_is_given_is_a_whole_url(configure, uri):
    probe = Probe("--redirect-uri", uri)
    assert probe.failure.startswith("--redirect-uri must be")
    assert probe.rows == {}


@pytest.mark.parametrize("given", [(), ("--redirect-uri", URI)], ids=["guessed", "given"])
def test_site_without_our_urls_is_told(configure, settings, given):
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    (operator,) = conf.get().operators
    with pytest.raises(CommandError, match="E023"):
        call_command("numverify_probe", operator.name, *given)


def test_operators_of_a_callable_are_probed(configure, settings):
    found = settings.NUMVERIFY["OPERATORS"]
    settings.NUMVERIFY = {"OPERATORS": lambda: found}
    assert Probe().wrong == []


def test_help_says_beforehand_what_is_asked():
    said = Command().help
    for word in ("once each", "discovery document", "keys", "authorization request", "token request", "made-up code"):
        assert word in said
    assert "Nothing is paid for" in said


def test_every_row_is_seen_right_and_wrong():
    """The cases above have a wrong one for each row of the table; test_sandbox_is_right and TLS have the right ones."""
    wrong = {case[2] for case in SETTINGS.values()} | {"TLS", "clock", "redirect URI", "told from the others"}
    assert wrong == {
        *TYPICAL,
        "scopes to share",
        "authorization to share",
        "client assertion",
        "TLS",
        "told from the others",
    }
    assert len(rows.LOOKS) == len(wrong)
