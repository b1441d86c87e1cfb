"""A site whose admin is Unfold's; SITE_ADMINS is "unfold" where our model admins are to be Unfold's as well."""

from .base import *  # noqa: F403
from .base import INSTALLED_APPS

INSTALLED_APPS = ["unfold", *INSTALLED_APPS]
ROOT_URLCONF = "tests.coexistence.sites.unfold_urls"
