"""django-allauth 65: passwords and social logins beside ours."""

import re

import pytest
import requests

from .conftest import Visitor

OURS = "numverify_django.backends.NumberVerificationBackend"
THEIRS = "allauth.account.auth_backends.AuthenticationBackend"
PASSWORD = "a-password-of-allauth"


@pytest.fixture(params=["allauth", "allauth_first"])
def site(request, serve, running_provider):
    """The site, with its backend after ours and before."""
    return serve(request.param, SITE_PROVIDER=running_provider.url)


@pytest.fixture
def visitor(site):
    """A browser."""
    return Visitor(site)


def sign_up(visitor, name):
    """Make an account with a password on allauth's page, and be logged in."""
    form = {"username": name, "email": f"{name}@example.com", "password1": PASSWORD, "password2": PASSWORD}
    return visitor.submit(visitor.get("/accounts/signup/?next=/who/"), form, "/accounts/signup/")


def log_in(visitor, name, next_url="/who/"):
    """Log in with the password on allauth's page."""
    page = visitor.get(f"/accounts/login/?next={next_url}")
    return visitor.submit(page, {"login": name, "password": PASSWORD}, "/accounts/login/")


def sign_on(visitor):
    """Log in at the provider, by the button of allauth's page."""
    return visitor.submit(visitor.get("/accounts/oidc/provider/login/?next=/who/"))


def checked(site):
    """Return what the checks say of the site: id -> message with its hint."""
    Visitor(site).who()
    return dict(re.findall(r"\(numverify\.(\w+)\) (.+\n.+)", site.log()))


def test_checks_tell_of_what_the_site_does_nothing_about(site):
    told = checked(site)
    assert sorted(told) == ({"allauth": ["W038", "W039"], "allauth_first": []}[site.name])
    if told:
        assert "second factor of allauth.mfa." in told["W038"]
        assert "LOGIN_POLICY" in told["W038"]
        assert told["W039"].startswith("allauth.mfa: accounts that began with a number")
        assert "ACCOUNT_ADAPTER" in told["W039"]


def test_checks_fear_for_no_accounts_where_none_begins_with_a_number(serve, running_provider):
    assert [*checked(serve("allauth", SITE_PROVIDER=running_provider.url, SITE_UNKNOWN="deny"))] == ["W038"]


def test_account_of_a_sim_is_turned_away_from_what_the_check_tells_of(serve, running_provider):
    site = serve("allauth", SITE_PROVIDER=running_provider.url, SITE_UNKNOWN="create")
    site.may_fail = True  # the log tells of the refusal
    visitor = Visitor(site)
    visitor.log_in("600 000 391")
    assert visitor.get("/accounts/2fa/totp/activate/").status_code == 403


def test_login_by_sim_leaves_allauths_pages_open(visitor, provider):
    visitor.log_in("600 000 301")
    pages = {path: visitor.get(f"/accounts/{path}/").status_code for path in ("email", "password/set", "3rdparty")}

    assert visitor.who()["backend"] == OURS
    assert set(pages.values()) == {200}
    assert provider.received == []


def test_account_of_a_sim_sets_a_password_and_logs_in_by_it(visitor, site):
    visitor.log_in("600 000 311")
    account = visitor.who()["user"]
    page = visitor.get("/accounts/password/set/")
    visitor.submit(page, {"password1": PASSWORD, "password2": PASSWORD}, "/accounts/password/set/")

    later = Visitor(site)
    log_in(later, account)
    assert (later.who()["user"], later.who()["verified"]) == (account, False)


def test_account_with_a_password_proves_its_first_number_and_logs_in_by_it(visitor, site):
    sign_up(visitor, "ana")
    page = visitor.get("/pay/")
    number = "+34600000321"
    assert visitor.submit(page, {"phone_number": number}, "/numverify/").text == "paid"

    later = Visitor(site)
    later.log_in(number)
    assert later.who() == {"user": "ana", "backend": OURS, "verified": True, "number": number}


