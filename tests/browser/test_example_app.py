"""The example's single-page client in a real browser, against ``make demo``."""

import pytest
from playwright.sync_api import expect

from ..test_example import Demo, demo, run  # noqa: F401
from .visitor import DEVICES


@pytest.fixture
def page(chromium, demo):  # noqa: F811
    """The client's page on a phone; an error in its script fails the test."""
    yield from opened(chromium, demo)


@pytest.fixture(scope="module")
def leading_back(tmp_path_factory):
    """A demo whose operator leads back to the client's page."""
    yield from run(Demo(tmp_path_factory.mktemp("back"), "/app/"))


@pytest.fixture
def own_page(chromium, leading_back):
    """The client's page of that one."""
    yield from opened(chromium, leading_back)


def opened(chromium, demo):  # noqa: F811
    """Yield the client's page."""
    context, errors = chromium.new_context(**DEVICES["phone"]), []
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(error.message))
    page.goto(f"{demo.site}/app/")
    yield page
    context.close()
    assert errors == []


def log_in(page, number):
    page.get_by_label("Mobile number").fill(number)
    page.get_by_role("button", name="Log in with this phone").click()


def test_person_logs_in_and_comes_back_to_the_client(page):
    log_in(page, "six")
    expect(page.get_by_role("status")).to_have_text("Use digits only")
    log_in(page, "600 000 041")
    expect(page.get_by_role("status")).to_have_text("You are in: this phone's SIM was checked just now.")
    expect(page.get_by_role("listitem").filter(has_text="•••41")).to_be_visible()
    expect(page.get_by_label("Mobile number")).to_be_hidden()


def test_other_number_is_told_by_our_page(page):
    log_in(page, "600 000 052")
    expect(page.get_by_role("heading", level=1)).to_have_text("We couldn't log you in with this number")
    page.goto(page.url.partition("/numverify/")[0] + "/app/")
    expect(page.get_by_label("Mobile number")).to_be_visible()


def test_other_number_is_told_by_the_client_where_the_operator_leads_back_to_it(own_page):
    log_in(own_page, "600 000 062")
    expect(own_page.get_by_role("status")).to_have_text("This number could not be confirmed.")
    assert own_page.url.endswith("/app/")
    log_in(own_page, "600 000 061")
    expect(own_page.get_by_role("listitem").filter(has_text="•••61")).to_be_visible()
    assert own_page.url.endswith("/app/")


def test_login_of_a_page_goes_on_where_it_was_to(own_page, leading_back):
    own_page.goto(f"{leading_back.site}/members/")
    own_page.get_by_label("Mobile number").fill("600 000 071")
    own_page.get_by_role("button", name="Log in").first.click()
    own_page.wait_for_url(f"{leading_back.site}/members/")
