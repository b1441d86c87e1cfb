"""A site on a socket for each settings module in ``sites``, and a browser in front of it."""

import os
import secrets
import sqlite3
from contextlib import closing
from urllib.parse import urljoin, urlsplit

import pytest
import requests

from numverify_django.contrib.drf import journey

from ..conftest import Browser, Page
from ..servers.conftest import Site
from .provider import Provider

PRESSED = ("submit", "button", "image", "reset", "checkbox", "radio")  # inputs that a form sends only where chosen
RUNNING = []  # whose logs a failure shows


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Show what the sites printed beside what failed."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {served.name}", served.log()) for served in RUNNING]
    return report


class Served:
    """A running site at ``url``, with a database of its own."""

    may_fail = False  # True where a test shows what goes wrong: then its log may hold an exception

    def __init__(self, name, folder, environment):
        self.name, self._log, self._database = name, folder / "log", folder / "site.sqlite3"
        facts = {
            "DJANGO_SETTINGS_MODULE": f"tests.coexistence.sites.{name}",
            "HOME": str(folder),  # where gunicorn keeps a socket for its control
            "NO_PROXY": "127.0.0.1",
            "SITE_DATABASE": str(self._database),
        }
        self._process = Site("coexistence", 1, 4, os.environ | facts | environment, self._log)
        self.url = self._process.url

    def log(self):
        """Return what it printed so far: its checks first."""
        return self._log.read_text()

    def rows(self, statement, *values):
        """Return the rows that an SQL statement finds in its database."""
        with closing(sqlite3.connect(self._database, timeout=10)) as database:
            return database.execute(statement, values).fetchall()

    def outcomes(self):
        """Return (outcome, reason) of every attempt to verify a number, oldest first."""
        return self.rows("SELECT outcome, reason FROM numverify_django_verificationattempt ORDER BY id")

    def make(self, username, **facts):
        """Make an account (``password``, ``email``, ``is_staff``, ``number`` in E.164 ...); return its primary key."""
        answer = requests.post(f"{self.url}/make/", {"username": username, **facts}, timeout=30)
        assert answer.status_code == 200, answer.text
        return int(answer.text)

    def stop(self):
        """End its processes, by their ids."""
        self._process.stop()


class Visitor(Browser):
    """A browser in front of a Served site; ``log_in(number)`` goes to the operator and comes back."""

    def __init__(self, served, prefix="", headers=()):
        super().__init__(served.url + prefix)
        self._http.headers.update(headers)

    def who(self):
        """Return what the site's page says of who is here."""
        return self.get("/who/").json()

    def enter(self, username, password, page="/enter/"):
        """Log in with a password on the page of Django's own LoginView; return the last answer."""
        return self.submit(self.get(page), {"username": username, "password": password})

    def log_out(self, page="/who/"):
        """Log out."""
        return self.post("/logout/", {}, page)

    def submit(self, page, fields=(), action=""):
        """Send a form of ``page`` (an answer), by POST, with ``fields`` (a dict) changed; return the last answer.

        It is the first whose action has ``action`` in it, and has its own hidden fields and token.
        """
        place, values = next(form for form in forms_of(page) if action in form[0])
        headers = {"Origin": "://".join(urlsplit(place)[:2]), "Referer": page.url}
        return self._http.post(place, values | dict(fields), headers=headers, timeout=30)


class App:
    """An app on a phone, which logs in by numverify_django.contrib.drf; its requests have ``headers``."""

    def __init__(self, served, sandbox, headers):
        self._url, self._sandbox, self._headers = f"{served.url}/numverify/app/", sandbox, headers

    def log_in(self, number):
        """Begin a login, visit the operator, and return the answer to its end."""
        verifier = secrets.token_urlsafe(48)
        started = self._post("start", code_challenge=journey.challenge_of(verifier), phone_number=number)
        response = self._sandbox.authorize(started.json()["authorization_url"]).partition("?")[2]
        return self._post("complete", code_verifier=verifier, response=response)

    def _post(self, step, **sent):
        return requests.post(f"{self._url}{step}/", json=sent, headers=self._headers, timeout=30)


def forms_of(page):
    """Return (address, fields) of every form of ``page`` that is sent by POST."""
    found = []
    for tag, has in Page(page).elements:
        if tag == "form":
            is_post = has.get("method", "").lower() == "post"
            found.append((is_post, urljoin(page.url, has.get("action") or ""), {}))
        elif tag == "input" and found and has.get("name") and has.get("type", "text") not in PRESSED:
            found[-1][2][has["name"]] = has.get("value") or ""
    return [(place, fields) for is_post, place, fields in found if is_post]


@pytest.fixture(autouse=True)
def honest_operator(sandbox):
    """The operator is as at its beginning: no SIM or fault that an earlier test chose."""


@pytest.fixture(scope="module")
def serve(tmp_path_factory, running_sandbox):
    """Return a function that serves the site called ``name``; keywords are of its environment.

    A site starts once in a module, in front of an honest operator: fixtures of a module log in before a test begins.
    It is served again to who asks for the same, ends with the module, and must not have printed an exception.
    """
    sites = {}

    def serve(name, **environment):
        key = (name, *sorted(environment.items()))
        if key not in sites:
            running_sandbox.reset()
            given = {"SITE_OPERATOR": running_sandbox.url} | environment
            sites[key] = Served(name, tmp_path_factory.mktemp(name), given)
            RUNNING.append(sites[key])
        return sites[key]

    yield serve
    for served in sites.values():
        served.stop()
        RUNNING.remove(served)
    for served in sites.values():
        assert served.may_fail or "Traceback" not in served.log(), served.log()


@pytest.fixture(scope="module")
def running_provider():
    """One identity provider for all tests."""
    provider = Provider()
    yield provider
    provider.close()


@pytest.fixture
def provider(running_provider):
    """It, with nobody at the browser."""
    running_provider.sign_in("nobody")
    return running_provider
