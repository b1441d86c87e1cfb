"""The app's system checks: what each reports, and that doing what it says cures it."""

import pytest
from django.core.checks import run_checks

from numverify_django.contrib.otp.backends import OneTimeCodeBackend

from .. import settings as good
from .. import urls

BACKEND = "numverify_django.contrib.otp.backends.OneTimeCodeBackend"
CONSOLE = "numverify_django.contrib.otp.senders.console"
OTHERS = [path for path in good.AUTHENTICATION_BACKENDS if path != BACKEND]


class OwnBackend(OneTimeCodeBackend):
    """A site's own."""


def told(deploy=False):
    """Return the numbers of our checks that report something."""
    return [
        found.id.removeprefix("numverify.")
        for found in run_checks(include_deployment_checks=deploy, databases=[])
        if found.id.startswith(("numverify.E04", "numverify.W04"))
    ]


def test_careful_site_is_told_nothing(configure):
    assert told(deploy=True) == []


def test_missing_sender_is_an_error(configure):
    configure(CODE_SENDER=None)
    assert told() == ["E040"]


@pytest.mark.parametrize("backends", [OTHERS, [*OTHERS, "missing.Backend"]], ids=["without", "unknown"])
def test_missing_backend_is_an_error(configure, settings, backends):
    settings.AUTHENTICATION_BACKENDS = backends
    assert told() == ["E041"]
    settings.AUTHENTICATION_BACKENDS = [*OTHERS, f"{__name__}.OwnBackend"]
    assert told() == []


def test_missing_urls_are_an_error(configure, settings):
    settings.ROOT_URLCONF = type("Urls", (), {"urlpatterns": [url for url in urls.urlpatterns if not is_ours(url)]})
    assert told() == ["E042"]


def is_ours(url):
    return getattr(url, "namespace", None) == "numverify_otp"


def test_site_that_takes_any_host_is_an_error(configure, settings):
    settings.ALLOWED_HOSTS = ["*"]
    assert told() == ["E043"]


def test_console_is_no_sender_of_a_site_that_is_deployed(configure):
    configure(CODE_SENDER=CONSOLE)
    assert (told(), told(deploy=True)) == ([], ["W040"])


def test_settings_that_are_wrong_are_told_once(configure):
    configure(CODE_SENDER="missing.sender")
    assert told(deploy=True) == []
