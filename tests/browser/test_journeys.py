"""What people do in front of the pages: by keyboard, without scripts, under a strict policy, in two browsers."""

import re
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.db.models import F
from playwright.sync_api import expect

from numverify_django.models import VerificationAttempt

from ..test_login import account
from .visitor import GOOD, SIM, somebody

# Keeps what the first button and the status say, for the page after this one.
LISTEN = """
() => {
  const button = document.querySelector("form button"), status = document.querySelector("[role=status]"), heard = [];
  const options = {subtree: true, childList: true, characterData: true, attributes: true};
  new MutationObserver(() => {
    heard.push([button.textContent, button.getAttribute("aria-disabled"), status.textContent]);
    localStorage.heard = JSON.stringify(heard);
  }).observe(document.body, options);
}
"""
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


def test_form_that_was_stopped_is_sent_by_the_person(phone):
    phone.sign_in(account())
    phone.open("/order/")
    phone.press("Pay")
    phone.press("Confirm with this phone")
    expect(phone.page.get_by_role("heading", level=1)).to_have_text("Confirmed. Now send it again")
    phone.page.get_by_role("link", name="Back to the form").click()
    phone.page.wait_for_url("**/order/")
    phone.press("Pay")

    expect(phone.page.get_by_role("heading", level=1)).to_have_text("Paid")


def test_old_proof_is_renewed_on_the_way_to_a_page_and_not_for_a_script(phone):
    phone.configure(site={"REVERIFY_AFTER": 3600})
    phone.watch.expected = "403 (Forbidden)"
    phone.log_in()
    phone.page.wait_for_url("**/home/")
    store = SessionStore(next(cookie["value"] for cookie in phone.context.cookies() if cookie["name"] == "sessionid"))
    store["numverify"]["proof"]["at"] -= 4000
    store.save()
    VerificationAttempt.objects.update(created_at=F("created_at") - timedelta(seconds=4000))
    status, told = phone.page.evaluate("fetch('/filled/').then(async answer => [answer.status, await answer.json()])")
    assert (status, VerificationAttempt.objects.count()) == (403, 1)
    assert told["authorization_url"] == f"/numverify/login/?{urlencode({'next': phone.page.url, 'confirm': 'yes'})}"
    phone.open("/filled/")

    assert phone.path == "/filled/"
    assert VerificationAttempt.objects.latest("pk").use == "reverify"
    assert phone.page.evaluate("fetch('/filled/').then(answer => answer.status)") == 200


# Registers a service worker that passes all requests on, and waits until it does.
PASS_ON = """
() => new Promise(done => {
  navigator.serviceWorker.addEventListener("controllerchange", done);
  navigator.serviceWorker.register("/worker.js");
}).then(() => true)
"""


def test_person_behind_a_service_worker_comes_back_to_the_guarded_page(phone):
    phone.sign_in(account())
    phone.open("/home/")
    assert phone.page.evaluate(PASS_ON)
    with phone.page.expect_request("**/authorize?**"):
        phone.open("/payment/")

    assert (phone.path, phone.page.content().count("paid")) == ("/payment/", 1)


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


@pytest.mark.parametrize("profile", ["telefonica", "camara-v2"])  # three countries, and all there are
def test_first_page_weighs_little(phone, record_property, profile):
    phone.configure(profile=profile, OPERATION="share")
    answers = []

    def note(answer):  # Playwright marks its listeners, and a method of list takes no mark
        answers.append(answer)

    phone.context.on("response", note)
    phone.open("/numverify/login/")
    phone.page.wait_for_load_state("networkidle")
    weights = {answer.url.removeprefix(phone.site): len(answer.body()) for answer in answers}
    record_property("weight", f"First page: {sum(weights.values())} bytes uncompressed: {weights}")

    assert sum(weights.values()) < LIMIT


def test_desktop_is_logged_in_by_a_phone(phone, desktop):
    desktop.open("/numverify/login/")
    desktop.send(GOOD)
    phone.open(desktop.read_qr_code())
    phone.answer("yes")
    desktop.type(phone.page.locator(".numverify-code bdi").inner_text())

    assert is_logged_in(desktop)
    phone.open("/home/")
    assert phone.page.inner_text("body") == "user None"


def test_desktop_hears_what_its_phone_does(phone, desktop):
    desktop.open("/numverify/login/")
    desktop.send(GOOD)
    phone.open(desktop.read_qr_code())
    phone.answer("yes")
    expect(desktop.page.get_by_role("status")).to_have_text("Type the code your phone shows.", timeout=10_000)
    phone.answer("no")
    expect(desktop.page.get_by_role("status")).to_have_text("The phone said no. Nobody was logged in.", timeout=10_000)


def test_wrong_code_three_times_ends_it(phone, desktop):
    desktop.ask_for_qr_code()
    phone.open(desktop.read_qr_code())
    phone.answer("yes")
    right = phone.page.locator(".numverify-code bdi").inner_text()
    for left in ("2 tries left.", "1 try left.", None):
        desktop.type("000000" if right != "000 000" else "111111")
        if left:
            expect(desktop.page.get_by_role("alert")).to_contain_text(f"That code isn't right. {left}")

    assert desktop.heading == "This QR code has ended"
    assert VerificationAttempt.objects.get().reason == "code_failed"


