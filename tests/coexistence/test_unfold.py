"""Unfold in the place of Django's admin: our model admins as they are, and as Unfold's documentation has them."""

import csv
import io
import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect, sync_playwright

from ..browser.conftest import FLAGS
from ..conftest import CHROMIUM, IS_CI, MISSING, Page
from .conftest import Visitor

ROOT = {"username": "root", "password": "a-password"}
NUMBER = "600 000 001"
AUDIT, NUMBERS = "/admin/numverify_django/verificationattempt/", "/admin/numverify_django/verifiednumber/"


@pytest.fixture(scope="module", params=["plain", "unfold"])
def site(request, serve):
    """The site, with a login that was verified and one that was not."""
    served = serve("unfold_admin", SITE_ADMINS=request.param)
    served.admins = request.param
    served.make(ROOT["username"], password=ROOT["password"], is_staff=True, is_superuser=True)
    Visitor(served).log_in(NUMBER)
    Visitor(served).log_in("600 000 002")
    return served


@pytest.fixture
def clerk(site):
    """A browser of somebody who may see everything."""
    visitor = Visitor(site)
    visitor.submit(visitor.get("/admin/login/"), ROOT)
    return visitor


def rows_on(page):
    return len(re.findall('<a class="numverify-code"', page.text))


def test_pages_are_unfolds_and_complete(clerk, site):
    ((account,),) = site.rows("SELECT user_id FROM numverify_django_verifiednumber")
    listed = clerk.get(AUDIT)
    shown = clerk.get(re.search(rf"{AUDIT}[0-9]+/change/", listed.text)[0])
    paths = [f"{AUDIT}summary/", NUMBERS, f"/admin/auth/user/{account}/change/"]
    summary, numbers, person = (clerk.get(path) for path in paths)

    for page in (listed, shown, summary, numbers, person):
        assert (page.status_code, "unfold/css/styles" in page.text) == (200, True), page.url
        assert "numverify/admin.css" in page.text or page is numbers, page.url
    assert rows_on(listed) == 2
    assert "x-correlator" in shown.text
    assert "<b>2</b> attempts, <b>50.0%</b> verified" in " ".join(summary.text.split())
    assert "•••01" in numbers.text
    assert "•••01" in person.text
    assert ("<label>Reference:</label>" in shown.text) is (site.admins == "plain")  # Unfold's own have a class
    assert not any(name in shown.text for name in ('name="_save"', 'name="outcome"'))


def test_filters_are_offered_and_filter(clerk):
    offered = [address for address in Page(clerk.get(AUDIT)).addresses() if address.startswith("?")]
    assert {"?outcome__exact=mismatch", "?since=24h", "?operator=sandbox", "?reason__exact=number_mismatch"} <= {
        *offered
    }

    assert [rows_on(clerk.get(AUDIT + query)) for query in ("?outcome__exact=mismatch", "?since=24h")] == [1, 2]


def test_export_is_of_the_list_as_it_is_filtered(clerk):
    listed = clerk.get(AUDIT, params={"outcome__exact": "verified"})
    (row,) = csv.DictReader(io.StringIO(clerk.submit(listed, {}, "/export/").text))

    assert (row["outcome"], row["number"]) == ("verified", "•••01")
    assert "<td>outcome: Verified</td>" in clerk.get(f"{AUDIT}summary/").text


def test_search_finds_a_number_that_stands_in_no_address(clerk):
    found = clerk.submit(clerk.get(AUDIT), {"term": NUMBER}, "/search/")

    assert (rows_on(found), urlsplit(found.url).query.partition("=")[0]) == (1, "found")


@pytest.fixture(scope="module")
def chromium():
    """A real browser, whose event loop ends with this module: nothing of Django runs here."""
    if CHROMIUM is None:
        (pytest.fail if IS_CI else pytest.skip)(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def test_person_searches_filters_and_exports(chromium, site):
    """Unfold takes the browser's own look from fields and buttons: what we add is to be seen all the same."""
    page, problems = chromium.new_page(viewport={"width": 1280, "height": 800}), []
    page.set_default_timeout(15_000)
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{site.url}/admin/login/?next={AUDIT}")
    page.locator("[name=username]").fill(ROOT["username"])
    page.locator("[name=password]").fill(ROOT["password"])
    page.locator("[name=password]").press("Enter")
    page.wait_for_url(f"**{AUDIT}")
    for field in ("[name=term]", "[value=Search]", "[value='Export CSV']"):
        assert page.locator(field).evaluate("field => getComputedStyle(field).borderTopWidth") == "1px"

    page.locator("[name=term]").fill(NUMBER)
    page.locator("[name=term]").press("Enter")
    page.wait_for_url("**/?found=*")
    expect(page.locator("a.numverify-code")).to_have_count(1)
    page.goto(site.url + AUDIT)
    page.locator("a").filter(has_text="Filters").click()
    page.locator("a[href='?outcome__exact=mismatch']").click()
    page.wait_for_url("**/?outcome__exact=mismatch")
    with page.expect_download() as download:
        page.locator("[value='Export CSV']").click()
    assert download.value.suggested_filename.endswith(".csv")
    page.close()
    assert problems == []
