"""An app on a phone, and the site that it logs in to."""

import secrets

import pytest
from django.test import Client

from numverify_django.contrib.drf import journey

from ..conftest import HOST
from ..openapi import APPS
from ..test_login import GOOD

PATH = f"{APPS.root}/"
LOGINS = "numverify_django.contrib.drf.logins"
NOT_OPEN = {"error": "not_open", "reference": None}


class App:
    """An app on a phone: a verifier of its own, no cookies, and the system's browser between."""

    def __init__(self, sandbox):
        self.sandbox, self.client = sandbox, Client(SERVER_NAME=HOST)
        self.verifier = secrets.token_urlsafe(48)

    def post(self, path, status, **data):
        """Post ``data`` as JSON, and return the answer's, which is as the document says."""
        return APPS.told(self.client.post(f"{PATH}{path}/", data, content_type="application/json"), status)

    def start(self, number=GOOD, status=201, **data):
        """Begin a login."""
        challenge = journey.challenge_of(self.verifier)
        return self.post("start", status, code_challenge=challenge, phone_number=number, **data)

    def open(self, started):
        """Open the operator in the system's browser; return the query that it opens the app with."""
        return self.sandbox.authorize(started["authorization_url"]).partition("?")[2]

    def complete(self, response, status=200, **data):
        """End a login with the operator's answer."""
        return self.post("complete", status, **{"code_verifier": self.verifier, "response": response} | data)

    def status(self, reference, status=200):
        """Ask how a login stands."""
        return self.post("status", status, code_verifier=self.verifier, reference=reference)


@pytest.fixture
def configured(configure, sandbox):
    """A site whose apps get a token, and whose operator is the sandbox; keywords are keys of the operator."""

    def configured(login="token.log_in", site=None, **keys):
        chosen = login if callable(login) or login is None else f"{LOGINS}.{login}"
        configure(site={"APP_LOGIN": chosen} | (site or {}), **keys)

    configured()
    return configured


@pytest.fixture
def app(db, configured, sandbox):
    """An App in front of that site."""
    return App(sandbox)
