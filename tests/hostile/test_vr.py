"""VR: the answer of verify, and of share."""

import gzip
import hashlib
import json
import re
import socket
import struct
import time

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from numverify_django.backends import NumberVerificationBackend
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import IN_LOOP, NUMBER, make_user, users
from .operator import HONEST, Reply
from .test_tr import AGAIN, UNFINISHED, WHOLE, flooding, refused_with_one_of, replying, telling

OTHER = "+34600000002"
PAID = ["discovery", "token", "jwks"]  # what comes before the paid call
SHARED = [*PAID, "share"]
NOT_CONFIRMED = "We couldn't log you in with this number"
RESULT = "devicePhoneNumberVerified"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


# VR-01, VR-05, VR-12, VR-22: what is true


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("value", ["true", "1"])
def test_vr_01_text_that_means_true_is_response_invalid(trial, value):
    trial.operator.verify = replying({RESULT: value})
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("response_invalid", calls=WHOLE)


UNTRUE = ["True", "yes", 1, 1.0, 0, "", "false", "TRUE", None, [], [True], {"value": True}, 10**400]


@pytest.mark.parametrize("value", UNTRUE, ids=lambda value: repr(value)[:20])
def test_vr_01_value_that_is_no_boolean_is_response_invalid(trial, value):
    trial.operator.verify = replying({RESULT: value})
    trial.log_in()

    trial.refused("response_invalid", calls=WHOLE)


@pytest.mark.usefixtures("everywhere")
def test_vr_03_another_number_gets_the_page_of_an_unknown_one(trial):
    trial.operator.verify = replying({RESULT: False})
    mismatch = trial.log_in()
    trial.refused("number_mismatch", calls=WHOLE)
    trial.operator.verify = HONEST["verify"]
    trial.configure(site={"UNKNOWN_NUMBER": "deny"})
    unknown = trial.log_in()
    trial.refused("account_unknown", calls=WHOLE + AGAIN)
    trial.configure()

    assert NOT_CONFIRMED in mismatch.content.decode()
    first, second = VerificationAttempt.objects.order_by("pk")
    assert anonymous(mismatch, first) == anonymous(unknown, second)
    assert mismatch.status_code == unknown.status_code


def anonymous(page, attempt):
    """Return a failure page (text) without what is of its attempt alone."""
    text = page.content.decode()
    assert text.count(attempt.reference_shown) == 1
    return re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", text.replace(attempt.reference_shown, ""))


def test_vr_03_false_is_a_mismatch_whatever_else_is_said(trial):
    trial.operator.verify = replying(
        {RESULT: False, "code": "OK", "status": 200, "verified": True, "phoneNumber": NUMBER}
    )
    trial.log_in()

    trial.refused("number_mismatch", calls=WHOLE)


WRONG_KEYS = {
    "no key": {},
    "upper case": {"DevicePhoneNumberVerified": True},
    "snake case": {"device_phone_number_verified": True},
    "a blank": {"devicePhoneNumberVerified ": True},
    "a look-alike": {"d\u0435vicePhoneNumberVerified": True},
    "nested": {"data": {RESULT: True}},
    "nested under its own name": {RESULT: {RESULT: True}},
    "a list": [{RESULT: True}],
    "a boolean": True,
    "a text": json.dumps({RESULT: True}),
    "of share": {"phoneNumber": NUMBER},
}


