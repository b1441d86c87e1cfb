"""A session of Django's, for an app that keeps cookies."""

from django.contrib.auth import login
from django.contrib.auth.base_user import AbstractBaseUser
from django.middleware.csrf import get_token
from rest_framework.request import Request

from ....models import VerificationAttempt
from ....session import record_proof


def log_in(request: Request, user: AbstractBaseUser, attempt: VerificationAttempt) -> dict[str, str]:
    """Log ``user`` in to the session of ``request`` (a Request of Django REST framework); return its CSRF token."""
    login(request._request, user)  # type: ignore[arg-type]  # a site has a model of its own
    record_proof(request._request, attempt)
    return {"csrf_token": get_token(request._request)}
