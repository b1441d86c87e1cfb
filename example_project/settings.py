"""Settings of the example, a sports club whose members log in with the SIM in their phone.

What differs between machines comes from the environment; nothing has to be set:

NUMVERIFY_CLIENT_ID, NUMVERIFY_CLIENT_SECRET: credentials of a real operator. Without them it is the sandbox.
NUMVERIFY_PROFILE, NUMVERIFY_ISSUER, NUMVERIFY_API_ROOT, NUMVERIFY_OPERATION: override the operator's own. The sandbox
speaks the CAMARA profiles at NUMVERIFY_API_ROOT=http://127.0.0.1:9091.
NUMVERIFY_REDIRECT_URI: where the operator leads back to; http://127.0.0.1:8000/app/ is the single-page client.
NUMVERIFY_SANDBOX_PORT: where the sandbox listens, 9091.
DATABASE_URL: sqlite:///path or postgresql://user:password@host:port/name.
DJANGO_DEBUG: 1; with 0, DJANGO_SECRET_KEY and DJANGO_ALLOWED_HOSTS (one,two) are needed.
"""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

BASE_DIR = Path(__file__).resolve().parent


def database(url):
    """Return the DATABASES entry for an sqlite or postgresql ``url``."""
    if url.startswith("sqlite:///"):
        # Writers queue at their transaction's first statement instead of failing half-way through it.
        options = {"transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL"}
        return {"ENGINE": "django.db.backends.sqlite3", "NAME": url.removeprefix("sqlite:///"), "OPTIONS": options}
    parts = urlsplit(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.path[1:],
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": parts.port or "",
    }


def operators(environ):
    """Return the real operator of ``environ`` if it holds a CLIENT_ID, else the sandbox on this machine.

    Their names differ, so that an account which the sandbox vouched for is none of the operator's.
    """
    keys = ("PROFILE", "ISSUER", "API_ROOT", "CLIENT_ID", "CLIENT_SECRET", "OPERATION", "REDIRECT_URI")
    given = {key: environ[f"NUMVERIFY_{key}"] for key in keys if environ.get(f"NUMVERIFY_{key}")}
    if "CLIENT_ID" in given:
        return {"operator": {"PROFILE": "telefonica"} | given}
    issuer = f"http://127.0.0.1:{environ.get('NUMVERIFY_SANDBOX_PORT', '9091')}"
    sandbox = {
        "PROFILE": "telefonica",
        "ISSUER": issuer,
        "API_ROOT": f"{issuer}/v1",
        "CLIENT_ID": "numverify-demo",
        "CLIENT_SECRET": "numverify-demo-secret",
        "OPERATION": "share",  # a typed number is still verified; without one the operator is asked for it
    }
    return {"sandbox": sandbox | given}


DEBUG = os.environ.get("DJANGO_DEBUG", "1") == "1"
# Known to everyone who reads this file: for a machine of one's own. Without DEBUG Django refuses the empty key.
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "django-insecure-example-on-this-machine-only" if DEBUG else "")
ALLOWED_HOSTS = [host for host in os.environ.get("DJANGO_ALLOWED_HOSTS", "").split(",") if host]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG

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
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "numverify_django.middleware.NumberVerificationMiddleware",
]

AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "numverify_django.backends.NumberVerificationBackend",
    "numverify_django.contrib.otp.backends.OneTimeCodeBackend",
]

NUMVERIFY = {
    "OPERATORS": operators(os.environ),
    "DEFAULT_REGION": "ES",
    "FALLBACK_URL": "/accounts/login/",
    "RATE_LIMITS": {"number_address": [100, 600], "session": [100, 600]},  # one tries the same number often here
    "CODE_SENDER": "numverify_django.contrib.otp.senders.console",  # in production one that sends
}

ROOT_URLCONF = "urls"
LOGIN_URL = "numverify:login"
LOGIN_REDIRECT_URL = "members"
LOGOUT_REDIRECT_URL = "home"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
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

DATABASES = {"default": database(os.environ.get("DATABASE_URL", f"sqlite:///{BASE_DIR / 'demo.sqlite3'}"))}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("es", "Español"), ("de", "Deutsch"), ("pt-br", "Português do Brasil")]
TIME_ZONE = "Europe/Madrid"
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]

# The development server's log, without the code and state that a callback's address carries.
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"path_only": {"()": "logs.PathOnly"}},
    "formatters": {
        "server": {"()": "django.utils.log.ServerFormatter", "format": "[{server_time}] {message}", "style": "{"}
    },
    "handlers": {"server": {"class": "logging.StreamHandler", "filters": ["path_only"], "formatter": "server"}},
    "loggers": {"django.server": {"handlers": ["server"], "level": "INFO", "propagate": False}},
}
