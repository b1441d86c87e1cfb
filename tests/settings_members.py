"""The test site with a user model of its own."""

from .settings import *  # noqa: F403
from .settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.members"]
AUTH_USER_MODEL = "members.Member"
