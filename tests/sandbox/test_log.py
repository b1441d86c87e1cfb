"""The log, hop by hop: all that helps, and nothing that is secret."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests

from .relying_party import CALLBACK, CHALLENGE, SCOPE, VERIFIER, digest
from .test_token import WAYS

NUMBER = "+34699887761"  # the console's example is another one
LOG_ON_CONSOLE = ("<h2>Last requests</h2>", "<h2>By the last digit</h2>")


def log_in(site, way="client_secret_basic"):
    """Walk every hop, and return each value that must not be seen, by name."""
    state, nonce = "state-7d1f0a", "nonce-52b9c4"
    site.get("/.well-known/openid-configuration")
    site.get("/jwks")
    code = site.code(state=state, nonce=nonce, login_hint=f"tel:{NUMBER}", **CHALLENGE)
    client = WAYS[way](site)
    tokens = site.exchange(code, code_verifier=VERIFIER, **client).json()
    device = {"phoneNumber": NUMBER, "networkAccessIdentifier": f"{NUMBER[1:]}@operator.example"}
    site.call("telefonica", "verify", tokens["access_token"], json={"phoneNumber": NUMBER, "device": device})
    return {
        "state": state,
        "nonce": nonce,
        "code": code,
        "verifier": VERIFIER,
        "challenge": CHALLENGE["code_challenge"],
        "secret": site.secret[1],
        "basic": base64.b64encode(":".join(site.secret).encode()).decode(),
        "assertion": client.get("client_assertion", "no assertion"),
        "access token": tokens["access_token"],
        "ID token": tokens["id_token"],
        "number": NUMBER[3:],
        "identifier": "@operator.example",
    }


@pytest.mark.parametrize("way", WAYS)
def test_log_holds_nothing_secret(site, way):
    secrets = log_in(site, way)
    shown = site.get("/_sandbox/log").text

    assert {name for name, value in secrets.items() if value in shown} == set()


@pytest.mark.parametrize("way", WAYS)
def test_log_on_the_console_holds_nothing_secret(site, way):
    secrets = log_in(site, way)
    begin, end = LOG_ON_CONSOLE
    shown = site.get("/").text.partition(begin)[2].partition(end)[0]

    assert "•••61" in shown
    assert {name for name, value in secrets.items() if value in shown} == set()


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", '{"code": "SECRET", "client_secret": "SECRET", "deep": {"token": "SECRET"}}'),
        ("application/json", '{"phoneNumber": "SECRET", "device": ["SECRET"]}'),
        ("application/json", '["SECRET"]'),
        ("application/x-www-form-urlencoded", "code=SECRET&token=SECRET&refresh_token=SECRET"),
        ("application/x-www-form-urlencoded", "redirect_uri=http://127.0.0.1/%3Fcode%3DSECRET"),
        ("application/x-www-form-urlencoded", '{"code": "SECRET"}'),  # JSON by a client that forgot to say so
        ("text/plain", "SECRET"),
    ],
)
@pytest.mark.parametrize("path", ["/token?code=SECRET", "/v1/number-verification/verify?access_token=SECRET"])
def test_secret_of_an_odd_request_is_cut(site, path, content_type, body):
    secret = "8Jt0qkX3vYw1c4eG"
    headers = {"Content-Type": content_type, "X-Secret": secret, "Cookie": f"secret={secret}"}
    site.post(path.replace("SECRET", secret), data=body.replace("SECRET", secret), headers=headers)

    assert secret not in site.get("/_sandbox/log").text


@pytest.mark.parametrize("hint", [f"tel:{NUMBER}", NUMBER, NUMBER[1:], "tel:+34-699-887-761", "tel:+34 699 887 761"])
def test_login_hint_shows_two_digits(sandbox, site, hint):
    site.authorize(login_hint=hint)

    assert sandbox.log()[-1]["query"]["login_hint"] == ("tel:" if hint.startswith("tel:") else "") + "•••61"


def test_hash_is_cut(sandbox, site):
    site.verify("camara-v2", {"hashedPhoneNumber": digest(NUMBER)})

    assert sandbox.log()[-1]["body"] == {"hashedPhoneNumber": "…"}


def test_addresses_of_a_device_are_shown(sandbox, site):
    addresses = {"ipv4Address": {"publicAddress": "192.0.2.1", "publicPort": 59765}, "ipv6Address": "2001:db8::1"}
    site.verify("telefonica", {"phoneNumber": NUMBER, "device": addresses})

    shown = {"ipv4Address": {"publicAddress": "192.0.2.1", "publicPort": "59765"}, "ipv6Address": "2001:db8::1"}
    assert sandbox.log()[-1]["body"] == {"phoneNumber": "•••61", "device": shown}


def test_hops_come_in_their_order(sandbox, site):
    log_in(site)
    site.share("camara-v2")

    hops = ["discovery", "jwks", "authorize", "token", "verify", "authorize", "token", "share"]
    assert sandbox.hops() == hops


def test_authorize_entry_tells_what_was_asked(sandbox, site):
    site.authorize(redirect_uri=f"{CALLBACK}?tenant=1", **CHALLENGE)

    (entry,) = sandbox.log()
    assert entry["query"] == {
        "response_type": "code",
        "client_id": "numverify-demo",
        "redirect_uri": CALLBACK,
        "scope": SCOPE,
        "prompt": "none",
        "code_challenge_method": "S256",
        "state": "…",
        "nonce": "…",
        "code_challenge": "…",
    }
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/authorize", 302)


def test_token_entry_tells_what_was_sent(sandbox, site):
    site.exchange("made-up", **site.posted())

    (entry,) = sandbox.log()
    assert entry["body"] == {
        "grant_type": "authorization_code",
        "client_id": "numverify-demo",
        "redirect_uri": CALLBACK,
        "code": "…",
        "client_secret": "…",
    }
    assert (entry["status"], entry["note"]) == (400, "invalid_grant")


def test_verify_entry_is_whole(sandbox, site):
    before = datetime.now(UTC)
    headers = {"x-correlator": "b4333c46-49c0"}
    site.call("telefonica", "verify", "made-up", json={"phoneNumber": NUMBER}, headers=headers)

    (entry,) = sandbox.log()
    assert before.timestamp() - 0.001 <= datetime.fromisoformat(entry.pop("time")).timestamp() <= time.time()
    assert 0 <= entry.pop("ms") < 5000
    assert entry.pop("connection").startswith("127.0.0.1:")
    assert {"authorization", "x-correlator", "content-type"} <= set(entry.pop("headers"))
    assert entry == {
        "hop": "verify",
        "method": "POST",
        "path": "/v1/number-verification/verify",
        "status": 401,
        "client_auth": None,
        "correlator": "b4333c46-49c0",
        "note": "UNAUTHENTICATED",
        "query": {},
        "body": {"phoneNumber": "•••61"},
    }


def ways(site, *names):
    """Return what a request that authenticates by each of ``names`` sends."""
    return {key: value for name in names for key, value in WAYS[name](site).items()}


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        ([], "none"),
        (["client_secret_basic"], "client_secret_basic"),
        (["client_secret_post"], "client_secret_post"),
        (["private_key_jwt"], "private_key_jwt"),
        (["client_secret_basic", "client_secret_post"], "client_secret_basic client_secret_post"),
    ],
    ids=str,
)
def test_client_auth_names_the_way(sandbox, site, names, shown):
    site.exchange("made-up", **ways(site, *names))

    assert sandbox.log()[-1]["client_auth"] == shown


def test_wrong_prefix_is_seen_as_404(sandbox, site):
    site.post("/v2/number-verification/verify")

    (entry,) = sandbox.log()
    assert (entry["hop"], entry["status"]) == ("verify", 404)


def test_fault_is_noted(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "status": 503, "delay": 0.2})
    site.get("/jwks")

    (entry,) = sandbox.log()
    assert (entry["status"], entry["note"], entry["ms"] >= 200) == (503, "fault: 503", True)


def test_kept_connection_is_one_and_a_second_client_has_another(sandbox, site):
    site.get("/jwks")
    site.get("/jwks")
    with requests.Session() as other:
        other.trust_env = False
        other.get(f"{site.url}/jwks", timeout=10)

    first, second, third = (entry["connection"] for entry in sandbox.log())
    assert (first == second, first == third) == (True, False)


def test_control_and_console_are_not_logged(sandbox, site):
    site.get("/")
    site.get("/_sandbox/state")
    site.get("/favicon.ico")

    assert sandbox.log() == []


def test_request_that_began_before_the_log_was_deleted_stays_out(sandbox, site):
    sandbox.set(fault={"endpoint": "jwks", "delay": 0.3})
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(site.get, "/jwks")
        site.wait_until_fault_is_met()
        site.request("DELETE", "/_sandbox/log")
        slow.result()

    assert sandbox.log() == []


def test_log_keeps_the_last_500(sandbox, site):
    for _ in range(501):
        site.get("/jwks")
    site.get("/.well-known/openid-configuration")

    assert sandbox.hops() == 499 * ["jwks"] + ["discovery"]
