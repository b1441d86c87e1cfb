"""The site that all others add to."""

import pytest

from .conftest import Visitor

MODEL = "django.contrib.auth.backends.ModelBackend"
NUMBER = "600 000 001"


@pytest.fixture(scope="module")
def site(serve):
    """The site."""
    return serve("base")


def test_new_site_logs_in_by_sim(site):
    visitor = Visitor(site)
    assert visitor.log_in(NUMBER).url == f"{site.url}/who/"

    found = visitor.who()
    assert (found["verified"], found["number"]) == (True, "+34600000001")
    assert "numverify." not in site.log()  # the checks have nothing to say


def test_account_with_a_password_confirms_its_number_and_pays(site):
    site.make("maria", password="a-password", number="+34600000021")
    visitor = Visitor(site)
    visitor.enter("maria", "a-password")
    assert visitor.who() == {"user": "maria", "backend": MODEL, "verified": False, "number": None}

    assert visitor.get("/pay/").text == "paid"
    assert visitor.who() == {"user": "maria", "backend": MODEL, "verified": True, "number": "+34600000021"}


def test_number_that_is_not_the_sims_logs_nobody_in(site):
    visitor = Visitor(site)
    answer = visitor.log_in("600 000 002")

    assert "We couldn't log you in with this number" in answer.text
    assert visitor.who()["user"] is None
    assert site.outcomes()[-1] == ("mismatch", "number_mismatch")


def test_page_for_members_leads_through_the_login_and_back_with_its_query(site):
    visitor = Visitor(site)
    page = visitor.get("/members/?a=1&b=%26")
    answer = visitor.submit(page, {"phone_number": "600 000 031"}, "/numverify/login/")

    assert answer.url == f"{site.url}/members/?a=1&b=%26"
    assert answer.text.startswith("members: ")
