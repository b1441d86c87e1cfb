"""Without a SIM, verify answers by the last digit of the number, each a documented condition."""

import time

import pytest

from numverify_django.sandbox.dialects import DIGITS

from .relying_party import DIALECTS, digest, error, told

CANNOT_TELL = {
    "telefonica": (422, "UNSUPPORTED_IDENTIFIER"),
    "telefonica-apigateway-v0": (403, "NUMBER_VERIFICATION.INVALID_TOKEN_CONTEXT"),
    "telefonica-apigateway-v1": (403, "NUMBER_VERIFICATION.INVALID_TOKEN_CONTEXT"),
    "telefonica-apigateway-v2": (403, "NUMBER_VERIFICATION.INVALID_TOKEN_CONTEXT"),
    "camara-v0": (403, "NUMBER_VERIFICATION.INVALID_TOKEN_CONTEXT"),
    "camara-v1": (403, "INVALID_TOKEN_CONTEXT"),
    "camara-v2": (422, "UNSUPPORTED_IDENTIFIER"),
}
OFF_NETWORK = dict.fromkeys(DIALECTS, (403, "NUMBER_VERIFICATION.USER_NOT_AUTHENTICATED_BY_MOBILE_NETWORK")) | {
    "telefonica-apigateway-v2": (403, "NUMBER_VERIFICATION.USER_NOT_AUTHENTICATED_BY_SUPPORTED_METHOD")
}
ERRORS = {  # digit -> dialect -> status and code
    "3": OFF_NETWORK,
    "4": CANNOT_TELL,
    "5": dict.fromkeys(DIALECTS, (503, "UNAVAILABLE")),
    "7": dict.fromkeys(DIALECTS, (429, "TOO_MANY_REQUESTS")),
    "8": dict.fromkeys(DIALECTS, (401, "UNAUTHENTICATED")),
    "9": dict.fromkeys(DIALECTS, (403, "PERMISSION_DENIED")),
}
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def ask(site, dialect, digit):
    """Return the answer about a number that ends in ``digit``."""
    return site.verify(dialect, {"phoneNumber": f"+3460000000{digit}"})


@each_dialect
@pytest.mark.parametrize(("digit", "verdict"), [("1", True), ("2", False)])
def test_digits_1_and_2_are_verdicts(site, dialect, digit, verdict):
    response = ask(site, dialect, digit)

    assert (response.status_code, response.json()) == (200, {"devicePhoneNumberVerified": verdict})


@each_dialect
@pytest.mark.parametrize("digit", ERRORS)
def test_digit_is_the_dialects_error(site, dialect, digit):
    assert told(ask(site, dialect, digit)) == ERRORS[digit][dialect]


@each_dialect
def test_digit_0_is_a_web_page(site, dialect):
    response = ask(site, dialect, "0")

    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.text.startswith("<!doctype html>")


def test_digit_6_is_verified_after_3_seconds(site):
    token = site.token_for("telefonica", "verify")
    start = time.monotonic()
    response = site.call("telefonica", "verify", token, json={"phoneNumber": "+34600000006"})

    assert response.json() == {"devicePhoneNumberVerified": True}
    assert 3 <= time.monotonic() - start < 5


def test_each_digit_is_documented_once():
    assert sorted(digit.digit for digit in DIGITS) == list("0123456789")


@pytest.mark.parametrize("dialect", ["telefonica-apigateway-v0", "camara-v0"])
def test_digit_counts_without_plus_as_well(site, dialect):
    response = site.verify(dialect, {"phoneNumber": "34600000002"})

    assert response.json() == {"devicePhoneNumberVerified": False}


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "telefonica"])
def test_hash_has_no_last_digit_and_cannot_be_told(site, dialect):
    response = site.verify(dialect, {"hashedPhoneNumber": digest("+34600000001")})

    assert told(response) == CANNOT_TELL[dialect]


@each_dialect
def test_sim_that_the_network_cannot_tell_is_the_dialects_error(sandbox, site, dialect):
    sandbox.set(sim="unknown")
    status, code = CANNOT_TELL[dialect]

    assert told(ask(site, dialect, "1")) == (status, code)
    assert told(site.share(dialect)) == error(dialect, "share", status, code)


@each_dialect
def test_share_without_a_sim_is_422(site, dialect):
    assert told(site.share(dialect)) == error(dialect, "share", 422, "UNSUPPORTED_IDENTIFIER")
