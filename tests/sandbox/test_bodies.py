"""The bodies of verify and share: what each dialect's document takes, and what is invalid."""

import pytest

from ..protocol.contract import CONTRACTS
from .relying_party import DIALECTS, NUMBER, OTHER_NUMBER, digest, told

PLUS_OPTIONAL = [dialect for dialect in DIALECTS if CONTRACTS[dialect].pattern.startswith(r"^\+?")]
PLUS_REQUIRED = [dialect for dialect in DIALECTS if dialect not in PLUS_OPTIONAL]
HASHING = [dialect for dialect in DIALECTS if CONTRACTS[dialect].hash_pattern]
WITHOUT_DEVICE = [dialect for dialect in DIALECTS if not CONTRACTS[dialect].device]
BODY = {"phoneNumber": NUMBER}
INVALID = (400, "INVALID_ARGUMENT")
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


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
        {"colour": "blue"},
        {"ipv4Address": {"publicAddress": "192.0.2.1", "colour": "blue"}},
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


@pytest.mark.parametrize("data", ["[]", "5", "{", '{"colour": "blue"}'])
def test_body_of_share_that_is_no_object_of_a_device_is_invalid(sandbox, site, data):
    sandbox.set(sim=NUMBER)
    response = site.share("telefonica", data=data, headers={"Content-Type": "application/json"})

    assert told(response) == (400, None)
