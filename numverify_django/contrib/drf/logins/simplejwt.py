"""A pair of tokens of djangorestframework-simplejwt."""

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.request import Request
from rest_framework_simplejwt.tokens import RefreshToken

from ....models import VerificationAttempt


def log_in(request: Request, user: AbstractBaseUser, attempt: VerificationAttempt) -> dict[str, str]:
    """Return a new pair for ``user``."""
    refresh = RefreshToken.for_user(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}
