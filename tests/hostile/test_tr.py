"""TR: the token response."""

import base64
import hashlib
import json
import re
import time
import zlib
from functools import cache

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

from numverify_django.models import VerificationAttempt

from . import tokens
from .conftest import AGAIN, CLIENT_SECRET, IN_LOOP, NUMBER
from .operator import Reply

TOKEN = ["discovery", "token"]
WHOLE = [*TOKEN, "jwks", "verify"]
UNFINISHED = "The check didn't finish"
LARGEST_TOKEN = 8192
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def replying(*args, **options):
    """Return an endpoint that always gives this Reply."""
    return lambda operator, received: Reply(*args, **options)


def telling(**members):
    """Return a token endpoint whose honest answer has these members changed; one changed to ... is left out."""
    return lambda operator, received: Reply(operator.token_body(received, **members))


def sending(respell, **options):
    """Return a token endpoint that sends what ``respell`` makes of the honest answer's JSON (text)."""
    return lambda operator, received: Reply(respell(json.dumps(operator.token_body(received))), **options)


def flooding(head, piece):
    """Return an endpoint that sends ``head``, and then ``piece`` for as long as anybody reads."""

    def flood(connection):
        connection.sendall(head)
        while True:
            connection.sendall(piece)

    return lambda operator, received: flood


def refused_with_one_of(trial, reasons, calls):
    """Expect a refusal with whichever of ``reasons`` the last row has, where it is open which bound comes first."""
    reason = VerificationAttempt.objects.latest("pk").reason
    assert reason in reasons
    trial.refused(reason, calls)


def start_in_vain(trial):
    """Start a login that ends before the operator is visited, timed; return the page that says so."""
    answer = trial.visitor.start()
    assert answer.status_code == 302, "I3"
    assert answer["Location"].startswith("/numverify/failed/")
    return trial.visitor.client.get(answer["Location"])


# TR-01, TR-02: redirects


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("status", [307, 308])
def test_tr_01_redirected_token_endpoint_receives_no_secret(trial, status):
    trial.operator.token = replying(b"", status, {"Location": f"{trial.evil.url}/token"})
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("redirect_refused", calls=TOKEN)


@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post", "private_key_jwt"])
def test_tr_01_no_way_to_authenticate_is_repeated_at_another_host(trial, client_auth):
    trial.configure(CLIENT_AUTH=client_auth, PRIVATE_KEY=pem(tokens.rsa_key("site")), KEY_ID="site-key")
    trial.operator.token = replying(b"", 307, {"Location": f"{trial.evil.url}/token"})
    trial.log_in()

    assert trial.evil.connections == []
    trial.refused("redirect_refused", calls=TOKEN)


@pytest.mark.parametrize("status", [302, 307, 308])
def test_tr_01_redirected_verify_endpoint_receives_neither_token_nor_number(trial, status):
    trial.operator.verify = replying(b"", status, {"Location": f"{trial.evil.url}/verify"})
    trial.log_in()

    assert trial.evil.connections == []
    trial.refused("redirect_refused", calls=WHOLE)


PLACES = {
    "another host": "{evil}/token",
    "a user": "http://user:password@{evil_host}/token",
    "the same host": "{operator}/another/token",
    "itself": "{operator}/token",
    "a file": "file:///etc/passwd",
    "nonsense": "http://[::1",
}


@pytest.mark.parametrize(
    ("status", "place"),
    [(301, "another host"), (303, "another host"), (301, "the same host"), *((302, place) for place in PLACES)],
)
def test_tr_02_redirect_is_not_followed(trial, status, place):
    host = trial.evil.url.removeprefix("http://")
    location = PLACES[place].format(evil=trial.evil.url, evil_host=host, operator=trial.operator.url)
    trial.operator.token = replying(b"", status, {"Location": location})
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    assert trial.evil.connections == []
    trial.refused("redirect_refused", calls=TOKEN)


@pytest.mark.parametrize("status", [300, 304, 305, 399])
def test_tr_02_redirect_without_a_place_is_refused_though_its_body_is_honest(trial, status):
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), status)
    trial.log_in()

    has_surplus = IN_LOOP and status == 304  # which has no body, and aiohttp minds
    trial.refused("operator_unavailable" if has_surplus else "redirect_refused", calls=TOKEN)


def test_tr_02_other_headers_that_name_a_place_move_nothing(trial):
    elsewhere = f"{trial.evil.url}/verify"
    headers = {"Location": elsewhere, "Content-Location": elsewhere, "Refresh": f"0; url={elsewhere}"}
    headers |= {"Link": f"<{elsewhere}>; rel=alternate", "Alt-Svc": f'http/1.1=":{trial.evil.port}"'}
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), headers=headers)
    trial.log_in()

    assert trial.evil.connections == []
    trial.verified(WHOLE)


