"""A person in front of the live site: one browser, one SIM at the sandbox, and a watch on what the browser reports."""

import io
import re
from urllib.parse import urlsplit

import zxingcpp
from django.contrib.auth import get_user_model
from django.test import Client
from PIL import Image

from ..conftest import HOST

GOOD, SIM, OTHER_SIM = "600 000 001", "+34600000001", "+34600000099"
FALLBACK = "/accounts/login/"
PHONE = {
    "viewport": {"width": 360, "height": 760},
    "device_scale_factor": 2,
    "is_mobile": True,
    "has_touch": True,
    "user_agent": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/156.0.0.0 Mobile Safari/537.36",
}
DESKTOP = {"viewport": {"width": 1280, "height": 800}}
# A window of any size that claims to be a desktop's.
CLAIM = {
    "user_agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0",
    "is_mobile": False,
}
DEVICES = {"phone": PHONE, "desktop": DESKTOP}
# Chromium reports some violations in its console alone, and others to the page alone.
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", event =>
  console.error(`policy: ${event.effectiveDirective} forbids ${event.blockedURI}`))
"""


class Watch:
    """All that went wrong in a browser: errors in its console, scripts that failed, requests that left this machine."""

    def __init__(self, context):
        self.problems = []
        self.expected = None  # what a test provokes: part of the text of problems that are none
        self.hosts = {HOST}  # this machine, by the names that a test calls it
        self._visited = set()
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._read)
        context.on("weberror", lambda error: self._note(f"script: {error.error}"))
        context.on("request", self._see)

    def _see(self, request):
        if request.is_navigation_request():
            self._visited.add(request.url)
        if urlsplit(request.url).hostname not in self.hosts:
            self._note(f"request to {request.url}")

    def _read(self, message):
        # Chromium calls it an error that a page has another status than 200; ours mean it.
        is_status = message.text.startswith("Failed to load resource") and message.location["url"] in self._visited
        if message.type in ("error", "warning") and not is_status:
            self._note(f"console: {message.text}")

    def _note(self, problem):
        if self.expected is None or self.expected not in problem:
            self.problems.append(problem)


class Visitor:
    """A person with one browser; ``page`` is its only tab."""

    def __init__(self, context, site, sandbox, configure, settings, browse):
        self.context, self.site, self.sandbox, self.settings = context, site, sandbox, settings
        self.browse = browse  # for another browser, in front of the same site
        self._configure = configure
        self.watch = Watch(context)
        self.page = context.new_page()
        self.page.set_default_timeout(15_000)
        self.configure()

    def configure(self, site=None, **keys):
        """Set NUMVERIFY as the fixture of this name does, with another way in unless ``site`` says otherwise."""
        self._configure(site={"FALLBACK_URL": FALLBACK} | (site or {}), **keys)

    def open(self, path):
        """Open ``path``, or a whole URL."""
        return self.page.goto(path if "://" in path else self.site + path)

    def press(self, name):
        """Press the button called ``name``, and wait for the page that it leads to."""
        self._leave_by(self.page.get_by_role("button", name=name, exact=True))

    def answer(self, value):
        """Press the button with this value, whatever the page's language."""
        self._leave_by(self.page.locator(f"button[value={value}]"))

    def send(self, number):
        """Type the number and press the first button, whatever the page's language."""
        self.page.locator("[name=phone_number]").fill(number)
        self.answer("verify")

    def _leave_by(self, button):
        with self.page.expect_navigation():
            button.click()

    def log_in(self, number=SIM):
        """Type the number on the login page of phones, and press the first button."""
        self.open("/numverify/login/?device=phone")
        self.send(number)

    def confirm(self, number=None):
        """Open a page that wants the SIM checked again; type the number where one is asked for."""
        self.open("/payment/")
        if number:
            self.open(f"{self.page.url}&device=phone")
            self.send(number)

    def fill(self):
        """Let the operator fill a form of the site."""
        self.open("/join/")
        self.press("Use this phone's number")

    def sign_in(self, user):
        """Be logged in as ``user`` by a password, in the session that this browser has."""
        client = Client(SERVER_NAME=HOST)
        for cookie in self.context.cookies():
            client.cookies[cookie["name"]] = cookie["value"]
        client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        self.context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": self.site}])

    def wait_at_operator(self, site=None, **keys):
        """Start a login whose operator does not answer; return the callback that it would send the browser to.

        The interstitial stays: the operator's 204 leads nowhere.
        """
        self.configure(site={"REDIRECT_MODE": "interstitial"} | (site or {}), **keys)
        self.page.route(f"{self.sandbox.url}/**", lambda route: route.fulfill(status=204))
        with self.page.expect_response(f"{self.sandbox.url}/**") as answered:
            self.log_in()
        self.page.unroute(f"{self.sandbox.url}/**")
        return self.sandbox.authorize(answered.value.url)

    def ask_for_qr_code(self, number=SIM):
        """Type the number on the login page of desktops, and press the first button."""
        self.open("/numverify/login/")
        self.send(number)

    def read_qr_code(self):
        """Return what a camera reads in the picture on the page."""
        picture = self.page.locator(".numverify-picture").screenshot()
        (code,) = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture)))
        return code.text

    def ask_for_code(self, number=SIM):
        """Ask for a code by text message; return the list that such messages are put into."""
        messages = []
        self.configure(site={"CODE_SENDER": lambda number, text: messages.append(text)})
        self.open("/numverify/code/")
        self.page.locator("[name=phone_number]").fill(number)
        self._leave_by(self.page.locator("form button").first)
        return messages

    def type(self, code):
        """Type a code, and press the first button."""
        self.page.locator("[name=code]").fill(code)
        self._leave_by(self.page.locator("form button").first)

    @property
    def heading(self):
        """The page's h1."""
        return self.page.locator("h1").inner_text()

    @property
    def path(self):
        """Where the browser is on the site."""
        return urlsplit(self.page.url).path


def without(parameter, url):
    """Return ``url`` without this parameter of its query."""
    return re.sub(rf"(?<=[?&]){parameter}=[^&]*&?", "", url)


def somebody(name="somebody", **facts):
    """Make an account without a number."""
    return get_user_model().objects.create_user(name, **facts)
