"""The same, with the stock SessionRefresh and an API that is not told which backend: what cannot work."""

from .mozilla import *  # noqa: F403
from .mozilla import MIDDLEWARE

MIDDLEWARE = [*MIDDLEWARE[:-1], "mozilla_django_oidc.middleware.SessionRefresh"]
OIDC_DRF_AUTH_BACKEND = None
SILENCED_SYSTEM_CHECKS = ["numverify.E030", "numverify.E031"]
