"""Answers to order: every key of a fault, and how often it is met."""

import time

import pytest
import requests

from numverify_django.sandbox.state import Fault

from ..conftest import query_of
from .relying_party import CALLBACK, NUMBER

REQUESTS = {  # endpoint -> a request to it
    "discovery": ("GET", "/.well-known/openid-configuration"),
    "jwks": ("GET", "/jwks"),
    "authorize": ("GET", "/authorize"),
    "token": ("POST", "/token"),
    "verify": ("POST", "/v1/number-verification/verify"),
    "share": ("POST", "/v1/number-verification/share"),
}
OTHER_PATHS = [
    ("authorize", "GET", "/apigateway/authorize"),
    ("token", "POST", "/apigateway/token"),
    ("verify", "POST", "/apigateway/number-verification/v2/verify"),
    ("verify", "POST", "/number-verification/v0/verify"),
    ("share", "GET", "/apigateway/number-verification/v0/device-phone-number"),
    ("share", "GET", "/number-verification/v2/device-phone-number"),
]


def fault_of(site):
    """Return the fault that is still to come."""
    return site.get("/_sandbox/state").json()["fault"]


@pytest.mark.parametrize("endpoint", REQUESTS)
def test_fault_is_met_once_and_then_all_is_normal(sandbox, site, endpoint):
    method, path = REQUESTS[endpoint]
    normal = site.request(method, path).status_code
    sandbox.set(fault={"endpoint": endpoint, "status": 503})

    statuses = [site.request(method, path).status_code for _ in range(3)]
    assert statuses == [503, normal, normal]
    assert fault_of(site) is None


@pytest.mark.parametrize(("endpoint", "method", "path"), OTHER_PATHS)
def test_fault_is_met_in_every_dialect(sandbox, site, endpoint, method, path):
    sandbox.set(fault={"endpoint": endpoint, "status": 503})

    assert site.request(method, path).status_code == 503


def test_other_endpoints_stay_normal_and_leave_the_fault(sandbox, site):
    sandbox.set(fault={"endpoint": "token", "status": 503})

    assert site.get("/jwks").status_code == 200
    assert fault_of(site)["endpoint"] == "token"


@pytest.mark.parametrize("status", [200, 204, 302, 307, 400, 429, 500, 599])
def test_status_is_answered(sandbox, site, status):
    sandbox.set(fault={"endpoint": "jwks", "status": status})
    response = site.get("/jwks")

    assert (response.status_code, response.content) == (status, b"")


def test_text_body_is_a_web_page_with_status_200(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "body": "<p>Grüße 😀"})
    response = site.get("/jwks")

    assert (response.status_code, response.text) == (200, "<p>Grüße 😀")
    assert response.headers["Content-Type"] == "text/html; charset=utf-8"


@pytest.mark.parametrize("body", [{"keys": []}, {}, ["a", 1, None], []], ids=repr)
def test_json_body_is_json(sandbox, site, body):
    sandbox.set(fault={"endpoint": "jwks", "status": 201, "body": body})
    response = site.get("/jwks")

    assert (response.status_code, response.json()) == (201, body)
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("body", ["5", "null", "{", {"a": 1}], ids=repr)
def test_content_type_is_that_of_the_fault(sandbox, site, body):
    sandbox.set(fault={"endpoint": "jwks", "body": body, "content_type": "application/jwk-set+json"})

    assert site.get("/jwks").headers["Content-Type"] == "application/jwk-set+json"


def test_headers_are_those_of_the_fault(sandbox, site):
    headers = {"Location": "/elsewhere", "Retry-After": "7", "WWW-Authenticate": 'Bearer error="invalid_token"'}
    sandbox.set(fault={"endpoint": "jwks", "status": 307, "headers": headers})
    response = site.get("/jwks")

    assert {name: response.headers[name] for name in headers} == headers


def test_delay_comes_before_the_normal_answer(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "delay": 0.2})
    start = time.monotonic()
    response = site.get("/jwks")

    assert time.monotonic() - start >= 0.2
    assert response.json()["keys"]


