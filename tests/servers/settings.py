"""What each server runs: the tests' site, with the cache on Redis; what differs is in the environment."""

import json
import os

from tests.settings import *  # noqa: F403
from tests.settings import DATABASES, MIDDLEWARE

SITE = json.loads(os.environ["NUMVERIFY_TEST_SITE"])
ROOT_URLCONF = "tests.servers.urls"
MIDDLEWARE = ["tests.servers.urls.name_process", *MIDDLEWARE]
DATABASES["default"]["CONN_MAX_AGE"] = SITE["conn_max_age"]
CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": SITE["redis"]}}
SESSION_ENGINE = f"django.contrib.sessions.backends.{SITE['sessions']}"
NUMVERIFY = SITE["numverify"]
LOGOUT_REDIRECT_URL = "/home/"