# TR-03 to TR-05: bodies


NOT_JSON = {
    "HTML": b"<!doctype html><title>Login</title><meta http-equiv=refresh content='0; url=/'>",
    "nothing": b"",
    "truncated": b'{"access_token": "abc", "token_type": "Bearer", "expires',
    "JSONP": b'callback({"access_token": "abc", "token_type": "Bearer"})',
    "binary": bytes(range(256)),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_tr_03_body_that_is_not_json_is_token_invalid(trial, body):
    trial.operator.token = replying(body)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("token_invalid", calls=TOKEN)


LENIENT = {
    "a comma too many": lambda text: f"{text[:-1]}, }}",
    "two objects": lambda text: f"{text}\n{text}",
    "NaN": lambda text: f'{text[:-1]}, "x": NaN}}',
    "Infinity": lambda text: f'{text[:-1]}, "x": [-Infinity]}}',
    "a name twice": lambda text: f'{text[:-1]}, "access_token": "another"}}',
    "a name twice, once escaped": lambda text: f'{text[:-1]}, "access\\u005ftoken": "another"}}',
    "a NUL in a text": lambda text: f'{text[:-1]}, "x": "a\\u0000b"}}',
    "a number of 100 000 digits": lambda text: f'{text[:-1]}, "x": {"9" * 100_000}}}',
    "100 000 brackets": lambda text: f'{text[:-1]}, "x": {"[" * 50_000}{"]" * 50_000}}}',
    "nested too deeply": lambda text: f'{text[:-1]}, "x": {"[" * 30}{"]" * 30}}}',
}


@pytest.mark.parametrize("respell", LENIENT.values(), ids=LENIENT)
def test_tr_03_what_only_lenient_readers_take_for_json_is_token_invalid(trial, respell):
    trial.operator.token = sending(lambda text: respell(text).encode())
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


WRONG_TYPES = ["text/html", "application/x-json", "application/problem+json", "application/jwt"]
WRONG_TYPES += ["application/json, text/html"]


@pytest.mark.parametrize("declared", [*WRONG_TYPES, None])
def test_tr_03_honest_body_of_another_type_is_token_invalid(trial, declared):
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), content_type=declared)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


def test_tr_03_second_content_type_is_not_overlooked(trial):
    headers = {"Content-type": "text/html"}
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), headers=headers)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("declared", ["application/json; charset=utf-8", "Application/JSON ;charset=UTF-8"])
def test_tr_03_json_by_another_spelling_of_its_type_is_accepted(trial, declared):
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), content_type=declared)
    trial.log_in()

    trial.verified(WHOLE)


@pytest.mark.parametrize("body", [[], "token", 0, -1.5, None, True, False, [{"access_token": "x"}]])
def test_tr_04_json_that_is_no_object_is_token_invalid(trial, body):
    trial.operator.token = replying(json.dumps(body).encode())
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize(
    "wrap", [lambda body: [body], lambda body: {"data": body}, json.dumps], ids=["list", "data", "text"]
)
def test_tr_04_honest_answer_in_a_wrapper_is_token_invalid(trial, wrap):
    trial.operator.token = lambda operator, received: Reply(json.dumps(wrap(operator.token_body(received))).encode())
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


NO_TOKENS = [..., "", None, ["token"], 0, 7, True, {"value": "token"}]
NO_HEADERS = ["a b", "token\r\nX-Injected: yes", "token\n", "tök", "\u202e", "=", "a=b", "a,b", '"a"']


@pytest.mark.parametrize("token", [*NO_TOKENS, *NO_HEADERS], ids=repr)
def test_tr_05_access_token_that_is_none_is_token_invalid(trial, token):
    trial.operator.token = telling(access_token=token)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("name", ["Access_Token", "accessToken", "access_token "])
def test_tr_05_access_token_under_another_name_is_token_invalid(trial, name):
    trial.operator.token = telling(access_token=..., **{name: "token"})
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


# TR-07, TR-08, TR-10, TR-11: the members of the answer


def test_tr_07_access_token_of_1_mb_is_too_large(trial):
    trial.operator.token = telling(access_token="x" * 1_000_000)
    trial.log_in()

    trial.refused("response_too_large", calls=TOKEN)


@pytest.mark.parametrize("length", [LARGEST_TOKEN + 1, 120_000])
def test_tr_07_access_token_over_8_kb_is_token_invalid(trial, length):
    trial.operator.token = telling(access_token="x" * length)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


