"""django-oauth-toolkit as its documentation says: the site is a provider for others, and logs people in by SIM."""

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, MIDDLEWARE

ROOT_URLCONF = "tests.coexistence.sites.oauth_toolkit_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "oauth2_provider"]
MIDDLEWARE = [*MIDDLEWARE, "oauth2_provider.middleware.OAuth2TokenMiddleware"]
AUTHENTICATION_BACKENDS = ["oauth2_provider.backends.OAuth2Backend", *AUTHENTICATION_BACKENDS]
OAUTH2_PROVIDER = {"SCOPES": {"read": "Read", "write": "Write"}}