def test_delay_comes_before_a_told_answer(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "delay": 0.2, "status": 504})
    start = time.monotonic()
    response = site.get("/jwks")

    assert (response.status_code, time.monotonic() - start >= 0.2) == (504, True)


def test_delay_holds_up_nobody_else(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "delay": 5})
    with pytest.raises(requests.ReadTimeout):
        site.get("/jwks", timeout=0.1)
    site.wait_until_fault_is_met()
    start = time.monotonic()

    assert site.get("/jwks").status_code == 200
    assert time.monotonic() - start < 2


def test_drop_closes_the_connection_without_an_answer(sandbox, site):
    sandbox.set(fault={"endpoint": "token", "drop": True})

    with pytest.raises(requests.ConnectionError, match="without response"):
        site.exchange("code", auth=site.secret)
    assert (sandbox.log()[-1]["status"], sandbox.log()[-1]["note"]) == (None, "fault: dropped")


def test_dropped_exchange_leaves_the_code_good(sandbox, site):
    code = site.code()
    sandbox.set(fault={"endpoint": "token", "drop": True})
    with pytest.raises(requests.ConnectionError):
        site.exchange(code, auth=site.secret)

    assert site.exchange(code, auth=site.secret).status_code == 200


def test_error_at_authorize_comes_back_with_state_and_issuer(sandbox, site):
    sandbox.set(fault={"endpoint": "authorize", "error": "access_denied"})
    response = site.authorize()

    assert response.headers["Location"].startswith(f"{CALLBACK}?")
    query = query_of(response.headers["Location"])
    assert (query["error"], query["state"], query["iss"]) == ("access_denied", "state of the browser", site.url)
    assert "code" not in query


def test_error_at_authorize_is_not_sent_to_a_foreign_address(sandbox, site):
    sandbox.set(fault={"endpoint": "authorize", "error": "access_denied"})

    assert site.authorize(redirect_uri="https://site.example/").status_code == 400


@pytest.mark.parametrize(("status", "answered"), [(None, 400), (401, 401), (503, 503)])
def test_error_at_token_is_an_oauth_error(sandbox, site, status, answered):
    sandbox.set(fault={"endpoint": "token", "error": "invalid_grant", "status": status})
    response = site.exchange(site.code(), auth=site.secret)

    assert (response.status_code, response.json()["error"]) == (answered, "invalid_grant")


def test_error_at_the_gateways_token_has_its_body(sandbox, site):
    sandbox.set(fault={"endpoint": "token", "error": "invalid_grant"})
    response = site.exchange(site.code(), "/apigateway/token", auth=site.secret)

    assert (response.status_code, response.json()["code"]) == (400, 400)
    assert response.json()["message"].startswith("invalid_grant: ")


def test_fault_is_met_as_often_as_it_says(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "status": 503, "times": 3})
    statuses = [site.get("/jwks").status_code for _ in range(2)]

    assert (statuses, fault_of(site)["times"]) == ([503, 503], 1)
    assert [site.get("/jwks").status_code for _ in range(2)] == [503, 200]


def test_fault_of_null_times_is_met_until_it_is_cleared(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "status": 503, "times": None})
    statuses = [site.get("/jwks").status_code for _ in range(5)]
    sandbox.set(fault=None)

    assert statuses == 5 * [503]
    assert site.get("/jwks").status_code == 200


@pytest.mark.parametrize("key", ["status", "body", "content_type", "headers", "delay", "drop", "error"])
def test_null_is_as_if_the_key_were_left_out(sandbox, site, key):
    fault = {"endpoint": "jwks", "status": 503} if key != "status" else {"endpoint": "jwks", "delay": 0.1}
    sandbox.set(fault=fault)
    expected = fault_of(site)
    sandbox.set(fault=fault | {key: None})

    assert fault_of(site) == expected


