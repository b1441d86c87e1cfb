"""Every page, and how a browser comes to it: the one table for tests and screenshots."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.test import Client
from django.utils import timezone

from numverify_django.contrib.qr.models import QrLogin, Status
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber

from ..conftest import HOST, Phone
from ..test_login import account
from .visitor import CLAIM, GOOD, OTHER_SIM, SIM, somebody

FAILED = {  # page group -> h1 in English
    "not_on_mobile_network": "Turn Wi-Fi off and try again",
    "not_confirmed": "We couldn't log you in with this number",
    "cannot_determine": "Your operator couldn't confirm this number",
    "consent_required": "Your operator needs your permission first",
    "stopped": "The check was stopped",
    "unfinished": "The check didn't finish",
    "not_open": "This login is no longer open",
    "too_many": "Too many tries for now",
}
CONFIRMING = {  # where it differs for who is logged in
    "not_confirmed": "We couldn't confirm it's you",
    "not_open": "This check is no longer open",
}
FILLING = {"cannot_determine": "Your operator couldn't tell your number"}
STATES = {  # page group -> the sandbox's state that leads to it
    "not_on_mobile_network": {"sim": None},
    "not_confirmed": {"sim": OTHER_SIM},
    "cannot_determine": {"sim": "unknown"},
    "consent_required": {"sim": "consent"},
    "stopped": {"fault": {"endpoint": "authorize", "error": "access_denied"}},
    "unfinished": {"fault": {"endpoint": "token", "status": 503}},
}


@dataclass(frozen=True)
class Page:
    """A page: its name in file names, its h1 in English, and ``reach``, which takes a Visitor there."""

    name: str
    heading: str
    reach: Callable
    of: str = "site"  # or "console" or "admin", which have looks of their own
    options: dict = field(default_factory=dict)  # of the browser


def log_in(visitor):
    visitor.log_in()


def confirm(visitor):
    visitor.sign_in(account())
    visitor.confirm()


def fill(visitor):
    visitor.fill()


STARTS = {"": log_in, "-confirm": confirm, "-fill": fill}


def failures():
    """Yield the page of each group as who logs in, who confirms and who fills a form sees it."""
    for group, heading in FAILED.items():
        for suffix, start in STARTS.items():
            if suffix == "-fill" and group in ("not_confirmed", "not_open"):
                continue  # a share cannot be a mismatch, and what is not open is not known to fill anything
            shown = {"-confirm": CONFIRMING, "-fill": FILLING}.get(suffix, {}).get(group, heading)
            yield Page(f"{group.replace('_', '-')}{suffix}", shown, failure(group, start))


def failure(group, start):
    """Return what takes a Visitor to the page of ``group`` by ``start``."""

    def reach(visitor):
        visitor.configure(OPERATION="share", site={"RATE_LIMITS": {"site": [1, 600]}} if group == "too_many" else None)
        if group in STATES:
            visitor.sandbox.set(**STATES[group])
        if group == "too_many":
            Client(SERVER_NAME=HOST).post("/numverify/login/", {"phone_number": SIM})
        if group == "not_open":
            visitor.sign_in(somebody()) if start is confirm else None
            visitor.open("/numverify/callback/?state=unknown")
        else:
            start(visitor)

    return reach


def login(**keys):
    """Return what takes a Visitor to the login page of a site with these keys."""
    return lambda visitor: (visitor.configure(**keys), visitor.open("/numverify/login/"))


def login_error(visitor):
    visitor.configure(OPERATION="share")
    visitor.log_in("12")


def confirm_own(visitor):
    visitor.sign_in(account())
    visitor.open("/numverify/login/?next=/payment/")


def confirm_one_of(visitor):
    user = account()
    VerifiedNumber.objects.enrol(user, PhoneNumber("+34600000011"), VerifiedNumber.objects.get().operator)
    visitor.sign_in(user)
    visitor.open("/numverify/login/?next=/payment/")


def confirm_first(visitor):
    visitor.sign_in(somebody())
    visitor.confirm()


def confirm_error(visitor):
    visitor.sign_in(somebody())
    visitor.confirm("12")


def send_again(visitor):
    """Send a form that is stopped, and confirm."""
    visitor.sign_in(account())
    visitor.open("/order/")
    visitor.press("Pay")
    visitor.open(f"{visitor.page.url}&device=phone")
    visitor.answer("verify")
    visitor.page.wait_for_url("**/again/**")


def numbers(path="", sign_in=lambda visitor: visitor.sign_in(account())):
    """Return what takes a Visitor to one of the pages about numbers, signed in."""
    return lambda visitor: (sign_in(visitor), visitor.open(f"/numverify/numbers/{path}"))


def remove(visitor):
    """Ask whether the only number of an account is to be removed, whose other way in is a password."""
    visitor.sign_in(account())
    visitor.open(f"/numverify/numbers/{VerifiedNumber.objects.get().pk}/remove/")


def remove_last(visitor):
    visitor.log_in()
    visitor.open(f"/numverify/numbers/{VerifiedNumber.objects.get().pk}/remove/")


def add_number(visitor, number=SIM):
    """Add a number; it is somebody's without one who is signed in."""
    visitor.sign_in(somebody())
    visitor.open("/numverify/numbers/add/")
    visitor.send(number)


