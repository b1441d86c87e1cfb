"""This project, as README.rst says."""

from ..common import *  # noqa: F403
from ..common import CLIENT_ID, CLIENT_SECRET, INSTALLED_APPS, ISSUER, MIDDLEWARE

ROOT_URLCONF = "tests.benchmarks.sites.ours.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "numverify_django"]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
MIDDLEWARE = [*MIDDLEWARE, "numverify_django.middleware.NumberVerificationMiddleware"]
LOGIN_URL = "numverify:login"
NUMVERIFY = {
    "OPERATORS": {
        "telefonica": {
            "PROFILE": "telefonica",
            "CLIENT_ID": CLIENT_ID,
            "CLIENT_SECRET": CLIENT_SECRET,
            "ISSUER": ISSUER,
            "API_ROOT": f"{ISSUER}/v1",
            "ALLOW_LOOPBACK": True,
        },
    },
    "DEFAULT_REGION": "ES",
    "TRUSTED_PROXIES": ["127.0.0.1"],  # the load generator is one, with a client address for each person
}
