"""The token request, its response, and the claims of the ID token."""

import base64
import hashlib
import json
from urllib.parse import parse_qsl, unquote_plus

import jwt
import pytest

from numverify_django.protocol import exceptions as e
from numverify_django.protocol.exceptions import IdTokenInvalid, TokenInvalid
from numverify_django.protocol.messages import Response
from numverify_django.protocol.tokens import parse_token_response, token_request, validate_id_token

from .contract import CONTRACTS
from .factories import (
    CALLBACK,
    CLIENT,
    ISSUER,
    NONCE,
    NOW,
    SECRET,
    TOKEN,
    answer,
    at_hash,
    claims,
    metadata,
    operator,
    private_key,
    private_pem,
    refused,
    token_answer,
)

VERIFIER = "verifier-of-the-request"
SIGNER = {"client_auth": "private_key_jwt", "client_secret": "", "key_id": "our-kid"}


def asked(now=NOW, **keys):
    """Return the token request of an operator with ``keys``."""
    return token_request(
        operator(**keys), metadata(), code="the code", verifier=VERIFIER, redirect_uri=CALLBACK, now=now
    )


def form(request):
    """Return the fields of the request's body, each of which stands there once."""
    pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


GRANT = {
    "grant_type": "authorization_code",
    "code": "the code",
    "redirect_uri": CALLBACK,
    "code_verifier": VERIFIER,
}


def test_request_goes_to_the_token_endpoint_as_a_form():
    request = asked()
    assert (request.hop, request.method, request.url) == ("token", "POST", f"{ISSUER}/token")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"


def test_basic_sends_encoded_credentials_in_the_header_alone():
    request = asked(client_id="us:a b%")
    scheme, _, sent = request.headers["authorization"].partition(" ")
    identity, _, secret = base64.b64decode(sent).decode().partition(":")
    assert scheme == "Basic"
    assert identity == "us%3Aa+b%25"  # RFC 6749 2.3.1: form-encoded before they are joined
    assert unquote_plus(secret) == SECRET
    assert form(request) == GRANT


def test_post_sends_credentials_in_the_body_alone():
    request = asked(client_auth="client_secret_post")
    assert form(request) == GRANT | {"client_id": CLIENT, "client_secret": SECRET}
    assert set(request.headers) == {"content-type"}


def assertion(algorithm="RS256", now=NOW, **keys):
    """Return the verified header and claims of the client assertion, and the rest of the form."""
    key = private_key(algorithm)
    keys = SIGNER | {"private_key": private_pem(key), "assertion_alg": algorithm} | keys
    fields = form(asked(now=now, **keys))
    token = fields.pop("client_assertion")
    options = {"verify_exp": False, "verify_aud": False, "verify_iat": False}
    return jwt.get_unverified_header(token), jwt.decode(token, key.public_key(), [algorithm], options), fields


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_assertion_says_who_we_are_to_whom_and_for_how_long(algorithm):
    header, told, fields = assertion(algorithm)
    jti = told.pop("jti")
    assert header == {"alg": algorithm, "kid": "our-kid", "typ": "JWT"}
    assert told == {"iss": CLIENT, "sub": CLIENT, "aud": f"{ISSUER}/token", "iat": NOW, "exp": NOW + 120}
    assert len(base64.urlsafe_b64decode(jti + "=")) == 32
    assert fields == GRANT | {
        "client_id": CLIENT,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    }


def test_assertion_lives_no_longer_than_camara_allows():
    _, told, _ = assertion(now=NOW + 0.9)
    assert 0 < told["exp"] - told["iat"] <= 300
    assert type(told["iat"]) is type(told["exp"]) is int


def test_audience_is_the_configured_issuer_where_the_operator_wants_it():
    _, told, _ = assertion(assertion_audience="issuer", issuer="https://issuer.example")
    assert told["aud"] == "https://issuer.example"


def test_two_assertions_never_share_a_jti():
    assert len({assertion()[1]["jti"] for _ in range(5)}) == 5


def test_jti_is_256_random_bits():
    asking = operator(**SIGNER | {"private_key": private_pem(private_key())})
    request = token_request(
        asking, metadata(), code="c", verifier="v", redirect_uri=CALLBACK, now=NOW, random="{} bytes".format
    )
    told = jwt.decode(form(request)["client_assertion"], options={"verify_signature": False})
    assert told["jti"] == "32 bytes"


