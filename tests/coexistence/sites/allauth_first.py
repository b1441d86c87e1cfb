"""The same with ours last, allauth's middleware before ours, and pages that want to know again who is there."""

from .allauth import *  # noqa: F403
from .allauth import MIDDLEWARE

AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
MIDDLEWARE = [*MIDDLEWARE[:-2], *MIDDLEWARE[:-3:-1]]
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_ADAPTER = "tests.coexistence.sites.allauth_adapter.AccountAdapter"
