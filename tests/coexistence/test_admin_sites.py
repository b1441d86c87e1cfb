"""An admin of the site's own: in the place of Django's (AdminConfig.default_site), and a second one at another path."""

import csv
import io
import re
from urllib.parse import urlsplit

import pytest

from ..conftest import Page
from .conftest import Visitor

ROOT = {"username": "root", "password": "a-password"}
NUMBER = "600 000 001"
SITES = {"admin": "/admin/", "desk": "/desk/"}
BOTH = pytest.mark.parametrize("base", SITES.values(), ids=SITES)


@pytest.fixture(scope="module")
def site(serve):
    """The site, with a login that was verified and one that was not."""
    served = serve("staff")
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


def audit(base):
    return f"{base}numverify_django/verificationattempt/"


def admins_on(page):
    """Return the admin sites that a page leads to."""
    paths = [urlsplit(address).path for address in Page(page).addresses()]
    return {base for base in SITES.values() for path in paths if path.startswith(base)}


def rows_on(page):
    return len(re.findall('<a class="numverify-code"', page.text))


def test_site_has_its_own_admin_where_djangos_would_be(site):
    assert "Riverside&#x27;s back room" in Visitor(site).get("/admin/login/").text


@BOTH
def test_every_page_leads_to_its_own_admin_alone(clerk, base):
    listed = clerk.get(audit(base))
    shown = clerk.get(re.search(rf"{audit(base)}[0-9]+/change/", listed.text)[0])
    others = [clerk.get(f"{audit(base)}summary/"), clerk.get(f"{base}numverify_django/verifiednumber/")]

    assert [admins_on(page) for page in (listed, shown, *others)] == [{base}] * 4
    assert rows_on(listed) == 2
    assert "x-correlator" in shown.text


@BOTH
def test_summary_counts_and_leads_to_the_list(clerk, base):
    page = clerk.get(f"{audit(base)}summary/?window=7d")
    assert "<b>2</b> attempts, <b>50.0%</b> verified" in " ".join(page.text.split())
    (link,) = [address for address in Page(page).addresses() if address == f"{audit(base)}?since=7d"]

    assert rows_on(clerk.get(link)) == 2


@BOTH
def test_filters_filter(clerk, base):
    page = clerk.get(audit(base), params={"outcome__exact": "mismatch"})

    assert (rows_on(page), page.url) == (1, f"{page.url.partition(base)[0]}{audit(base)}?outcome__exact=mismatch")


@BOTH
def test_export_is_of_the_list_as_it_is_filtered(clerk, base):
    listed = clerk.get(audit(base), params={"outcome__exact": "verified"})
    (row,) = csv.DictReader(io.StringIO(clerk.submit(listed, {}, "/export/").text))

    assert (row["outcome"], row["number"]) == ("verified", "•••01")
    assert "<td>outcome: Verified</td>" in clerk.get(f"{audit(base)}summary/").text


@BOTH
def test_search_finds_by_number_and_by_reference(clerk, site, base):
    listed = clerk.get(audit(base))
    found = clerk.submit(listed, {"term": NUMBER}, "/search/")
    assert (rows_on(found), urlsplit(found.url).path) == (1, audit(base))
    ((reference,),) = site.rows("SELECT reference FROM numverify_django_verificationattempt WHERE outcome = 'mismatch'")
    found = clerk.submit(listed, {"term": reference}, "/search/")

    assert (rows_on(found), urlsplit(found.url).path) == (1, audit(base))


def test_reference_of_a_code_is_found_where_its_audit_is(clerk, site):
    """The desk has no audit of codes: there it is not found, and nothing breaks."""
    asker = Visitor(site)
    asker.submit(asker.get("/numverify/code/"), {"phone_number": "600 000 003"})
    ((reference,),) = site.rows("SELECT reference FROM numverify_otp_codelogin")
    found, missing = (clerk.submit(clerk.get(audit(base)), {"term": reference}, "/search/") for base in SITES.values())

    assert (found.status_code, urlsplit(found.url).path) == (200, "/admin/numverify_otp/codelogin/")
    assert (missing.status_code, urlsplit(missing.url).path) == (200, audit("/desk/"))
    assert "Nothing matches." in missing.text