def test_password_login_is_led_on_to_the_operator_and_back(visitor, site):
    number = "+34600000341"
    site.make("berta", password=PASSWORD, number=number)
    page = visitor.get("/pay/")
    assert page.url.startswith(f"{site.url}/accounts/login/")

    assert log_in(visitor, "berta", "/pay/").text == "paid"
    assert visitor.who()["number"] == number


def test_social_login_proves_its_first_number_and_logs_in_by_it(visitor, provider, site, sandbox):
    provider.sign_in("carla")
    sign_on(visitor)
    account = visitor.who()
    assert (account["backend"], account["verified"], sandbox.hops()) == (THEIRS, False, [])
    number = "+34600000361"
    assert visitor.submit(visitor.get("/pay/"), {"phone_number": number}, "/numverify/").text == "paid"

    later = Visitor(site)
    later.log_in(number)
    assert (later.who()["user"], later.who()["backend"]) == (account["user"], OURS)


def test_account_of_a_sim_connects_a_social_account_and_logs_in_by_it(visitor, provider, site):
    visitor.log_in("600 000 381")
    account = visitor.who()["user"]
    provider.sign_in("dora")
    visitor.submit(visitor.get("/accounts/oidc/provider/login/?process=connect&next=/who/"))
    assert visitor.who()["verified"] is True

    later = Visitor(site)
    sign_on(later)
    assert (later.who()["user"], later.who()["verified"]) == (account, False)


def test_allauths_logout_ends_the_proof(visitor):
    visitor.log_in("600 000 411")
    visitor.submit(visitor.get("/accounts/logout/"), {}, "/accounts/logout/")

    assert visitor.who() == {"user": None, "backend": None, "verified": False, "number": None}


@pytest.fixture
def cautious(serve, running_provider):
    """A browser in front of the site with ACCOUNT_REAUTHENTICATION_REQUIRED."""
    return Visitor(serve("allauth_first", SITE_PROVIDER=running_provider.url))


def add_address(visitor, name):
    """Add an e-mail address on allauth's page; return the last answer."""
    form = {"email": f"{name}@example.com", "action_add": ""}
    return visitor.submit(visitor.get("/accounts/email/"), form, "/accounts/email/")


def test_page_that_wants_to_know_again_who_is_there_takes_a_fresh_proof(cautious):
    cautious.log_in("600 000 401")
    assert "greta@example.com" in add_address(cautious, "greta").text


def test_account_without_a_password_is_asked_for_its_phone_and_comes_back(cautious):
    cautious.log_in("600 000 411")
    cautious.get("/forget/")
    page = add_address(cautious, "hedwig")
    assert page.url.endswith("/numverify/login/?next=%2Faccounts%2Femail%2F")

    page = cautious.submit(page, {}, "/numverify/login/")
    assert page.url.endswith("/accounts/email/")
    assert "hedwig@example.com" not in page.text  # nothing is sent for a person
    assert "hedwig@example.com" in add_address(cautious, "hedwig").text


@pytest.mark.parametrize(("name", "outcome"), [("allauth", "verified"), ("allauth_first", "refused")])
def test_second_factor_of_allauth_is_left_out_unless_a_policy_refuses(serve, running_provider, name, outcome):
    site = serve(name, SITE_PROVIDER=running_provider.url)
    user = site.make("ida", password=PASSWORD, number="+34600000421")
    requests.post(f"{site.url}/second-factor/", {"user": user}, timeout=30).raise_for_status()
    visitor = Visitor(site)
    assert log_in(visitor, "ida").url.startswith(f"{site.url}/accounts/2fa/authenticate/")

    visitor.log_in("600 000 421")
    assert site.outcomes()[-1][0] == outcome
    assert visitor.who()["user"] == {"verified": "ida", "refused": None}[outcome]
