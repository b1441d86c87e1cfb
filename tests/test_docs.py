"""The pages of docs/ say what the code says."""

import inspect
import re
from pathlib import Path

import pytest
from django.conf import global_settings
from docutils import nodes
from docutils.core import publish_doctree

from numverify_django import checks, conf, connections, limits, transport
from numverify_django.contrib.drf import checks as drf_checks
from numverify_django.contrib.otp import checks as otp_checks
from numverify_django.protocol import conversation

ROOT = Path(__file__).parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/*.rst"), *ROOT.glob("*.rst")])
# What is written like a setting and is none.
NOT_SETTINGS = {
    "POST",
    "GET",
    "HEAD",
    "UPDATE",
    "DELETE",
    "DENY",
    "PORT",
    "PYTHON",
    "VENV",
    "ARGS",
    "INSTALLED_APPS",
    "SITE",
    "REST_FRAMEWORK",
}
NOT_SETTINGS |= {"CONN_MAX_AGE", "ATOMIC_REQUESTS"}  # of a database
NOT_SETTINGS |= {"OIDC_DRF_AUTH_BACKEND", "ACCOUNT_REAUTHENTICATION_REQUIRED", "OTP_LOGIN_URL"}  # of other packages
NOT_SETTINGS |= {"SECURE_CSP", "SITE_ID", "SCRIPT_NAME", "FORWARDED_ALLOW_IPS"}  # Django 6's, servers'


def read(page):
    """Return the page as a document; docutils has nothing to complain about."""
    return publish_doctree(ROOT.joinpath(page).read_text(), settings_overrides={"report_level": 1, "halt_level": 2})


def threat_model():
    """Return the text of the threat model."""
    return " ".join(read("docs/threat-model.rst").astext().split())


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_exist(page):
    literals = {node.astext() for node in read(page).findall(nodes.literal)}
    known = {"NUMVERIFY", "OPERATORS", "PROFILE", *conf.SITE_KEYS, *conf.OPERATOR_KEYS, *dir(global_settings)}
    named = {text for text in literals if re.fullmatch("[A-Z][A-Z_]{3,}", text)}
    assert named - known - NOT_SETTINGS == set()


@pytest.mark.parametrize("page", PAGES)
def test_checks_that_are_named_exist(page):
    raised = "".join(map(inspect.getsource, (checks, conf, drf_checks, otp_checks)))
    assert [name for name in re.findall(r"[EW]0\d\d\b", read(page).astext()) if name not in raised] == []


def test_figures_of_the_threat_model_are_those_of_the_code():
    text = threat_model()
    body, received = transport.BODY_MAX // 1024, transport.RECEIVED_MAX // 1024
    head = connections.HEAD_MAX // 1024
    assert f"{head} KiB of head, {body} KiB of body, {received} KiB in all" in text
    assert (limits.FAULTS_TO_OPEN, f"after five faults it is not asked for {limits.OPEN} seconds" in text) == (5, True)
    assert (conversation.COOL_DOWN, "one refetch in a minute" in text) == (60, True)
    assert (conversation.STALE, "serve for an hour at most" in text) == (3600, True)


def test_threat_model_names_every_group_of_cases():
    groups = {path.stem.removeprefix("test_").upper() for path in ROOT.glob("tests/hostile/test_??.py")}
    assert set(re.findall(r"\b[A-Z]{2}\b", threat_model())) & (groups | {"XD", "MW", "CB"}) == groups