@pytest.mark.parametrize("body", WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_vr_05_answer_under_another_key_is_response_invalid(trial, body):
    trial.operator.verify = replying(json.dumps(body).encode())
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("response_invalid", calls=WHOLE)


TRUE = b'{"devicePhoneNumberVerified": true}'
AMBIGUOUS = {
    "twice, false last": b'{"devicePhoneNumberVerified": true, "devicePhoneNumberVerified": false}',
    "twice, true last": b'{"devicePhoneNumberVerified": false, "devicePhoneNumberVerified": true}',
    "twice, once escaped": b'{"devicePhoneNumberVerified": false, "device\\u0050honeNumberVerified": true}',
    "a tail": TRUE + b"<html>",
    "a BOM": b"\xef\xbb\xbf" + TRUE,
    "UTF-16": TRUE.decode().encode("utf-16"),
    "a comma too many": b'{"devicePhoneNumberVerified": true,}',
    "invalid UTF-8 beside it": b'{"devicePhoneNumberVerified": true, "x": "\xff"}',
    "nothing": b"",
    "HTML": b"<html>true</html>",
}


@pytest.mark.parametrize("body", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_vr_05_true_in_no_strict_json_is_response_invalid(trial, body):
    trial.operator.verify = replying(body)
    trial.log_in()

    trial.refused("response_invalid", calls=WHOLE)


@pytest.mark.parametrize("declared", ["text/html", "application/problem+json", None])
def test_vr_05_true_under_another_type_is_response_invalid(trial, declared):
    trial.operator.verify = replying(TRUE, content_type=declared)
    trial.log_in()

    trial.refused("response_invalid", calls=WHOLE)


@pytest.mark.parametrize("status", [201, 202, 206])
def test_vr_05_true_with_a_success_that_is_not_200_is_response_invalid(trial, status):
    trial.operator.verify = replying(TRUE, status)
    trial.log_in()

    trial.refused("response_invalid", calls=WHOLE)


@pytest.mark.parametrize(
    ("status", "reason"),
    [(302, "redirect_refused"), (401, "token_refused"), (418, "response_invalid"), (500, "operator_unavailable")],
)
def test_vr_05_true_with_a_failure_is_a_failure(trial, status, reason):
    trial.operator.verify = replying(TRUE, status)
    trial.log_in()

    trial.refused(reason, calls=WHOLE)


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_vr_05_true_in_a_content_coding_is_response_invalid(trial, coding):
    trial.operator.verify = replying(gzip.compress(TRUE), headers={"Content-Encoding": coding})
    trial.log_in()

    trial.refused("response_invalid", calls=WHOLE)


def test_vr_05_true_at_the_head_of_an_endless_body_is_too_large(trial):
    trial.operator.verify = flooding(HEAD + b"\r\n" + TRUE, b" " * 65_536)
    trial.log_in()

    trial.refused("response_too_large", calls=WHOLE)


EXTRA = {
    "none": {},
    "many": {
        "status": 200,
        "code": "PERMISSION_DENIED",
        "message": "x",
        "assessedAt": "2026-11-24T00:00:00Z",
        "x": None,
    },
    "false under other names": {"DevicePhoneNumberVerified": False, "verified": False, "data": {RESULT: False}},
    "deep": {"x": [[[[{"y": [[[]]]}]]]]},
    "Unicode": {"ñ€😀": "\u202e\x1b"},
    "large": {"x": "y" * 100_000},
    "large numbers": {"x": 10**4000, "y": -1e308},
}


@pytest.mark.parametrize("extra", EXTRA.values(), ids=EXTRA)
def test_vr_22_true_with_unknown_keys_is_true(trial, extra):
    trial.operator.verify = replying({RESULT: True} | extra)
    trial.log_in()

    trial.verified(WHOLE)


def resetting(data):
    """Return an endpoint that sends ``data`` and resets the connection once that may have arrived."""

    def reset(connection):
        connection.sendall(data)
        time.sleep(0.05)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return lambda operator, received: reset


def closing(data):
    """Return an endpoint that sends ``data`` and closes the connection."""
    return lambda operator, received: lambda connection: connection.sendall(data)


CUT = {
    "after true": b"Content-Length: 100\r\n\r\n" + TRUE[:-1],
    "after the brace": b"Content-Length: 100\r\n\r\n" + TRUE,
    "one byte early": b"Content-Length: 36\r\n\r\n" + TRUE,
    "in a chunk": b"Transfer-Encoding: chunked\r\n\r\n40\r\n" + TRUE,
    "after a whole chunk": b"Transfer-Encoding: chunked\r\n\r\n23\r\n" + TRUE + b"\r\n",
    "in the last chunk": b"Transfer-Encoding: chunked\r\n\r\n23\r\n" + TRUE + b"\r\n0",
}


@pytest.mark.parametrize("ending", [closing, resetting])
@pytest.mark.parametrize("data", CUT.values(), ids=CUT)
def test_vr_12_answer_that_is_cut_is_none(trial, data, ending):
    trial.operator.verify = ending(HEAD + data)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("operator_unavailable", calls=WHOLE)


def test_vr_12_answer_without_a_length_that_is_cut_is_response_invalid(trial):
    trial.operator.verify = closing(HEAD + b"\r\n" + TRUE[:-1])
    trial.log_in()

    trial.refused("response_invalid", calls=WHOLE)


def test_vr_12_answer_whose_length_cuts_it_is_response_invalid(trial):
    trial.operator.verify = replying(TRUE, length=len(TRUE) - 1)
    trial.log_in()

    trial.refused("operator_unavailable" if IN_LOOP else "response_invalid", calls=WHOLE)  # aiohttp minds the surplus


def test_vr_12_answer_without_a_length_that_is_reset_is_none(trial):
    trial.operator.verify = resetting(HEAD + b"\r\n" + TRUE)
    trial.log_in()

    trial.refused("operator_unavailable", calls=WHOLE)


# VR-16, VR-18: share

NO_NUMBERS = ["34600000002", ["+34600000002"]]
MORE_OF_THEM = [
    "+34 600 000 002",
    "+034600000002",
    "+3460000000212345",
    34600000002,
    "+346",
    "+34600000002\n",
    "tel:+34600000002",
    "+3460000000\u0662",
    "0034600000002",
]
MORE_OF_THEM += [
    "+34600000002;ext=1",
    "",
    None,
    True,
    {"phoneNumber": "+34600000002"},
    3.4600000002e10,
    "\u202e+34600000002",
]


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("number", NO_NUMBERS, ids=repr)
def test_vr_16_shared_number_that_is_not_e_164_is_response_invalid(trial, number):
    trial.configure(OPERATION="share")
    trial.operator.share = replying({"phoneNumber": number})
    trial.operator.secrets.append("34600000002")
    page = trial.log_in(number="")

    assert UNFINISHED in page.content.decode()
    trial.refused("response_invalid", calls=SHARED)


@pytest.mark.parametrize("number", MORE_OF_THEM, ids=repr)
def test_vr_16_shared_number_in_no_other_spelling_is_accepted(trial, number):
    trial.configure(OPERATION="share")
    trial.operator.share = replying({"phoneNumber": number})
    trial.operator.secrets.append("600000002")
    trial.log_in(number="")

    trial.refused("response_invalid", calls=SHARED)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"devicePhoneNumber": OTHER},
        {"data": {"phoneNumber": OTHER}},
        [{"phoneNumber": OTHER}],
        {RESULT: True},
    ],
    ids=repr,
)
def test_vr_16_shared_number_under_another_key_is_response_invalid(trial, body):
    trial.configure(OPERATION="share")
    trial.operator.share = replying(json.dumps(body).encode())
    trial.log_in(number="")

    trial.refused("response_invalid", calls=SHARED)


