"""The same, with mozilla-django-oidc's backend first, and its middleware before ours."""

from .mozilla import *  # noqa: F403
from .mozilla import MIDDLEWARE

AUTHENTICATION_BACKENDS = [
    "mozilla_django_oidc.auth.OIDCAuthenticationBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
MIDDLEWARE = [*MIDDLEWARE[:-2], *MIDDLEWARE[:-3:-1]]
