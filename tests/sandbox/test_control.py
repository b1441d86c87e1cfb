"""Program control: the state, the reset, the log's end and who may ask."""

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from .relying_party import NUMBER, OTHER_NUMBER

FAULT = {"endpoint": "token", "status": 503}
WHOLE_FAULT = {
    "endpoint": "token",
    "status": 503,
    "body": None,
    "content_type": None,
    "headers": {},
    "delay": 0,
    "drop": False,
    "error": None,
    "times": 1,
}
CONTROL = [
    ("GET", "/_sandbox/state"),
    ("POST", "/_sandbox/state"),
    ("POST", "/_sandbox/reset"),
    ("GET", "/_sandbox/log"),
    ("DELETE", "/_sandbox/log"),
    ("GET", "/_sandbox/client"),
    ("GET", "/"),
    ("POST", "/"),
]
OPERATOR = [("GET", "/jwks"), ("GET", "/authorize"), ("POST", "/token"), ("POST", "/v1/number-verification/verify")]


def state_of(site):
    return site.get("/_sandbox/state").json()


def wifi(path):
    """Return what asks control, or the console at /, to put the phone on Wi-Fi."""
    return {"data": {"sim": "wifi", "answer": "normal"}} if path == "/" else {"json": {"sim": None}}


def test_at_the_beginning_digits_decide_and_no_fault_comes(site):
    assert state_of(site) == {"sim": "unset", "fault": None}


@pytest.mark.parametrize("sim", [NUMBER, "+12345", "+123456789012345", None, "unset", "consent", "unknown"])
def test_sim_is_taken_and_answered(site, sim):
    response = site.post("/_sandbox/state", json={"sim": sim})

    assert (response.status_code, response.json()) == (200, {"sim": sim, "fault": None})
    assert state_of(site) == response.json()


@pytest.mark.parametrize(
    "sim",
    ["", "600000001", "34600000001", "+1234", "+1234567890123456", "+3460000000\u0661", "wifi", 5, True, [], {}],
    ids=repr,
)
def test_wrong_sim_is_refused_and_changes_nothing(sandbox, site, sim):
    sandbox.set(sim=NUMBER)
    response = site.post("/_sandbox/state", json={"sim": sim, "fault": FAULT})

    assert (response.status_code, response.json()["error"].partition(":")[0]) == (400, "sim")
    assert state_of(site) == {"sim": NUMBER, "fault": None}


def test_fault_is_answered_whole(site):
    response = site.post("/_sandbox/state", json={"fault": FAULT})

    assert response.json() == {"sim": "unset", "fault": WHOLE_FAULT}


def test_state_that_was_answered_can_be_sent_again(sandbox, site):
    sandbox.set(sim=NUMBER, fault=FAULT)
    state = state_of(site)
    sandbox.reset()

    assert site.post("/_sandbox/state", json=state).json() == state


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({}, {"sim": NUMBER, "fault": WHOLE_FAULT}),
        ({"sim": OTHER_NUMBER}, {"sim": OTHER_NUMBER, "fault": WHOLE_FAULT}),
        ({"sim": None}, {"sim": None, "fault": WHOLE_FAULT}),
        ({"fault": None}, {"sim": NUMBER, "fault": None}),
    ],
    ids=str,
)
def test_omitted_keys_stay(sandbox, site, change, state):
    sandbox.set(sim=NUMBER, fault=FAULT)

    assert site.post("/_sandbox/state", json=change).json() == state


@pytest.mark.parametrize("change", [{"sims": None}, {"status": 503}, {"rotate": True}], ids=str)
def test_unknown_key_is_refused_by_name_and_changes_nothing(site, change):
    response = site.post("/_sandbox/state", json={"sim": NUMBER} | change)

    (name,) = change
    assert (response.status_code, f"unknown {name};" in response.json()["error"]) == (400, True)
    assert state_of(site)["sim"] == "unset"