@pytest.mark.parametrize("number", ["+15550001111", "+3460100002"])
def test_vr_16_number_of_a_country_that_the_operator_has_not_is_response_invalid(trial, number):
    trial.configure(OPERATION="share", PREFIXES=["+34600"])
    trial.operator.share = replying({"phoneNumber": number})
    trial.log_in(number="")

    trial.refused("response_invalid", calls=SHARED)


def test_vr_16_number_is_shared_in_the_dialect_that_was_chosen(trial):
    trial.configure(OPERATION="share", PROFILE="camara-v1")
    trial.operator.share = replying({"devicePhoneNumber": "34600000002", "phoneNumber": OTHER})
    trial.log_in(number="")
    trial.configure()

    (asked,) = [received for received in trial.operator.received if received.hop == "share"]
    assert (asked.method, asked.path) == ("GET", "/v1/number-verification/v1/device-phone-number")
    trial.refused("response_invalid", calls=SHARED)


def test_vr_16_number_that_is_e_164_logs_in(trial):
    trial.configure(OPERATION="share")
    trial.log_in(number="")

    assert VerifiedNumber.objects.get().number == NUMBER
    trial.verified(SHARED)


@pytest.fixture
def owner(db, configure, settings):
    """The account of OTHER."""
    user, now = make_user("owner"), timezone.now()
    (operator,) = settings.NUMVERIFY["OPERATORS"]
    dates = {"first_verified_at": now, "last_verified_at": now}
    VerifiedNumber.objects.create(user=user, number=OTHER, operator=operator, **dates)
    return user


