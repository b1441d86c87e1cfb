"""django-oauth-toolkit as its documentation says: the site is a provider for others, and logs people in by SIM.

Apps log in by the API as well. SITE_LAST lists their backend after ours.
"""

import os

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, NUMVERIFY, beside

ROOT_URLCONF = "tests.coexistence.sites.oauth_toolkit_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "oauth2_provider", "rest_framework", "numverify_django.contrib.drf"]
MIDDLEWARE = beside("oauth2_provider.middleware.OAuth2TokenMiddleware")
AUTHENTICATION_BACKENDS = ["oauth2_provider.backends.OAuth2Backend", *AUTHENTICATION_BACKENDS]
if os.environ.get("SITE_LAST"):
    AUTHENTICATION_BACKENDS = [*AUTHENTICATION_BACKENDS[1:], AUTHENTICATION_BACKENDS[0]]
NUMVERIFY |= {"APP_LOGIN": "numverify_django.contrib.drf.logins.session.log_in"}
OAUTH2_PROVIDER = {"SCOPES": {"read": "Read", "write": "Write"}}
