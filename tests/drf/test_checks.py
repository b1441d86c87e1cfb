"""The system checks about apps: what each reports, and that doing what it says cures it."""

import sys

import pytest
from django.core.checks import run_checks

from .. import settings as good
from .. import urls
from .conftest import LOGINS

WITHOUT_TOKENS = [app for app in good.INSTALLED_APPS if app != "rest_framework.authtoken"]
OTHER_URLS = [url for url in urls.urlpatterns if getattr(url, "namespace", None) != "numverify_drf"]
WITHOUT_URLS = type("Urls", (), {"urlpatterns": OTHER_URLS})


def told():
    """Return the numbers of the checks about apps that report something; each says what to do."""
    found = [found for found in run_checks(databases=[]) if found.id.startswith("numverify.E06")]
    assert all(error.hint for error in found)
    return [error.id.removeprefix("numverify.") for error in found]


@pytest.mark.parametrize("login", ["token.log_in", "simplejwt.log_in", "session.log_in", lambda *args: {}])
def test_site_that_logs_apps_in_is_told_nothing(configured, login):
    configured(login)
    assert told() == []


def test_missing_framework_is_an_error_whatever_else_is_missing(configured, monkeypatch):
    configured(None)
    monkeypatch.setitem(sys.modules, "rest_framework", None)
    assert told() == ["E061"]


def test_urls_without_a_login_are_an_error(configured):
    configured(None)
    assert told() == ["E062"]


def test_login_without_urls_is_an_error(configured, settings):
    settings.ROOT_URLCONF = WITHOUT_URLS
    assert told() == ["E063"]


def test_app_for_its_permission_alone_is_none(configured, settings):
    configured(None)
    settings.ROOT_URLCONF = WITHOUT_URLS
    assert told() == []


def test_tokens_without_their_table_are_an_error(configured, settings):
    settings.INSTALLED_APPS = WITHOUT_TOKENS
    assert told() == ["E064"]
    configured("session.log_in")
    assert told() == []


def test_tokens_of_a_package_that_is_missing_are_an_error(configured, monkeypatch):
    monkeypatch.setitem(sys.modules, "rest_framework_simplejwt", None)
    assert told() == []
    configured("simplejwt.log_in")
    assert told() == ["E065"]


def test_login_that_cannot_be_imported_is_told_by_its_module(configured, monkeypatch):
    """As in a process that never imported it."""
    monkeypatch.setitem(sys.modules, "rest_framework_simplejwt", None)
    monkeypatch.delitem(sys.modules, f"{LOGINS}.simplejwt", raising=False)
    monkeypatch.delitem(sys.modules, "rest_framework_simplejwt.tokens", raising=False)
    configured("simplejwt.log_in")
    assert told() == ["E065"]


@pytest.mark.parametrize("numverify", [None, [], "text", {}, {"APP_LOGIN": 5}, {"APP_LOGIN": ""}])
def test_broken_numverify_is_told_by_others(settings, numverify):
    settings.NUMVERIFY = numverify
    assert told() == []