def log_in_first(trial):
    """Log the visitor in by SIM, and let the proof grow old; return the primary key (text) of the account."""
    trial.log_in()
    trial.verified()
    session = trial.visitor.client.session
    session["numverify"]["proof"]["at"] -= 1000
    session.save()
    trial.visitor.client.cookies["sessionid"] = session.session_key  # a signed cookie is the session itself
    return trial.visitor.user_id


LEFT = {"no number": None, "a number that no operator serves": "+15550001111"}  # to the account that is logged in


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("left", LEFT.values(), ids=LEFT)
def test_vr_18_shared_number_of_another_account_swaps_no_session(owner, trial, left):
    trial.configure(OPERATION="share")
    user_id = log_in_first(trial)
    mine = VerifiedNumber.objects.filter(user=user_id)
    mine.update(number=left) if left else mine.delete()
    trial.operator.sim = OTHER
    page = trial.log_in(number="")

    assert "We couldn't confirm it's you" in page.content.decode()
    check_denied(trial, user_id, page)
    assert VerifiedNumber.objects.get(number=OTHER).user_id == owner.pk
    trial.refused("user_mismatch", calls=[*WHOLE, "token", "share"])


def check_denied(trial, user_id, page):
    """See that ``user_id`` is logged in as before, and has proved nothing; end on ``page`` again."""
    assert trial.visitor.user_id == user_id
    answer = trial.visitor.client.get("/payment/", headers={"Sec-Fetch-Mode": "cors"})
    assert (answer.status_code, answer.json()["error"]) == (403, "step_up_required")
    trial.visitor.client.get(page.wsgi_request.get_full_path())


def test_vr_18_shared_number_of_nobody_is_not_added_to_an_account_that_has_one(trial):
    trial.configure(OPERATION="share")
    user_id = log_in_first(trial)
    VerifiedNumber.objects.update(number="+15550001111")
    trial.operator.sim = OTHER
    page = trial.log_in(number="")

    check_denied(trial, user_id, page)
    assert VerifiedNumber.objects.get().number == "+15550001111"
    trial.refused("user_mismatch", calls=[*WHOLE, "token", "share"])


def test_vr_18_number_of_another_account_that_is_typed_swaps_no_session(owner, trial):
    user_id = log_in_first(trial)
    trial.operator.sim = OTHER
    page = trial.log_in(number="600 000 002")

    check_denied(trial, user_id, page)
    trial.refused("user_mismatch", calls=WHOLE + AGAIN)


def test_vr_18_sim_of_another_account_confirms_nothing(owner, trial):
    user_id = log_in_first(trial)
    trial.operator.sim = OTHER
    page = trial.log_in(number="")  # the account's own is asked for

    check_denied(trial, user_id, page)
    trial.refused("number_mismatch", calls=WHOLE + AGAIN)


# VR-08 to VR-11, VR-13: failures


def echo(operator):
    """Return the last number and bearer that verify was sent, as texts of an error."""
    asked = [received for received in operator.received if received.hop in ("verify", "share")][-1]
    return f"{NUMBER} 600 000 001 tel:{NUMBER} {asked.headers['authorization']} {asked.body.decode()}"


def refusing(status, code, **headers):
    """Return a verify endpoint that refuses with ``code``, and with texts that tell all it knows."""

    def refuse(operator, received):
        names = {"status": status, "code": code, "message": echo(operator), "details": [echo(operator)]}
        told = {"X-Error": echo(operator).replace("\n", " "), **headers}
        return Reply({name: value for name, value in names.items() if value is not ...}, status, told)

    return refuse


@pytest.mark.parametrize(
    "code", ["UNAUTHENTICATED", "AUTHENTICATION_REQUIRED", "token expired", ..., None, ["UNAUTHENTICATED"]], ids=repr
)
def test_vr_08_token_that_is_refused_is_not_replaced(trial, code):
    challenge = {"WWW-Authenticate": 'Bearer error="invalid_token", Basic realm="again"', "Retry-After": "0"}
    trial.operator.verify = refusing(401, code, **challenge)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("token_refused", calls=WHOLE)


