"""django-otp as its documentation says, with TOTP devices; SITE_POLICY has a login by SIM wait for the token."""

import os
from pathlib import Path

from .base import *  # noqa: F403
from .base import INSTALLED_APPS, NUMVERIFY, TEMPLATES, beside

ROOT_URLCONF = "tests.coexistence.sites.otp_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "django_otp", "django_otp.plugins.otp_totp"]
MIDDLEWARE = beside("django_otp.middleware.OTPMiddleware")
TEMPLATES[0]["DIRS"] = [Path(__file__).parent / "templates"]
OTP_LOGIN_URL = "/token/"
if os.environ.get("SITE_POLICY"):
    NUMVERIFY |= {"LOGIN_POLICY": "tests.coexistence.sites.otp_urls.second_factor_first"}
