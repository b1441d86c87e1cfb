"""The paid calls: every request fits its document, every documented answer becomes its value or exception."""

import json

import jsonschema
import pytest

from numverify_django.protocol import exceptions as e
from numverify_django.protocol.messages import AccessToken, Device, Response
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.protocol.verification import parse_share, parse_verify, share_request, verify_request

from .contract import (
    COMMONALITIES,
    CONTRACTS,
    DEVICE,
    ERROR_SCHEMA,
    share_answer_schema,
    share_body_schema,
    verify_answer_schema,
    verify_body_schema,
)
from .factories import NUMBER, TOKEN, answer, operator, refused

BEARER = AccessToken(TOKEN)
each_contract = pytest.mark.parametrize(("name", "contract"), CONTRACTS.items(), ids=CONTRACTS)
hashing = {name: contract for name, contract in CONTRACTS.items() if contract.hash_pattern}
each_hashing = pytest.mark.parametrize(("name", "contract"), hashing.items(), ids=hashing)
documented = [
    pytest.param(name, status, code, error, id=f"{name} {status} {code}")
    for name, contract in CONTRACTS.items()
    for (status, code), error in (contract.errors | COMMONALITIES).items()
]


def validated(body, schema):
    """Return the JSON in ``body`` (bytes) after it passed ``schema``."""
    value = json.loads(body)
    jsonschema.validate(value, schema, format_checker=jsonschema.FormatChecker())
    return value


def problem(status, code):
    """Return the answer with the error body of the documents."""
    body = {"status": status, "code": code, "message": "a text of the operator's with +34600000001 in it"}
    jsonschema.validate(body, ERROR_SCHEMA)
    return answer(body, status)


def parse(response, operation, name):
    """Return what ``response`` to ``operation`` means in the profile ``name``."""
    asked = operator(name)
    return parse_verify(response, asked, NUMBER) if operation == "verify" else parse_share(response, asked)


@each_contract
def test_verify_request_fits_the_document(name, contract):
    asked = operator(name)
    request = verify_request(asked, BEARER, NUMBER)
    assert (request.hop, request.method, request.url) == (
        "verify",
        contract.verify[0],
        asked.api_root + contract.verify[1],
    )
    assert request.headers == {"authorization": f"Bearer {TOKEN}", "content-type": "application/json"}
    assert validated(request.body, verify_body_schema(contract)) == {"phoneNumber": "+34600000001"}


@each_contract
def test_share_request_fits_the_document(name, contract):
    asked = operator(name)
    request = share_request(asked, BEARER)
    assert (request.hop, request.method, request.url) == (
        "share",
        contract.share[0],
        asked.api_root + contract.share[1],
    )
    assert request.headers["authorization"] == f"Bearer {TOKEN}"
    schema = share_body_schema(contract)
    if schema is None:
        assert (request.body, set(request.headers)) == (None, {"authorization"})
    else:
        assert validated(request.body, schema) == {}
        assert request.headers["content-type"] == "application/json"


@each_hashing
def test_hashed_request_holds_the_hash_alone(name, contract):
    request = verify_request(operator(name, hashed=True), BEARER, PhoneNumber("+447700900000"))
    expected = "d867b6540ac8db72d860d67d3d612a1621adcf3277573e9299be1153b6d0de15"
    assert validated(request.body, verify_body_schema(contract)) == {"hashedPhoneNumber": expected}


@each_contract
@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("84.125.93.10", {"ipv4Address": {"publicAddress": "84.125.93.10"}}),
        ("2001:0db8:85a3::8a2e:0370:7334", {"ipv6Address": "2001:db8:85a3::8a2e:370:7334"}),
        ("::ffff:84.125.93.10", {"ipv4Address": {"publicAddress": "84.125.93.10"}}),
    ],
    ids=["IPv4", "IPv6", "IPv4 as a dual-stack server sees it"],
)
def test_device_is_sent_where_the_document_has_one(name, contract, address, expected):
    asked = operator(name, send_device=True)
    device = {"device": expected} if contract.device else {}
    sent = verify_request(asked, BEARER, NUMBER, address)
    assert validated(sent.body, verify_body_schema(contract)) == {"phoneNumber": "+34600000001"} | device
    schema = share_body_schema(contract)
    if schema is not None:
        assert validated(share_request(asked, BEARER, address).body, schema) == device


@pytest.mark.parametrize(("send_device", "address"), [(False, "84.125.93.10"), (True, None), (True, "")])
def test_device_is_not_sent_unasked_or_unknown(send_device, address):
    request = verify_request(operator(send_device=send_device), BEARER, NUMBER, address)
    assert json.loads(request.body) == {"phoneNumber": "+34600000001"}


