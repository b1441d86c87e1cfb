"""Peer (b): django-allauth's openid_connect, as its documentation says."""

from ..common import *  # noqa: F403
from ..common import CLIENT_ID, CLIENT_SECRET, INSTALLED_APPS, ISSUER, MIDDLEWARE

ROOT_URLCONF = "tests.benchmarks.sites.allauth.urls"
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "allauth",
    "allauth.account",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "tests.benchmarks.sites.audit",
]
MIDDLEWARE = [*MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]

ALLAUTH_TRUSTED_PROXY_COUNT = 1
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_SIGNUP_FIELDS = ["username*"]
ACCOUNT_LOGIN_METHODS = {"username"}
SOCIALACCOUNT_ADAPTER = "tests.benchmarks.sites.allauth.login.NaiveAdapter"
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "SCOPE": ["openid", "dpv:FraudPreventionAndDetection", "number-verification:verify"],
        "APPS": [
            {
                "provider_id": "operator",
                "name": "Operator",
                "client_id": CLIENT_ID,
                "secret": CLIENT_SECRET,
                "settings": {"server_url": ISSUER},
            },
        ],
    },
}