def test_tr_07_access_token_of_8_kb_is_accepted(trial):
    trial.operator.token = telling(access_token="x" * LARGEST_TOKEN)
    trial.log_in()

    trial.verified(WHOLE)


@pytest.mark.parametrize(
    "kind",
    [..., "mac", "DPoP", "", " Bearer", "Bearer, DPoP", None, ["Bearer"]],
    ids=repr,
)
def test_tr_08_token_type_that_is_not_bearer_is_token_invalid(trial, kind):
    trial.operator.token = telling(token_type=kind)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("kind", ["bEARER", "bearer"])
def test_tr_08_token_type_is_bearer_in_any_case(trial, kind):
    trial.operator.token = telling(token_type=kind)
    trial.log_in()

    trial.verified(WHOLE)


@pytest.mark.parametrize("seconds", [0, -1, False, True, None, "300"], ids=repr)
def test_tr_08_lifetime_that_is_over_or_none_is_token_invalid(trial, seconds):
    trial.operator.token = telling(expires_in=seconds)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("seconds", [..., 29.5, 10**12])
def test_tr_09_lifetime_to_come_or_unsaid_is_accepted(trial, seconds):
    trial.operator.token = telling(expires_in=seconds)
    trial.log_in()

    trial.verified(WHOLE)


def test_tr_10_refresh_token_is_kept_nowhere(trial):
    trial.operator.token = lambda operator, received: Reply(
        operator.token_body(received, refresh_token=operator.secret("refresh"), refresh_expires_in=10**6)
    )
    trial.log_in()

    trial.verified(WHOLE)


@pytest.mark.parametrize("value", [None, ["token"], "x" * 100_000], ids=lambda value: repr(value)[:20])
def test_tr_10_refresh_token_of_any_kind_is_ignored(trial, value):
    trial.operator.token = telling(refresh_token=value)
    trial.log_in()

    trial.verified(WHOLE)


OTHERS_ONLY = ["", "openid", "openid number-verification:read", "number-verification", "number-verification:verify2"]
OTHERS_ONLY += ["NUMBER-VERIFICATION:VERIFY", "number-verification:verify,openid", "number-verification: verify"]


@pytest.mark.parametrize("scope", OTHERS_ONLY)
def test_tr_11_token_without_the_operations_scope_pays_for_nothing(trial, scope):
    trial.operator.token = telling(scope=scope)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("permission_denied", calls=TOKEN)


def test_tr_11_scope_of_verify_shares_no_number(trial):
    trial.configure(OPERATION="share")
    trial.operator.token = telling(scope="openid number-verification:verify")
    trial.log_in(number="")

    trial.refused("permission_denied", calls=TOKEN)


@pytest.mark.parametrize("scope", [None, True, ["number-verification:verify"]])
def test_tr_11_scope_that_is_no_text_is_token_invalid(trial, scope):
    trial.operator.token = telling(scope=scope)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


WIDE = "number-verification:read number-verification:verify profile"


@pytest.mark.parametrize("scope", [..., "number-verification:verify", WIDE, "dpv:Other#number-verification:verify"])
def test_tr_11_scope_unsaid_or_enough_is_accepted(trial, scope):
    trial.operator.token = telling(scope=scope)
    trial.log_in()

    trial.verified(WHOLE)


# TR-12: refusals


def echo(received):
    """Return everything that a token request and its person would not like to read in a log."""
    told = {**received.form, "number": NUMBER, "authorization": received.headers.get("authorization", "")}
    return json.dumps(told | {"basic": CLIENT_SECRET, "spelled": "600 000 001"})


def refusing(status, error, **headers):
    """Return a token endpoint that refuses with ``error``, and with texts that tell all it knows."""

    def refuse(operator, received):
        names = {"error": error, "error_description": echo(received), "error_uri": f"http://x/?{echo(received)}"}
        told = {"X-Error": echo(received), **headers}
        return Reply({name: value for name, value in names.items() if value is not ...}, status, told)

    return refuse


REFUSALS = [
    (400, "invalid_grant", "token_refused"),
    (400, "invalid_client", "misconfigured"),
    (401, "invalid_client", "misconfigured"),
    (400, "invalid_request", "misconfigured"),
    (400, "unauthorized_client", "misconfigured"),
    (400, "slow_down", "token_refused"),
    (400, NUMBER, "token_refused"),
    (400, "<script>alert(1)</script>\r\n\x1b[31m\u202e", "token_refused"),
    (400, "x" * 10_000, "token_refused"),
    (400, ..., "token_refused"),
    (400, ["invalid_client"], "token_refused"),
    (401, "invalid_grant", "token_refused"),
    (403, "access_denied", "token_refused"),
    (415, ..., "token_refused"),
    (429, "invalid_grant", "operator_busy"),
    (503, "temporarily_unavailable", "operator_unavailable"),
    (999, ..., "operator_unavailable"),
]


