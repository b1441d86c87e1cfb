"""django-axes as its documentation says: its backend first, its middleware last. SITE_COUNTS has failures counted.

Apps log in too: their requests are of Django REST framework's kind.
"""

import os

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, MIDDLEWARE, NUMVERIFY

ROOT_URLCONF = "tests.coexistence.sites.axes_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "axes", "rest_framework", "numverify_django.contrib.drf"]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", *AUTHENTICATION_BACKENDS]
MIDDLEWARE = [*MIDDLEWARE, "axes.middleware.AxesMiddleware"]
AXES_FAILURE_LIMIT = 3
AXES_CLIENT_IP_CALLABLE = lambda request: request.headers["X-Address"]  # noqa: E731, of each visitor another
NUMVERIFY |= {
    "SEND_LOGIN_FAILED": bool(os.environ.get("SITE_COUNTS")),
    "APP_LOGIN": "numverify_django.contrib.drf.logins.session.log_in",
}
