"""The two paid calls, verify and share, in every dialect."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from jsonschema import Draft202012Validator

from ..protocol.contract import CONTRACTS, ERROR_SCHEMA, share_answer_schema, verify_answer_schema
from .relying_party import DIALECTS, NUMBER, OTHER_NUMBER, ROOTS

CALLS = [(dialect, operation) for dialect in DIALECTS for operation in ("verify", "share")]
PLUS_OPTIONAL = [dialect for dialect in DIALECTS if CONTRACTS[dialect].pattern.startswith(r"^\+?")]
PLUS_REQUIRED = [dialect for dialect in DIALECTS if dialect not in PLUS_OPTIONAL]
HASHING = [dialect for dialect in DIALECTS if CONTRACTS[dialect].hash_pattern]
WITHOUT_DEVICE = [dialect for dialect in DIALECTS if not CONTRACTS[dialect].device]
BODY = {"phoneNumber": NUMBER}
INVALID = (400, "INVALID_ARGUMENT")

each_call = pytest.mark.parametrize(("dialect", "operation"), CALLS)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


def told(response):
    """Return the status and the code of an error answer, whose body has the form that every document gives it."""
    assert response.status_code >= 400, response.text
    if not response.content:
        return response.status_code, None
    body = response.json()
    Draft202012Validator(ERROR_SCHEMA).validate(body)
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


def error(dialect, operation, status, code):
    """Return what ``told`` returns for an error; the default document gives share's errors no body."""
    return status, code if operation == "verify" or CONTRACTS[dialect].share_errors_have_a_body else None


