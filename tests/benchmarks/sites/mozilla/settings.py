"""Peer (a): mozilla-django-oidc, as its documentation says."""

from ..common import *  # noqa: F403
from ..common import CLIENT_ID, CLIENT_SECRET, INSTALLED_APPS, ISSUER

ROOT_URLCONF = "tests.benchmarks.sites.mozilla.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "mozilla_django_oidc", "tests.benchmarks.sites.audit"]
AUTHENTICATION_BACKENDS = ["tests.benchmarks.sites.mozilla.login.NaiveBackend"]

OIDC_RP_CLIENT_ID, OIDC_RP_CLIENT_SECRET = CLIENT_ID, CLIENT_SECRET
OIDC_RP_SIGN_ALGO = "RS256"
OIDC_RP_SCOPES = "openid dpv:FraudPreventionAndDetection number-verification:verify"
OIDC_USE_PKCE = True
OIDC_TIMEOUT = 10
OIDC_OP_AUTHORIZATION_ENDPOINT = f"{ISSUER}/authorize"
OIDC_OP_TOKEN_ENDPOINT = f"{ISSUER}/token"
OIDC_OP_USER_ENDPOINT = f"{ISSUER}/userinfo"
OIDC_OP_JWKS_ENDPOINT = f"{ISSUER}/jwks"