def test_second_fault_takes_the_place_of_the_first(sandbox, site):
    sandbox.set(fault={"endpoint": "token", "status": 503})
    sandbox.set(fault={"endpoint": "jwks", "status": 500})

    assert (site.post("/token").status_code, site.get("/jwks").status_code) == (400, 500)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"status": 503}, "endpoint"),
        ({"endpoint": "tokens", "status": 503}, "fault.endpoint"),
        ({"endpoint": None, "status": 503}, "fault.endpoint"),
        ({"endpoint": ["token"], "status": 503}, "fault.endpoint"),
        ({"endpoint": "token", "status": "503"}, "fault.status"),
        ({"endpoint": "token", "status": 503.0}, "fault.status"),
        ({"endpoint": "token", "status": True}, "fault.status"),
        ({"endpoint": "token", "status": 199}, "fault.status"),
        ({"endpoint": "token", "status": 600}, "fault.status"),
        ({"endpoint": "token", "body": 5}, "fault.body"),
        ({"endpoint": "token", "status": 200, "content_type": 5}, "fault.content_type"),
        ({"endpoint": "token", "status": 200, "content_type": "text/html\r\nX: y"}, "fault.content_type"),
        ({"endpoint": "token", "status": 200, "content_type": "text/€"}, "fault.content_type"),
        ({"endpoint": "token", "status": 200, "headers": ["Location"]}, "fault.headers"),
        ({"endpoint": "token", "status": 200, "headers": {"Retry-After": 7}}, "fault.headers"),
        ({"endpoint": "token", "status": 200, "headers": {"Retry After": "7"}}, "fault.headers"),
        ({"endpoint": "token", "status": 200, "headers": {"Location": "/\r\nX: y"}}, "fault.headers"),
        ({"endpoint": "token", "status": 200, "headers": {"Location": "/€"}}, "fault.headers"),
        ({"endpoint": "token", "delay": "1"}, "fault.delay"),
        ({"endpoint": "token", "delay": True}, "fault.delay"),
        ({"endpoint": "token", "delay": -1}, "fault.delay"),
        ({"endpoint": "token", "delay": 601}, "fault.delay"),
        ({"endpoint": "token", "drop": "yes"}, "fault.drop"),
        ({"endpoint": "token", "drop": 1}, "fault.drop"),
        ({"endpoint": "token", "error": "Not an error"}, "fault.error"),
        ({"endpoint": "token", "error": ""}, "fault.error"),
        ({"endpoint": "token", "error": 5}, "fault.error"),
        ({"endpoint": "verify", "error": "invalid_grant"}, "fault.error"),
        ({"endpoint": "token", "status": 503, "times": 0}, "fault.times"),
        ({"endpoint": "token", "status": 503, "times": 1.0}, "fault.times"),
        ({"endpoint": "token", "status": 503, "times": True}, "fault.times"),
        ({"endpoint": "token", "status": 503, "times": "all"}, "fault.times"),
        ({"endpoint": "token", "statuses": 503}, "unknown statuses"),
        ({"endpoint": "token", "status": 503, "sim": None}, "unknown sim"),
        ({"endpoint": "token"}, "give a status, body, delay, drop or error"),
        ({"endpoint": "token", "delay": 0, "drop": False}, "give a status, body, delay, drop or error"),
        ("token", "fault"),
        ([], "fault"),
        (True, "fault"),
    ],
    ids=repr,
)
def test_wrong_fault_is_refused_with_the_key_and_changes_nothing(sandbox, site, fault, words):
    sandbox.set(sim=NUMBER, fault={"endpoint": "jwks", "status": 500})
    before = site.get("/_sandbox/state").json()
    response = site.post("/_sandbox/state", json={"sim": None, "fault": fault})

    assert (response.status_code, words in response.json()["error"]) == (400, True)
    assert site.get("/_sandbox/state").json() == before


@pytest.mark.parametrize(
    "fault",
    [
        {"endpoint": "token", "error": "invalid_grant", "body": "lost"},
        {"endpoint": "token", "drop": True, "body": "lost"},
        {"endpoint": "token", "drop": True, "status": 503},
    ],
)
def test_fault_of_which_half_would_be_lost_is_refused(fault):
    with pytest.raises(ValueError, match="none of its own"):
        Fault.parse(fault)
