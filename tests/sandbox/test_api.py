"""The two paid calls, verify and share, in every dialect."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from jsonschema import Draft202012Validator

from ..protocol.contract import CONTRACTS, share_answer_schema, verify_answer_schema
from .relying_party import DIALECTS, NUMBER, OTHER_NUMBER, ROOTS, error, told

CALLS = [(dialect, operation) for dialect in DIALECTS for operation in ("verify", "share")]
BODY = {"phoneNumber": NUMBER}
INVALID = (400, "INVALID_ARGUMENT")

each_call = pytest.mark.parametrize(("dialect", "operation"), CALLS)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS)


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
