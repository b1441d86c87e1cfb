"""The floor (d): nothing but what a login needs."""

from ..common import *  # noqa: F403
from ..common import INSTALLED_APPS

ROOT_URLCONF = "tests.benchmarks.sites.floor.urls"
INSTALLED_APPS = [*INSTALLED_APPS, "tests.benchmarks.sites.audit"]
