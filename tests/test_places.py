"""Our URLs where a site may put them: the redirect URI is that of the place at which a login begins."""

import pytest
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import Client

from . import settings as good
from .asgi import LoopClient
from .conftest import HOST, query_of
from .test_docs import read
from .test_login import GOOD

LANGUAGES = "django.middleware.locale.LocaleMiddleware"


@pytest.fixture
def translated(phone, settings):
    """A phone in front of a site that has a path for each language."""
    settings.ROOT_URLCONF = "tests.urls_translated"
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, LANGUAGES]
    return phone


@pytest.mark.parametrize("language", ["en", "es"])
def test_each_language_has_a_callback_where_each_has_a_path(translated, language):
    started = translated.start(GOOD, path=f"/{language}/numverify/login/")
    assert query_of(started["Location"])["redirect_uri"].endswith(f"/{language}/numverify/callback/")


# Of a middleware's choice


def by_host(get_response):
    """Choose the URLconf, as django-hosts does."""

    def answer(request):
        request.urlconf = "tests.urls"
        return get_response(request)

    return answer


@pytest.fixture
def hosted(phone, settings):
    """A phone in front of a site that has our URLs in another URLconf than ROOT_URLCONF."""
    settings.ROOT_URLCONF = "django.contrib.auth.urls"
    settings.MIDDLEWARE = [f"{__name__}.by_host", *settings.MIDDLEWARE]
    return phone


@pytest.mark.parametrize("client", [Client, LoopClient])
def test_login_works_by_the_urls_that_a_middleware_chose(hosted, client):
    hosted.client = client(SERVER_NAME=HOST)
    assert hosted.log_in(GOOD)["Location"] == "/home/"
    assert hosted.client.get("/home/").content == f"user {hosted.user_id}".encode()


def test_site_whose_middleware_chooses_the_urls_silences_what_the_page_names(hosted, settings, capsys):
    settings.NUMVERIFY = good.NUMVERIFY | settings.NUMVERIFY
    with pytest.raises(SystemCheckError, match=r"add 'numverify\.E023' to SILENCED_SYSTEM_CHECKS"):
        call_command("check")
    settings.SILENCED_SYSTEM_CHECKS = [f"numverify.{name}" for name in ("E023", "E042", "E063")]
    call_command("check")
    assert "no issues (3 silenced)" in capsys.readouterr().out
    page = read("docs/coexistence.rst").astext()
    assert "E023 says that ours are missing, and so do E042 and E063" in page.replace("\n", " ")
