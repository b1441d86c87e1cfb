"""The same, with mozilla-django-oidc's backend first, and its middleware before ours."""

from .base import exchanged
from .mozilla import *  # noqa: F403
from .mozilla import MIDDLEWARE

AUTHENTICATION_BACKENDS = [
    "mozilla_django_oidc.auth.OIDCAuthenticationBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
MIDDLEWARE = exchanged(MIDDLEWARE)
