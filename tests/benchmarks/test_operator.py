"""The benchmark's operator is an honest one: a login of ours ends well there, and what is wrong is refused."""

import json
import ssl
import urllib.request
from contextlib import ExitStack
from urllib.parse import urlencode, urlsplit

import pytest
from django.test import Client

from numverify_django import connections
from numverify_django.models import VerificationAttempt

from . import certificates, distant, load
from .operator import CLIENT_ID, CLIENT_SECRET

NUMBER = "+34600000001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the certificates are."""
    folder = tmp_path_factory.mktemp("certificates")
    certificates.make(folder)
    return folder


@pytest.fixture(scope="module")
def operator(folder):
    """The operator behind its proxy."""
    with ExitStack() as stack:
        yield distant.start(stack, folder)


@pytest.fixture
def site(db, folder, operator, settings, monkeypatch):
    """A browser in front of a site whose operator it is."""
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "authority.pem"))
    connections._forget()  # whom it trusted
    keys = {"PROFILE": "telefonica", "ISSUER": operator.issuer, "API_ROOT": f"{operator.issuer}/v1"}
    keys |= {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET, "ALLOW_LOOPBACK": True}
    settings.NUMVERIFY = {"OPERATORS": {"benchmark": keys}, "DEFAULT_REGION": "ES"}
    yield Client(SERVER_NAME="127.0.0.1")
    connections._forget()


def log_in(site, operator, number, sim):
    """Log in with ``number`` on a phone that has the number ``sim``; return the attempt."""
    started = site.post("/numverify/login/", {"phone_number": number})
    url = urlsplit(started["Location"])
    with load.Wire(operator.phones) as phone:
        came = phone.ask("GET", f"{url.path}?{url.query}", {"X-SIM": sim})
    back = urlsplit(came.get("location"))
    site.get(f"{back.path}?{back.query}")
    return VerificationAttempt.objects.get()


def test_honest_login_takes_two_calls_on_one_connection(site, operator):
    before = operator.counts()
    assert log_in(site, operator, NUMBER, NUMBER).outcome == "verified"

    counted = {name: count - before.get(name, 0) for name, count in operator.counts().items()}
    assert [counted.get(name, 0) for name in ("token", "verify", "userinfo", "connections")] == [1, 1, 0, 1]


def test_another_sim_is_told(site, operator):
    assert log_in(site, operator, NUMBER, "+34600000002").reason == "number_mismatch"


def test_code_without_its_verifier_is_refused(folder, operator):
    challenged = {"client_id": CLIENT_ID, "redirect_uri": "http://site/", "state": "s", "code_challenge": "other"}
    with load.Wire(operator.phones) as phone:
        came = phone.ask("GET", f"/authorize?{urlencode(challenged)}", {"X-SIM": NUMBER})
    code = came.get("location").partition("code=")[2].partition("&")[0]
    form = {"code": code, "redirect_uri": "http://site/", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    context = ssl.create_default_context(cafile=folder / "authority.pem")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"{operator.issuer}/token", urlencode(form).encode(), context=context)

    with refused.value as answer:
        assert json.load(answer)["error"] == "invalid_client"
