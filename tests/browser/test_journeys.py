"""What people do in front of the pages: by keyboard, without scripts, under a strict policy, in two browsers."""

import re

import pytest
from django.contrib.auth import get_user_model
from playwright.sync_api import expect

from numverify_django.models import VerificationAttempt

from ..test_login import account
from .visitor import GOOD, SIM, somebody

LIMIT = 30_000  # bytes of the first page with all that it loads


def is_logged_in(visitor):
    """Tell whether the site's own page says so."""
    visitor.open("/home/")
    return visitor.page.content().count(f"user {get_user_model().objects.get().pk}") == 1


def test_login_by_keyboard(phone):
    phone.open("/numverify/login/")
    phone.page.get_by_label("Mobile number").focus()
    phone.page.keyboard.type(GOOD)
    with phone.page.expect_navigation():
        phone.page.keyboard.press("Enter")

    assert phone.path == "/home/"
    assert VerificationAttempt.objects.get().outcome == "verified"


@pytest.mark.parametrize("mode", ["redirect", "interstitial"])
def test_login_without_scripts(browse, mode):
    visitor = browse("phone", java_script_enabled=False)
    visitor.configure(site={"REDIRECT_MODE": mode})
    visitor.log_in()
    visitor.page.wait_for_url("**/home/")

    assert is_logged_in(visitor)


def test_interstitial_passes_a_policy_for_forms(phone, settings):
    settings.BROWSER_POLICY = "default-src 'self'; form-action 'self'"
    phone.configure(site={"REDIRECT_MODE": "interstitial"})
    phone.log_in()
    phone.page.wait_for_url("**/home/")

    assert is_logged_in(phone)


def test_redirect_needs_the_interstitial_under_a_policy_for_forms(phone, settings):
    """As README says; where browsers change their mind, the interstitial may go."""
    settings.BROWSER_POLICY = "default-src 'self'; form-action 'self'"
    phone.watch.expected = "form-action"
    phone.open("/numverify/login/")
    phone.page.get_by_label("Mobile number").fill(GOOD)
    with phone.page.expect_event("console", lambda message: "form-action" in message.text):
        phone.page.get_by_role("button", name="Log in", exact=True).click()

    assert phone.path == "/numverify/login/"


def test_error_has_the_focus_and_leads_to_the_field(phone):
    phone.log_in("12")
    summary, field = phone.page.get_by_role("alert"), phone.page.get_by_label("Mobile number")
    words = "Enter a mobile number with all its digits, like"

    expect(summary).to_be_focused()
    expect(summary).to_have_accessible_name("There is a problem")
    expect(field).to_have_value("12")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(re.compile(words))
    phone.page.keyboard.press("Tab")
    phone.page.keyboard.press("Enter")
    expect(field).to_be_focused()


def test_screen_reader_hears_what_sharing_tells(phone):
    phone.configure(OPERATION="share")
    phone.open("/numverify/login/")
    button = phone.page.get_by_role("button", name="Use this phone's number")

    expect(button).to_have_accessible_description(re.compile("Your operator tells .* Nothing is sent until you press."))


def test_wifi_is_turned_off_and_the_number_is_not_typed_again(phone, sandbox):
    sandbox.set(sim=None)
    phone.log_in()
    sandbox.set(sim=SIM)
    phone.press("Try again")

    assert phone.path == "/home/"
    assert list(VerificationAttempt.objects.values_list("outcome", flat=True)) == ["unavailable", "verified"]


def test_number_is_shared_at_a_press(phone, sandbox):
    phone.configure(OPERATION="share")
    sandbox.set(sim=SIM)
    phone.open("/numverify/login/")
    phone.press("Use this phone's number")

    assert is_logged_in(phone)


def test_form_is_filled(phone, sandbox):
    phone.configure(OPERATION="share")
    sandbox.set(sim=SIM)
    phone.fill()

    assert (phone.path, phone.page.inner_text("body")) == ("/filled/", SIM)


def test_account_confirms_its_number_and_comes_back(phone):
    phone.sign_in(somebody())
    phone.confirm(GOOD)

    assert (phone.path, phone.page.inner_text("body")) == ("/payment/", "paid")


def test_known_account_goes_to_the_operator_at_once(phone, sandbox):
    phone.sign_in(account())
    phone.confirm()

    assert phone.page.inner_text("body") == "paid"
    assert sandbox.hops().count("verify") == 1


def test_login_ends_in_the_browser_it_began_in(phone, desktop):
    back = phone.wait_at_operator()
    desktop.open("/numverify/login/")
    desktop.open(back)
    assert desktop.heading == "This login is no longer open"

    phone.open(back)
    assert is_logged_in(phone)


def test_first_page_weighs_little(phone, capsys):
    phone.configure(OPERATION="share")
    answers = []

    def note(answer):  # Playwright marks its listeners, and a method of list takes no mark
        answers.append(answer)

    phone.context.on("response", note)
    phone.open("/numverify/login/")
    phone.page.wait_for_load_state("networkidle")
    weights = {answer.url.removeprefix(phone.site): len(answer.body()) for answer in answers}
    with capsys.disabled():
        print(f"\nFirst page: {sum(weights.values())} bytes uncompressed: {weights}")  # noqa: T201

    assert sum(weights.values()) < LIMIT
