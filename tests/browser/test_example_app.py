"""The example's single-page client in a real browser, against ``make demo``."""

import pytest
from playwright.sync_api import expect

from ..test_example import demo  # noqa: F401
from .visitor import DEVICES


@pytest.fixture
def page(chromium, demo):  # noqa: F811
    """The client's page on a phone; an error in its script fails the test."""
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
