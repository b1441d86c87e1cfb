"""A token of rest_framework.authtoken, for TokenAuthentication."""

from rest_framework.authtoken.models import Token


def log_in(request, user, attempt):
    """Return the token of ``user``."""
    token, _ = Token.objects.get_or_create(user=user)
    return {"token": token.key}
