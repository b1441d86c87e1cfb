"""The sandbox operator as a process of its own, and a phone that logs in through it."""

import html
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from django.contrib.auth.signals import user_login_failed
from django.core.cache import cache
from django.core.servers.basehttp import WSGIRequestHandler
from django.core.signals import got_request_exception
from django.test import Client
from django.utils import translation
from django.views.debug import ExceptionReporter

HEADER = "Sandbox operator: "
# A shell starts its background jobs with Ctrl-C ignored, and our processes would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Head and body are two packets, and the second would wait 40 ms for the first's acknowledgement.
WSGIRequestHandler.disable_nagle_algorithm = True
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
MISSING = "There is no Chromium here: the tests in a real browser were left out (apt-get install chromium)."
IS_CI = bool(os.environ.get("CI"))
HOST = "127.0.0.1"  # the sandbox sends a browser back to this machine alone


def pytest_collection_modifyitems(items):
    """Begin with the tutorial: its tests share a minute of work, which a worker that has nothing left would repeat."""
    items.sort(key=lambda item: item.path.name != "test_tutorial.py")


def pytest_terminal_summary(terminalreporter):
    """Say in one line that there was no browser, and in another what the first page weighs."""
    if CHROMIUM is None and not IS_CI:
        terminalreporter.write_line(MISSING)
    for report in terminalreporter.stats.get("passed", []):
        for weight in (value for name, value in report.user_properties if name == "weight"):
            terminalreporter.write_line(weight)


class Sandbox:
    """A running sandbox operator; ``url`` is its issuer."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "numverify_django.sandbox", "--port", "0"], stdout=subprocess.PIPE, text=True
        )
        self.url = self._process.stdout.readline().removeprefix(HEADER).strip()
        self._http = requests.Session()
        self._http.trust_env = False
        self._client = self._http.get(f"{self.url}/_sandbox/client", timeout=5).json()

    def set(self, **state):
        """Change its state: ``sim``, ``fault``, ``rotate_keys``."""
        self._http.post(f"{self.url}/_sandbox/state", json=state, timeout=5).raise_for_status()

    def reset(self):
        """Bring it back to its beginning."""
        self._http.post(f"{self.url}/_sandbox/reset", timeout=5).raise_for_status()

    def log(self):
        """Return what it was asked, oldest first."""
        return self._http.get(f"{self.url}/_sandbox/log", timeout=5).json()

    def hops(self):
        """Return the names of what it was asked, oldest first."""
        return [entry["hop"] for entry in self.log()]

    def client(self):
        """Return the credentials of its demo client."""
        return dict(self._client)

    def authorize(self, url):
        """Return where the operator redirects a browser that opens ``url``."""
        response = requests.get(url, allow_redirects=False, timeout=10)
        assert response.status_code == 302, response.text
        return response.headers["Location"]

    def stop(self):
        """End its process."""
        self._process.terminate()
        self._process.wait(timeout=10)
        self._process.stdout.close()


class Page(HTMLParser):
    """The elements of a page: a list of (tag, attributes)."""

    def __init__(self, response):
        super().__init__()
        self.elements = []
        self.feed(response.content.decode())

    def handle_starttag(self, tag, attrs):
        """Add an element."""
        self.elements.append((tag, dict(attrs)))

    def find(self, **attributes):
        """Return the attributes of the elements that have these."""
        wanted = attributes.items()
        return [found for _, found in self.elements if wanted <= found.items()]

    @property
    def field(self):
        """The attributes of the field for the number."""
        (field,) = self.find(name="phone_number")
        return field

    def addresses(self):
        """Return every address that the page leads to or loads."""
        names = ("href", "src", "action", "formaction", "content")
        return [found[name] for _, found in self.elements for name in names if name in found]


class Phone:
    """A browser on a phone: one session with the site, one SIM at the operator."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.client = Client(SERVER_NAME=HOST)

    def start(self, number="", path="/numverify/login/", **data):
        """Post the form, and return the site's answer."""
        return self.client.post(path, {"phone_number": number, **data})

    def come_back(self, started):
        """Follow the answer to a start through the operator, and return the callback's URL on the site."""
        assert started.status_code == 302, started.content.decode()
        location = urlsplit(self.sandbox.authorize(started["Location"]))
        assert location.netloc == HOST
        assert location.path.startswith("/numverify/callback/")
        return f"{location.path}?{location.query}"

    def log_in(self, number="", **data):
        """Go the whole way, and return the answer to the callback."""
        return self.client.get(self.come_back(self.start(number, **data)))

    def page(self, response):
        """Return the page that ``response`` redirects to."""
        assert response.status_code == 302, response.content.decode()
        return self.client.get(response["Location"])

    @property
    def user_id(self):
        """The primary key (str) of who is logged in, or None."""
        return self.client.session.get("_auth_user_id")


