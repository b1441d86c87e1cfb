"""The values that travel: strict JSON, and no secret in what they show."""

import dataclasses
import json
import traceback

import pytest

from numverify_django.protocol import authorization, conversation, jose, tokens, verification
from numverify_django.protocol import exceptions as e
from numverify_django.protocol.messages import (
    AccessToken,
    AuthorizationRequest,
    AuthorizationResponse,
    Device,
    Metadata,
    Request,
    Response,
    TokenSet,
    Verification,
    parse_object,
)
from numverify_django.protocol.phone import InvalidNumber, PhoneNumber

from .factories import (
    CALLBACK,
    CLIENT,
    NONCE,
    NOW,
    SECRET,
    TOKEN,
    Wire,
    answer,
    id_token,
    jwk,
    metadata,
    operator,
    private_key,
    private_pem,
)


def test_object_is_parsed():
    assert parse_object(b'{"a": [1, {"b": "\\u00e9\xc3\xa9"}], "c": null}') == {"a": [1, {"b": "éé"}], "c": None}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="list"),
        pytest.param(b'"text"', id="string"),
        pytest.param(b"1", id="number"),
        pytest.param(b"null", id="null"),
        pytest.param(b"true", id="true"),
        pytest.param(b"<html></html>", id="HTML"),
        pytest.param(b'{"a": 1', id="truncated"),
        pytest.param(b'{"a": 1} x', id="junk behind"),
        pytest.param(b"{'a': 1}", id="single quotes"),
        pytest.param(b'{"a": 1, "a": 1}', id="name twice"),
        pytest.param(b'{"x": {"a": 1, "a": 2}}', id="name twice inside"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": -Infinity}', id="Infinity"),
        pytest.param(b'{"a": "\\u0000"}', id="NUL"),
        pytest.param(b'{"\\u0000": 1}', id="NUL in a name"),
        pytest.param(b'{"a": "\\ud800"}', id="lone surrogate"),
        pytest.param(b'{"a": ["\\udc00"]}', id="lone surrogate in a list"),
        pytest.param(b'\xef\xbb\xbf{"a": 1}', id="BOM"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param('{"a": 1}'.encode("utf-16-le"), id="UTF-16 without BOM"),
        pytest.param('{"a": 1}'.encode("utf-32"), id="UTF-32"),
        pytest.param('{"a": "é"}'.encode("latin-1"), id="Latin-1"),
        pytest.param(b'{"a": "\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b'{"a":' * 30 + b"1" + b"}" * 30, id="nested 30 deep"),
        pytest.param(b"[" * 100_000, id="nested 100 000 deep"),
        pytest.param(b'{"a":' * 50_000 + b"1" + b"}" * 50_000, id="objects nested 50 000 deep"),
        pytest.param(b'{"a": ' + b"9" * 10_000 + b"}", id="number of 10 000 digits"),
    ],
)
def test_body_that_is_not_one_strict_object_is_refused(body):
    with pytest.raises(
        ValueError,
        match=r"^(not strict JSON: \w+|not a JSON object|nested too deeply|a NUL or a lone surrogate in a text)$",
    ):
        parse_object(body)


def test_content_type_must_be_json():
    with pytest.raises(ValueError, match=r"^the content type is not application/json in UTF-8$"):
        Response(200, {"content-type": "text/html"}, b"{}").json_object()


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"', "utf8"])
def test_utf_8_may_be_named(charset):
    kind = f"application/json; charset={charset}"
    assert Response(200, {"content-type": kind}, b"{}").json_object() == {}


@pytest.mark.parametrize("charset", ["utf-16", "UTF-7", "latin-1", ""])
def test_other_encoding_is_refused(charset):
    with pytest.raises(ValueError, match="in UTF-8"):
        Response(200, {"content-type": f"application/json; charset={charset}"}, b"{}").json_object()


def test_missing_content_type_is_no_json():
    with pytest.raises(ValueError, match=r"^the content type is not application/json in UTF-8$"):
        Response(200, {}, b"{}").json_object()


def test_document_is_parsed_whatever_its_type():
    assert Response(200, {"content-type": "application/jwk-set+json"}, b'{"keys": []}').parse() == {"keys": []}


STATE, VERIFIER, CODE = "state-0123456789", "verifier-0123456789", "code-0123456789"
KEY = private_pem(private_key())
ID_TOKEN = id_token()
SECRETS = {
    "number": "34600123489",
    "code": CODE,
    "state": STATE,
    "nonce": NONCE,
    "verifier": VERIFIER,
    "access token": TOKEN,
    "ID token": ID_TOKEN.split(".")[2],
    "client secret": SECRET,
    "encoded client secret": "the+client+secret",
    "private key": KEY.splitlines()[1],
}
OUR_NUMBER = PhoneNumber("+34600123489")
OPERATOR = operator(client_secret=SECRET, private_key=KEY, key_id="kid", hashed=False)
BEARER = AccessToken(TOKEN)


def _token_request(method):
    asking = operator(client_auth=method, client_secret=SECRET, private_key=KEY, key_id="kid")
    return tokens.token_request(asking, metadata(), code=CODE, verifier=VERIFIER, redirect_uri=CALLBACK, now=NOW)


VALUES = [
    OPERATOR,
    OPERATOR.profile,
    OUR_NUMBER,
    Verification(OUR_NUMBER),
    Device(OUR_NUMBER, OUR_NUMBER.e164, CODE, 1, TOKEN),
    BEARER,
    TokenSet(TOKEN, ID_TOKEN, True),
    AuthorizationResponse(CODE, metadata()),
    AuthorizationRequest(f"https://operator.example/?state={STATE}&nonce={NONCE}", STATE, NONCE, VERIFIER, CALLBACK),
    authorization.build_request(
        operator(login_hint="tel"), metadata(), operation="verify", number=OUR_NUMBER, redirect_uri=CALLBACK
    ),
    metadata(),
    jose.KeySet((jwk(private_key()) | {"d": KEY},)),
    answer({"access_token": TOKEN, "id_token": ID_TOKEN, "phoneNumber": OUR_NUMBER.e164}),
    verification.verify_request(OPERATOR, BEARER, OUR_NUMBER),
    verification.share_request(OPERATOR, BEARER),
    Request("x", "GET", f"https://operator.example/?code={CODE}", {"authorization": TOKEN}, KEY.encode()),
    *(_token_request(method) for method in ("client_secret_basic", "client_secret_post", "private_key_jwt")),
    InvalidNumber("characters"),
]
SHOWN = (
    AccessToken,
    AuthorizationRequest,
    AuthorizationResponse,
    Device,
    Metadata,
    Request,
    Response,
    TokenSet,
    Verification,
)


@pytest.mark.parametrize("kind", SHOWN)
def test_every_message_is_among_the_values_that_are_looked_at(kind):
    assert any(isinstance(value, kind) for value in VALUES)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_value_shows_no_secret(value):
    shown = f"{value!r} {value!s} {value} {[value]} { ({'key': value}) }"
    leaked = [name for name, secret in SECRETS.items() if secret in shown]
    assert leaked == []


@pytest.mark.parametrize("value", [value for value in VALUES if dataclasses.is_dataclass(value)])
def test_value_has_no_dictionary_that_a_report_would_print(value):
    assert not hasattr(value, "__dict__")


ECHO = {"phoneNumber": OUR_NUMBER.e164, "token": TOKEN, "id": ID_TOKEN, "secret": SECRET, "code": CODE}


def _exchange(response):
    talk = conversation.exchange(
        OPERATOR,
        conversation.Directory(),
        AuthorizationResponse(CODE, metadata()),
        opened=AuthorizationRequest("", STATE, NONCE, VERIFIER, CALLBACK),
        operation="verify",
    )
    return Wire(token=response, jwks=answer({"keys": [jwk(private_key(name="other"))]})).carry(talk)


def _wrong_claims(**changed):
    payload = json.dumps({"iss": OPERATOR.issuer, "aud": CLIENT, "nonce": NONCE, "tel": OUR_NUMBER.e164, **changed})
    return tokens.validate_id_token(payload.encode(), OPERATOR, nonce="other", access_token=TOKEN, now=NOW)


def _signed_with(key):
    asking = operator(client_auth="private_key_jwt", private_key=key, key_id="kid", client_secret="")
    return tokens.token_request(asking, metadata(), code=CODE, verifier=VERIFIER, redirect_uri=CALLBACK, now=NOW)


FAILURES = {
    "number with letters": lambda: PhoneNumber.parse(f"{OUR_NUMBER.e164} x"),
    "number that is impossible": lambda: PhoneNumber.parse(f"{OUR_NUMBER.e164}0000"),
    "shared number with blanks": lambda: verification.parse_share(
        answer({"phoneNumber": f" {OUR_NUMBER.e164}"}), OPERATOR
    ),
    "verify answer in HTML": lambda: verification.parse_verify(
        answer(json.dumps(ECHO).encode(), content_type="text/html"), OPERATOR, OUR_NUMBER
    ),
    "verify answer truncated": lambda: verification.parse_verify(
        answer(json.dumps(ECHO).encode()[:-1]), OPERATOR, OUR_NUMBER
    ),
    "verify error that echoes": lambda: verification.parse_verify(answer(ECHO, 403), OPERATOR, OUR_NUMBER),
    "verify answer in Latin-1": lambda: verification.parse_verify(
        answer(json.dumps(ECHO).encode() + b"\xe9"), OPERATOR, OUR_NUMBER
    ),
    "verify answer with a surrogate": lambda: verification.parse_verify(
        answer(json.dumps(ECHO | {"x": "\ud800" + TOKEN}).encode()), OPERATOR, OUR_NUMBER
    ),
    "callback with an unknown error": lambda: authorization.parse_response({"error": [CODE]}, OPERATOR, metadata()),
    "callback with a code too long": lambda: authorization.parse_response({"code": [CODE * 999]}, OPERATOR, metadata()),
    "token error that echoes": lambda: _exchange(answer({"error": CODE, "error_description": SECRET, **ECHO}, 400)),
    "token answer truncated": lambda: _exchange(answer(json.dumps(ECHO).encode()[:-1])),
    "token of the wrong type": lambda: _exchange(answer({"access_token": TOKEN, "token_type": TOKEN})),
    "token that cannot be a header": lambda: _exchange(answer({"access_token": TOKEN + "\n", "token_type": "Bearer"})),
    "ID token by a foreign key": lambda: _exchange(
        answer({"access_token": TOKEN, "token_type": "Bearer", "id_token": ID_TOKEN})
    ),
    "ID token with a broken header": lambda: _exchange(
        answer({"access_token": TOKEN, "token_type": "Bearer", "id_token": f"{TOKEN}.{TOKEN}.{TOKEN}"})
    ),
    "ID token with other claims": lambda: _wrong_claims(sub=OUR_NUMBER.e164, exp=NOW + 9, iat=NOW),
    "ID token with text for a time": lambda: _wrong_claims(sub="s", exp=TOKEN, iat=TOKEN),
    "key that is half": lambda: _signed_with(KEY[: len(KEY) // 2]),
    "key of another type": lambda: _signed_with(private_pem(private_key("ES256"))),
    "key that is the secret": lambda: _signed_with(SECRET),
    "URL with a secret": lambda: OPERATOR.check_url(f"https://{TOKEN}@operator.example/"),
}


@pytest.mark.parametrize("fail", FAILURES.values(), ids=FAILURES)
def test_failure_shows_no_secret(fail):
    with pytest.raises((e.NumberVerifyError, InvalidNumber)) as raised:
        fail()
    texts = list(_printed(raised.value))
    assert [name for name, secret in SECRETS.items() if any(secret in text for text in texts)] == []


def _printed(error):
    """Yield what a log may print of ``error`` and of the causes that its traceback shows."""
    while error is not None:
        yield from (str(error), repr(error), *traceback.format_exception_only(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
