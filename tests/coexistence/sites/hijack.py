"""django-hijack as its documentation says, with the receiver that docs/coexistence.rst asks for; staff have phones."""

from .base import *  # noqa: F403
from .base import INSTALLED_APPS, NUMVERIFY, beside

ROOT_URLCONF = "tests.coexistence.sites.hijack_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "hijack", "hijack.contrib.admin"]
MIDDLEWARE = beside("hijack.middleware.HijackUserMiddleware")
LOGOUT_REDIRECT_URL = "/who/"
NUMVERIFY |= {"ALLOW_STAFF": True}