@pytest.mark.parametrize("root", ["https://operator.example/v1", "https://operator.example/MX"])
def test_root_with_a_slash_at_its_end_makes_no_double_slash(root):
    request = verify_request(operator(api_root=f"{root}/"), BEARER, NUMBER)
    assert request.url == f"{root}/number-verification/verify"


@pytest.mark.parametrize("operation", [verify_request, lambda asked, token, _: share_request(asked, token)])
@pytest.mark.parametrize("name", CONTRACTS)
def test_number_and_token_are_in_no_url(name, operation):
    request = operation(operator(name), BEARER, NUMBER)
    assert "600000001" not in request.url
    assert TOKEN not in request.url


@each_contract
def test_true_is_the_verification_of_the_number_asked(name, contract):
    body = {contract.verify_result: True}
    jsonschema.validate(body, verify_answer_schema(contract))
    assert parse_verify(answer(body), operator(name), NUMBER).number == NUMBER


@each_contract
def test_false_is_a_mismatch(name, contract):
    body = {contract.verify_result: False}
    jsonschema.validate(body, verify_answer_schema(contract))
    refused(e.NumberMismatch, parse_verify, answer(body), operator(name), NUMBER)


def test_unknown_fields_beside_the_answer_are_ignored():
    body = {"devicePhoneNumberVerified": True, "assessedAt": None, "extra": {"nested": [1]}}
    assert parse_verify(answer(body), operator(), NUMBER).number == NUMBER


@pytest.mark.parametrize(
    "said", ["true", "True", "1", "yes", 1, 1.0, 0, "false", None, [], [True], {}, {"a": True}, ""]
)
def test_answer_that_is_no_boolean_is_refused(said):
    refused(e.ResponseInvalid, parse_verify, answer({"devicePhoneNumberVerified": said}), operator(), NUMBER)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"DevicePhoneNumberVerified": True},
        {"devicephonenumberverified": True},
        {"devicePhoneNumberVerified ": True},
        {"data": {"devicePhoneNumberVerified": True}},
        {"verified": True},
        [{"devicePhoneNumberVerified": True}],
        True,
        "true",
        None,
    ],
)
def test_answer_elsewhere_in_the_body_is_refused(body):
    refused(e.ResponseInvalid, parse_verify, answer(body), operator(), NUMBER)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"true",
        b'{"devicePhoneNumberVerified": true',
        b'{"devicePhoneNumberVerified": false, "devicePhoneNumberVerified": true}',
        b'{"devicePhoneNumberVerified": true}{}',
        b'\xef\xbb\xbf{"devicePhoneNumberVerified": true}',
        '{"devicePhoneNumberVerified": true}'.encode("utf-16"),
        b'{"devicePhoneNumberVerified": true, "x": "\xff"}',
        b"<html>devicePhoneNumberVerified: true</html>",
    ],
)
def test_body_that_is_not_strict_json_is_refused(body):
    refused(e.ResponseInvalid, parse_verify, answer(body), operator(), NUMBER)


@pytest.mark.parametrize("content_type", ["text/html", "text/plain", "", "application/jsonp", "application/json2"])
def test_answer_of_another_content_type_is_refused(content_type):
    response = answer({"devicePhoneNumberVerified": True}, content_type=content_type)
    refused(e.ResponseInvalid, parse_verify, response, operator(), NUMBER)


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;x"])
def test_parameters_and_case_of_the_content_type_are_ignored(content_type):
    response = answer({"devicePhoneNumberVerified": True}, content_type=content_type)
    assert parse_verify(response, operator(), NUMBER).number == NUMBER


@each_contract
def test_shared_number_is_verified(name, contract):
    body = {contract.share_result: "+34600000001"}
    jsonschema.validate(body, share_answer_schema(contract))
    assert parse_share(answer(body), operator(name)).number == NUMBER


@each_contract
def test_shared_number_without_plus_is_read_where_the_document_allows_it(name, contract):
    body = {contract.share_result: "34600000001"}
    if jsonschema.Draft202012Validator(share_answer_schema(contract)).is_valid(body):
        assert parse_share(answer(body), operator(name)).number == NUMBER
    else:
        refused(e.ResponseInvalid, parse_share, answer(body), operator(name))


@each_contract
@pytest.mark.parametrize(
    "said",
    [
        "",
        "+",
        "600 000 001",
        "+34 600000001",
        " +34600000001",
        "+34600000001\n",
        "++34600000001",
        "+04600000001",
        "04600000001",
        "0034600000001",
        "+1234",
        "+1234567890123456",
        "tel:+34600000001",
        "+3460000000\u0661",
        "\u0663\u0664600000001",
        34600000001,
        True,
        None,
        ["+34600000001"],
        {"phoneNumber": "+34600000001"},
    ],
)
def test_shared_number_that_is_not_e164_is_refused(name, contract, said):
    refused(e.ResponseInvalid, parse_share, answer({contract.share_result: said}), operator(name))


