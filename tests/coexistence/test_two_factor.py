"""django-two-factor-auth 1.18: its login, its pages and its tokens beside ours."""

import re

import pytest

from .conftest import Visitor
from .test_otp import give_device, token

LOGIN = "/account/login/"


@pytest.fixture(scope="module", params=["", "yes"], ids=["after", "before"])
def site(request, serve):
    """The site, with the middleware of django-otp after ours and before."""
    return serve("two_factor", SITE_EARLY=request.param)


@pytest.fixture
def visitor(site):
    """A browser."""
    return Visitor(site)


def log_in(visitor, name, page):
    """Log in with password and token on the pages of django-two-factor-auth; return the last answer."""
    page = visitor.submit(page, {"auth-username": name, "auth-password": "a-password"})
    return visitor.submit(page, {"token-otp_token": token()})


def test_checks_tell_of_the_token_alone(site):
    Visitor(site).who()
    assert re.findall(r"numverify\.(\w+)", site.log()) == ["W038"]


def test_login_by_sim_opens_the_profile_and_is_no_second_factor(visitor, site):
    visitor.log_in("600 000 801")
    assert visitor.get("/account/two_factor/").status_code == 200
    assert visitor.who()["verified"] is True

    assert visitor.get("/secret/").url == f"{site.url}{LOGIN}?next=/secret/"


def test_password_and_token_log_in_and_the_sim_is_asked_for_apart(visitor, site):
    give_device(site, site.make("ana", password="a-password", number="+34600000811"))
    page = visitor.get("/pay/")
    assert page.url.startswith(f"{site.url}{LOGIN}")

    assert log_in(visitor, "ana", page).text == "paid"
    assert visitor.get("/secret/").text == "secret of ana"


def test_token_after_a_login_by_sim_keeps_the_proof(visitor, site):
    give_device(site, site.make("berta", password="a-password", number="+34600000821"))
    visitor.log_in("600 000 821")
    page = visitor.get("/secret/")

    assert log_in(visitor, "berta", page).text == "secret of berta"
    assert visitor.who()["verified"] is True


def test_half_a_login_there_is_not_completed_by_a_sim(visitor, site):
    give_device(site, site.make("carla", password="a-password"))
    visitor.submit(visitor.get(LOGIN), {"auth-username": "carla", "auth-password": "a-password"})
    visitor.log_in("600 000 831")

    assert visitor.who()["number"] == "+34600000831"
    assert visitor.who()["user"] != "carla"