@pytest.mark.parametrize(
    "code",
    [
        "NUMBER_VERIFICATION.USER_NOT_AUTHENTICATED_BY_MOBILE_NETWORK",
        "NUMBER_VERIFICATION.USER_NOT_AUTHENTICATED_BY_SUPPORTED_METHOD",
        "USER_NOT_AUTHENTICATED_BY_MOBILE_NETWORK",
    ],
)
def test_vr_09_phone_on_wi_fi_is_told_so_and_offered_the_other_way(trial, code):
    trial.operator.verify = refusing(403, code)
    trial.configure(site={"FALLBACK_URL": "/password/"})
    page = trial.log_in()
    trial.configure()
    trial.visitor.client.get(page.wsgi_request.get_full_path())

    assert "Turn off Wi-Fi, VPN and private relay" in page.content.decode()
    assert 'href="/password/?next=%2Fhome%2F"' in page.content.decode()
    trial.refused("not_on_mobile_network", calls=WHOLE)


def shown(page):
    """Return the text of ``page``, without what a script would say later."""
    return re.sub(r"<[^>]*>", "", page.content.decode())


@pytest.mark.parametrize(
    "code", ["PERMISSION_DENIED", "NUMBER_VERIFICATION.SOMETHING_NEW", NUMBER, "", ..., True], ids=repr
)
def test_vr_09_client_without_permission_is_no_hint_to_the_person(trial, code):
    trial.operator.verify = refusing(403, code)
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    assert "Wi-Fi" not in shown(page)
    trial.refused("permission_denied", calls=WHOLE)


FAILURES = [
    (400, "INVALID_ARGUMENT", "misconfigured"),
    (400, "x" * 10_000, "misconfigured"),
    (400, "<script>alert(1)</script>\r\n\x1b[31m\u202e", "misconfigured"),
    (400, {"INVALID_ARGUMENT": 1}, "misconfigured"),
    (403, "INVALID_TOKEN_CONTEXT", "cannot_determine"),
    (404, "NOT_FOUND", "misconfigured"),
    (404, "IDENTIFIER_NOT_FOUND", "cannot_determine"),
    (409, "CONFLICT", "response_invalid"),
    (415, "UNSUPPORTED_MEDIA_TYPE", "response_invalid"),
    (422, "SERVICE_NOT_APPLICABLE", "not_covered"),
    (422, ..., "cannot_determine"),
    (429, "QUOTA_EXCEEDED", "operator_busy"),
    (429, ..., "operator_busy"),
    (500, "INTERNAL", "operator_unavailable"),
    (500, "UNAUTHENTICATED", "operator_unavailable"),
    (503, "UNAVAILABLE", "operator_unavailable"),
    (599, "NUMBER_MISMATCH", "operator_unavailable"),
]


@pytest.mark.parametrize(("status", "code", "reason"), FAILURES, ids=lambda value: repr(value)[:24])
def test_vr_10_failure_is_told_by_an_allow_listed_code_and_not_retried(trial, status, code, reason):
    trial.operator.verify = refusing(status, code, **{"Retry-After": "1", "Connection": "close"})
    trial.log_in()

    trial.refused(reason, calls=WHOLE)


@pytest.mark.parametrize("body", [b"", b"null", b"[" * 100_000], ids=lambda body: repr(body)[:20])
@pytest.mark.parametrize(("status", "reason"), [(403, "permission_denied"), (422, "cannot_determine")])
def test_vr_10_failure_without_a_code_is_told_by_its_status(trial, body, status, reason):
    trial.operator.verify = replying(body, status)
    trial.log_in()

    trial.refused(reason, calls=WHOLE)


def test_vr_10_failure_of_share_is_told_alike(trial):
    trial.configure(OPERATION="share")
    trial.operator.share = refusing(422, "SERVICE_NOT_APPLICABLE")
    trial.log_in(number="")

    trial.refused("not_covered", calls=SHARED)


def test_vr_11_answer_that_is_late_is_neither_waited_for_nor_taken_for_another(trial):
    trial.configure(TIMEOUT=0.5)
    trial.may_spend = 1.5

    def late(operator, received):
        time.sleep(0.8)
        return Reply({RESULT: True})

    trial.operator.verify = late
    page = trial.log_in()
    trial.refused("operator_timeout", calls=WHOLE)
    trial.operator.verify, trial.operator.sim = HONEST["verify"], OTHER
    trial.log_in()  # meanwhile the late answer comes
    time.sleep(0.3)
    trial.log_in()

    assert UNFINISHED in page.content.decode()
    trial.refused("number_mismatch", calls=WHOLE + AGAIN)
    trial.refused("number_mismatch", calls=WHOLE + AGAIN + AGAIN)


