"""A site under a path: the server says so, or the setting where a proxy takes it off the addresses."""

import os

from .base import *  # noqa: F403
from .base import NUMVERIFY

FORCE_SCRIPT_NAME = os.environ.get("SITE_SCRIPT_NAME")
USE_X_FORWARDED_HOST = FORCE_SCRIPT_NAME is not None
STATIC_URL = "/club/static/"  # Django reads a relative one once: here in the checks, which no server told a path
LOGIN_REDIRECT_URL = "/club/who/"
NUMVERIFY = NUMVERIFY | {"FALLBACK_URL": "admin:login"}
