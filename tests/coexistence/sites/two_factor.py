"""django-two-factor-auth as its documentation says; its page is the way in beside ours."""

from .otp import *  # noqa: F403
from .otp import INSTALLED_APPS, NUMVERIFY

ROOT_URLCONF = "tests.coexistence.sites.two_factor_urls"
INSTALLED_APPS = [*INSTALLED_APPS, "django_otp.plugins.otp_static", "two_factor"]
LOGIN_URL = OTP_LOGIN_URL = "two_factor:login"
NUMVERIFY |= {"FALLBACK_URL": "two_factor:login"}