@pytest.mark.parametrize(("status", "error", "reason"), REFUSALS, ids=lambda value: repr(value)[:24])
def test_tr_12_refused_code_is_not_sent_twice_and_no_text_is_kept(trial, status, error, reason):
    trial.operator.token = refusing(status, error)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused(reason, calls=TOKEN)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(429, "operator_busy"), (503, "operator_unavailable"), (401, "misconfigured"), (421, "token_refused")],
)
def test_tr_12_advice_to_ask_again_is_not_taken(trial, status, reason):
    advice = {"Retry-After": "0", "WWW-Authenticate": 'Basic realm="again", Bearer', "Connection": "close"}
    trial.operator.token = refusing(status, "invalid_client" if status == 401 else ..., **advice)
    trial.log_in()

    trial.refused(reason, calls=TOKEN)


@pytest.mark.parametrize("after", ["3600", "9" * 5000])
def test_tr_12_nobody_waits_for_retry_after(trial, after):
    trial.operator.token = refusing(503, ..., **{"Retry-After": after})
    trial.log_in()

    trial.refused("operator_unavailable", calls=TOKEN)


@pytest.mark.parametrize("body", [b"", b'"invalid_client"', b"[" * 100_000], ids=lambda body: repr(body)[:20])
@pytest.mark.parametrize(("status", "reason"), [(400, "token_refused"), (401, "misconfigured")])
def test_tr_12_refusal_without_an_error_code_is_told_by_its_status(trial, body, status, reason):
    trial.operator.token = replying(body, status)
    trial.log_in()

    trial.refused(reason, calls=TOKEN)


@pytest.mark.parametrize("status", [201, 202, 206, 299])
def test_tr_12_success_that_is_not_200_is_token_invalid(trial, status):
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), status)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("status", [204, 205])
def test_tr_12_success_without_a_body_is_token_invalid(trial, status):
    trial.operator.token = replying(b"", status)
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


def test_tr_12_error_that_is_called_200_is_an_error(trial):
    trial.operator.token = refusing(200, "invalid_grant")
    trial.log_in()

    trial.refused("token_refused", calls=TOKEN)


@pytest.mark.parametrize("error", ["invalid_grant", "", None, 0, [], "made up"], ids=repr)
def test_tr_12_token_beside_an_error_is_none(trial, error):
    trial.operator.token = telling(error=error)
    trial.log_in()

    trial.refused("token_refused", calls=TOKEN)


# TR-18: encodings


ENCODINGS = {
    "UTF-16": "utf-16",
    "UTF-16 LE": "utf-16-le",
    "UTF-32": "utf-32",
    "UTF-8 with a BOM": "utf-8-sig",
    "latin-1": "latin-1",
}


@pytest.mark.parametrize("declared", ["its own", "utf-8"])
@pytest.mark.parametrize("encoding", ENCODINGS.values(), ids=ENCODINGS)
def test_tr_18_body_in_another_encoding_than_utf_8_is_token_invalid(trial, encoding, declared):
    charset = {"its own": f"; charset={encoding}", "utf-8": "; charset=utf-8"}[declared]
    wide = '{"ä{é+": 1, '  # what every one of these encodings spells in its own way
    trial.operator.token = sending(
        lambda text: (wide + text[1:]).encode(encoding), content_type=f"application/json{charset}"
    )
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


INVALID = {
    "an overlong NUL": b"\xc0\x80",
    "a surrogate": b"\xed\xa0\x80",
    "beyond Unicode": b"\xf4\x90\x80\x80",
    "a lone continuation": b"\x80",
    "FF": b"\xff",
}


@pytest.mark.parametrize("octets", INVALID.values(), ids=INVALID)
def test_tr_18_invalid_utf_8_is_token_invalid(trial, octets):
    trial.operator.token = sending(lambda text: text.encode()[:-1] + b', "x": "' + octets + b'"}')
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("charset", ["utf-16", "UTF-7", '"cp037"'])
def test_tr_18_charset_that_lies_about_utf_8_is_token_invalid(trial, charset):
    trial.operator.token = sending(str.encode, content_type=f"application/json; charset={charset}")
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


def test_tr_18_utf_8_beyond_ascii_is_accepted(trial):
    trial.operator.token = sending(lambda text: f'{text[:-1]}, "x": "ñ €  😀"}}'.encode())
    trial.log_in()

    trial.verified(WHOLE)


# TR-19, TR-20: sizes

CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
ENDLESS = {
    "1 GB declared": (b"Content-Length: 1000000000\r\n\r\n", b"x" * 65_536),
    "a negative length": (b"Content-Length: -1\r\n\r\n", b"x" * 65_536),
    "no length": (b"\r\n", b"x" * 65_536),
    "chunks": (CHUNKED, b"10000\r\n" + b"x" * 65_536 + b"\r\n"),
    "chunks of one byte": (CHUNKED, b"1\r\nx\r\n" * 1000),
    "a chunk of 256 TB": (CHUNKED + b"ffffffffffff\r\n", b"x" * 65_536),
}


@pytest.mark.parametrize(("head", "piece"), ENDLESS.values(), ids=ENDLESS)
def test_tr_19_endless_body_is_too_large(trial, head, piece):
    trial.operator.token = flooding(HEAD + head, piece)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    # 40,000 chunks of one byte may take a busy machine more than the deadline
    either = ["response_too_large", "operator_timeout"] if piece.startswith(b"1\r\n") else ["response_too_large"]
    either += ["operator_unavailable"] if IN_LOOP else []  # for a length that is none
    refused_with_one_of(trial, either, calls=TOKEN)


UNBOUNDED = {
    "a negative chunk": (CHUNKED + b"-1\r\n", b"x" * 65_536),
    "a chunk extension": (CHUNKED + b"1;x=", b"x" * 65_536),
    "a chunk size": (CHUNKED, b"0" * 65_536),
    "trailers": (CHUNKED + b"1\r\nx\r\n0\r\n", b"X: y\r\n" * 1000),
    "a header": (b"X: ", b"x" * 65_536),
    "headers": (b"", b"X: " + b"x" * 65_000 + b"\r\n"),
}


@pytest.mark.parametrize(("head", "piece"), UNBOUNDED.values(), ids=UNBOUNDED)
def test_tr_19_frame_without_an_end_is_bounded_as_well(trial, head, piece):
    trial.operator.token = flooding(HEAD + head, piece)
    trial.log_in()

    refused_with_one_of(trial, ["response_too_large", "operator_unavailable", "operator_timeout"], calls=TOKEN)


def test_tr_19_headers_of_6_mb_are_bounded_in_memory(trial):
    def send(connection):
        for piece in (HEAD, *[b"X: " + b"x" * 65_000 + b"\r\n"] * 97, b"Content-Length: 2\r\n\r\n{}"):
            connection.sendall(piece)

    trial.operator.token = lambda operator, received: send
    trial.log_in()

    refused_with_one_of(trial, ["response_too_large", "operator_unavailable", "token_invalid"], calls=TOKEN)


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "response_too_large"),
        (401, "response_too_large"),
        (429, "operator_busy"),
        (500, "operator_unavailable"),
        (302, "redirect_refused"),
    ],
)
def test_tr_19_endless_body_of_a_refusal_is_bounded_as_well(trial, status, reason):
    trial.operator.token = flooding(f"HTTP/1.1 {status} Whatever\r\n\r\n".encode(), b"x" * 65_536)
    trial.log_in()

    trial.refused(reason, calls=TOKEN)


@pytest.mark.parametrize(("room", "calls"), [(131_072, WHOLE), (131_073, TOKEN)])
def test_tr_19_largest_body_is_accepted_and_one_byte_more_is_not(trial, room, calls):
    trial.operator.token = sending(lambda text: text.ljust(room).encode())
    trial.log_in()

    trial.verified(calls) if calls == WHOLE else trial.refused("response_too_large", calls)


@cache
def bomb(layers=1):
    """Return 100 MB of nothing, compressed ``layers`` times."""
    squeeze = zlib.compressobj(9, wbits=31)
    packed = b"".join(squeeze.compress(bytes(1_000_000)) for _ in range(100)) + squeeze.flush()
    return packed if layers == 1 else zlib.compress(packed, 9, wbits=31)


CODINGS = ["gzip", "x-GZIP", "gzip, gzip", "deflate", "br", "identity, gzip"]


@pytest.mark.parametrize("coding", CODINGS)
def test_tr_20_body_with_a_content_coding_is_not_inflated(trial, coding):
    trial.operator.token = replying(bomb(layers=2 if "," in coding else 1), headers={"Content-Encoding": coding})
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("response_invalid", calls=TOKEN)


def test_tr_20_honest_body_that_is_compressed_is_refused_too(trial):
    headers = {"Content-Encoding": "gzip"}
    trial.operator.token = sending(lambda text: zlib.compress(text.encode(), wbits=31), headers=headers)
    trial.log_in()

    trial.refused("response_invalid", calls=TOKEN)