def add_taken(visitor):
    account()
    add_number(visitor)


def add_another(visitor):
    visitor.sandbox.set(sim=OTHER_SIM)
    add_number(visitor)


def sign_in_long_ago(visitor):
    visitor.sign_in(account())
    session = SessionStore(
        next(cookie["value"] for cookie in visitor.context.cookies() if cookie["name"] == "sessionid")
    )
    session["numverify"]["login_at"] -= 1000
    session.save()


def already(visitor):
    back = visitor.wait_at_operator()
    for _ in range(2):
        visitor.open(back)


def unfinished_alone(visitor):
    visitor.configure(site={"FALLBACK_URL": ""})
    visitor.sandbox.set(**STATES["unfinished"])
    visitor.log_in()


def console(visitor):
    visitor.open(visitor.sandbox.url)


def console_error(visitor):
    console(visitor)
    visitor.page.get_by_label("A number", exact=True).check()
    visitor.press("Use this")


def console_log(visitor):
    visitor.log_in()
    console(visitor)


def scan(visitor):
    """Let another browser ask for a QR code, and open with this one what it says."""
    desktop = visitor.browse("desktop")
    desktop.ask_for_qr_code()
    visitor.open(desktop.read_qr_code())
    return desktop


def prove(visitor):
    desktop = scan(visitor)
    visitor.answer("yes")
    return desktop


def decline(visitor):
    scan(visitor)
    visitor.answer("no")


def prove_by_wifi(visitor):
    visitor.sandbox.set(sim=None)
    prove(visitor)


def let_in(visitor):
    desktop = prove(visitor)
    desktop.type(visitor.page.locator(".numverify-code bdi").inner_text())
    visitor.page.reload()


def qr_login(visitor):
    visitor.open("/numverify/login/")


def qr_error(visitor):
    visitor.ask_for_qr_code()
    visitor.type("123456")


def qr_ended(visitor):
    visitor.ask_for_qr_code()
    QrLogin.objects.update(status=Status.DECLINED)
    visitor.open("/numverify/qr/")


def code_error(visitor):
    visitor.ask_for_code("12")


def code_typed_wrong(visitor):
    visitor.ask_for_code()
    visitor.type("12")


def code_refused(visitor):
    account()
    messages = visitor.ask_for_code()
    visitor.configure(site={"LOGIN_POLICY": lambda request, user, attempt: False})
    visitor.type(messages[0][:6])


def code_unsent(visitor):
    visitor.settings.ALLOWED_HOSTS = ["*"]
    visitor.ask_for_code()


def admin(path="", prepare=lambda visitor: None):
    """Return what takes a Visitor to a page of the audit, as a superuser who may do everything."""

    def reach(visitor):
        attempts(visitor)
        visitor.sign_in(get_user_model().objects.create_superuser("root", password="root"))
        visitor.open(f"/admin/numverify_django/verificationattempt/{path}")
        prepare(visitor)

    return reach


def attempts(visitor):
    """Leave a day's worth of attempts behind."""
    for sim in (SIM, OTHER_SIM, None, "unknown", "consent", SIM):
        visitor.sandbox.set(sim=sim)
        Phone(visitor.sandbox).log_in(GOOD)


def first_attempt(visitor):
    with visitor.page.expect_navigation():
        visitor.page.locator("#result_list tbody a").first.click()