@pytest.mark.parametrize("value", ["yes", 1, [], {}], ids=repr)
def test_wrong_rotate_keys_is_refused_and_changes_nothing(site, value):
    keys = site.get("/jwks").json()
    response = site.post("/_sandbox/state", json={"sim": NUMBER, "rotate_keys": value})

    assert (response.status_code, "rotate_keys" in response.json().get("error", "")) == (400, True)
    assert (state_of(site)["sim"], site.get("/jwks").json()) == ("unset", keys)


@pytest.mark.parametrize("value", [None, 5, "no key", {"kty": "RSA"}, {"kty": "oct", "k": "A" * 43}], ids=repr)
def test_wrong_client_key_is_refused_and_changes_nothing(site, value):
    response = site.post("/_sandbox/state", json={"sim": NUMBER, "client_key": value})

    assert (response.status_code, response.json()["error"].partition(":")[0]) == (400, "client_key")
    assert state_of(site)["sim"] == "unset"


@pytest.mark.parametrize("body", ["", "null", "[]", "5", "{", '"sim"'])
def test_body_that_is_no_json_object_is_refused(site, body):
    response = site.post("/_sandbox/state", data=body, headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()) == (400, {"error": "a JSON object is needed"})


def test_client_has_an_id_a_secret_and_a_key_pair(site):
    client = site.get("/_sandbox/client").json()

    assert client.keys() == {"client_id", "client_secret", "private_key", "key_id"}
    assert load_pem_private_key(client["private_key"].encode(), None).key_size == 2048


def test_reset_answers_the_beginning_and_empties_the_log(sandbox, site):
    sandbox.set(sim=NUMBER, fault=FAULT)
    site.get("/jwks")
    response = site.post("/_sandbox/reset")

    assert (response.status_code, response.json()) == (200, {"sim": "unset", "fault": None})
    assert sandbox.log() == []


def test_token_ends_with_a_reset(sandbox, site):
    token = site.token_for("telefonica", "verify")
    sandbox.reset()

    assert site.call("telefonica", "verify", token, json={"phoneNumber": NUMBER}).status_code == 401


def test_deleting_the_log_empties_it_and_keeps_the_state(sandbox, site):
    sandbox.set(sim=NUMBER)
    site.get("/jwks")
    response = site.request("DELETE", "/_sandbox/log")

    assert (response.status_code, response.content) == (204, b"")
    assert (sandbox.log(), state_of(site)["sim"]) == ([], NUMBER)


@pytest.mark.parametrize(("method", "path"), CONTROL + OPERATOR)
def test_foreign_host_is_refused_everywhere(sandbox, site, method, path):
    sandbox.set(sim=NUMBER)
    response = site.request(method, path, headers={"Host": "operator.example"}, **wifi(path))

    # DNS rebinding: a name that an attacker points at this machine
    assert (response.status_code, response.text) == (403, "The sandbox takes no request with this Host.\n")
    assert (state_of(site)["sim"], sandbox.log()) == (NUMBER, [])


@pytest.mark.parametrize("host", ["operator.example:80", "127.0.0.1.operator.example", "192.0.2.2", "", "["])
def test_any_foreign_host_is_refused(site, host):
    assert site.get("/_sandbox/client", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "[::1]"])
def test_any_name_of_this_machine_is_served(site, host):
    assert site.get("/_sandbox/state", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("method", "path"), CONTROL)
def test_foreign_origin_is_refused_by_control_and_console(sandbox, site, method, path):
    sandbox.set(sim=NUMBER)
    response = site.request(method, path, headers={"Origin": "https://site.example"}, **wifi(path))

    assert (response.status_code, response.text) == (403, "The sandbox takes no request with this Origin.\n")
    assert state_of(site)["sim"] == NUMBER


@pytest.mark.parametrize("origin", ["http://127.0.0.1:1", "http://localhost", "null", ""])
def test_any_foreign_origin_is_refused(site, origin):
    assert site.get("/_sandbox/client", headers={"Origin": origin}).status_code == 403


def test_own_origin_is_served(site):
    response = site.post("/_sandbox/state", json={"sim": NUMBER}, headers={"Origin": site.url})

    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/_sandbox/", "/_sandbox/state/", "/_sandbox/tokens"])
def test_unknown_control_is_not_found(site, path):
    assert site.get(path).status_code == 404
