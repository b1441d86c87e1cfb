"""A new project with numverify_django as README.rst says; where its database and operator are is in the environment."""

import os

SECRET_KEY = "only-for-tests-" + "0123456789abcdef" * 3
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "tests.coexistence.sites.urls"
USE_TZ = True
TIME_ZONE = "UTC"
STATIC_URL = "static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ["SITE_DATABASE"],
        "OPTIONS": {"init_command": "PRAGMA synchronous = OFF"},
    }
}
LOGGING = {  # a failure is printed, and so is in the site's log
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "numverify_django",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "numverify_django.middleware.NumberVerificationMiddleware",
]


def beside(theirs):
    """Return MIDDLEWARE with one more: after ours or, where SITE_EARLY has it so, before."""
    after = [*MIDDLEWARE, theirs]
    return exchanged(after) if os.environ.get("SITE_EARLY") else after


def exchanged(middleware):
    """Return it with the last two in each other's place."""
    *others, ours, theirs = middleware
    return [*others, theirs, ours]


AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "numverify_django.backends.NumberVerificationBackend",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [],
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
LOGIN_URL = "numverify:login"
LOGIN_REDIRECT_URL = "/who/"

NUMVERIFY = {
    "OPERATORS": {
        "sandbox": {
            "PROFILE": "telefonica",
            "ISSUER": os.environ["SITE_OPERATOR"],
            "API_ROOT": os.environ["SITE_OPERATOR"] + "/v1",
            "CLIENT_ID": "numverify-demo",
            "CLIENT_SECRET": "numverify-demo-secret",
            "ALLOW_LOOPBACK": True,
        },
    },
    "DEFAULT_REGION": "ES",
    "FALLBACK_URL": "/enter/",
}
