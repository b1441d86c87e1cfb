"""A token of rest_framework.authtoken, for TokenAuthentication."""

from django.contrib.auth.base_user import AbstractBaseUser
from rest_framework.authtoken.models import Token
from rest_framework.request import Request

from ....models import VerificationAttempt


def log_in(request: Request, user: AbstractBaseUser, attempt: VerificationAttempt) -> dict[str, str]:
    """Return the token of ``user``."""
    token, _ = Token.objects.get_or_create(user=user)  # type: ignore[misc]  # a site has a model of its own
    return {"token": token.key}