def test_tr_20_content_coding_that_lies_is_refused(trial):
    headers = {"Content-Encoding": "gzip"}
    trial.operator.token = lambda operator, received: Reply(operator.token_body(received), headers=headers)
    trial.log_in()

    trial.refused("response_invalid", calls=TOKEN)


@pytest.mark.parametrize(
    "header",
    [b"", b"Content-Encoding: identity\r\n", b"Transfer-Encoding: gzip\r\n"],
    ids=["none", "identity", "transfer"],
)
def test_tr_20_bomb_without_its_label_stays_as_it_is(trial, header):
    length = b"" if b"Transfer" in header else b"Content-Length: %d\r\n" % len(bomb())
    trial.operator.token = lambda operator, received: (
        lambda connection: connection.sendall(HEAD + header + length + b"\r\n" + bomb())
    )
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize("coding", ["gzip, chunked", "gzip,chunked"])
def test_tr_20_transfer_coding_is_not_inflated(trial, coding):
    chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(bomb()), bomb())
    trial.operator.token = lambda operator, received: (
        lambda connection: connection.sendall(HEAD + f"Transfer-Encoding: {coding}\r\n\r\n".encode() + chunk)
    )
    trial.log_in()

    trial.refused("token_invalid", calls=TOKEN)


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "response_invalid"), (429, "operator_busy"), (503, "operator_unavailable")]
)
def test_tr_20_bomb_of_a_refusal_is_not_inflated(trial, status, reason):
    trial.operator.token = replying(bomb(), status, {"Content-Encoding": "gzip"})
    trial.log_in()

    trial.refused(reason, calls=TOKEN)


# TR-24: PKCE

VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")  # RFC 7636 4.1


def attempts(trial, count):
    """Make ``count`` attempts with a SIM of another number; return what each asked /authorize and /token."""
    trial.operator.sim = "+34600000002"
    for _ in range(count):
        trial.log_in()
    asked = [
        [received for received in trial.operator.received if received.hop == hop] for hop in ("authorize", "token")
    ]
    return list(zip(*asked, strict=True))


def mismatched(trial, count):
    """Expect that ``count`` attempts went the whole way to a SIM of another number."""
    for done in range(count):
        trial.refused("number_mismatch", calls=WHOLE + AGAIN * done)


def test_tr_24_verifier_is_long_fresh_hashed_and_sent_once(trial):
    asked = attempts(trial, 5)

    for authorize, token in asked:
        verifier = token.form["code_verifier"]
        digest = hashlib.sha256(verifier.encode()).digest()
        assert VERIFIER.fullmatch(verifier)
        assert authorize.query["code_challenge_method"] == "S256"
        assert authorize.query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
        assert sum(verifier.encode() in received.raw for received in trial.operator.received) == 1
        assert token.raw.count(verifier.encode()) == 1
    for name in ("code_challenge", "state", "nonce"):
        assert len({authorize.query[name] for authorize, _ in asked}) == 5
    assert len({token.form["code_verifier"] for _, token in asked}) == 5
    mismatched(trial, 5)


def test_tr_24_verifier_is_of_its_attempt_alone(trial):
    first, second = trial.begin(), trial.begin()
    trial.operator.sim = "+34600000002"
    trial.come_back(first)
    trial.come_back(second)

    sent = {
        received.query["code_challenge"]: received.path
        for received in trial.operator.received
        if received.hop == "authorize"
    }
    for received in trial.operator.received:
        if received.hop == "token":
            digest = hashlib.sha256(received.form["code_verifier"].encode()).digest()
            opened = sent.pop(base64.urlsafe_b64encode(digest).decode().rstrip("="))
            assert trial.operator.nonces[received.form["code"]] in opened
    assert sent == {}
    mismatched(trial, 2)


@pytest.mark.parametrize("methods", [..., ["plain"], None], ids=repr)
def test_tr_24_discovery_cannot_talk_the_client_out_of_s256(trial, methods):
    honest = trial.operator.discovery

    def discovery(operator, received):
        named = {} if methods is ... else {"code_challenge_methods_supported": methods}
        return Reply(honest(operator, received).body | named)

    trial.operator.discovery = discovery
    ((authorize, token),) = attempts(trial, 1)

    digest = hashlib.sha256(token.form["code_verifier"].encode()).digest()
    assert authorize.query["code_challenge_method"] == "S256"
    assert authorize.query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    mismatched(trial, 1)


def test_tr_24_without_pkce_neither_half_is_sent(trial):
    trial.configure(PKCE=False)
    ((authorize, token),) = attempts(trial, 1)

    assert b"code_challenge" not in authorize.raw
    assert b"code_verifier" not in token.raw
    mismatched(trial, 1)


# TR-26, TR-27: private_key_jwt