def test_signing_client_sends_its_secret_nowhere():
    key = private_pem(private_key())
    request = asked(**SIGNER | {"private_key": key, "client_secret": "a-secret-that-is-set"})
    assert set(request.headers) == {"content-type"}
    assert b"a-secret-that-is-set" not in request.body
    assert b"client_secret" not in request.body
    assert b"PRIVATE" not in request.body


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_operator_without_pkce_gets_no_verifier(method):
    fields = form(asked(client_auth=method, private_key=private_pem(private_key()), key_id="k", pkce=False))
    assert "code_verifier" not in fields
    assert fields["redirect_uri"] == CALLBACK


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_nothing_of_the_request_is_in_its_url(method):
    request = asked(client_auth=method, private_key=private_pem(private_key()), key_id="k")
    assert request.url == f"{ISSUER}/token"


def parse(response, profile="telefonica", operation="verify", **keys):
    """Return the TokenSet in ``response``."""
    return parse_token_response(response, operator(profile, **keys), operation)


@pytest.mark.parametrize(("status", "expected"), [(201, e.TokenInvalid), (299, e.TokenInvalid)])
def test_other_success_than_200_is_refused(status, expected):
    refused(expected, parse, answer({"access_token": TOKEN, "token_type": "Bearer"}, status))


@pytest.mark.parametrize("status", [300, 302, 399])
def test_redirect_is_refused_as_one(status):
    refused(e.RedirectRefused, parse, answer({}, status))


def test_wrong_client_is_told_what_to_check():
    raised = refused(e.Misconfigured, parse, answer({"error": "invalid_client"}, 401))
    assert str(raised) == "the token endpoint answered 401 invalid_client: check the client's credentials and scopes"


def test_spent_code_is_told_without_advice():
    assert str(refused(e.TokenRefused, parse, answer({"error": "invalid_grant"}, 400))) == (
        "the token endpoint answered 400 invalid_grant"
    )


@pytest.mark.parametrize("error", ["made_up", None, ["invalid_grant"]])
def test_unknown_error_is_told_by_its_status_alone(error):
    raised = refused(e.TokenRefused, parse, answer({"error": error}, 400))
    assert str(raised) == "the token endpoint answered 400"


def test_good_response_is_accepted():
    response = token_answer(id_token="the.id.token")
    found = parse(response)
    assert (found.access_token, found.id_token, found.has_id_token) == (TOKEN, "the.id.token", True)


@pytest.mark.parametrize("value", [None, "", 5, [], {}])
def test_id_token_key_is_noticed_whatever_its_value(value):
    body = {"access_token": TOKEN, "token_type": "Bearer", "id_token": value}
    assert parse(answer(body)).has_id_token is True


def test_missing_id_token_is_noticed():
    assert parse(token_answer(id_token=None)).has_id_token is False


def test_refresh_token_is_dropped():
    found = parse(token_answer(refresh_token="refresh-me"))
    assert not any("refresh-me" in str(getattr(found, name)) for name in found.__slots__)


@pytest.mark.parametrize("kind", ["Bearer", "bearer", "BEARER", "bEARER"])
def test_token_type_is_read_in_any_case(kind):
    assert parse(token_answer(token_type=kind)).access_token == TOKEN


@pytest.mark.parametrize("kind", ["mac", "DPoP", "N_A", "", "Bearer ", 5, True, ["Bearer"], {"t": "Bearer"}])
def test_other_token_type_is_refused(kind):
    refused(TokenInvalid, parse, token_answer(token_type=kind))


def test_missing_token_type_is_refused():
    refused(TokenInvalid, parse, token_answer(token_type=None))


@pytest.mark.parametrize("name", ["access_token", "token_type", "expires_in", "scope"])
def test_null_is_refused(name):
    good = {"access_token": TOKEN, "token_type": "Bearer", "expires_in": 300}
    refused(TokenInvalid, parse, answer(good | {name: None}))


@pytest.mark.parametrize("seconds", [0, -1, -0.5, "300", "", True, False, [300], {}])
def test_lifetime_that_is_no_time_to_come_is_refused(seconds):
    refused(TokenInvalid, parse, token_answer(expires_in=seconds))


