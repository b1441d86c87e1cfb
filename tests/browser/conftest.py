"""Real browsers: Debian's Chromium in front of a live site, as a phone and as a desktop.

Not the plugin pytest-playwright: its browser lives as long as the session, and with it an event loop in the main
thread, in which Django's ORM and async_to_sync refuse to work. Here the loop ends with this directory's last test.
"""

import pytest
from django.conf import settings as site_settings
from django.test import override_settings
from playwright.sync_api import Error, sync_playwright
from pytest_django.live_server_helper import LiveServer

from ..conftest import CHROMIUM, HOST, IS_CI, MISSING
from .visitor import DEVICES, Visitor

FLAGS = ["--disable-gpu", "--disable-background-networking", "--disable-sync", "--disable-component-update"]
MIDDLEWARE = [
    "tests.browser.middleware.ContentSecurityPolicy",
    *site_settings.MIDDLEWARE[:2],
    "django.middleware.locale.LocaleMiddleware",
    *site_settings.MIDDLEWARE[2:],
]

# Not skipped: that would be a line for each of them.
collect_ignore_glob = [] if CHROMIUM or IS_CI else ["test_*.py"]


@pytest.fixture(scope="package")
def chromium():
    """One browser process for all tests; one that does not start is an error in CI alone."""
    if CHROMIUM is None:
        pytest.fail(MISSING)
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        # Playwright's loop runs in this thread, and nothing of ours in it.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        try:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        except Error as error:
            (pytest.fail if IS_CI else pytest.skip)(f"{CHROMIUM} does not start: {error.message[:200]!r}")
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(chromium):
    """The URL of a live site with a policy and its visitors' languages."""
    with override_settings(MIDDLEWARE=MIDDLEWARE, ALLOWED_HOSTS=[HOST]):
        server = LiveServer(HOST)
        yield server.url
        server.stop()


@pytest.fixture
def browse(chromium, server, transactional_db, configure, sandbox, settings):
    """Return a Visitor with a browser of its own; keywords are options of Playwright's contexts.

    Errors in its console and violations of the policy fail the test.
    """
    settings.ROOT_URLCONF = "tests.browser.urls"
    visitors = []

    def browse(device, **options):
        context = chromium.new_context(**DEVICES[device] | {"locale": "en"} | options)
        visitors.append(Visitor(context, server, sandbox, configure, settings, browse))
        return visitors[-1]

    yield browse
    for visitor in visitors:
        visitor.context.close()
    assert [problem for visitor in visitors for problem in visitor.watch.problems] == []


@pytest.fixture
def phone(browse):
    """A person with a phone."""
    return browse("phone")


@pytest.fixture
def desktop(browse):
    """A person at a desktop; together with ``phone`` it is two browsers in front of one site."""
    return browse("desktop")