KEY_ID = "key-of-the-site"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@cache
def okp_key():
    """Return an Ed25519 key: the same at every call."""
    return ed25519.Ed25519PrivateKey.generate()


def pem(key):
    """Return a private key as a site would put it into its settings."""
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()).decode()


def parts(assertion):
    """Return header and claims of a compact JWS, the bytes that are signed, and the signature."""
    head, body, signature = assertion.split(".")
    decoded = [base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in (head, body, signature)]
    return json.loads(decoded[0]), json.loads(decoded[1]), f"{head}.{body}".encode(), decoded[2]


def check_signature(key, alg, data, signature):
    """Raise InvalidSignature unless ``key`` signed ``data`` with ``alg`` (RFC 7518 3)."""
    digest = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}.get(alg[2:])
    if isinstance(key, rsa.RSAPrivateKey):
        pss = padding.PSS(padding.MGF1(digest), digest.digest_size) if alg.startswith("PS") else None
        key.public_key().verify(signature, data, pss or padding.PKCS1v15(), digest)
    elif isinstance(key, ec.EllipticCurvePrivateKey):
        half = len(signature) // 2
        numbers = [int.from_bytes(part) for part in (signature[:half], signature[half:])]
        key.public_key().verify(utils.encode_dss_signature(*numbers), data, ec.ECDSA(digest))
    else:
        key.public_key().verify(signature, data)


SIGNERS = {
    "RS256": lambda: tokens.rsa_key("site"),
    "PS256": lambda: tokens.rsa_key("site"),
    "ES256": lambda: tokens.ec_key("site"),
    "ES384": lambda: tokens.ec_key("site-384", ec.SECP384R1),
    "EdDSA": okp_key,
}


def signing(trial, alg="RS256", **keys):
    """Configure private_key_jwt beside a client secret, which stays unused; return the key."""
    key = SIGNERS[alg]()
    trial.configure(PRIVATE_KEY=pem(key), KEY_ID=KEY_ID, ASSERTION_ALG=alg, **keys)
    trial.operator.secrets += pem(key).splitlines()[1:-1]
    return key


@pytest.mark.parametrize("alg", SIGNERS)
def test_tr_26_assertion_is_short_unique_and_for_one_endpoint(trial, alg):
    key = signing(trial, alg)
    forms = [token.form for _, token in attempts(trial, 3)]
    now = time.time()

    for form in forms:
        header, claims, data, signature = parts(form["client_assertion"])
        check_signature(key, alg, data, signature)
        assert header == {"alg": alg, "kid": KEY_ID, "typ": "JWT"}
        assert set(claims) == {"iss", "sub", "aud", "jti", "iat", "exp"}
        assert claims["iss"] == claims["sub"] == form["client_id"] == "client-of-the-site"
        assert claims["aud"] == f"{trial.operator.url}/token"
        assert (type(claims["iat"]), type(claims["exp"])) == (int, int)
        assert now - 10 < claims["iat"] <= now
        assert 0 < claims["exp"] - claims["iat"] <= 300
        assert len(claims["jti"]) >= 22  # 128 bits
        assert form["client_assertion_type"] == ASSERTION_TYPE
        assert set(form) == {
            *("grant_type", "code", "redirect_uri", "code_verifier"),
            *("client_id", "client_assertion_type", "client_assertion"),
        }
    assert len({parts(form["client_assertion"])[1]["jti"] for form in forms}) == 3
    for received in trial.operator.received:
        assert CLIENT_SECRET.encode() not in received.raw
        assert base64.b64encode(f"client-of-the-site:{CLIENT_SECRET}".encode()) not in received.raw
        assert received.hop == "verify" or "authorization" not in received.headers
    mismatched(trial, 3)


def test_tr_26_assertion_may_be_for_the_issuer_where_the_site_says_so(trial):
    signing(trial, ASSERTION_AUDIENCE="issuer")
    ((_, token),) = attempts(trial, 1)

    assert parts(token.form["client_assertion"])[1]["aud"] == trial.operator.url
    mismatched(trial, 1)


SIGNED_AWAY = {
    "token_endpoint_auth_methods_supported": ["client_secret_post", "none"],
    "token_endpoint_auth_signing_alg_values_supported": ["none", "HS256"],
}


def test_tr_26_discovery_cannot_talk_the_client_into_its_secret(trial):
    key = signing(trial)
    honest = trial.operator.discovery
    trial.operator.discovery = lambda operator, received: Reply(honest(operator, received).body | SIGNED_AWAY)
    ((_, token),) = attempts(trial, 1)

    header, _, data, signature = parts(token.form["client_assertion"])
    check_signature(key, "RS256", data, signature)
    assert header["alg"] == "RS256"
    assert CLIENT_SECRET.encode() not in token.raw
    mismatched(trial, 1)


