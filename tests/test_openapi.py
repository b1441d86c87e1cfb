"""The JSON of our URLs on a socket: schemathesis asks for what openapi.yaml allows, and for what it does not."""

import json
import subprocess
import sys

import pytest
import requests
from django.conf import settings as django_settings
from django.test import Client

from .openapi import PAGES
from .test_login import account
from .test_numbers import PASSWORD

EXAMPLES = 6  # of each request's fuzzing
SEED = 1
# What no schema can say: which text is a number that is served, and which state and code an operator has given.
UNSAID = ["start", "add", "fill", "finish", "finishAtOwn"]
CONFIG = """
[phases.stateful]
enabled = false

[[operations]]
include-operation-id = {}
checks.positive_data_acceptance.enabled = false
"""
WITHOUT_LIMITS = dict.fromkeys(["number_address", "session", "address", "site"])


@pytest.fixture
def site(configure, sandbox, live_server):
    """The address of a site whose operator is the sandbox; a stranger may come as often as they like."""
    configure(site={"RATE_LIMITS": WITHOUT_LIMITS}, OPERATION="share")
    sandbox.set(sim="+34600000001")
    return live_server.url + PAGES.root


def headers(site, user=None):
    """Return what a browser of ``user`` sends with each request."""
    client = Client()
    if user is not None:
        client.force_login(user, PASSWORD)
    name = django_settings.SESSION_COOKIE_NAME
    cookies = {name: client.cookies[name].value} if user is not None else {}
    http = requests.Session()
    http.trust_env = False
    token = http.get(f"{site}/login/", headers={"Accept": "application/json"}, cookies=cookies, timeout=10)
    cookies |= http.cookies.get_dict()
    shown = "; ".join(f"{name}={value}" for name, value in cookies.items())
    return {"Accept": "application/json", "Cookie": shown, "X-CSRFToken": token.json()["csrf_token"]}


def run(document, unsaid, site, sent, folder, *options):
    """Run schemathesis with a Document against ``site``; return what it printed, once it found nothing.

    ``unsaid`` are the operations that may refuse what their schema allows.
    """
    config = folder / "schemathesis.toml"
    config.write_text(CONFIG.format(json.dumps(unsaid)))
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", str(document.path)]
    command += ["--url", site]
    command += ["--max-examples", str(EXAMPLES), "--seed", str(SEED), "--generation-deterministic"]
    command += ["--generation-with-security-parameters", "false", "--no-color", *options]  # the cookie is sent below
    for name, value in sent.items():
        command += ["-H", f"{name}: {value}"]
    ran = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=240)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.django_db(transaction=True)
def test_stranger_finds_nothing(site, tmp_path):
    assert "12 selected / 12 total" in run(PAGES, UNSAID, site, headers(site), tmp_path)


@pytest.mark.django_db(transaction=True)
def test_signed_in_person_finds_nothing(site, tmp_path):
    sent = headers(site, account())
    printed = run(PAGES, UNSAID, site, sent, tmp_path, "--exclude-operation-id", "leave")
    assert "11 selected / 12 total" in printed
