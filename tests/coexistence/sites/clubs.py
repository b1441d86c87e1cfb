"""Several sites in one process, told apart by the host of the request: django.contrib.sites without SITE_ID."""

import os

from .base import *  # noqa: F403
from .base import INSTALLED_APPS, NUMVERIFY

ROOT_URLCONF = "tests.coexistence.sites.clubs_urls"
ALLOWED_HOSTS = os.environ.get("SITE_HOSTS", "127.0.0.1 localhost").split()
INSTALLED_APPS = [*INSTALLED_APPS, "django.contrib.sites"]
SESSION_COOKIE_DOMAIN = os.environ.get("SITE_COOKIE_DOMAIN")
if "SITE_ID" in os.environ:
    SITE_ID = int(os.environ["SITE_ID"])
if "SITE_REDIRECT_URI" in os.environ:
    NUMVERIFY["OPERATORS"]["sandbox"]["REDIRECT_URI"] = os.environ["SITE_REDIRECT_URI"]