def test_tr_26_assertion_that_is_refused_is_not_made_again(trial):
    signing(trial)
    trial.operator.token = refusing(400, "invalid_client")
    trial.log_in()

    trial.refused("misconfigured", calls=TOKEN)


def test_tr_26_assertion_reaches_no_other_endpoint(trial):
    signing(trial)
    trial.log_in()

    asked = [received.hop for received in trial.operator.received if b"assertion" in received.raw]
    assert asked == ["token"]
    trial.verified(WHOLE)


AUDIENCES = {
    "its issuer": {"issuer": "{other}"},
    "its token endpoint as the issuer": {"issuer": "{other}/token"},
    "both issuers": {"issuer": ["{own}", "{other}"]},
    "its token endpoint": {"token_endpoint": "{other}/token"},
    "its keys": {"jwks_uri": "{other}/jwks"},
}


@pytest.mark.parametrize("names", AUDIENCES.values(), ids=AUDIENCES)
def test_tr_27_discovery_that_names_another_operator_is_refused(trial, names):
    own, other = trial.operator.url, trial.evil.url
    signing(trial, others={"other": other_operator(other)})
    spelled = json.loads(json.dumps(names).replace("{other}", other).replace("{own}", own))
    honest = trial.operator.discovery
    trial.operator.discovery = lambda operator, received: Reply(honest(operator, received).body | spelled)
    page = start_in_vain(trial)

    assert UNFINISHED in page.content.decode()
    assert trial.evil.connections == []
    trial.refused("misconfigured", calls=["discovery"])


def other_operator(url, **keys):
    """Return the settings of another operator, where this site has the same client ID and key."""
    key = {"PRIVATE_KEY": pem(tokens.rsa_key("site")), "KEY_ID": KEY_ID, "CLIENT_ID": "client-of-the-site"}
    return {"PROFILE": "telefonica", "ISSUER": url, "API_ROOT": url, "ALLOW_LOOPBACK": True, **key, **keys}


ELSEWHERE = {  # members of discovery that are endpoints or audiences of other specifications: none is ours to follow
    "audience": "{other}/token",
    "pushed_authorization_request_endpoint": "{other}/par",
    "backchannel_authentication_endpoint": "{other}/bc-authorize",
    "introspection_endpoint": "{other}/introspect",
    "registration_endpoint": "{other}/register",
    "mtls_endpoint_aliases": {"token_endpoint": "{other}/token"},
    "signed_metadata": "e30.e30.e30",
}


@pytest.mark.parametrize("audience", ["endpoint", "issuer"])
def test_tr_27_assertion_goes_by_the_configured_operator_whatever_else_discovery_names(trial, audience):
    own, other = trial.operator.url, trial.evil.url
    signing(trial, ASSERTION_AUDIENCE=audience, others={"other": other_operator(other)})
    honest, named = trial.operator.discovery, json.loads(json.dumps(ELSEWHERE).replace("{other}", other))
    trial.operator.discovery = lambda operator, received: Reply(honest(operator, received).body | named)
    ((_, token),) = attempts(trial, 1)

    assert parts(token.form["client_assertion"])[1]["aud"] == {"endpoint": f"{own}/token", "issuer": own}[audience]
    assert trial.evil.connections == []
    mismatched(trial, 1)


def test_tr_27_operators_of_one_host_get_no_assertion_for_each_other(trial):
    """B's discovery names A's token endpoint: what comes there is for A alone, and what A grants logs nobody in."""
    root = trial.operator.url
    a, b = f"{root}/a", f"{root}/b"
    signing(trial, ISSUER=b, others={"a": other_operator(a, TOKEN_ENDPOINT=f"{a}/token")})
    honest = trial.operator.discovery
    trial.operator.discovery = lambda operator, received: Reply(
        honest(operator, received).body | {"issuer": b, "token_endpoint": f"{a}/token"}
    )
    trial.operator.token = lambda operator, received: Reply(
        operator.token_body(received, id_token=operator.id_token(received, iss=a))
    )
    trial.come_back(trial.begin().replace(f"iss={quoted(root)}", f"iss={quoted(b)}"))
    trial.configure()

    (token,) = [received for received in trial.operator.received if received.hop == "token"]
    assert parts(token.form["client_assertion"])[1]["aud"] == root + token.path
    trial.refused("id_token_invalid", calls=[*TOKEN, "jwks"])


def quoted(url):
    """Return ``url`` as it is spelled in a query."""
    return url.replace(":", "%3A").replace("/", "%2F")
