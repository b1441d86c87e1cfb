"""The site of the tests on two databases at once, of which one is chosen for each measurement."""

import os

from tests.settings import *  # noqa: F403

DATABASES = {
    name: {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ[f"BENCH_{name.upper()}"],
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "PORT": 5432,
    }
    for name in ("small", "large")
}
DATABASES["default"] = DATABASES["small"]
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.locmem.LocMemCache",
        "KEY_FUNCTION": "tests.benchmarks.audit.choice.key",
    }
}
