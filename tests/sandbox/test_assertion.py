"""private_key_jwt: the client's signed word for who it is (RFC 7523)."""

import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .relying_party import JWT_BEARER, MOCK


def refused(response):
    """Return the error of a refused client."""
    assert response.status_code in (400, 401), response.text
    return response.json()["error"]


@pytest.mark.parametrize("audience", ["/token", "", ["/token", "/elsewhere"]], ids=["endpoint", "issuer", "list"])
def test_audience_is_the_endpoint_or_the_issuer(site, audience):
    aud = [site.url + path for path in audience] if isinstance(audience, list) else site.url + audience

    assert site.exchange(site.code(), **site.signed(aud=aud)).status_code == 200


def test_audience_under_the_gateway_is_its_own_endpoint(site):
    assertion = site.signed(aud=f"{site.url}/apigateway/token")

    assert site.exchange(site.code(), "/apigateway/token", **assertion).status_code == 200


@pytest.mark.parametrize("aud", [None, "https://operator.example/token", "/authorize", "/apigateway/token"])
def test_foreign_audience_is_refused(site, aud):
    aud = site.url + aud if aud and aud.startswith("/") else aud

    assert refused(site.exchange(site.code(), **site.signed(aud=aud))) == "invalid_client"


def test_jti_that_was_used_is_refused(site):
    site.exchange(site.code(), **site.signed(jti="once"))

    assert refused(site.exchange(site.code(), **site.signed(jti="once"))) == "invalid_client"


@pytest.mark.parametrize(
    "changes",
    [{"iat": 0, "exp": 301}, {"iat": None, "exp": 310}, {"iat": -30, "exp": 280}],
    ids=["301 s", "310 s and no iat", "310 s in all"],
)
def test_assertion_that_lives_longer_than_300_seconds_is_refused(site, changes):
    now = int(time.time())
    changes = {name: None if offset is None else now + offset for name, offset in changes.items()}

    assert refused(site.exchange(site.code(), **site.signed(**changes))) == "invalid_client"


@pytest.mark.parametrize(
    "changes",
    [{"iat": -600, "exp": -300}, {"iat": 3600, "exp": 3900}, {"nbf": 3600}],
    ids=["expired", "from the future", "not yet valid"],
)
def test_assertion_of_another_time_is_refused(site, changes):
    now = int(time.time())
    changes = {name: now + offset for name, offset in changes.items()}

    assert refused(site.exchange(site.code(), **site.signed(**changes))) == "invalid_client"


@pytest.mark.parametrize("claim", ["iss", "sub", "exp", "jti"])
def test_missing_claim_is_refused(site, claim):
    assert refused(site.exchange(site.code(), **site.signed(**{claim: None}))) == "invalid_client"


@pytest.mark.parametrize("changes", [{"iss": MOCK[0]}, {"sub": MOCK[0]}, {"sub": "nobody"}, {"exp": "soon"}], ids=str)
def test_wrong_claim_is_refused(site, changes):
    assert refused(site.exchange(site.code(), **site.signed(**changes))) == "invalid_client"


def test_client_without_a_key_cannot_sign(site):
    assertion = site.signed(iss=MOCK[0], sub=MOCK[0])

    assert refused(site.exchange(site.code(client_id=MOCK[0]), **assertion)) == "invalid_client"


def test_signature_of_another_key_is_refused(site):
    assertion = site.signed(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256")

    assert refused(site.exchange(site.code(), **assertion)) == "invalid_client"


@pytest.mark.parametrize(("key", "algorithm"), [("", "none"), ("a secret that is long enough for HS256", "HS256")])
def test_algorithm_without_a_key_pair_is_refused(site, key, algorithm):
    claims = jwt.decode(site.signed()["client_assertion"], options={"verify_signature": False})
    assertion = jwt.encode(claims, key, algorithm=algorithm)
    form = {"client_assertion_type": JWT_BEARER, "client_assertion": assertion}

    assert refused(site.exchange(site.code(), **form)) == "invalid_client"


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "ñ.ñ.ñ"])
def test_assertion_that_is_no_jwt_is_refused(site, assertion):
    form = {"client_assertion_type": JWT_BEARER, "client_assertion": assertion}

    assert refused(site.exchange(site.code(), **form)) == "invalid_client"


def test_other_assertion_type_is_refused(site):
    form = site.signed() | {"client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}

    assert refused(site.exchange(site.code(), **form)) == "invalid_client"


def test_unknown_kid_is_refused(site):
    assert refused(site.exchange(site.code(), **site.signed(headers={"kid": "another"}))) == "invalid_client"


def test_assertion_without_kid_is_accepted(site):
    assert site.exchange(site.code(), **site.signed(headers={})).status_code == 200


@pytest.mark.parametrize("form", ["pem", "jwk"])
def test_registered_key_takes_the_place_of_the_first(sandbox, site, form):
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    jwk = jwt.algorithms.ECAlgorithm.to_jwk(public, as_dict=True)
    sandbox.set(client_key=pem if form == "pem" else jwk)

    assert site.exchange(site.code(), **site.signed(key=key, algorithm="ES256", headers={})).status_code == 200
    assert refused(site.exchange(site.code(), **site.signed())) == "invalid_client"