@pytest.mark.parametrize("seconds", [None, 1, 29, 300, 3599, 0.5])
def test_lifetime_may_be_missing_or_any_time_to_come(seconds):
    assert parse(token_answer(expires_in=seconds)).access_token == TOKEN


@pytest.mark.parametrize("token", ["a", "A" * 8192, "mF_9.B5f-4.1JqM", "abc==", "a/b+c~d"])
def test_token_that_fits_a_header_is_accepted(token):
    assert parse(token_answer(access_token=token)).access_token == token


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "a b",
        "a\n",
        "a\r\nx: y",
        "a\x00",
        "a=b",
        "a===",
        "a:b",
        "a,b",
        'a"b',
        "\u00e9",
        "A" * 8193,
        "a" + "=" * 9000,
        "A" * 100_000,
        5,
        True,
        [TOKEN],
        {"token": TOKEN},
    ],
)
def test_token_that_cannot_be_a_bearer_token_is_refused(token):
    refused(TokenInvalid, parse, token_answer(access_token=token))


def test_missing_token_is_refused():
    refused(TokenInvalid, parse, token_answer(access_token=None))


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"true", b"5", b'"text"', b"[]", b"<html></html>", b"access_token=a&token_type=Bearer"]
    + [json.dumps({"access_token": TOKEN, "token_type": "Bearer"}).encode()[:-1]]
    + [json.dumps({"access_token": TOKEN, "token_type": "Bearer"}).encode(codec) for codec in ("utf-16", "utf-32")]
    + [b"\xef\xbb\xbf" + json.dumps({"access_token": TOKEN, "token_type": "Bearer"}).encode()]
    + [b'{"access_token": "a", "access_token": "b", "token_type": "Bearer"}']
    + [b'{"access_token": "a", "token_type": "Bearer", "x": "\xe9"}'],
)
def test_body_that_is_not_a_strict_json_object_is_refused(body):
    refused(TokenInvalid, parse, answer(body))


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "application/x-www-form-urlencoded", ""])
def test_body_of_another_type_is_refused(content_type):
    body = json.dumps({"access_token": TOKEN, "token_type": "Bearer"}).encode()
    refused(TokenInvalid, parse, answer(body, content_type=content_type))


@pytest.mark.parametrize("status", [201, 202, 204, 206])
def test_success_that_is_not_200_is_refused(status):
    refused(TokenInvalid, parse, answer({"access_token": TOKEN, "token_type": "Bearer"}, status))


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_refused(status):
    refused(e.RedirectRefused, parse, Response(status, {"location": "https://evil.example/token"}, b""))


REFUSALS = {
    "invalid_grant": e.TokenRefused,
    "invalid_client": e.Misconfigured,
    "invalid_request": e.Misconfigured,
    "invalid_scope": e.Misconfigured,
    "unauthorized_client": e.Misconfigured,
    "unsupported_grant_type": e.Misconfigured,
}


@pytest.mark.parametrize("status", [400, 401, 403])
@pytest.mark.parametrize(("error", "expected"), REFUSALS.items())
def test_error_code_is_its_exception(error, expected, status):
    raised = refused(expected, parse, answer({"error": error, "error_description": "+34600000001"}, status))
    assert str(raised).removesuffix(": check the client's credentials and scopes") == (
        f"the token endpoint answered {status} {error}"
    )


@pytest.mark.parametrize(("error", "expected"), REFUSALS.items())
def test_error_beside_a_token_is_its_exception(error, expected):
    raised = refused(expected, parse, token_answer(error=error))
    assert str(raised).removesuffix(": check the client's credentials and scopes") == (
        f"the token endpoint answered 200 {error}"
    )


@pytest.mark.parametrize("error", ["made_up", "", None, ["invalid_grant"], {}, 5, False])
def test_unknown_error_beside_a_token_is_refused(error):
    raised = refused(e.TokenRefused, parse, answer({"access_token": TOKEN, "token_type": "Bearer", "error": error}))
    assert str(raised) == "the token endpoint answered 200"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, e.TokenRefused),
        (401, e.Misconfigured),
        (403, e.TokenRefused),
        (429, e.OperatorBusy),
        (500, e.OperatorUnavailable),
        (502, e.OperatorUnavailable),
        (503, e.OperatorUnavailable),
        (504, e.OperatorUnavailable),
    ],
)
@pytest.mark.parametrize(
    "body",
    [
        {"code": 400, "message": "as the apigateway spells its errors"},
        {"error": "made_up"},
        {"error": ["invalid_grant"]},
        {"error": None},
        [],
        b"",
        b"<html></html>",
    ],
)
def test_error_without_a_known_code_is_read_by_its_status(status, expected, body):
    refused(expected, parse, answer(body, status))


