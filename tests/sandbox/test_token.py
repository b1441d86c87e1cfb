"""Exchanging the code: who the client is, and what the code is good for."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from .relying_party import CALLBACK, CHALLENGE, MOCK, SCOPE, VERIFIER

WAYS = {
    "client_secret_basic": lambda site: {"auth": site.secret},
    "client_secret_post": lambda site: site.posted(),
    "private_key_jwt": lambda site: site.signed(),
}


@pytest.mark.parametrize("way", WAYS)
def test_client_authenticates_in_each_way(sandbox, site, way):
    response = site.exchange(site.code(), **WAYS[way](site))

    assert response.status_code == 200
    assert response.json().keys() == {"access_token", "token_type", "expires_in", "scope", "id_token"}
    assert sandbox.log()[-1]["client_auth"] == way


def test_answer_names_type_lifetime_and_scope_and_is_not_stored(site):
    response = site.exchange(site.code(), auth=site.secret)

    tokens = response.json()
    assert (tokens["token_type"], tokens["expires_in"], tokens["scope"]) == ("Bearer", 300, SCOPE)
    assert response.headers["Cache-Control"] == "no-store"


def test_second_client_authenticates_by_its_secret(site):
    code = site.code(client_id=MOCK[0])

    assert site.exchange(code, auth=MOCK).status_code == 200


@pytest.mark.parametrize("credentials", [("numverify-demo", "wrong"), ("numverify-demo", ""), ("nobody", "wrong")])
def test_wrong_secret_by_basic_is_refused_with_a_challenge(site, credentials):
    response = site.exchange(site.code(), auth=credentials)

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")
    assert response.headers["WWW-Authenticate"].startswith("Basic ")


@pytest.mark.parametrize("secret", ["wrong", "", "ñ"])
def test_wrong_secret_by_post_is_refused(site, secret):
    response = site.exchange(site.code(), client_id=site.secret[0], client_secret=secret)

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


def test_client_that_only_names_itself_is_refused(site):
    response = site.exchange(site.code(), client_id=site.secret[0])

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    "both",
    [
        ["client_secret_basic", "client_secret_post"],
        ["client_secret_basic", "private_key_jwt"],
        ["client_secret_post", "private_key_jwt"],
    ],
    ids=" and ".join,
)
def test_two_ways_at_once_are_refused(site, both):
    ways = WAYS[both[0]](site) | WAYS[both[1]](site)
    response = site.exchange(site.code(), **ways)

    # RFC 6749 section 2.3: one way per request
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_refusal_of_a_client_leaves_its_code_good(site):
    code = site.code()
    site.exchange(code, auth=(site.secret[0], "wrong"))

    assert site.exchange(code, auth=site.secret).status_code == 200


def test_code_is_good_once(site):
    code = site.code()
    site.exchange(code, auth=site.secret)
    response = site.exchange(code, auth=site.secret)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_one_of_ten_racing_exchanges_wins(site):
    code = site.code()

    with ThreadPoolExecutor(10) as pool:
        responses = pool.map(lambda _: site.exchange(code, auth=site.secret), range(10))
        assert sorted(response.status_code for response in responses) == [200] + 9 * [400]


@pytest.mark.parametrize("uri", [None, "", CALLBACK.rstrip("/"), "http://127.0.0.1:8001/numverify/callback/"])
def test_other_redirect_uri_is_refused_and_spends_the_code(site, uri):
    code = site.code()
    response = site.exchange(code, auth=site.secret, redirect_uri=uri)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")
    assert site.exchange(code, auth=site.secret).json()["error"] == "invalid_grant"


def test_code_of_another_client_is_refused(site):
    response = site.exchange(site.code(), auth=MOCK)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_unknown_code_is_refused(site):
    response = site.exchange("made-up", auth=site.secret)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


def test_missing_code_is_an_invalid_request(site):
    response = site.exchange(None, auth=site.secret)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("grant_type", [None, "refresh_token", "client_credentials"])
def test_other_grant_is_unsupported(site, grant_type):
    response = site.exchange(site.code(), auth=site.secret, grant_type=grant_type)

    assert (response.status_code, response.json()["error"]) == (400, "unsupported_grant_type")


def test_verifier_of_the_challenge_is_accepted(site):
    response = site.exchange(site.code(**CHALLENGE), auth=site.secret, code_verifier=VERIFIER)

    assert response.status_code == 200


@pytest.mark.parametrize(
    ("verifier", "error"),
    [(VERIFIER[::-1], "invalid_grant"), (None, "invalid_request"), ("short", "invalid_request")],
    ids=["another", "none", "short"],
)
def test_wrong_verifier_is_refused_and_spends_the_code(site, verifier, error):
    code = site.code(**CHALLENGE)
    response = site.exchange(code, auth=site.secret, code_verifier=verifier)

    assert (response.status_code, response.json()["error"]) == (400, error)
    assert site.exchange(code, auth=site.secret, code_verifier=VERIFIER).json()["error"] == "invalid_grant"


def test_verifier_without_a_challenge_is_refused(site):
    response = site.exchange(site.code(), auth=site.secret, code_verifier=VERIFIER)

    # RFC 9700 section 4.8.2: a PKCE downgrade
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


def test_gateway_exchanges_the_code(site):
    response = site.exchange(site.code(), "/apigateway/token", auth=site.secret)

    assert (response.status_code, response.json()["expires_in"]) == (200, 300)


@pytest.mark.parametrize(("secret", "status"), [(None, 400), ("wrong", 401)], ids=["bad code", "bad client"])
def test_refusal_under_the_gateway_has_its_body(site, secret, status):
    response = site.exchange("made-up", "/apigateway/token", auth=(site.secret[0], secret or site.secret[1]))

    body = response.json()
    assert (response.status_code, body.keys(), body["code"]) == (status, {"code", "message"}, status)
    assert isinstance(body["message"], str)


def test_codes_and_tokens_end_with_a_reset(sandbox, site):
    code = site.code()
    sandbox.reset()

    assert site.exchange(code, auth=site.secret).json()["error"] == "invalid_grant"
