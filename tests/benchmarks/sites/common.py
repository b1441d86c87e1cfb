"""What the sites have in common: the settings of a good site behind a proxy, and where this run's operator is."""

import os

DATABASE, SESSIONS = os.environ["BENCH_DATABASE"], os.environ["BENCH_SESSIONS"]  # a name; "db" or "cache"
ISSUER = os.environ["BENCH_ISSUER"]
CLIENT_ID, CLIENT_SECRET = os.environ["BENCH_CLIENT_ID"], os.environ["BENCH_CLIENT_SECRET"]
VERIFY_URL = f"{ISSUER}/v1/number-verification/verify"

SECRET_KEY = "only-for-benchmarks-" + "0123456789abcdef" * 3
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGIN_REDIRECT_URL = "/home/"

INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
]
MIDDLEWARE = [
    "tests.benchmarks.sites.counting.CountStatements",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": DATABASE,
        "USER": "postgres",
        "HOST": "127.0.0.1",
        "PORT": 5432,
        "CONN_MAX_AGE": 600,  # Django's default, a connection for each request, halves every site's throughput
    }
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": "redis://127.0.0.1:6379",
        "KEY_PREFIX": DATABASE,
        "TIMEOUT": 900,
    }
}
SESSION_ENGINE = f"django.contrib.sessions.backends.{SESSIONS}"