@pytest.mark.parametrize("status", [429, 503])
def test_error_code_does_not_hide_that_the_operator_is_down(status):
    expected = {429: e.OperatorBusy, 503: e.OperatorUnavailable}[status]
    refused(expected, parse, answer({"error": "invalid_grant"}, status))


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize("name", CONTRACTS)
def test_scope_granted_as_asked_is_accepted(name, operation):
    asking = operator(name)
    granted = token_answer(scope=asking.scope(operation))
    assert parse_token_response(granted, asking, operation).access_token == TOKEN


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize("name", CONTRACTS)
def test_scope_without_the_operations_is_refused(name, operation):
    granted = operator(name).scope("share" if operation == "verify" else "verify")
    refused(e.PermissionDenied, parse, token_answer(scope=granted), name, operation)


def test_scope_that_is_missing_is_the_one_asked_for():
    assert parse(token_answer()).access_token == TOKEN


@pytest.mark.parametrize(
    "granted",
    [
        "number-verification:verify",
        "number-verification:verify openid",
        "other number-verification:verify",
        "dpv:FraudPreventionAndDetection#number-verification:verify",
    ],
)
def test_scope_is_read_in_any_order_and_spelling(granted):
    assert parse(token_answer(scope=granted)).access_token == TOKEN


@pytest.mark.parametrize("granted", ["", "openid", "number-verification:verify2", "number-verification:verif"])
def test_narrower_scope_is_refused_before_the_paid_call(granted):
    refused(e.PermissionDenied, parse, token_answer(scope=granted))


@pytest.mark.parametrize("granted", [5, ["number-verification:verify"], {}, True])
def test_scope_that_is_no_text_is_refused(granted):
    refused(TokenInvalid, parse, token_answer(scope=granted))


def test_scope_of_the_site_that_names_no_operation_is_not_compared():
    found = parse(token_answer(scope="x"), scopes=("dpv:ServiceProvision#number-verification",))
    assert found.access_token == TOKEN


