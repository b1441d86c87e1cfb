"""mozilla-django-oidc as its documentation says, after ours; its SessionRefresh is the one that knows our sessions."""

import os

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, MIDDLEWARE

PROVIDER = os.environ["SITE_PROVIDER"]
ROOT_URLCONF = "tests.coexistence.sites.mozilla_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "mozilla_django_oidc", "rest_framework"]
AUTHENTICATION_BACKENDS = [*AUTHENTICATION_BACKENDS, "mozilla_django_oidc.auth.OIDCAuthenticationBackend"]
MIDDLEWARE = [*MIDDLEWARE, "numverify_django.contrib.sso.SessionRefresh"]

LOGOUT_REDIRECT_URL = "/who/"
OIDC_RP_CLIENT_ID = "the-site"
OIDC_RP_CLIENT_SECRET = "secret-of-the-site"
OIDC_RP_SIGN_ALGO = "RS256"
OIDC_OP_AUTHORIZATION_ENDPOINT = f"{PROVIDER}/authorize"
OIDC_OP_TOKEN_ENDPOINT = f"{PROVIDER}/token"
OIDC_OP_USER_ENDPOINT = f"{PROVIDER}/userinfo"
OIDC_OP_JWKS_ENDPOINT = f"{PROVIDER}/jwks"
OIDC_DRF_AUTH_BACKEND = "mozilla_django_oidc.auth.OIDCAuthenticationBackend"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "mozilla_django_oidc.contrib.drf.OIDCAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
}