def test_vr_11_answer_that_never_ends_is_asked_for_once(trial):
    trial.configure(TIMEOUT=0.5)
    trial.may_spend = 1.5

    def stall(connection):
        connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n" + TRUE)
        connection.recv(1)  # until the client gives up

    trial.operator.verify = lambda operator, received: stall
    trial.log_in()

    trial.refused("operator_timeout", calls=WHOLE)


ECHOES = {
    "the reason phrase": "HTTP/1.1 403 {echo}\r\nContent-Length: 0\r\n\r\n",
    "a header": "HTTP/1.1 403 No\r\nX-{name}: {echo}\r\nContent-Length: 0\r\n\r\n",
    "a header that is none": "HTTP/1.1 403 No\r\n{echo}\r\nContent-Length: 0\r\n\r\n",
    "the status": "HTTP/1.1 {echo}\r\n\r\n",
    "the length": "HTTP/1.1 403 No\r\nContent-Length: {echo}\r\n\r\n",
    "a chunk size": "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n{echo}\r\n",
    "a trailer": "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{echo}: x\r\n\r\n",
    "a cookie": "HTTP/1.1 403 No\r\nSet-Cookie: a={echo}\r\nContent-Length: 0\r\n\r\n",
    "an interim answer": "HTTP/1.1 103 {echo}\r\nX: {echo}\r\n\r\nHTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
    "a code": 'HTTP/1.1 403 No\r\nContent-Type: application/json\r\nContent-Length: {room}\r\n\r\n{{"code": "{echo}"}}',
    "what is no JSON": "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{echo}",
}


@pytest.mark.parametrize("template", ECHOES.values(), ids=ECHOES)
def test_vr_13_echoed_number_and_token_are_kept_and_logged_nowhere(trial, template):
    def tell(connection):
        text = echo(trial.operator).replace('"', "")
        name = re.sub(r"\W", "-", text)
        connection.sendall(template.format(echo=text, name=name, length=len(text), room=len(text) + 12).encode())

    trial.operator.verify = lambda operator, received: tell
    page = trial.log_in()

    assert UNFINISHED in page.content.decode()
    reasons = ["permission_denied", "operator_unavailable", "redirect_refused", "response_invalid"]
    refused_with_one_of(trial, reasons, calls=WHOLE)


# VR-14, VR-15, VR-20, VR-23: what is sent, and where


def test_vr_14_request_has_the_number_in_its_body_and_the_token_in_one_header(trial):
    trial.operator.token = telling(access_token="the-token-of-this-login")
    trial.operator.secrets.append("the-token-of-this-login")
    trial.log_in()

    (asked,) = [received for received in trial.operator.received if received.hop == "verify"]
    assert (asked.method, asked.path) == ("POST", "/v1/number-verification/verify")
    assert asked.json == {"phoneNumber": NUMBER}
    assert asked.headers == {
        "host": trial.operator.url.removeprefix("http://"),
        "accept": "application/json",
        "accept-encoding": "identity",
        "user-agent": "numverify-django",
        "authorization": "Bearer the-token-of-this-login",
        "content-type": "application/json",
        "content-length": str(len(asked.body)),
        "x-correlator": str(VerificationAttempt.objects.get().correlator),
    }
    everything = b"".join(received.raw for received in trial.operator.received)
    assert everything.count(b"the-token-of-this-login") == 1
    assert everything.count(b"600000001") == asked.body.count(b"600000001") == 1
    trial.verified(WHOLE)


def test_vr_14_share_sends_no_number_at_all(trial):
    trial.configure(OPERATION="share")
    trial.log_in(number="")

    (asked,) = [received for received in trial.operator.received if received.hop == "share"]
    assert (asked.method, asked.path, asked.json) == ("POST", "/v1/number-verification/share", {})
    assert b"600000001" not in b"".join(received.raw for received in trial.operator.received)
    trial.verified(SHARED)