def test_code_is_copied_at_a_press(phone, desktop):
    phone.context.grant_permissions(["clipboard-read", "clipboard-write"])
    desktop.ask_for_qr_code()
    phone.open(desktop.read_qr_code())
    phone.answer("yes")
    phone.page.get_by_role("button", name="Copy").click()
    code = phone.page.locator(".numverify-code bdi").inner_text().replace(" ", "")

    expect(phone.page.get_by_role("status")).to_have_text("Copied")
    assert phone.page.evaluate("navigator.clipboard.readText()") == code


def test_person_at_a_desktop_may_be_on_a_phone(desktop):
    desktop.open("/numverify/login/?next=/payment/")
    desktop.page.get_by_role("link", name="I'm on my phone: log in here").click()
    desktop.send(GOOD)

    assert desktop.page.inner_text("body") == "paid"


def test_code_by_text_message_logs_in(phone):
    account()
    messages = phone.ask_for_code()
    phone.type(f"{messages[0][:3]} {messages[0][3:6]}")

    assert is_logged_in(phone)


def test_number_is_echoed_as_it_will_be_checked_and_the_field_is_left_alone(phone):
    phone.open("/numverify/login/")
    field, echo = phone.page.get_by_label("Mobile number"), phone.page.locator("[data-numverify-echo]")
    expect(echo).to_be_hidden()
    field.press_sequentially("600000001")
    expect(echo).to_have_text("We'll check +34 600 00 00 01")
    expect(field).to_have_value("600000001")
    phone.page.get_by_label("Country").select_option("DE")
    field.fill("0151 23456789")
    expect(echo).to_have_text("We'll check +49 1512 3456789")
    field.fill("+55 11 96123 4567")
    expect(echo).to_have_text("We'll check +55 11 96123 4567")


@pytest.mark.parametrize(("locale", "country"), [("de-DE", "DE"), ("pt-BR", "BR"), ("es-ES", "ES")])
def test_country_follows_the_language(browse, locale, country):
    visitor = browse("phone", locale=locale)
    visitor.open("/numverify/login/")

    expect(visitor.page.locator("[name=region]")).to_have_value(country)


def test_country_is_the_sites_where_the_language_is_the_sites(browse, settings):
    settings.LANGUAGE_CODE = "es"
    visitor = browse("phone", locale="es-ES")
    visitor.configure(profile="camara-v2", site={"DEFAULT_REGION": "MX"})
    visitor.open("/numverify/login/")

    expect(visitor.page.locator("[name=region]")).to_have_value("MX")


def test_phone_that_says_it_is_on_wifi_is_told_before_the_try(phone):
    phone.context.add_init_script("Object.defineProperty(navigator.connection, 'type', {get: () => 'wifi'})")
    phone.open("/numverify/login/")
    hint = phone.page.get_by_text("This phone is on Wi-Fi. Turn Wi-Fi off, then press Log in.")

    expect(hint).to_be_visible()
    phone.send(GOOD)
    assert is_logged_in(phone)


def test_page_says_that_the_operator_is_asked(phone):
    phone.sandbox.set(fault={"endpoint": "token", "delay": 7})
    phone.open("/numverify/login/")
    phone.page.evaluate(LISTEN)
    phone.send(GOOD)  # Playwright looks at nothing while a page is being left
    heard = phone.page.evaluate("JSON.parse(localStorage.heard)")

    assert heard[-1] == ["Checking…", "true", "Still checking. Make sure mobile data is on and Wi-Fi is off."]
    assert ["Checking…", "true", "Checking with your mobile operator"] in heard


def test_site_whose_cookies_are_strict(phone, settings):
    """The operator at 127.0.0.1 is another site than ``localhost``, whose cookies the browser keeps to itself then."""
    settings.ALLOWED_HOSTS = ["localhost"]
    settings.SESSION_COOKIE_SAMESITE = settings.CSRF_COOKIE_SAMESITE = "Strict"
    phone.watch.hosts.add("localhost")
    phone.site = phone.site.replace("127.0.0.1", "localhost")
    back = phone.wait_at_operator()
    phone.open(phone.sandbox.url)
    answers = []

    def note(answer):
        answers.append((urlsplit(answer.url).path, answer.status))

    phone.page.on("response", note)
    phone.page.evaluate("url => { location.href = url }", back)  # a page of the operator's leads back
    phone.page.wait_for_url("**/home/")
    callback = "/numverify/callback/"
    assert [answer for answer in answers if answer[0] == callback] == [(callback, 200), (callback, 302)]

    assert is_logged_in(phone)


def test_numbers_and_codes_read_from_left_to_right_in_a_right_to_left_page(browse):
    visitor = browse("phone", locale="ar")
    visitor.configure(OPERATION="share")
    visitor.open("/numverify/login/")
    direction = "found => getComputedStyle(found).direction"
    field, echo = visitor.page.locator("[name=phone_number]"), visitor.page.locator("[data-numverify-echo] bdi")
    field.press_sequentially("600000001")

    assert visitor.page.evaluate("document.dir") == "rtl"
    assert [found.evaluate(direction) for found in (field, echo)] == ["ltr", "ltr"]
    visitor.send("12")
    assert "\u2066612 34 56 78\u2069" in visitor.page.get_by_role("alert").inner_text()
