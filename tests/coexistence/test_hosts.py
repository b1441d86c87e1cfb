"""Several sites in one process, told apart by the request's host: django.contrib.sites without SITE_ID.

The text message of a code names the host that it was asked at: tests/otp/test_codes.py.
"""

from urllib.parse import urlsplit

import pytest
import requests

from .conftest import Visitor
from .halfway import start

LOGIN = "/numverify/login/"
NAMES = {"127.0.0.1": "Riverside", "localhost": "Hillside"}
HOSTS = pytest.mark.parametrize(("here", "there"), [("127.0.0.1", "localhost"), ("localhost", "127.0.0.1")])


def at(url, host):
    """Return ``url`` at another host of the same port."""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{host}:{parts.port}").geturl()


@pytest.fixture(scope="module")
def sites(serve):
    """Both sites, each named."""
    served = serve("clubs")
    for host, name in NAMES.items():
        requests.post(f"{at(served.url, host)}/found/", {"name": name}, timeout=30).raise_for_status()
    return served


def visit(sites, host):
    """Return a browser in front of the site at ``host``."""
    visitor = Visitor(sites)
    visitor.site = at(sites.url, host)
    return visitor


@HOSTS
def test_pages_have_the_name_of_their_site(sites, here, there):
    page = visit(sites, here).get(LOGIN).text

    assert f"<title>Log in with your phone - {NAMES[here]}</title>" in " ".join(page.split())
    assert NAMES[there] not in page


@HOSTS
def test_login_comes_back_to_the_host_that_it_began_on(sites, here, there):
    visitor = visit(sites, here)
    asked, callback = start(visitor)
    assert asked["redirect_uri"] == f"{at(sites.url, here)}/numverify/callback/"

    assert visitor.get(callback).url == f"{visitor.site}/who/"
    assert visitor.who()["number"] == "+34600000001"
    assert visitor.get(f"{at(sites.url, there)}/who/").json()["user"] is None


@HOSTS
def test_login_that_began_on_one_host_does_not_end_on_another(sites, here, there):
    visitor, other = visit(sites, here), visit(sites, there)
    other._http = visitor._http  # one browser
    _, callback = start(visitor)
    start(other)  # so that it has a session there too
    before = sites.outcomes()
    answer = visitor.get(at(callback, there))
    assert (answer.status_code, "This login is no longer open" in answer.text) == (400, True)
    assert (visitor.who()["user"], other.who()["user"]) == (None, None)
    assert sites.outcomes() == before  # nothing was spent

    assert visitor.get(callback).url == f"{visitor.site}/who/"
    assert visitor.who()["verified"] is True
    assert other.who()["user"] is None


@HOSTS
def test_next_leads_to_no_other_site(sites, here, there):
    visitor = visit(sites, here)
    _, callback = start(visitor, next=f"{at(sites.url, there)}/members/")

    assert visitor.get(callback).url == f"{visitor.site}/who/"


def test_host_that_nobody_founded_is_called_by_its_name(serve):
    served = serve("clubs", SITE_HOSTS="127.0.0.1")
    page = Visitor(served).get(LOGIN).text

    assert urlsplit(served.url).netloc in page


# REDIRECT_URI of an operator is one host's: what begins elsewhere comes back to a host without its session.
CALLBACK = "http://127.0.0.1/numverify/callback/"


@pytest.fixture(scope="module")
def bound(serve):
    """The sites with one callback for all of them."""
    return serve("clubs", SITE_REDIRECT_URI=CALLBACK)


def test_one_callback_for_all_is_warned_of(bound, sites):
    Visitor(bound).get("/who/")
    assert "(numverify.W033) Logins that begin on another host" in bound.log()
    assert "HINT: Remove NUMVERIFY['OPERATORS']['sandbox']['REDIRECT_URI']" in bound.log()
    assert "numverify." not in sites.log()


def test_one_callback_for_all_ends_no_login_of_another_host(bound):
    visitor = visit(bound, "localhost")
    _, callback = start(visitor)
    assert callback.startswith(f"{CALLBACK}?")
    answer = visitor.get(bound.url + callback.removeprefix("http://127.0.0.1"))

    assert (answer.status_code, "This login is no longer open" in answer.text) == (400, True)


CURES = [{"SITE_ID": "1"}, {"SITE_HOSTS": "127.0.0.1"}, {"SITE_COOKIE_DOMAIN": "club.example"}]


@pytest.mark.parametrize("cure", CURES, ids=lambda cure: next(iter(cure)))
def test_one_callback_is_not_warned_of_where_it_works(serve, cure):
    served = serve("clubs", SITE_REDIRECT_URI=CALLBACK, **cure)
    Visitor(served).get("/who/")

    assert "no issues" in served.log()
