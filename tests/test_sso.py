"""contrib.sso: what mozilla-django-oidc's middleware asks the site's identity provider about."""

import pytest
from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.urls import include, path

from . import settings as test_site

THEIRS = "mozilla_django_oidc.auth.OIDCAuthenticationBackend"
PROVIDER = "https://idp.example/authorize"

urlpatterns = [
    path("page/", lambda request: HttpResponse()),
    path("oidc/", include("mozilla_django_oidc.urls")),
    *i18n_patterns(path("numverify/", include("numverify_django.urls"))),
]
pytestmark = pytest.mark.urls(__name__)


def choose_urls(get_response):
    """A middleware by which the URLs are those of the request's host."""

    def answer(request):
        request.urlconf = Members
        return get_response(request)

    return answer


class Members:
    """The URLs of one host."""

    urlpatterns = [*urlpatterns, path("members/numverify/", include("numverify_django.urls"))]


@pytest.fixture
def client(client, settings, db):
    """A browser whose session is the identity provider's, and due to be asked about."""
    middleware = list(test_site.MIDDLEWARE)
    middleware.insert(2, "django.middleware.locale.LocaleMiddleware")
    settings.MIDDLEWARE = [*middleware, "numverify_django.contrib.sso.SessionRefresh"]
    settings.AUTHENTICATION_BACKENDS = [*test_site.AUTHENTICATION_BACKENDS, THEIRS]
    settings.LANGUAGES = [("en", "English"), ("es", "Spanish")]
    settings.OIDC_RP_CLIENT_ID, settings.OIDC_RP_CLIENT_SECRET = "site", "secret"
    settings.OIDC_OP_AUTHORIZATION_ENDPOINT = PROVIDER
    settings.OIDC_OP_TOKEN_ENDPOINT = settings.OIDC_OP_USER_ENDPOINT = "https://idp.example/other"
    client.force_login(get_user_model().objects.create_user("ana"), backend=THEIRS)
    return client


def is_refreshed(client, path):
    """Tell whether a request leads to the identity provider, and back to this path."""
    answer = client.get(f"{path}?code=secret&state=unknown")
    kept = client.session.get("oidc_login_next", "")
    assert kept.startswith(path) == answer.headers.get("Location", "").startswith(PROVIDER)
    return kept != ""


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("callback", ["callback/", "callback/sandbox/", "callback/north/west/"])
def test_no_callback_waits_for_a_refresh(client, language, callback):
    assert not is_refreshed(client, "/en/numverify/callback/")
    assert not is_refreshed(client, f"/{language}/numverify/{callback}")


def test_no_callback_of_a_hosts_own_urls_waits_for_a_refresh(client, settings):
    settings.MIDDLEWARE = [f"{__name__}.choose_urls", *settings.MIDDLEWARE]
    assert not is_refreshed(client, "/members/numverify/callback/sandbox/")


@pytest.mark.parametrize("path", ["/page/", "/en/numverify/numbers/", "/nowhere/"])
def test_other_pages_wait_for_a_refresh(client, path):
    assert is_refreshed(client, path)
