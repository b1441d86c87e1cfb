"""Our URLs where a site may put them: the redirect URI is that of the place at which a login begins."""

import pytest

from .conftest import query_of
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
