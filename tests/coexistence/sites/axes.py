"""django-axes as its documentation says: its backend first, its middleware last. SITE_COUNTS has failures counted."""

import os

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, MIDDLEWARE, NUMVERIFY

INSTALLED_APPS = [*INSTALLED_APPS, "axes"]
AUTHENTICATION_BACKENDS = ["axes.backends.AxesStandaloneBackend", *AUTHENTICATION_BACKENDS]
MIDDLEWARE = [*MIDDLEWARE, "axes.middleware.AxesMiddleware"]
AXES_FAILURE_LIMIT = 3
AXES_CLIENT_IP_CALLABLE = lambda request: request.headers["X-Address"]  # noqa: E731, of each visitor another
NUMVERIFY |= {"SEND_LOGIN_FAILED": bool(os.environ.get("SITE_COUNTS"))}
