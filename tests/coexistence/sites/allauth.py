"""django-allauth as its documentation says: passwords, a second factor, and a social login at an OpenID provider."""

import os

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, MIDDLEWARE, NUMVERIFY

ROOT_URLCONF = "tests.coexistence.sites.allauth_urls"
INSTALLED_APPS = [
    *INSTALLED_APPS,
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
]
MIDDLEWARE = [*MIDDLEWARE, "allauth.account.middleware.AccountMiddleware"]
AUTHENTICATION_BACKENDS = [*AUTHENTICATION_BACKENDS, "allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
NUMVERIFY |= {"FALLBACK_URL": "account_login", "UNKNOWN_NUMBER": os.environ.get("SITE_UNKNOWN", "create")}
MFA_SUPPORTED_TYPES = ["totp"]

ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "email", "password1*", "password2*"]
SOCIALACCOUNT_PROVIDERS = {
    "openid_connect": {
        "OAUTH_PKCE_ENABLED": True,
        "APPS": [
            {
                "provider_id": "provider",
                "name": "Provider",
                "client_id": "the-site",
                "secret": "secret-of-the-site",
                "settings": {"server_url": os.environ["SITE_PROVIDER"]},
            },
        ],
    },
}
