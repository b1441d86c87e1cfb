"""A site with an admin of its own in the place of Django's, and a second one for its desk."""

from .base import *  # noqa: F403
from .base import AUTHENTICATION_BACKENDS, INSTALLED_APPS, NUMVERIFY

ROOT_URLCONF = "tests.coexistence.sites.staff_urls"
INSTALLED_APPS = [
    "tests.coexistence.sites.staff_apps.ClubAdminConfig",
    *[app for app in INSTALLED_APPS if app != "django.contrib.admin"],
    "numverify_django.contrib.otp",
]
AUTHENTICATION_BACKENDS = [*AUTHENTICATION_BACKENDS, "numverify_django.contrib.otp.backends.OneTimeCodeBackend"]
NUMVERIFY = NUMVERIFY | {"CODE_SENDER": "numverify_django.contrib.otp.senders.console"}
