"""Sessions in Redis and in signed cookies: a whole login, step-up and logout; what was used once is refused again.

Sessions that are lost on the way, of each engine, are test_br_14 in tests/hostile.
"""

import pytest

from ..servers.conftest import redis_url  # noqa: F401
from .conftest import Visitor
from .halfway import start

NUMBER = "600 000 001"


@pytest.fixture(scope="module", params=["cache", "signed_cookies"])
def site(request, serve, redis_url):  # noqa: F811
    """The site; its cache is in Redis."""
    return serve("sessions", SITE_SESSIONS=request.param, SITE_REDIS=redis_url)


@pytest.fixture
def visitor(site):
    """A browser in front of it."""
    return Visitor(site)


def copied(visitor, site):
    """Return another browser with the cookies that ``visitor`` has now."""
    thief = Visitor(site)
    thief._http.cookies.update(visitor._http.cookies)
    return thief


def test_login_and_logout(visitor, site):
    assert visitor.log_in(NUMBER).url == f"{site.url}/who/"
    assert visitor.who()["number"] == "+34600000001"
    assert visitor.post("/logout/", {}, page="/who/").url == f"{site.url}/who/"

    assert (visitor.who()["user"], visitor.who()["verified"]) == (None, False)


def test_step_up_confirms_and_comes_back(visitor, site):
    site.make("maria", password="a-password", number="+34600000011")
    visitor.submit(visitor.get("/enter/"), {"username": "maria", "password": "a-password"})
    assert visitor.who() | {"backend": ""} == {"user": "maria", "backend": "", "verified": False, "number": None}
    answer = visitor.get("/pay/")

    assert (answer.url, answer.text) == (f"{site.url}/pay/", "paid")
    assert visitor.who()["number"] == "+34600000011"


def test_failure_is_told_to_its_browser_and_tried_again(visitor, site):
    failed = visitor.log_in("600 000 002")
    assert "We couldn't log you in with this number" in failed.text

    assert Visitor(site).get(failed.url).status_code == 404


def test_callback_is_used_once(visitor, site):
    _, callback = start(visitor)
    assert visitor.get(callback).url == f"{site.url}/who/"
    before = site.outcomes()
    again = visitor.get(callback)

    assert (again.status_code, "You're already logged in" in again.text) == (409, True)
    assert site.outcomes() == before


def test_callback_with_the_cookies_of_before_is_used_once(visitor, site):
    """A signed cookie that was kept is a session that has not been used yet, and the callback is spent all the same."""
    _, callback = start(visitor)
    thief = copied(visitor, site)
    visitor.get(callback)
    visitor.post("/logout/", {}, page="/who/")
    before = site.outcomes()
    again = thief.get(callback)

    assert (again.status_code, "This login is no longer open" in again.text) in [(400, True), (410, True)]
    assert thief.who()["user"] is None
    assert site.outcomes() == before


def test_form_that_was_stopped_is_told_once(visitor, site):
    site.make("anna", password="a-password", number="+34600000021")
    visitor.submit(visitor.get("/enter/"), {"username": "anna", "password": "a-password"})
    stopped = visitor.post("/pay/", {}, page="/enter/")
    assert "Confirm it's you" in stopped.text
    confirmed = visitor.submit(stopped)
    assert "Confirmed. Now send it again" in confirmed.text

    assert visitor.get(confirmed.url).url == f"{site.url}/pay/"
