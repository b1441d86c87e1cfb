"""docs/proxy.rst and docs/telefonica.rst: their settings hold, and do what the pages say."""

import os
import re

import pytest
from django.core.checks import run_checks

from numverify_django import conf, session
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.protocol.profiles import PROFILES

from .conftest import Browser, Phone, query_of
from .test_docs import blocks, read, snippets, table

PROXY, TELEFONICA = read("docs/proxy.rst"), read("docs/telefonica.rst")
CALLBACK = "https://www.example.com/numverify/callback/"


def run(settings, *texts):
    """Run blocks of settings on those of a site with one operator; set what they leave."""
    operator = {"PROFILE": "telefonica", "CLIENT_ID": "id", "CLIENT_SECRET": "secret"}
    names = {"NUMVERIFY": {"OPERATORS": {"telefonica": operator}, "DEFAULT_REGION": "ES"}}
    for text in texts:
        exec(text, names)  # noqa: S102
    for name, value in names.items():
        if name.isupper():
            setattr(settings, name, value)


@pytest.fixture
def proxied(settings, configure, sandbox):
    """A phone behind the page's proxy, whose operator is the sandbox."""
    (operator,) = settings.NUMVERIFY["OPERATORS"].values()
    run(settings, *snippets(PROXY, "settings.py"))
    known = settings.NUMVERIFY
    known["OPERATORS"]["telefonica"] |= {key: value for key, value in operator.items() if key != "PROFILE"}
    settings.NUMVERIFY = {**known}
    return Phone(sandbox)


FROM_THE_PROXY = {"Host": "www.example.com", "X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.7"}


@pytest.mark.django_db
def test_operator_is_told_the_callback_of_the_page(proxied):
    started = proxied.client.post("/numverify/login/", {"phone_number": "600 000 001"}, headers=FROM_THE_PROXY)
    assert query_of(started["Location"])["redirect_uri"] == CALLBACK
    assert started.wsgi_request.is_secure()
    assert session.client_address(started.wsgi_request) == "203.0.113.7"


@pytest.mark.django_db
def test_without_the_header_a_form_from_https_is_refused(proxied, settings):
    settings.CSRF_COOKIE_SECURE = False
    proxied.client.handler.enforce_csrf_checks = True
    headers = FROM_THE_PROXY | {"Origin": "https://www.example.com"}
    answers = []
    for header in (settings.SECURE_PROXY_SSL_HEADER, None):
        settings.SECURE_PROXY_SSL_HEADER = header
        token = {
            "csrfmiddlewaretoken": proxied.client.get("/numverify/login/", headers=FROM_THE_PROXY).context["csrf_token"]
        }
        typed = {"phone_number": "600 000 001"} | {name: str(value) for name, value in token.items()}
        answers.append(proxied.client.post("/numverify/login/", typed, headers=headers).status_code)
    assert answers == [302, 403]


def test_log_of_the_proxy_has_no_query():
    (text,) = blocks(PROXY, "nginx")
    (format_of_log,) = re.findall(r"log_format (\w+) .*", text)
    assert re.findall(r"\$(request|request_uri|args|query_string)\b", text) == []
    assert f"access_log /var/log/nginx/site.log {format_of_log};" in text


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("configure")
def test_callback_has_the_prefix_of_a_site_under_a_path(settings, live_server):
    settings.FORCE_SCRIPT_NAME = "/club"
    started = Browser(live_server.url).log_in("600 000 001", allow_redirects=False)
    uri = query_of(started.headers["Location"])["redirect_uri"]
    assert uri == f"{live_server.url}/club/numverify/callback/"
    assert "/club/numverify/callback/" in PROXY.astext()


# Telefonica


@pytest.mark.django_db
def test_settings_of_telefonica_hold(settings, monkeypatch):
    for name in ("OPERATOR_CLIENT_ID", "OPERATOR_CLIENT_SECRET"):
        monkeypatch.setitem(os.environ, name, "given")
    first, whitelisted = (text for text in blocks(TELEFONICA, "python"))
    run(settings, first)
    (operator,) = conf.get().operators
    assert (operator.redirect_uri, operator.client_secret, operator.login_hint) == (CALLBACK, "given", "none")
    assert not operator.serves(PhoneNumber("+4915112345678"))

    run(settings, first, whitelisted)
    (operator,) = conf.get().operators
    assert (operator.profile.name, operator.login_hint) == ("telefonica-apigateway-v1", "tel")
    warned = {message.id for message in run_checks(include_deployment_checks=True, databases=[])}
    told = set(re.findall(r"numverify\.W\d{3}", TELEFONICA.astext()))
    assert told == {"numverify.W006", "numverify.W008"}
    assert told <= warned


def test_scopes_of_the_page_are_those_of_the_profiles():
    (rows,) = table(TELEFONICA, "profile", "verify", "share")
    told = {name: (verify, share) for names, verify, share in rows for name in names.split(", ")}
    assert told == {
        name: (profile.verify.scope, profile.share.scope)
        for name, profile in PROFILES.items()
        if name.startswith("telefonica")
    }


def test_purposes_of_the_page_are_those_of_the_profiles():
    others = {name for name, profile in PROFILES.items() if profile.share.purpose == "dpv:ServiceProvision"}
    assert others == {"telefonica-apigateway-v1", "telefonica-apigateway-v2"}
    assert {profile.verify.purpose for profile in PROFILES.values()} == {"dpv:FraudPreventionAndDetection"}
    text = " ".join(TELEFONICA.astext().split())
    assert (
        "dpv:FraudPreventionAndDetection, but for share at the gateway's v1 and v2, which is dpv:ServiceProvision"
        in text
    )