def test_vr_14_hashed_number_is_the_only_property(trial):
    trial.configure(PROFILE="camara-v2", HASHED=True)
    trial.operator.verify = replying({RESULT: True})
    trial.log_in()
    trial.configure()

    (asked,) = [received for received in trial.operator.received if received.hop == "verify"]
    assert asked.path == "/v1/number-verification/v2/verify"
    assert asked.json == {"hashedPhoneNumber": hashlib.sha256(NUMBER.encode()).hexdigest()}
    assert b"600000001" not in b"".join(received.raw for received in trial.operator.received)
    trial.verified(WHOLE)


def test_vr_14_device_is_sent_only_where_it_was_asked_for(trial):
    trial.configure(SEND_DEVICE=True)
    trial.log_in()

    (asked,) = [received for received in trial.operator.received if received.hop == "verify"]
    assert asked.json == {"phoneNumber": NUMBER, "device": {"ipv4Address": {"publicAddress": "127.0.0.1"}}}
    trial.verified(WHOLE)


SPELLINGS = ["+34666111222", "0034 666-111-222"]


@pytest.mark.parametrize("typed", SPELLINGS)
def test_vr_15_hash_is_of_e_164_with_its_plus_in_lower_case(trial, typed):
    trial.configure(PROFILE="camara-v1", HASHED=True)
    trial.operator.verify = replying({RESULT: False})
    trial.operator.secrets += ["666111222", HASH]
    trial.log_in(number=typed)
    trial.configure()

    (asked,) = [received for received in trial.operator.received if received.hop == "verify"]
    assert asked.json == {"hashedPhoneNumber": HASH}
    assert (HASH[:8], HASH[-4:]) == ("88b12771", "1a35")
    trial.refused("number_mismatch", calls=WHOLE)


HASH = hashlib.sha256(b"+34666111222").hexdigest()


def test_vr_15_dialect_without_hashes_sends_nothing(trial):
    trial.configure(HASHED=True)
    answer = trial.visitor.start()
    trial.configure()

    assert answer.status_code == 503
    trial.nothing()


CORRELATOR = re.compile(r"[a-zA-Z0-9-_:;./<>{}]{1,256}")  # CAMARA's pattern


def test_vr_20_correlator_is_fresh_at_each_attempt_and_stored(trial):
    trial.operator.sim = OTHER
    for done in range(3):
        trial.log_in()
        trial.refused("number_mismatch", calls=WHOLE + AGAIN * done)

    sent = [received.headers["x-correlator"] for received in trial.operator.received if received.hop == "token"]
    again = [received.headers["x-correlator"] for received in trial.operator.received if received.hop == "verify"]
    stored = [str(row.correlator) for row in VerificationAttempt.objects.order_by("pk")]
    assert sent == again == stored
    assert len(set(sent)) == 3
    assert all(CORRELATOR.fullmatch(value) for value in sent)
    for received in trial.operator.received:
        assert received.hop in ("token", "jwks", "verify") or "x-correlator" not in received.headers


@pytest.mark.parametrize(
    "theirs", ["another-correlator-of-theirs", "<script>another-correlator</script>", "another-correlator" * 300]
)
def test_vr_20_correlator_of_the_operator_is_stored_nowhere(trial, theirs):
    trial.operator.secrets.append("another-correlator")
    honest = dict(HONEST)
    for hop in ("token", "verify"):
        setattr(trial.operator, hop, with_header(honest[hop], theirs))
    trial.log_in()

    (asked,) = [received for received in trial.operator.received if received.hop == "verify"]
    assert str(VerificationAttempt.objects.get().correlator) == asked.headers["x-correlator"]
    trial.verified(WHOLE)


def with_header(endpoint, correlator):
    """Return ``endpoint`` with an x-correlator of the operator's own on its answer."""

    def answer(operator, received):
        return Reply(endpoint(operator, received).body, headers={"X-Correlator": correlator})

    return answer


def test_vr_20_correlator_of_1_mb_is_refused(trial):
    trial.operator.verify = replying(TRUE, headers={"X-Correlator": "x" * 1_000_000})
    trial.log_in()

    refused_with_one_of(trial, ["operator_unavailable", "response_too_large"], calls=WHOLE)