def turn_over(visitor):
    now = timezone.now()
    VerificationAttempt.objects.bulk_create(
        VerificationAttempt(
            **{"created_at": now - timedelta(minutes=number), "expires_at": now, "outcome": "verified"},
            **{"operator": "sandbox", "operation": "verify", "use": "login"},
            **{"state_digest": uuid.uuid4(), "browser_digest": uuid.uuid4()},
        )
        for number in range(120)
    )
    visitor.open("/admin/numverify_django/verificationattempt/?outcome__exact=verified")
    with visitor.page.expect_navigation():
        visitor.page.locator(".numverify-pages a").first.click()  # older ones, from the newest


def search_in_vain(visitor):
    visitor.page.locator("[name=term]").fill("+34600000055")
    with visitor.page.expect_navigation():
        visitor.page.locator("[name=term]").press("Enter")


def person(visitor):
    visitor.open(f"/admin/auth/user/{get_user_model().objects.get(verified_numbers__number=SIM).pk}/change/")


ENDED = "This QR code has ended"
ADD = "Add this phone's number"
LOGIN, CONFIRM, CONSOLE = "Log in with your phone", "Confirm it's you", "Sandbox operator"
PAGES = {
    page.name: page
    for page in [
        Page("login", LOGIN, login()),
        Page("login-share", LOGIN, login(OPERATION="share")),
        Page("login-alone", LOGIN, login(site={"FALLBACK_URL": ""})),
        Page("login-error", LOGIN, login_error),
        Page("confirm", CONFIRM, confirm_own),
        Page("confirm-one-of", CONFIRM, confirm_one_of),
        Page("confirm-first", CONFIRM, confirm_first),
        Page("confirm-error", CONFIRM, confirm_error),
        Page("checking", "Checking your SIM", lambda visitor: visitor.wait_at_operator()),
        Page("again", "Confirmed. Now send it again", send_again),
        Page("numbers", "Your numbers", numbers()),
        Page("numbers-none", "Your numbers", numbers(sign_in=lambda visitor: visitor.sign_in(somebody()))),
        Page("numbers-added", "Your numbers", add_number),
        Page("numbers-who", CONFIRM, numbers("add/", sign_in_long_ago)),
        Page("number-add", ADD, numbers("add/")),
        Page("number-add-error", ADD, lambda visitor: add_number(visitor, "12")),
        Page("number-remove", "Remove the number ending 01?", remove),
        Page("number-remove-last", "Remove the number ending 01?", remove_last),
        Page("number-taken", "This number can't be added", add_taken),
        Page("number-not-added", "We couldn't add this number", add_another),
        Page("already", "You're already logged in", already),
        *failures(),
        Page("unfinished-alone", FAILED["unfinished"], unfinished_alone),
        Page("qr-login", LOGIN, qr_login, options=CLAIM),
        Page("qr-desktop", "Scan with your phone", lambda visitor: visitor.ask_for_qr_code(), options=CLAIM),
        Page("qr-desktop-error", "Scan with your phone", qr_error, options=CLAIM),
        Page("qr-desktop-ended", ENDED, qr_ended, options=CLAIM),
        Page("qr-phone", "Log in on another device?", scan),
        Page("qr-phone-wifi", FAILED["not_on_mobile_network"], prove_by_wifi),
        Page("qr-phone-code", "Type this code on the other device", prove),
        Page("qr-phone-declined", "You said no", decline),
        Page("qr-phone-done", "The other device is logged in", let_in),
        Page("qr-phone-ended", ENDED, lambda visitor: visitor.open("/numverify/qr/unknown/")),
        Page("code-ask", "Get a code by text message", lambda visitor: visitor.open("/numverify/code/")),
        Page("code-ask-error", "Get a code by text message", code_error),
        Page("code-enter", "Enter the code", lambda visitor: visitor.ask_for_code()),
        Page("code-enter-error", "Enter the code", code_typed_wrong),
        Page("code-refused", FAILED["not_confirmed"], code_refused),
        Page("code-unavailable", "Codes don't work for now", code_unsent),
        Page("admin-list", "Select verification attempt to view", admin(), of="admin"),
        Page("admin-attempt", "View verification attempt", admin("", first_attempt), of="admin"),
        Page("admin-summary", "Summary", admin("summary/"), of="admin"),
        Page("admin-paged", "Select verification attempt to view", admin("", turn_over), of="admin"),
        Page("admin-nothing", "Select verification attempt to view", admin("", search_in_vain), of="admin"),
        Page("admin-account", "Change user", admin("", person), of="admin"),
        Page("console", CONSOLE, console, of="console"),
        Page("console-error", CONSOLE, console_error, of="console"),
        Page("console-log", CONSOLE, console_log, of="console"),
    ]
}