def validate(payload, now=NOW, alg="RS256", nonce=NONCE, issuer=ISSUER):
    """Return the AccessToken that ``payload`` (claims, or bytes) vouches for."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    asking = operator(issuer=issuer, id_token_alg=alg)
    return validate_id_token(raw, asking, nonce=nonce, access_token=TOKEN, now=now)


def test_good_claims_vouch_for_the_access_token():
    assert validate(claims()).value == TOKEN


def test_issuer_and_subject_name_the_subscriber():
    assert validate(claims(sub="pairwise")).subscriber == f"{ISSUER} pairwise"


@pytest.mark.parametrize("sub", ["x", "x" * 255])
def test_shortest_and_longest_subject_are_accepted(sub):
    assert validate(claims(sub=sub)).value == TOKEN


def test_token_that_is_valid_from_a_minute_ahead_is_accepted():
    assert validate(claims(nbf=NOW + 60)).value == TOKEN
    refused(IdTokenInvalid, validate, claims(nbf=NOW + 61))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "nonce"])
def test_missing_claim_is_refused(name):
    refused(IdTokenInvalid, validate, claims(drop=[name]))


@pytest.mark.parametrize("name", ["iss", "aud", "sub", "exp", "iat", "nonce", "at_hash", "azp", "nbf"])
@pytest.mark.parametrize("value", [None, "", True, False, [], {}, "text", ["text"], {"a": 1}, -1, 0])
def test_claim_of_a_wrong_type_is_refused(name, value):
    if (name, value) == ("sub", "text"):
        assert validate(claims(sub=value)).value == TOKEN
    else:
        refused(IdTokenInvalid, validate, claims(**{name: value}))


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "1",
        ISSUER + "/",
        ISSUER[:-1],
        ISSUER.upper(),
        ISSUER + ":443",
        "https://other.example",
        [ISSUER],
        {"iss": ISSUER},
    ],
)
def test_foreign_issuer_is_refused(issuer):
    refused(IdTokenInvalid, validate, claims(iss=issuer))


def test_issuer_is_refused_where_none_is_configured():
    refused(IdTokenInvalid, validate, claims(), issuer=None)
    refused(IdTokenInvalid, validate, claims(iss=None), issuer=None)
    refused(IdTokenInvalid, validate, claims(drop=["iss"]), issuer=None)


@pytest.mark.parametrize(
    "audience",
    [
        CLIENT + "1",
        CLIENT[:-1],
        CLIENT.upper(),
        "another-client",
        [],
        [CLIENT + "1"],
        [CLIENT, CLIENT + "1"],
        [CLIENT + "1", CLIENT],
        [CLIENT, CLIENT],
        [[CLIENT]],
        {CLIENT: True},
    ],
)
def test_foreign_audience_is_refused(audience):
    refused(IdTokenInvalid, validate, claims(aud=audience))


def test_foreign_second_audience_is_refused_even_with_our_azp():
    refused(IdTokenInvalid, validate, claims(aud=[CLIENT, "another-client"], azp=CLIENT))


def test_audience_as_a_list_of_us_alone_is_accepted():
    assert validate(claims(aud=[CLIENT])).value == TOKEN


def test_azp_that_is_us_is_accepted():
    assert validate(claims(azp=CLIENT)).value == TOKEN


@pytest.mark.parametrize("azp", [CLIENT + "1", "another-client", [CLIENT]])
def test_azp_that_is_another_client_is_refused(azp):
    refused(IdTokenInvalid, validate, claims(azp=azp))


@pytest.mark.parametrize("nonce", [NONCE + "1", NONCE[:-1], NONCE.upper(), " " + NONCE, "\u00e9", [NONCE]])
def test_foreign_nonce_is_refused(nonce):
    refused(IdTokenInvalid, validate, claims(nonce=nonce))


def test_nonce_of_an_earlier_request_is_refused():
    refused(IdTokenInvalid, validate, claims(), nonce="nonce-of-this-request")


def test_empty_nonce_matches_nothing_but_itself():
    refused(IdTokenInvalid, validate, claims(nonce=""))
    refused(IdTokenInvalid, validate, claims(), nonce="")


@pytest.mark.parametrize("sub", ["x" * 256, 5, ["opaque"]])
def test_subject_that_is_none_is_refused(sub):
    refused(IdTokenInvalid, validate, claims(sub=sub))


@pytest.mark.parametrize(
    "times",
    [
        pytest.param({"exp": NOW + 1}, id="about to expire"),
        pytest.param({"exp": NOW - 59}, id="expired within the leeway"),
        pytest.param({"exp": NOW + 86_400}, id="a day ahead"),
        pytest.param({"exp": NOW + 0.5, "iat": NOW - 0.5}, id="fractions"),
        pytest.param({"iat": NOW + 30}, id="issued in 30 seconds"),
        pytest.param({"iat": NOW + 60}, id="issued at the end of the leeway"),
        pytest.param({"iat": NOW - 600}, id="issued ten minutes ago"),
        pytest.param({"nbf": NOW + 30}, id="valid in 30 seconds"),
        pytest.param({"nbf": NOW - 86_400}, id="valid since yesterday"),
        pytest.param({"nbf": 1}, id="valid since 1970"),
    ],
)
def test_times_within_the_limits_are_accepted(times):
    assert validate(claims(**times)).value == TOKEN


@pytest.mark.parametrize(
    "times",
    [
        pytest.param({"exp": NOW - 60}, id="expired at the end of the leeway"),
        pytest.param({"exp": NOW - 360}, id="expired six minutes ago"),
        pytest.param({"exp": NOW + 86_401}, id="over a day ahead"),
        pytest.param({"exp": 4e10}, id="ends in a thousand years"),
        pytest.param({"exp": 1e300}, id="ends never"),
        pytest.param({"exp": (NOW + 300) * 1000}, id="milliseconds"),
        pytest.param({"exp": str(NOW + 300)}, id="text"),
        pytest.param({"iat": NOW + 61}, id="issued after the leeway"),
        pytest.param({"iat": NOW + 3600}, id="issued in an hour"),
        pytest.param({"iat": NOW - 601}, id="issued over ten minutes ago"),
        pytest.param({"iat": NOW - 7 * 86_400}, id="issued a week ago"),
        pytest.param({"iat": str(NOW)}, id="issued as text"),
        pytest.param({"nbf": NOW + 61}, id="valid after the leeway"),
        pytest.param({"nbf": NOW + 3600}, id="valid in an hour"),
        pytest.param({"nbf": str(NOW)}, id="valid as text"),
    ],
)
def test_times_outside_the_limits_are_refused(times):
    refused(IdTokenInvalid, validate, claims(**times))


@pytest.mark.parametrize("raw", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"9" * 5000, b"true", b"null"])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_number_that_is_no_time_is_refused(name, raw):
    payload = json.dumps(claims(**{name: "HERE"})).encode().replace(b'"HERE"', raw)
    refused(IdTokenInvalid, validate, payload)


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_claim_that_is_no_time_is_named(name):
    raised = refused(IdTokenInvalid, validate, claims(**{name: 1e11}))
    assert str(raised) == f"{name} is not a time"


@pytest.mark.parametrize(
    ("alg", "digest"),
    [
        ("RS256", hashlib.sha256),
        ("PS256", hashlib.sha256),
        ("ES256", hashlib.sha256),
        ("RS384", hashlib.sha384),
        ("ES384", hashlib.sha384),
        ("ES512", hashlib.sha512),
        ("PS512", hashlib.sha512),
    ],
)
def test_at_hash_of_the_access_token_is_accepted(alg, digest):
    assert validate(claims(at_hash=at_hash(digest=digest)), alg=alg).value == TOKEN


def test_at_hash_may_end_in_any_letter():
    asking = operator(issuer=ISSUER, id_token_alg="RS384")  # the one whose half needs no padding
    endings = set()
    for token in map(str, range(500)):
        expected = at_hash(token, hashlib.sha384)
        raw = json.dumps(claims(at_hash=expected)).encode()
        assert validate_id_token(raw, asking, nonce=NONCE, access_token=token, now=NOW).value == token
        endings.add(expected[-1])
    assert len(endings) == 64


def test_at_hash_of_openid_connect_is_reproduced():
    # OpenID Connect Core 1.0 appendix A.3: this access token has this at_hash
    sample = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
    raw = json.dumps(claims(at_hash="77QmUPtjPfzWtF2AnpK9RQ")).encode()
    found = validate_id_token(raw, operator(issuer=ISSUER), nonce=NONCE, access_token=sample, now=NOW)
    assert found.value == sample


@pytest.mark.parametrize(
    "value",
    [
        at_hash() + "1",
        at_hash()[:-1],
        at_hash() + "==",
        at_hash("another-token"),
        at_hash(digest=hashlib.sha512),
        hashlib.sha256(TOKEN.encode()).hexdigest(),
        [at_hash()],
        5,
        None,
        "",
    ],
)
def test_at_hash_of_another_token_is_refused(value):
    refused(IdTokenInvalid, validate, claims(at_hash=value))


@pytest.mark.parametrize("digest", [hashlib.sha256, hashlib.sha384, hashlib.sha512])
def test_at_hash_that_cannot_be_checked_is_refused(digest):
    refused(IdTokenInvalid, validate, claims(at_hash=at_hash(digest=digest)), alg="EdDSA")


def test_missing_at_hash_is_accepted():
    assert validate(claims(), alg="EdDSA").value == TOKEN


@pytest.mark.parametrize("payload", [b"", b"[]", b"null", b'"text"', b"{", b"\xff\xfe", b"[" * 9000])
def test_payload_that_is_no_object_is_refused(payload):
    refused(IdTokenInvalid, validate, payload)


@pytest.mark.parametrize("name", ["iss", "aud", "nonce", "exp"])
def test_claim_that_stands_twice_is_refused(name):
    raw = json.dumps(claims()).encode()
    twice = raw[:-1] + b", " + json.dumps({name: claims()[name]}).encode()[1:]
    refused(IdTokenInvalid, validate, twice)


def test_unknown_claims_are_ignored():
    assert validate(claims(acr="2", amr=["sim"], auth_time=NOW, email="x", jti="j")).value == TOKEN
