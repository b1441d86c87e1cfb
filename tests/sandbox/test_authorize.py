"""The browser at the operator: a code, or an error that comes back or does not."""

import pytest

from ..conftest import query_of
from .relying_party import CALLBACK, CHALLENGE, DIALECTS, NUMBER, SCOPE

PURPOSE = "dpv:FraudPreventionAndDetection"
VERIFY = "number-verification:verify"


@pytest.mark.parametrize("path", ["/authorize", "/apigateway/authorize"])
def test_browser_comes_back_with_code_state_and_issuer(site, path):
    response = site.authorize(path)

    assert response.status_code == 302
    address, _, _ = response.headers["Location"].partition("?")
    query = query_of(response.headers["Location"])
    assert (address, query.keys()) == (CALLBACK, {"code", "state", "iss"})
    assert (query["state"], query["iss"]) == ("state of the browser", site.url)
    assert response.headers["Cache-Control"] == "no-store"


def test_request_by_post_gets_a_code(site):
    form = {"response_type": "code", "client_id": site.secret[0], "redirect_uri": CALLBACK, "scope": SCOPE}
    response = site.post("/authorize", data=form)

    assert query_of(response.headers["Location"]).keys() == {"code", "iss"}


def test_no_state_is_echoed_where_none_was_sent(site):
    assert site.callback(state=None).keys() == {"code", "iss"}


@pytest.mark.parametrize(
    "state", ["a b&c=d#e", "ñ€/😀", "\x00\n<>\"'", "x" * 4000], ids=["marks", "words", "raw", "long"]
)
def test_state_comes_back_as_it_was(site, state):
    assert site.callback(state=state)["state"] == state


def test_query_of_the_redirect_uri_stays(site):
    response = site.authorize(redirect_uri=f"{CALLBACK}?tenant=1")

    assert response.headers["Location"].startswith(f"{CALLBACK}?tenant=1&code=")


@pytest.mark.parametrize(
    ("sim", "error"), [(None, "login_required"), ("consent", "consent_required")], ids=["wifi", "consent"]
)
@pytest.mark.parametrize("scope", [SCOPE, f"{PURPOSE} {VERIFY}"], ids=["openid", "oauth"])
def test_sim_that_cannot_be_used_is_an_error_with_state_and_issuer(sandbox, site, sim, error, scope):
    sandbox.set(sim=sim)
    query = site.callback(scope=scope)

    del query["error_description"]
    assert query == {"error": error, "state": "state of the browser", "iss": site.url}


@pytest.mark.parametrize("sim", ["unset", "unknown", NUMBER])
def test_sim_in_the_network_gets_a_code(sandbox, site, sim):
    sandbox.set(sim=sim)

    assert "code" in site.callback()


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/",
        "http://localhost:8123/callback",
        "https://localhost/",
        "http://[::1]:8000/callback",
        "http://127.0.0.2:8000/callback",  # all of 127.0.0.0/8 is this machine (RFC 1122 section 3.2.1.3)
    ],
)
def test_loopback_redirect_uri_is_accepted(site, uri):
    response = site.authorize(redirect_uri=uri)

    assert (response.status_code, response.headers.get("Location", "").startswith(f"{uri}?code=")) == (302, True)


@pytest.mark.parametrize(
    "uri",
    [
        None,
        "",
        "https://site.example/callback",
        "//site.example/",
        "/callback",
        "http://127.0.0.1@site.example/",
        "http://site.example@127.0.0.1/",
        "http://127.0.0.1.site.example/",
        "http://127.0.0.1\\@site.example/",
        "http://127.0.0.1:0/",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/#fragment",
        "http://[::1/",
        "javascript://127.0.0.1/%0aalert(1)",
        "com.example.app://127.0.0.1/",
    ],
)
def test_other_redirect_uri_is_refused_without_a_redirect(site, uri):
    response = site.authorize(redirect_uri=uri)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")
    assert "Location" not in response.headers


@pytest.mark.parametrize("client_id", [None, "", "nobody", "😀"])
def test_unknown_client_is_refused_without_a_redirect(site, client_id):
    response = site.authorize(client_id=client_id)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_client")
    assert "Location" not in response.headers


def test_refusal_under_the_gateway_has_its_body(site):
    response = site.authorize("/apigateway/authorize", client_id="nobody")

    assert response.status_code == 400
    assert response.json() == {"code": 400, "message": "invalid_client: The client does not exist on this server."}


@pytest.mark.parametrize(
    "scope",
    [
        None,
        "",
        "openid",
        f"openid {VERIFY}",
        f"openid {PURPOSE} dpv:ServiceProvision {VERIFY}",
        f"{PURPOSE}#{VERIFY} dpv:ServiceProvision",
        f"openid {PURPOSE} {PURPOSE} {VERIFY}",
        f"openid dpv: {VERIFY}",
        f"{PURPOSE}",
        f"openid {PURPOSE} number-verification:everything",
        f"openid {PURPOSE} {VERIFY} ñ",
    ],
)
def test_scope_without_one_purpose_and_known_values_is_invalid(site, scope):
    assert site.callback(scope=scope)["error"] == "invalid_scope"


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_scopes_of_every_dialect_are_granted(site, dialect, operation):
    assert site.token_for(dialect, operation)


@pytest.mark.parametrize(
    "pkce",
    [
        CHALLENGE | {"code_challenge_method": "plain"},
        CHALLENGE | {"code_challenge_method": None},  # RFC 7636 section 4.3: plain
        CHALLENGE | {"code_challenge_method": "S512"},
        CHALLENGE | {"code_challenge": "short"},
        CHALLENGE | {"code_challenge": None},
    ],
    ids=["plain", "no method", "unknown method", "short challenge", "no challenge"],
)
def test_pkce_other_than_s256_is_refused(site, pkce):
    assert site.callback(**pkce)["error"] == "invalid_request"


def test_nonce_that_was_used_is_refused(site):
    site.code(nonce="once")

    assert site.callback(nonce="once")["error"] == "invalid_request"


def test_nonce_belongs_to_one_client(site):
    site.code(nonce="once")

    assert "code" in site.callback(nonce="once", client_id="mock_sandbox_app_id")


def test_nonce_of_a_refused_request_may_come_again(sandbox, site):
    sandbox.set(sim=None)
    site.authorize(nonce="once")
    sandbox.set(sim="unset")

    assert "code" in site.callback(nonce="once")


@pytest.mark.parametrize("response_type", [None, "token", "code id_token"])
def test_response_type_other_than_code_is_unsupported(site, response_type):
    assert site.callback(response_type=response_type)["error"] == "unsupported_response_type"


def test_prompt_of_none_and_another_value_is_refused(site):
    assert site.callback(prompt="none login")["error"] == "invalid_request"