def digest(text):
    """Return the SHA-256 of ``text`` in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def body_of(operation):
    """Return the options of a good request."""
    return {"json": BODY} if operation == "verify" else {}


@each_dialect
@pytest.mark.parametrize(("sim", "verdict"), [(NUMBER, True), (OTHER_NUMBER, False)])
def test_verify_tells_whether_the_number_is_that_of_the_sim(sandbox, site, dialect, sim, verdict):
    sandbox.set(sim=sim)
    response = site.verify(dialect, BODY)

    assert (response.status_code, response.json()) == (200, {"devicePhoneNumberVerified": verdict})
    Draft202012Validator(verify_answer_schema(CONTRACTS[dialect])).validate(response.json())


@each_dialect
def test_share_tells_the_number_of_the_sim(sandbox, site, dialect):
    sandbox.set(sim=NUMBER)
    response = site.share(dialect)

    assert (response.status_code, response.json()) == (200, {CONTRACTS[dialect].share_result: NUMBER})
    Draft202012Validator(share_answer_schema(CONTRACTS[dialect])).validate(response.json())


def test_default_dialect_is_at_the_issuer_as_well(sandbox, site):
    sandbox.set(sim=NUMBER)
    bearer = {"Authorization": f"Bearer {site.token_for('telefonica', 'verify')}"}
    response = site.post("/number-verification/verify", headers=bearer, json=BODY)

    assert response.json() == {"devicePhoneNumberVerified": True}


@each_dialect
def test_sim_is_that_of_the_time_of_the_code(sandbox, site, dialect):
    sandbox.set(sim=NUMBER)
    token = site.token_for(dialect, "verify")
    sandbox.set(sim=OTHER_NUMBER)

    assert site.call(dialect, "verify", token, json=BODY).json() == {"devicePhoneNumberVerified": True}


@each_call
def test_token_is_good_once(sandbox, site, dialect, operation):
    sandbox.set(sim=NUMBER)
    token = site.token_for(dialect, operation)
    first = site.call(dialect, operation, token, **body_of(operation))
    second = site.call(dialect, operation, token, **body_of(operation))

    assert first.status_code == 200
    assert told(second) == error(dialect, operation, 401, "UNAUTHENTICATED")
    assert second.headers["WWW-Authenticate"] == "Bearer"


def test_one_of_ten_racing_calls_gets_the_answer(sandbox, site):
    sandbox.set(sim=NUMBER)
    token = site.token_for("telefonica", "verify")

    with ThreadPoolExecutor(10) as pool:
        responses = pool.map(lambda _: site.call("telefonica", "verify", token, json=BODY), range(10))
        assert sorted(response.status_code for response in responses) == [200] + 9 * [401]


@each_call
def test_scope_of_the_other_call_is_denied(site, dialect, operation):
    token = site.token_for(dialect, "share" if operation == "verify" else "verify")
    response = site.call(dialect, operation, token, **body_of(operation))

    assert told(response) == error(dialect, operation, 403, "PERMISSION_DENIED")


@pytest.mark.parametrize(("mine", "other"), [("camara-v2", "camara-v0"), ("camara-v0", "camara-v2")])
def test_scope_of_another_dialect_is_denied(site, mine, other):
    token = site.token_for(mine, "verify")

    assert told(site.call(other, "verify", token, json=BODY)) == (403, "PERMISSION_DENIED")


@each_call
@pytest.mark.parametrize("authorization", [None, "Bearer made-up"])
def test_request_without_a_good_bearer_is_unauthenticated(site, dialect, operation, authorization):
    response = site.call(dialect, operation, "", headers={"Authorization": authorization}, **body_of(operation))

    assert told(response) == error(dialect, operation, 401, "UNAUTHENTICATED")
    assert response.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("authorization", ["", "Bearer", "Basic {token}", "{token}", "DPoP {token}"])
def test_token_counts_behind_bearer_alone(site, authorization):
    token = site.token_for("telefonica", "verify")
    header = {"Authorization": authorization.format(token=token)}

    assert told(site.call("telefonica", "verify", token, headers=header, json=BODY)) == (401, "UNAUTHENTICATED")


def test_scheme_is_bearer_in_any_case(sandbox, site):
    sandbox.set(sim=NUMBER)
    token = site.token_for("telefonica", "verify")
    response = site.call("telefonica", "verify", token, headers={"Authorization": f"bearer {token}"}, json=BODY)

    assert response.status_code == 200


@each_dialect
@pytest.mark.parametrize(
    "body",
    [
        {},
        {"phoneNumber": ""},
        {"phoneNumber": None},
        {"phoneNumber": 34600000001},
        {"phoneNumber": "+0600000001"},
        {"phoneNumber": "+3460"},
        {"phoneNumber": "+346000000010000000"},
        {"phoneNumber": "+34 600 000 001"},
        {"phoneNumber": "+3460000000a"},
        {"phoneNumber": "+34600000001\n"},
        {"phoneNumber": "+3460000000\u0661"},
        {"number": NUMBER},
        {"hashedPhoneNumber": "no hash"},
        [NUMBER],
        NUMBER,
        None,
    ],
    ids=repr,
)
def test_body_without_one_number_is_invalid(site, dialect, body):
    assert told(site.verify(dialect, body)) == INVALID


@each_dialect
@pytest.mark.parametrize(
    ("content_type", "data"),
    [("application/x-www-form-urlencoded", "phoneNumber=%2B34600000001"), ("application/json", '{"phoneNumber"')],
    ids=["form", "half"],
)
def test_body_that_is_no_json_is_invalid(site, dialect, content_type, data):
    token = site.token_for(dialect, "verify")
    response = site.call(dialect, "verify", token, headers={"Content-Type": content_type}, data=data)

    assert told(response) == INVALID


@each_dialect
@pytest.mark.parametrize("more", [{"hashedPhoneNumber": digest(NUMBER)}, {"colour": "blue"}], ids=["hash", "unknown"])
def test_property_beside_the_number_is_invalid(site, dialect, more):
    assert told(site.verify(dialect, BODY | more)) == INVALID


@pytest.mark.parametrize("dialect", PLUS_OPTIONAL)
def test_number_without_plus_is_the_same_number(sandbox, site, dialect):
    sandbox.set(sim=NUMBER)

    assert site.verify(dialect, {"phoneNumber": "34600000001"}).json() == {"devicePhoneNumberVerified": True}


@pytest.mark.parametrize("dialect", PLUS_REQUIRED)
def test_number_without_plus_is_invalid(site, dialect):
    assert told(site.verify(dialect, {"phoneNumber": "34600000001"})) == INVALID


@pytest.mark.parametrize("dialect", HASHING)
@pytest.mark.parametrize("spelling", [str.lower, str.upper], ids=["lower", "upper"])
@pytest.mark.parametrize(("sim", "verdict"), [(NUMBER, True), (OTHER_NUMBER, False)])
def test_hash_is_compared_with_that_of_the_sim(sandbox, site, dialect, spelling, sim, verdict):
    sandbox.set(sim=sim)
    response = site.verify(dialect, {"hashedPhoneNumber": spelling(digest(NUMBER))})

    assert response.json() == {"devicePhoneNumberVerified": verdict}


@pytest.mark.parametrize("dialect", HASHING)
def test_hash_without_plus_counts_where_the_plus_is_optional(sandbox, site, dialect):
    sandbox.set(sim=NUMBER)
    response = site.verify(dialect, {"hashedPhoneNumber": digest(NUMBER.removeprefix("+"))})

    assert response.json() == {"devicePhoneNumberVerified": dialect in PLUS_OPTIONAL}


def test_hash_is_invalid_in_the_default_dialect(site):
    assert told(site.verify("telefonica", {"hashedPhoneNumber": digest(NUMBER)})) == INVALID


DEVICES = [
    {},
    {"phoneNumber": NUMBER},
    {"networkAccessIdentifier": "123456789@domain.example"},
    {"ipv4Address": {"publicAddress": "192.0.2.1", "publicPort": 59765}},
    {"ipv6Address": "2001:db8::1"},
]


@pytest.mark.parametrize("device", DEVICES, ids=str)
def test_device_is_accepted_in_the_default_dialect(sandbox, site, device):
    sandbox.set(sim=NUMBER)

    assert site.verify("telefonica", BODY | {"device": device}).json() == {"devicePhoneNumberVerified": True}
    assert site.share("telefonica", json={"device": device}).json() == {"phoneNumber": NUMBER}


@pytest.mark.parametrize("dialect", WITHOUT_DEVICE)
def test_device_is_invalid_elsewhere(site, dialect):
    assert told(site.verify(dialect, BODY | {"device": DEVICES[-1]})) == INVALID


@pytest.mark.parametrize(
    "device",
    [
        None,
        "192.0.2.1",
        {"phoneNumber": 34600000001},
        {"ipv4Address": "192.0.2.1"},
        {"ipv4Address": {"publicAddress": "192.0.2.1", "publicPort": "59765"}},
        {"ipv4Address": {"publicAddress": "192.0.2.1", "publicPort": True}},
        {"ipv6Address": ["2001:db8::1"]},
    ],
    ids=str,
)
def test_device_of_another_form_is_invalid(sandbox, site, device):
    sandbox.set(sim=NUMBER)

    assert told(site.verify("telefonica", BODY | {"device": device})) == INVALID
    assert told(site.share("telefonica", json={"device": device})) == (400, None)


@pytest.mark.parametrize("options", [{}, {"json": {}}], ids=["no body", "empty object"])
def test_body_of_share_is_optional(sandbox, site, options):
    sandbox.set(sim=NUMBER)

    assert site.share("telefonica", **options).json() == {"phoneNumber": NUMBER}


@pytest.mark.parametrize("data", ["[]", "5", "{"])
def test_body_of_share_that_is_no_object_is_invalid(sandbox, site, data):
    sandbox.set(sim=NUMBER)
    response = site.share("telefonica", data=data, headers={"Content-Type": "application/json"})

    assert told(response) == (400, None)


@each_call
def test_other_method_is_not_allowed(site, dialect, operation):
    method, path = getattr(CONTRACTS[dialect], operation)

    assert site.request("GET" if method == "POST" else "POST", ROOTS[dialect] + path).status_code == 405


@each_call
def test_correlator_comes_back(site, dialect, operation):
    response = site.call(dialect, operation, "made-up", headers={"x-correlator": "b4333c46-49c0"})

    assert response.headers["x-correlator"] == "b4333c46-49c0"


@pytest.mark.parametrize("correlator", ["two words", "ñ", "x" * 257])
def test_correlator_outside_the_pattern_is_invalid_in_camara_v2_alone(sandbox, site, correlator):
    sandbox.set(sim=NUMBER)
    headers = {"x-correlator": correlator.encode("latin-1")}

    assert told(site.verify("camara-v2", BODY, headers=headers)) == INVALID
    assert site.verify("camara-v1", BODY, headers=headers).status_code == 200
