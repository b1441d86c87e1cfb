"""django-oauth-toolkit 3: the site is a provider, and people log in to it by SIM on the way."""

import hashlib
import re
import secrets
from urllib.parse import urlencode

import pytest
import requests

from ..conftest import Page, query_of
from ..hostile.tokens import encode
from .conftest import App, Visitor

VERIFIER = secrets.token_urlsafe(48)
CHALLENGE = encode(hashlib.sha256(VERIFIER.encode()).digest())


@pytest.fixture(scope="module", params=["", "yes"], ids=["after", "before"])
def site(request, serve):
    """The site, its middleware after ours and before."""
    return serve("oauth_toolkit", SITE_EARLY=request.param)


@pytest.fixture(scope="module")
def client(site):
    """A client of it."""
    return register(site)


def register(site):
    """Return a client of the site, which people are led back to at a page that is easily opened."""
    answer = requests.post(f"{site.url}/client/", {"redirect_uri": f"{site.url}/who/"}, timeout=30)
    return {"client_id": answer.text, "redirect_uri": f"{site.url}/who/"}


@pytest.fixture
def asked(client):
    """An authorization request."""
    return request_of(client)


def request_of(client):
    """Return an authorization request with all that a client may send, some of it hard to carry through a login."""
    sent = {"response_type": "code", "scope": "read write", "state": "a&b=c %2F+ñ#" + "x" * 1500}
    return client | sent | {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}


@pytest.fixture
def visitor(site):
    """A browser."""
    return Visitor(site)


def open_authorize(visitor, asked, **more):
    """Open the authorization endpoint, as a client's redirect does; return the last answer."""
    return visitor.get(f"/o/authorize/?{urlencode(asked | more)}")


def allow(visitor, page):
    """Press the button that lets the client in; return the query that it gets."""
    return query_of(visitor.submit(page, {"allow": "Authorize"}).url)


def redeem(site, client, code):
    """Return what the token endpoint answers."""
    sent = client | {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    return requests.post(f"{site.url}/o/token/", sent, timeout=30)


@pytest.mark.parametrize(("order", "told"), [({"SITE_LAST": "yes"}, []), ({}, ["W023"])], ids=["last", "first"])
def test_checks_want_its_backend_after_ours_where_apps_log_in(serve, order, told):
    site = serve("oauth_toolkit", **order)
    Visitor(site).who()
    assert re.findall(r"numverify\.(\w+)", site.log()) == told


def test_client_gets_its_code_by_way_of_a_login_by_sim(site, client, visitor, asked):
    login = open_authorize(visitor, asked)
    assert login.url.startswith(f"{site.url}/numverify/login/?next=")
    page = visitor.submit(login, {"phone_number": "600 000 501"}, "/numverify/")
    assert query_of(page.url) == asked

    given = allow(visitor, page)
    assert (given["state"], visitor.who()["verified"]) == (asked["state"], True)
    told = redeem(site, client, given["code"]).json()
    assert told["scope"] == asked["scope"]
    members = requests.get(
        f"{site.url}/members/", headers={"Authorization": f"Bearer {told['access_token']}"}, timeout=30
    )
    assert members.text == f"members: {visitor.who()['user']}"


def test_who_cannot_prove_a_sim_takes_the_other_way_in_and_comes_back(site, visitor, asked):
    site.make("ana", password="a-password")
    login = open_authorize(visitor, asked)
    failed = visitor.submit(login, {"phone_number": "600 000 513"}, "/numverify/")
    assert "Turn Wi-Fi off" in failed.text
    (way,) = {href for href in Page(failed).addresses() if href.startswith("/enter/")}

    page = visitor.enter("ana", "a-password", way)
    assert query_of(page.url) == asked
    assert allow(visitor, page)["state"] == asked["state"]


def test_who_is_logged_in_by_sim_is_asked_for_consent_alone(visitor, asked, sandbox):
    visitor.log_in("600 000 521")
    sandbox.reset()
    page = open_authorize(visitor, asked)

    assert allow(visitor, page)["state"] == asked["state"]
    assert sandbox.hops() == []


def test_client_that_wants_a_new_login_gets_a_new_proof(visitor, asked, sandbox, site):
    site.make("berta", password="a-password", number="+34600000531")
    visitor.enter("berta", "a-password")
    login = open_authorize(visitor, asked, prompt="login")
    assert "Confirm it&#x27;s you" in login.text or "Confirm it's you" in login.text

    page = visitor.submit(login, {}, "/numverify/")
    assert query_of(page.url) == asked
    assert "verify" in sandbox.hops()


def test_token_is_no_proof(site, client, visitor, asked):
    page = visitor.submit(open_authorize(visitor, asked), {"phone_number": "600 000 541"}, "/numverify/")
    token = redeem(site, client, allow(visitor, page)["code"]).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    answer = requests.get(f"{site.url}/pay/", headers=headers, timeout=30)

    assert (answer.status_code, answer.json()["error"]) == (403, "step_up_required")
    assert visitor.get("/pay/").text == "paid"


@pytest.mark.parametrize(("order", "status"), [({"SITE_LAST": "yes"}, 200), ({}, 503)], ids=["last", "first"])
def test_app_that_shows_a_token_logs_in_where_its_backend_stands_after_ours(serve, sandbox, order, status):
    site = serve("oauth_toolkit", **order)
    client, visitor = register(site), Visitor(site)
    page = visitor.submit(open_authorize(visitor, request_of(client)), {"phone_number": "600 000 551"}, "/numverify/")
    token = redeem(site, client, allow(visitor, page)["code"]).json()["access_token"]
    app = App(site, sandbox, headers={"Authorization": f"Bearer {token}"})

    assert app.log_in("600 000 551").status_code == status