@each_contract
def test_number_in_another_dialects_field_is_refused(name, contract):
    other = {"phoneNumber": "devicePhoneNumber", "devicePhoneNumber": "phoneNumber"}[contract.share_result]
    refused(e.ResponseInvalid, parse_share, answer({other: "+34600000001"}), operator(name))


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize(("name", "status", "code", "error"), documented)
def test_documented_error_is_its_exception(name, status, code, error, operation):
    refused(error, parse, problem(status, code), operation, name)


@pytest.mark.parametrize(("status", "error"), [(401, e.TokenRefused), (422, e.CannotDetermine)])
@pytest.mark.parametrize("name", [name for name in CONTRACTS if not CONTRACTS[name].share_errors_have_a_body])
def test_share_error_without_a_body_is_read_by_its_status(name, status, error):
    refused(error, parse_share, answer(status=status, content_type=""), operator(name))


STATUSES = {
    400: e.Misconfigured,
    401: e.TokenRefused,
    403: e.PermissionDenied,
    404: e.Misconfigured,
    418: e.ResponseInvalid,
    422: e.CannotDetermine,
    429: e.OperatorBusy,
    500: e.OperatorUnavailable,
    501: e.OperatorUnavailable,
    502: e.OperatorUnavailable,
    503: e.OperatorUnavailable,
    504: e.OperatorUnavailable,
    599: e.OperatorUnavailable,
}


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize("name", CONTRACTS)
@pytest.mark.parametrize(("status", "error"), STATUSES.items())
def test_error_with_an_unknown_code_is_read_by_its_status(name, operation, status, error):
    refused(error, parse, problem(status, "SOMETHING_NEW"), operation, name)


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize(("status", "error"), STATUSES.items())
@pytest.mark.parametrize(
    "body",
    [
        {"code": 404, "message": "as the authorization endpoints spell it"},
        {"code": ["PERMISSION_DENIED"]},
        {"code": None},
        {"message": "no code"},
        ["a list"],
        b"",
        b"<html>no JSON</html>",
    ],
    ids=["numeric code", "list for a code", "null code", "no code", "list", "empty", "HTML"],
)
def test_error_without_a_code_is_read_by_its_status(operation, status, error, body):
    refused(error, parse, answer(body, status), operation, "telefonica")


def test_code_in_a_body_that_is_not_declared_json_does_not_count():
    response = answer({"code": "SERVICE_NOT_APPLICABLE"}, 422, content_type="text/plain")
    refused(e.CannotDetermine, parse_verify, response, operator(), NUMBER)


def test_gateways_401_with_a_challenge_alone_is_token_refused():
    response = Response(401, {"www-authenticate": "Bearer"}, b"")
    refused(e.TokenRefused, parse_verify, response, operator(), NUMBER)


@pytest.mark.parametrize("status", [201, 202, 203, 204, 206, 299])
def test_success_that_is_not_200_is_refused(status):
    refused(e.ResponseInvalid, parse_verify, answer({"devicePhoneNumberVerified": True}, status), operator(), NUMBER)


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize("status", [300, 301, 302, 303, 304, 307, 308])
def test_redirect_is_refused(status, operation):
    response = Response(status, {"location": "https://evil.example/", "content-type": "application/json"}, b"{}")
    refused(e.RedirectRefused, parse, response, operation, "telefonica")


def test_true_in_an_error_is_no_verification():
    response = answer({"devicePhoneNumberVerified": True, "code": "INTERNAL"}, 500)
    refused(e.OperatorUnavailable, parse_verify, response, operator(), NUMBER)


def test_wrong_root_is_told_what_to_check():
    raised = refused(e.Misconfigured, parse_verify, answer(b"", 404), operator(), NUMBER)
    assert str(raised) == "the API answered 404: check API_ROOT and PROFILE"


def test_other_refusal_is_told_without_advice():
    raised = refused(e.TokenRefused, parse_verify, answer({"code": "UNAUTHENTICATED"}, 401), operator(), NUMBER)
    assert str(raised) == "the API answered 401 UNAUTHENTICATED"


def test_device_has_every_field_of_the_specification():
    device = Device(NUMBER, "123456789@domain.example", "84.125.93.10", 59765, "2001:db8::1")
    jsonschema.validate(device.as_json(), DEVICE)
    assert device.as_json() == {
        "phoneNumber": NUMBER.e164,
        "networkAccessIdentifier": "123456789@domain.example",
        "ipv4Address": {"publicAddress": "84.125.93.10", "publicPort": 59765},
        "ipv6Address": "2001:db8::1",
    }


def test_device_leaves_out_what_is_not_known():
    assert Device().as_json() == {}