MOVED = {
    "api_url": "{evil}/v1",
    "api_root": "{evil}/v1",
    "access_token_resource_server": "{evil}/v1",
    "resource": "{evil}/v1",
    "number_verification_endpoint": "{evil}/number-verification/verify",
    "verify_endpoint": "{evil}/verify",
    "userinfo_endpoint": "{evil}/userinfo",
    "introspection_endpoint": "{evil}/introspect",
    "_links": {"verify": {"href": "{evil}/verify"}},
    "servers": [{"url": "{evil}/v1"}],
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
    "cnf": {"jkt": "x"},
    "scope_description": "{evil}",
}


@pytest.mark.parametrize("hop", ["discovery", "token", "jwks", "id_token"])
def test_vr_23_no_answer_moves_the_api(trial, hop):
    moved = json.loads(json.dumps(MOVED).replace("{evil}", trial.evil.url))
    if hop == "id_token":
        trial.operator.token = lambda operator, received: Reply(
            operator.token_body(received, id_token=operator.id_token(received, **moved))
        )
    else:
        honest = HONEST[hop]
        setattr(trial.operator, hop, lambda operator, received: Reply(honest(operator, received).body | moved))
    trial.log_in()

    (asked,) = [received for received in trial.operator.received if received.hop == "verify"]
    assert asked.path == "/v1/number-verification/verify"
    assert trial.evil.connections == []
    trial.verified(WHOLE)


def test_vr_23_cookies_of_one_answer_go_with_no_other(trial):
    cookies = {"Set-Cookie": "session=of-the-operator; Path=/; Max-Age=9999"}
    for hop in ("discovery", "token", "jwks", "verify"):
        endpoint = HONEST[hop]
        setattr(trial.operator, hop, with_cookie(endpoint, cookies))
    trial.operator.secrets.append("of-the-operator")
    trial.log_in()

    trial.verified(WHOLE)


def with_cookie(endpoint, headers):
    """Return ``endpoint`` with these headers on its answer."""
    return lambda operator, received: Reply(endpoint(operator, received).body, headers=headers)


# VR-19: accounts


class OneNumberForAll(NumberVerificationBackend):
    """A site whose accounts share a number: its query finds every account called twin-something."""

    def filter_users_by_claims(self, claims):
        return get_user_model()._default_manager.filter(**{f"{get_user_model().USERNAME_FIELD}__startswith": "twin"})


@pytest.fixture
def one_number_for_all(settings):
    """Use OneNumberForAll; return a function that brings the honest backend back."""
    before = settings.AUTHENTICATION_BACKENDS
    settings.AUTHENTICATION_BACKENDS = [before[0], f"{__name__}.OneNumberForAll"]

    def honest():
        settings.AUTHENTICATION_BACKENDS = before

    return honest


TWINS = {"two": [{}, {}], "three": [{}, {}, {}], "one of them inactive": [{}, {"is_active": False}]}


@pytest.mark.parametrize("twins", TWINS.values(), ids=TWINS)
def test_vr_19_number_of_several_accounts_logs_nobody_in(one_number_for_all, trial, twins):
    for index, facts in enumerate(twins):
        make_user(f"twin-{index}", **facts)
    trial.users = users()
    several = trial.log_in()
    trial.refused("number_taken", calls=WHOLE)
    one_number_for_all()
    trial.configure(site={"UNKNOWN_NUMBER": "deny"})
    unknown = trial.log_in()
    trial.refused("account_unknown", calls=WHOLE + AGAIN)
    trial.configure()

    assert NOT_CONFIRMED in several.content.decode()
    first, second = VerificationAttempt.objects.order_by("pk")
    assert anonymous(several, first) == anonymous(unknown, second)
    assert not VerifiedNumber.objects.exists()


def test_vr_19_number_that_another_account_proved_logs_nobody_in(one_number_for_all, owner, trial):
    """The site's query finds one account, and the number is on record as another's."""
    make_user("twin")
    trial.users = users()
    trial.operator.sim = OTHER
    trial.log_in(number="600 000 002")
    one_number_for_all()

    assert VerifiedNumber.objects.get().user_id == owner.pk
    trial.refused("number_taken", calls=WHOLE)
