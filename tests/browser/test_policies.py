"""A Content-Security-Policy as sites send it: by Django 6's SECURE_CSP and by django-csp, with nonces and without.

Every page under ``default-src 'self'``, as a bare header, is what all the other tests of this directory see.
"""

import copy

import csp.constants
import django
import pytest
from django.test import override_settings
from playwright.sync_api import expect
from pytest_django.live_server_helper import LiveServer

from ..conftest import HOST
from .conftest import MIDDLEWARE
from .pages import PAGES
from .test_journeys import is_logged_in
from .visitor import GOOD

SELF = "'self'"


class DjangoCsp:
    """How a site says its policy to django-csp."""

    middleware, context = "csp.middleware.CSPMiddleware", "csp.context_processors.nonce"
    nonce = csp.constants.NONCE

    @staticmethod
    def send(settings, policy):
        settings.CONTENT_SECURITY_POLICY = {"DIRECTIVES": policy}


class DjangosOwn:
    """How it says it to Django."""

    middleware = "django.middleware.csp.ContentSecurityPolicyMiddleware"
    context = "django.template.context_processors.csp"
    nonce = "<CSP_NONCE_SENTINEL>"  # django.utils.csp.CSP.NONCE

    @staticmethod
    def send(settings, policy):
        settings.SECURE_CSP = policy


SENDERS = [DjangoCsp, *([DjangosOwn] if django.VERSION >= (6, 0) else [])]


@pytest.fixture(scope="module", params=SENDERS, ids=lambda sender: sender.__name__)
def sender(request):
    """What sends the policy."""
    return request.param


@pytest.fixture(scope="module")
def server(chromium, sender):
    """The URL of a live site that it is the outermost middleware of."""
    middleware = [sender.middleware, *MIDDLEWARE[1:]]  # whose first sends a policy of its own
    with override_settings(MIDDLEWARE=middleware, ALLOWED_HOSTS=[HOST]):
        server = LiveServer(HOST)
        yield server.url
        server.stop()


@pytest.fixture
def send(settings, sender):
    """Return a function that lets the site send this policy, a function of the nonce's sign; templates know nonces."""
    settings.TEMPLATES = copy.deepcopy(settings.TEMPLATES)
    settings.TEMPLATES[0]["OPTIONS"]["context_processors"].append(sender.context)
    return lambda policy: sender.send(settings, policy(sender.nonce))


def strict(nonce):
    """Nothing but this site."""
    return {"default-src": [SELF]}


def strict_or_nonce(nonce):
    """The same, for a site whose own pages have inline scripts with nonces."""
    return {"default-src": [SELF], "script-src": [SELF, nonce], "style-src": [SELF, nonce]}


def nonce_alone(nonce):
    """Only what has a nonce runs and styles, wherever it comes from."""
    return {
        "default-src": ["'none'"],
        "script-src": [nonce, "'strict-dynamic'"],
        "style-src": [nonce],
        "connect-src": [SELF],
        "img-src": [SELF],
        "base-uri": ["'none'"],
    }


OURS = ["login-share", "login-error", "checking", "numbers", "numbers-who", "not-on-mobile-network"]
OURS += ["qr-login", "qr-desktop", "qr-phone", "qr-phone-code", "code-ask", "code-enter"]
ADMINS = ["admin-list", "admin-attempt", "admin-summary", "admin-nothing", "admin-account"]


def open_page(browse, name):
    """Go to the page, and return what policies the site's own pages were sent with on the way."""
    visitor, sent = browse("phone", **PAGES[name].options), []

    def note(answer):
        if answer.request.is_navigation_request() and answer.url.startswith(visitor.site):
            sent.append(answer.headers.get("content-security-policy", ""))

    visitor.context.on("response", note)
    PAGES[name].reach(visitor)
    assert visitor.page.locator("h1").all_inner_texts() == [PAGES[name].heading]
    assert sent
    return sent


TRUSTED = [(strict, "login-share"), (strict, "qr-desktop"), (strict, "admin-summary")]
TRUSTED += [(strict_or_nonce, name) for name in ADMINS]


@pytest.mark.parametrize(("policy", "name"), TRUSTED)
def test_page_breaks_no_policy_that_trusts_the_site(browse, send, policy, name):
    """A violation fails the test, as ``browse`` says."""
    send(policy)
    assert [found for found in open_page(browse, name) if "default-src 'self'" not in found] == []


@pytest.mark.parametrize("name", OURS)
def test_page_has_the_nonces_that_it_needs(browse, send, name):
    send(nonce_alone)
    assert any("'nonce-" in found for found in open_page(browse, name))


if django.VERSION >= (6, 1):  # since when Django's admin has nonces, for its own middleware

    @pytest.mark.parametrize("sender", [DjangosOwn], indirect=True)
    @pytest.mark.parametrize("name", ADMINS)
    def test_audit_has_the_nonces_that_it_needs(browse, send, name):
        send(nonce_alone)
        assert any("'nonce-" in found for found in open_page(browse, name))


def test_scripts_run_with_the_nonce(phone, desktop, send):
    send(nonce_alone)
    phone.open("/numverify/login/")
    phone.page.get_by_label("Mobile number").press_sequentially("600000001")
    expect(phone.page.locator("[data-numverify-echo]")).to_have_text("We'll check +34 600 00 00 01")

    desktop.open("/numverify/login/")
    desktop.send(GOOD)
    phone.open(desktop.read_qr_code())
    phone.answer("yes")
    expect(desktop.page.get_by_role("status")).to_have_text("Type the code your phone shows.", timeout=10_000)
    expect(phone.page.get_by_role("button", name="Copy")).to_be_visible()
    desktop.type(phone.page.locator(".numverify-code bdi").inner_text())
    assert is_logged_in(desktop)


def test_pages_are_styled_with_the_nonce(phone, send):
    send(nonce_alone)
    phone.open("/numverify/login/")
    width = phone.page.locator(".numverify-page").evaluate("page => getComputedStyle(page).maxWidth")

    assert width != "none"


@pytest.mark.parametrize("mode", ["redirect", "interstitial"])
def test_login_goes_to_the_operator_and_back(phone, send, mode):
    send(strict)
    phone.configure(site={"REDIRECT_MODE": mode})
    phone.log_in()
    phone.page.wait_for_url("**/home/")

    assert is_logged_in(phone)


def test_login_passes_a_policy_for_forms_that_names_the_operator(phone, send):
    """As check W032 says; that ``'self'`` alone stops it is shown in test_journeys."""
    send(lambda nonce: strict(nonce) | {"form-action": [SELF, phone.sandbox.url]})
    phone.log_in()
    phone.page.wait_for_url("**/home/")

    assert is_logged_in(phone)
