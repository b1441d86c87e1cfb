"""The same with ours last, allauth's middleware before ours, and pages that want to know again who is there."""

from .allauth import *  # noqa: F403
from .allauth import MIDDLEWARE, NUMVERIFY
from .base import exchanged

AUTHENTICATION_BACKENDS = [
    "allauth.account.auth_backends.AuthenticationBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
MIDDLEWARE = exchanged(MIDDLEWARE)
NUMVERIFY |= {"LOGIN_POLICY": "tests.coexistence.sites.allauth_adapter.no_second_factor_is_left_out"}
ACCOUNT_REAUTHENTICATION_REQUIRED = True
ACCOUNT_ADAPTER = "tests.coexistence.sites.allauth_adapter.AccountAdapter"
