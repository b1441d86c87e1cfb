"""The same, with mozilla-django-oidc's backend first."""

from .mozilla import *  # noqa: F403

AUTHENTICATION_BACKENDS = [
    "mozilla_django_oidc.auth.OIDCAuthenticationBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
