"""The authorization request and its response."""

import base64
import hashlib
from urllib.parse import parse_qsl, urlsplit

import pytest

from numverify_django.protocol import exceptions as e
from numverify_django.protocol.authorization import build_request, challenge, parse_response

from .contract import CONTRACTS
from .factories import CALLBACK, CLIENT, ISSUER, NUMBER, metadata, operator, refused


def asked(profile="telefonica", operation="verify", number=NUMBER, endpoint=f"{ISSUER}/authorize", random=None, **keys):
    """Return the AuthorizationRequest of an operator with ``keys``."""
    extra = {"random": random} if random else {}
    return build_request(
        operator(profile, **keys),
        metadata(authorization_endpoint=endpoint),
        operation=operation,
        number=number,
        redirect_uri=CALLBACK,
        **extra,
    )


def query(request):
    """Return the parameters of the request's URL, each of which stands there once."""
    pairs = parse_qsl(urlsplit(request.url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def counting():
    """Return a random source that tells its calls apart and how many bytes were asked of it."""
    calls = iter("abc")
    return lambda size: f"{next(calls)}{size}"


def test_request_has_exactly_its_parameters():
    request = asked(random=counting())
    assert urlsplit(request.url)[:3] == ("https", "operator.example", "/authorize")
    assert query(request) == {
        "response_type": "code",
        "client_id": CLIENT,
        "redirect_uri": CALLBACK,
        "scope": "openid dpv:FraudPreventionAndDetection number-verification:verify",
        "state": "a32",
        "nonce": "b32",
        "prompt": "none",
        "code_challenge": challenge("c32"),
        "code_challenge_method": "S256",
    }
    assert (request.state, request.nonce, request.verifier) == ("a32", "b32", "c32")
    assert request.redirect_uri == CALLBACK


@pytest.mark.parametrize(("name", "contract"), CONTRACTS.items(), ids=CONTRACTS)
def test_scope_is_spelled_and_encoded_as_the_document_says(name, contract):
    for operation, scope in (("verify", contract.scope_verify), ("share", contract.scope_share)):
        request = asked(name, operation)
        assert query(request)["scope"] == scope
        encoded = scope.replace(" ", "%20").replace("#", "%23").replace(":", "%3A")
        assert f"scope={encoded}&" in request.url


def test_verifier_of_the_rfc_makes_the_challenge_of_the_rfc():
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636 appendix B
    assert challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_verifier_stays_behind():
    request = asked()
    assert request.verifier not in request.url
    digest = hashlib.sha256(request.verifier.encode()).digest()
    assert base64.urlsafe_b64decode(query(request)["code_challenge"] + "=") == digest


def test_state_nonce_and_verifier_have_256_bits_each():
    request = asked()
    for secret in (request.state, request.nonce, request.verifier):
        assert len(base64.urlsafe_b64decode(secret + "=")) == 32


def test_ten_thousand_random_values_are_all_different():
    asking = operator()
    drawn = set()
    for _ in range(3334):
        request = build_request(asking, metadata(), operation="verify", number=NUMBER, redirect_uri=CALLBACK)
        drawn |= {request.state, request.nonce, request.verifier}
    assert len(drawn) == 10_002


def test_operator_without_pkce_gets_no_challenge():
    request = asked(pkce=False)
    assert {"code_challenge", "code_challenge_method"}.isdisjoint(query(request))
    assert len(request.nonce) == 43


@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize("operation", ["verify", "share"])
def test_number_is_in_no_part_of_the_url(name, operation):
    url = asked(name, operation).url
    for spelling in ("600000001", NUMBER.sha256, base64.b64encode(b"+34600000001").decode().rstrip("=")):
        assert spelling not in url


@pytest.mark.parametrize(("hint", "sent"), [("tel", "tel:+34600000001"), ("plain", "+34600000001")])
def test_login_hint_is_sent_where_the_operator_demands_it(hint, sent):
    assert query(asked(login_hint=hint))["login_hint"] == sent


def test_plus_of_the_login_hint_is_encoded():
    assert asked(login_hint="plain").url.endswith("&login_hint=%2B34600000001")


@pytest.mark.parametrize("hint", ["none", "tel", "plain"])
def test_login_hint_is_not_sent_without_a_number(hint):
    assert "login_hint" not in query(asked(operation="share", number=None, login_hint=hint))


@pytest.mark.parametrize(
    ("endpoint", "beginning"),
    [
        (f"{ISSUER}/authorize", f"{ISSUER}/authorize?response_type=code&"),
        (f"{ISSUER}/authorize?tenant=es", f"{ISSUER}/authorize?tenant=es&response_type=code&"),
        (f"{ISSUER}/authorize?", f"{ISSUER}/authorize?&response_type=code&"),
    ],
)
def test_query_of_the_endpoint_is_kept(endpoint, beginning):
    assert asked(endpoint=endpoint).url.startswith(beginning)


def test_client_id_cannot_add_parameters():
    assert query(asked(client_id="us&prompt=login#"))["client_id"] == "us&prompt=login#"


def test_parameters_are_in_the_same_order_every_time():
    names = {tuple(name for name, _ in parse_qsl(urlsplit(asked().url).query)) for _ in range(20)}
    assert len(names) == 1


def receive(profile="telefonica", response_iss=False, issuer=ISSUER, **params):
    """Return what the callback's ``params`` (a value or a list of values each) stand for."""
    values = {name: value if isinstance(value, list) else [value] for name, value in params.items()}
    return parse_response(values, operator(profile, issuer=issuer), metadata(response_iss=response_iss))


def test_code_is_received():
    assert receive(code="the-code", state="s").code == "the-code"


def test_unknown_parameters_are_ignored():
    assert receive(code="c", state="s", session_state="x", scope="openid", utm=["a", "b"]).code == "c"


ERRORS = {
    "login_required": e.NotOnMobileNetwork,
    "interaction_required": e.NotOnMobileNetwork,
    "account_selection_required": e.NotOnMobileNetwork,
    "consent_required": e.ConsentRequired,
    "consent_denied": e.ConsentRequired,
    "access_denied": e.AccessDenied,
    "server_error": e.OperatorUnavailable,
    "temporarily_unavailable": e.OperatorUnavailable,
    "invalid_request": e.Misconfigured,
    "unauthorized_client": e.Misconfigured,
    "unsupported_response_type": e.Misconfigured,
    "invalid_scope": e.Misconfigured,
}


@pytest.mark.parametrize(("error", "expected"), ERRORS.items())
def test_error_code_is_its_exception(error, expected):
    refused(expected, receive, error=error, state="s")


@pytest.mark.parametrize(
    "error",
    ["", "LOGIN_REQUIRED", "login_required ", "made_up", "x" * 10_000, "<script>", "a\r\nb", "\x1b[31m", "\u202e"],
)
def test_unknown_error_code_is_refused_without_repeating_it(error):
    raised = refused(e.CallbackInvalid, receive, error=error, state="s")
    assert str(raised) == "the operator answered an error that is none of OpenID Connect's"


def test_error_beside_a_code_wins():
    refused(e.AccessDenied, receive, error="access_denied", code="c")


def test_description_of_the_operator_is_dropped():
    raised = refused(e.AccessDenied, receive, error="access_denied", error_description="+34600000001", error_uri="x")
    assert str(raised) == "the operator answered access_denied"


def test_neither_code_nor_error_is_refused():
    refused(e.CallbackInvalid, receive, state="s")


def test_signed_response_that_nobody_asked_for_is_refused():
    refused(e.CallbackInvalid, receive, response="eyJ.e30.x", state="s")


@pytest.mark.parametrize("name", ["state", "code", "error", "iss"])
def test_repeated_parameter_is_refused(name):
    params = {"code": "c", "state": "s", "iss": ISSUER} | {name: ["access_denied", "access_denied"]}
    refused(e.CallbackInvalid, receive, **params)


def test_response_keeps_the_metadata_it_was_checked_against():
    assert receive(code="c", state="s").metadata == metadata()


def test_longest_code_is_received():
    assert receive(code="c" * 4096).code == "c" * 4096


@pytest.mark.parametrize(
    "code",
    ["", "c" * 4097, "c" * 100_000, "c\x00", "c\n", "\nc", "c\r\nx: y", "a b", "c\x7f", "c\u00e9", "\ud800", "\u0661"],
)
def test_code_that_no_operator_issues_is_refused(code):
    refused(e.CallbackInvalid, receive, code=code)


@pytest.mark.parametrize("response_iss", [False, True], ids=["not known to send it", "known to send it"])
def test_issuer_of_the_operator_is_accepted(response_iss):
    assert receive(code="c", iss=ISSUER, response_iss=response_iss).code == "c"


def test_missing_issuer_is_accepted_of_an_operator_not_known_to_send_it():
    assert receive(code="c", response_iss=False).code == "c"


@pytest.mark.parametrize("params", [{"code": "c"}, {"error": "access_denied"}], ids=["code", "error"])
def test_missing_issuer_is_refused_of_an_operator_known_to_send_it(params):
    refused(e.IssuerMismatch, receive, response_iss=True, **params)


@pytest.mark.parametrize("response_iss", [False, True])
@pytest.mark.parametrize("params", [{"code": "c"}, {"error": "login_required"}], ids=["code", "error"])
@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "1",
        ISSUER + "/",
        ISSUER[:-1],
        ISSUER.replace("operator", "OPERATOR"),
        ISSUER.replace("https", "HTTPS"),
        ISSUER + ":443",
        ISSUER.replace("o", "%6F"),
        ISSUER + " ",
        " " + ISSUER,
        ISSUER + "?",
        "https://other.example",
        "https://other.example/" + ISSUER,
        "",
    ],
)
def test_foreign_issuer_is_refused(issuer, params, response_iss):
    refused(e.IssuerMismatch, receive, iss=issuer, response_iss=response_iss, **params)


def test_issuer_is_refused_where_none_is_configured():
    refused(e.IssuerMismatch, receive, code="c", iss=ISSUER, issuer=None, profile="telefonica-apigateway-v1")
