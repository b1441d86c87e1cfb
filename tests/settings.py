"""The site that the tests run: the app as the README says, on SQLite or on what NUMVERIFY_TEST_DATABASE names."""

import os
import tempfile
from typing import Any
from urllib.parse import unquote, urlsplit

SECRET_KEY = "only-for-tests-" + "0123456789abcdef" * 3
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.urls"
USE_TZ = True
STATIC_URL = "static/"
LOGIN_URL = "numverify:login"
LOGIN_REDIRECT_URL = "/home/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "numverify_django",
    "numverify_django.contrib.otp",
    "numverify_django.contrib.qr",
    "numverify_django.contrib.drf",
    "rest_framework",
    "rest_framework.authtoken",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "numverify_django.middleware.NumberVerificationMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "numverify_django.backends.NumberVerificationBackend",
    "numverify_django.contrib.otp.backends.OneTimeCodeBackend",
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
# Each test that talks to an operator says which; this one is never asked.
NUMVERIFY = {
    "DEFAULT_REGION": "ES",
    "CODE_SENDER": "numverify_django.contrib.otp.senders.console",
    "APP_LOGIN": "numverify_django.contrib.drf.logins.token.log_in",
    "OPERATORS": {
        "sandbox": {"PROFILE": "telefonica", "CLIENT_ID": "numverify-demo", "CLIENT_SECRET": "unused"},
    },
}


ENGINES = {"postgresql": "django.db.backends.postgresql", "mysql": "django.db.backends.mysql"}  # MariaDB's too


def _database(url: str) -> dict[str, Any]:
    """Return Django's settings for a postgresql:// or mysql:// URL, or for a SQLite file where there is none."""
    if not url:
        # A file, because threads share it; without options, as most sites have it.
        test = {"NAME": os.path.join(tempfile.gettempdir(), f"numverify_{os.getpid()}.sqlite3")}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": test["NAME"], "TEST": test}
    parts = urlsplit(url)
    return {
        "ENGINE": ENGINES[parts.scheme],
        "NAME": parts.path.lstrip("/"),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname,
        "PORT": parts.port or "",
        "TEST": {"NAME": f"test_numverify_{os.getpid()}"},
    }


DATABASES = {"default": _database(os.environ.get("NUMVERIFY_TEST_DATABASE", ""))}
