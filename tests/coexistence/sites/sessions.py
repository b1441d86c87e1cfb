"""A site with other sessions than the database's: SITE_SESSIONS says which, and SITE_REDIS where its cache is."""

import os

from .base import *  # noqa: F403

SESSION_ENGINE = f"django.contrib.sessions.backends.{os.environ['SITE_SESSIONS']}"
if "SITE_REDIS" in os.environ:
    CACHES = {
        "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["SITE_REDIS"]}
    }