class Browser:
    """A browser in front of a site that listens on a socket; redirects are followed, to the operator and back too."""

    def __init__(self, site):
        self.site = site
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.headers["Accept"] = "text/html,application/xhtml+xml,*/*;q=0.8"

    def get(self, path, **options):
        """Return the answer to a GET of ``path`` or of a whole URL."""
        return self._http.get(path if "://" in path else self.site + path, timeout=30, **options)

    def post(self, path, data, page=None, **options):
        """Open ``page`` (``path`` itself unless told) and post its form to ``path``; return the answer."""
        self.get(page or path)
        form = data | {"csrfmiddlewaretoken": self._http.cookies.get("csrftoken", "")}
        return self._http.post(self.site + path, form, headers={"Origin": self.site}, timeout=30, **options)

    def log_in(self, number="", **options):
        """Post the number on the login page, and return the last answer."""
        return self.post("/numverify/login/", {"phone_number": number}, **options)


def query_of(url):
    """Return the query of ``url`` as a dict of its first values."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


@pytest.fixture(autouse=True)
def default_language():
    """A request's language stays the thread's until the next one that says otherwise; no test's does."""
    translation.deactivate()


@pytest.fixture(scope="session")
def running_sandbox():
    """One sandbox for all tests."""
    sandbox = Sandbox()
    yield sandbox
    sandbox.stop()


@pytest.fixture(scope="session")
def running_second():
    """Another operator for the tests that have two."""
    sandbox = Sandbox()
    yield sandbox
    sandbox.stop()


@pytest.fixture
def second(running_second):
    """The other sandbox as at its beginning."""
    running_second.reset()
    return running_second


@pytest.fixture
def sandbox(running_sandbox):
    """The sandbox as at its beginning."""
    running_sandbox.reset()
    return running_sandbox


NAMES = itertools.count()  # an operator of its own for each test: what one's published is not another's
API_ROOTS = {"telefonica": "/v1", "telefonica-sandbox": "/v1"}


@pytest.fixture
def configure(settings, sandbox):
    """Set NUMVERIFY for one operator, the sandbox; keywords are keys of the operator, ``site`` has the other keys."""
    name = f"sandbox{next(NAMES)}"

    def configure(profile="telefonica", site=None, **keys):
        client = sandbox.client()
        apigateway = "apigateway" in profile
        root = sandbox.url + ("/apigateway" if apigateway else API_ROOTS.get(profile, ""))
        operator = {
            "PROFILE": profile,
            "ISSUER": sandbox.url,
            "API_ROOT": root,
            "CLIENT_ID": client["client_id"],
            "CLIENT_SECRET": client["client_secret"],
            "ALLOW_LOOPBACK": True,
        }
        site = {"DEFAULT_REGION": "ES"} | (site or {})
        settings.NUMVERIFY = {"OPERATORS": {name: operator | keys}} | site

    configure()
    return configure


@pytest.fixture
def empty_cache():
    """Nothing that one test leaves in Django's cache reaches the next."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def phone(db, configure, sandbox):
    """A phone in front of a site whose operator is the sandbox."""
    return Phone(sandbox)


@pytest.fixture
def failed_logins():
    """The credentials of each ``user_login_failed`` of Django's."""
    found = []

    def note(credentials, **kwargs):
        found.append(credentials)

    user_login_failed.connect(note)
    yield found
    user_login_failed.disconnect(note)


@pytest.fixture
def reported_errors():
    """Django's reports, frames and their variables included, of every exception that nobody caught."""
    found = []

    def keep(request=None, **kwargs):
        reporter = ExceptionReporter(request, *sys.exc_info(), is_email=True)
        found.append(html.unescape(reporter.get_traceback_html() + reporter.get_traceback_text()))

    got_request_exception.connect(keep)
    yield found
    got_request_exception.disconnect(keep)


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]
