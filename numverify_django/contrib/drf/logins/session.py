"""A session of Django's, for an app that keeps cookies."""

from django.contrib.auth import login
from django.middleware.csrf import get_token

from ....session import record_proof


def log_in(request, user, attempt):
    """Log ``user`` in to the session of ``request`` (a Request of Django REST framework); return its CSRF token."""
    login(request._request, user)
    record_proof(request._request, attempt.verified_number)
    return {"csrf_token": get_token(request._request)}
