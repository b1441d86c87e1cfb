"""django-otp 1.6: a SIM is no token, a token is no SIM, and a site may want both."""

import re

import pytest
import requests
from django_otp.oath import totp

from .conftest import Visitor

KEY = "0123456789abcdef0123456789abcdef01234567"


def give_device(site, user):
    """Give the account a device; return its name."""
    return requests.post(f"{site.url}/device/", {"user": user, "key": KEY}, timeout=30).text


def token():
    """Return what the device shows now."""
    return f"{totp(bytes.fromhex(KEY)):06}"


@pytest.fixture(scope="module", params=["", "yes"], ids=["after", "before"])
def site(request, serve):
    """The site, which asks for a token where a page wants one, its middleware after ours and before."""
    return serve("otp", SITE_EARLY=request.param)


@pytest.fixture(scope="module")
def careful(serve):
    """The site, whose LOGIN_POLICY has a login by SIM wait for the token."""
    return serve("otp", SITE_POLICY="yes")


@pytest.fixture
def visitor(site):
    """A browser."""
    return Visitor(site)


def test_checks_tell_of_the_token_alone(site):
    Visitor(site).who()
    assert re.findall(r"numverify\.(\w+)", site.log()) == ["W038"]


def test_checks_have_nothing_to_say_of_a_site_with_a_policy(careful):
    Visitor(careful).who()
    assert "numverify." not in careful.log()


def test_login_by_sim_is_no_token(visitor, site):
    user = site.make("ana", number="+34600000701")
    name = give_device(site, user)
    visitor.log_in("600 000 701")
    page = visitor.get("/secret/")
    assert page.url == f"{site.url}/token/?next=/secret/"

    answer = visitor.submit(page, {"otp_device": name, "otp_token": token()})
    assert answer.text == "secret of ana"
    assert visitor.who()["verified"] is True


def test_token_is_no_sim(visitor, site):
    user = site.make("berta", password="a-password", number="+34600000711")
    name = give_device(site, user)
    visitor.enter("berta", "a-password")
    assert visitor.submit(visitor.get("/secret/"), {"otp_device": name, "otp_token": token()}).text == "secret of berta"
    assert visitor.who()["verified"] is False

    assert visitor.get("/pay/").text == "paid"
    assert visitor.get("/secret/").text == "secret of berta"


def test_login_that_waits_for_the_token_is_complete_after_it(careful):
    user = careful.make("carla", number="+34600000721")
    name = give_device(careful, user)
    visitor = Visitor(careful)
    page = visitor.log_in("600 000 721")
    assert page.url.startswith(f"{careful.url}/second/")
    assert visitor.who()["user"] is None

    assert visitor.submit(page, {"otp_device": name, "otp_token": token()}).text == "secret of carla"
    assert (visitor.who()["user"], visitor.who()["verified"]) == ("carla", True)


def test_wrong_token_completes_nothing(careful):
    user = careful.make("dora", number="+34600000731")
    name = give_device(careful, user)
    visitor = Visitor(careful)
    page = visitor.log_in("600 000 731")
    visitor.submit(page, {"otp_device": name, "otp_token": "000000" if token() != "000000" else "000001"})

    assert visitor.who()["user"] is None


def test_account_without_a_device_waits_for_nothing(careful):
    visitor = Visitor(careful)
    visitor.log_in("600 000 741")

    assert visitor.who()["verified"] is True


def test_policy_that_wants_a_token_lets_who_gave_it_confirm(careful):
    user = careful.make("flora", password="a-password", number="+34600000761")
    name = give_device(careful, user)
    visitor = Visitor(careful)
    visitor.enter("flora", "a-password")
    visitor.submit(visitor.get("/secret/"), {"otp_device": name, "otp_token": token()})

    assert visitor.get("/pay/").text == "paid"
    assert visitor.who()["verified"] is True


def test_policy_that_wants_a_token_refuses_to_confirm_by_sim_alone(careful):
    user = careful.make("eva", password="a-password", number="+34600000751")
    give_device(careful, user)
    visitor = Visitor(careful)
    visitor.enter("eva", "a-password")

    assert visitor.get("/pay/").text != "paid"
    assert careful.outcomes()[-1] == ("refused", "policy_refused")
