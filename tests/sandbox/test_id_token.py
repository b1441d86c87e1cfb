"""The ID token: what it says, to whom, and who signed it."""

import time

import jwt
import pytest

from ..protocol.contract import CONTRACTS
from .relying_party import DIALECTS, MOCK, NUMBER, OTHER_NUMBER, half_hash


def claims_of(site, tokens, audience=None):
    """Return the claims of the ID token, which the operator's published key has signed."""
    keys = jwt.PyJWKSet.from_dict(site.get("/jwks").json())
    id_token = tokens["id_token"]
    key = keys[jwt.get_unverified_header(id_token)["kid"]]
    return jwt.decode(id_token, key, algorithms=["RS256"], audience=audience or site.secret[0], issuer=site.url)


def subject_of(site, client=None):
    """Return the ``sub`` that a login tells ``client``."""
    client_id, _ = client = client or site.secret
    tokens = site.exchange(site.code(client_id=client_id), auth=client).json()
    return claims_of(site, tokens, client_id)["sub"]


def test_claims_are_those_that_discovery_promises(site):
    claims = claims_of(site, site.tokens())

    assert claims.keys() == set(site.get("/.well-known/openid-configuration").json()["claims_supported"])


def test_claims_name_issuer_audience_nonce_and_access_token(site):
    tokens = site.tokens(nonce="nonce of the browser")
    claims = claims_of(site, tokens)

    assert (claims["iss"], claims["nonce"]) == (site.url, "nonce of the browser")
    assert claims["aud"] in (site.secret[0], [site.secret[0]])
    assert claims["at_hash"] == half_hash(tokens["access_token"])


def test_id_token_is_issued_now_and_lives_300_seconds(site):
    before = int(time.time())
    claims = claims_of(site, site.tokens())

    assert before <= claims["auth_time"] <= claims["iat"] <= time.time()
    assert claims["exp"] - claims["iat"] == 300


def test_header_names_the_published_key(site):
    header = jwt.get_unverified_header(site.tokens()["id_token"])

    (key,) = site.get("/jwks").json()["keys"]
    assert header == {"typ": "JWT", "alg": "RS256", "kid": key["kid"]}


def test_no_nonce_is_claimed_where_none_was_sent(site):
    assert "nonce" not in claims_of(site, site.tokens(nonce=None))


def test_subject_is_opaque(sandbox, site):
    sandbox.set(sim=NUMBER)
    subject = subject_of(site)

    assert len(subject) == 32
    assert NUMBER[-9:] not in subject


def test_subject_is_the_same_at_each_login(sandbox, site):
    sandbox.set(sim=NUMBER)

    assert subject_of(site) == subject_of(site)


def test_subject_differs_between_clients(sandbox, site):
    sandbox.set(sim=NUMBER)

    assert subject_of(site) != subject_of(site, MOCK)


def test_subject_differs_between_sims(sandbox, site):
    sandbox.set(sim=NUMBER)
    first = subject_of(site)
    sandbox.set(sim=OTHER_NUMBER)

    assert subject_of(site) != first


def test_subject_is_the_sim_at_the_time_of_the_code(sandbox, site):
    sandbox.set(sim=NUMBER)
    subject, code = subject_of(site), site.code()
    sandbox.set(sim=OTHER_NUMBER)

    assert claims_of(site, site.exchange(code, auth=site.secret).json())["sub"] == subject


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_id_token_is_given_where_openid_is_asked_alone(site, dialect, operation):
    contract = CONTRACTS[dialect]

    tokens = site.tokens(scope=getattr(contract, f"scope_{operation}"))
    assert ("id_token" in tokens) == contract.asks_openid


def test_rotated_key_signs_and_the_old_one_is_withdrawn(sandbox, site):
    old = site.get("/jwks").json()["keys"]
    sandbox.set(rotate_keys=True)
    claims = claims_of(site, site.tokens())

    new = site.get("/jwks").json()["keys"]
    assert claims["iss"] == site.url
    assert [key["kid"] for key in new] != [key["kid"] for key in old]
    assert len(new) == 1


def test_reset_brings_the_first_key_back(sandbox, site):
    first = site.get("/jwks").json()
    sandbox.set(rotate_keys=True)
    sandbox.reset()

    assert site.get("/jwks").json() == first
