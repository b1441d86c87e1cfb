"""A site under a path of its host: as its server says (SCRIPT_NAME), and as the setting where a proxy hides it."""

import re
from urllib.parse import urlsplit

import pytest
from django.test import RequestFactory
from django.test.utils import override_script_prefix

from numverify_django import pages

from ..conftest import Page, query_of
from ..qr.test_journey import desktop  # noqa: F401
from .conftest import Visitor
from .proxy import Proxy

NUMBER = "600 000 001"
PREFIX = "/club"
AUDIT = "/admin/numverify_django/verificationattempt/"
JSON = {"Accept": "application/json"}


@pytest.fixture(scope="module", params=["SCRIPT_NAME", "FORCE_SCRIPT_NAME"])
def site(request, serve):
    """The site, at ``url`` with its path."""
    if request.param == "SCRIPT_NAME":
        served = serve("prefixed", SCRIPT_NAME=PREFIX)
        if not served.url.endswith(PREFIX):
            served.url += PREFIX
        yield served
        return
    served = serve("prefixed", SITE_SCRIPT_NAME=PREFIX)
    inside, proxy = served.url, Proxy(served.url, PREFIX)
    served.url = proxy.url
    yield served
    served.url = inside
    proxy.stop()


@pytest.fixture
def visitor(site):
    """A browser in front of it."""
    return Visitor(site)


def log_in(visitor, number=NUMBER, **fields):
    """Send the login page's form; return the last answer."""
    return visitor.submit(visitor.get("/numverify/login/"), {"phone_number": number, **fields})


def leads_out(page):
    """Return the addresses on ``page`` that lead to this host and out of the site."""
    addresses = (urlsplit(address) for address in Page(page).addresses())
    here = [address.path for address in addresses if not address.netloc and address.path.startswith("/")]
    assert here
    return [path for path in here if not f"{path}/".startswith(f"{PREFIX}/")]


def test_login_comes_back_to_the_prefix(visitor, site):
    page = log_in(visitor)
    asked = next(hop.headers["Location"] for hop in page.history if "client_id=" in hop.headers["Location"])

    assert query_of(asked)["redirect_uri"] == f"{site.url}/numverify/callback/"
    assert page.url == f"{site.url}/who/"
    assert visitor.who()["number"] == "+34600000001"


def test_pages_lead_and_load_nothing_outside(visitor):
    failed = log_in(visitor, "600 000 002")  # which the sandbox does not confirm
    assert urlsplit(failed.url).path == f"{PREFIX}/numverify/failed/"
    log_in(visitor)
    paths = ["login/", "login/?confirm=yes", "numbers/", "numbers/add/", "callback/?state=unknown"]
    answers = [failed, *(visitor.get(f"/numverify/{path}") for path in paths)]

    assert [leads_out(answer) for answer in answers] == [[]] * len(answers)
    loaded = [address for answer in answers for address in Page(answer).addresses() if "/numverify.css" in address]
    assert set(loaded) == {f"{PREFIX}/static/numverify/numverify.css"}


def test_admin_leads_and_loads_nothing_outside(visitor, site):
    site.make("root", password="a-password", is_staff=True, is_superuser=True)
    visitor.submit(visitor.get("/admin/login/"), {"username": "root", "password": "a-password"})
    log_in(Visitor(site))
    listed = visitor.get(AUDIT)
    shown = visitor.get(f"{AUDIT}{re.search('verificationattempt/([0-9]+)/change/', listed.text)[1]}/change/")
    summary = visitor.get(f"{AUDIT}summary/")

    assert [leads_out(answer) for answer in (listed, shown, summary)] == [[], [], []]
    assert visitor.submit(listed, {"term": NUMBER}, "/search/").url.startswith(f"{listed.url}?found=")
    assert visitor.submit(listed, {}, "/export/").headers["Content-Type"].startswith("text/csv")


def test_step_up_comes_back_to_its_page(visitor, site):
    page = visitor.get("/pay/")
    assert page.url == f"{site.url}/numverify/login/?next={PREFIX}/pay/"
    answer = visitor.submit(page, {"phone_number": NUMBER})

    assert (answer.url, answer.text) == (f"{site.url}/pay/", "paid")


def test_application_is_told_addresses_with_the_prefix(visitor, site):
    form = visitor.get("/numverify/login/", headers=JSON).json()
    sent = {"phone_number": NUMBER, "csrfmiddlewaretoken": form["csrf_token"]}
    started = visitor._http.post(f"{site.url}/numverify/login/", sent, headers=JSON | {"Referer": site.url}, timeout=30)
    callback = visitor.get(started.json()["authorization_url"], allow_redirects=False).headers["Location"]
    assert callback.startswith(f"{site.url}/numverify/callback/?")
    assert visitor.get(callback, headers=JSON).json()["next"] == f"{PREFIX}/who/"

    again = {"next": f"{PREFIX}/pay/", "csrfmiddlewaretoken": visitor._http.cookies["csrftoken"]}
    told = visitor._http.post(f"{site.url}/numverify/login-again/", again, headers=JSON, timeout=30).json()
    assert told["next"] == f"{PREFIX}/numverify/login/?next={PREFIX}/pay/"


def test_next_outside_the_prefix_is_on_this_host_and_allowed(visitor, site):
    """Django tells sites apart by their hosts, and so do we: what else is on the host is trusted as much."""
    page = visitor.submit(visitor.get("/numverify/login/?next=/other/"), {"phone_number": NUMBER})

    assert page.history[-1].headers["Location"] == "/other/"


def test_qr_code_has_the_prefix(desktop):  # noqa: F811
    """In this process: a QR code is a picture, whose text only the view knows."""
    with override_script_prefix(f"{PREFIX}/"):
        assert desktop.client.post("/numverify/qr/", {"phone_number": NUMBER, "operation": "verify"}).status_code == 302
        shown = desktop.client.get("/numverify/qr/").context["phone_url"]

    assert shown.startswith(f"http://127.0.0.1{PREFIX}/numverify/qr/")


def test_home_of_a_site_without_one_is_under_the_prefix(settings):
    settings.LOGIN_REDIRECT_URL = "no-such-url"
    with override_script_prefix(f"{PREFIX}/"):
        assert pages.safe_next(RequestFactory().get("/"), "") == f"{PREFIX}/"
