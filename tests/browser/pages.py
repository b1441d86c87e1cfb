"""Every page, and how a browser comes to it: the one table for tests and screenshots."""

from collections.abc import Callable
from dataclasses import dataclass

from django.test import Client

from ..conftest import HOST
from ..test_login import account
from .visitor import OTHER_SIM, SIM, somebody

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
CONFIRMING = {"not_confirmed": "We couldn't confirm it's you"}  # where it differs for who is logged in
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
    is_ours: bool = True  # the sandbox's console has English words and a title of its own


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
            shown = CONFIRMING.get(group, heading) if suffix == "-confirm" else heading
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


def confirm_first(visitor):
    visitor.sign_in(somebody())
    visitor.confirm()


def confirm_error(visitor):
    visitor.sign_in(somebody())
    visitor.confirm("12")


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


LOGIN, CONFIRM, CONSOLE = "Log in with your phone", "Confirm it's you", "Sandbox operator"
PAGES = {
    page.name: page
    for page in [
        Page("login", LOGIN, login()),
        Page("login-share", LOGIN, login(OPERATION="share")),
        Page("login-alone", LOGIN, login(site={"FALLBACK_URL": ""})),
        Page("login-error", LOGIN, login_error),
        Page("confirm", CONFIRM, confirm_own),
        Page("confirm-first", CONFIRM, confirm_first),
        Page("confirm-error", CONFIRM, confirm_error),
        Page("checking", "Checking your SIM", lambda visitor: visitor.wait_at_operator()),
        Page("already", "You're already logged in", already),
        *failures(),
        Page("unfinished-alone", FAILED["unfinished"], unfinished_alone),
        Page("console", CONSOLE, console, is_ours=False),
        Page("console-error", CONSOLE, console_error, is_ours=False),
        Page("console-log", CONSOLE, console_log, is_ours=False),
    ]
}
