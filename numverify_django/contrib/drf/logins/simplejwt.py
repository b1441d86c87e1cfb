"""A pair of tokens of djangorestframework-simplejwt."""

from rest_framework_simplejwt.tokens import RefreshToken


def log_in(request, user, attempt):
    """Return a new pair for ``user``."""
    refresh = RefreshToken.for_user(user)
    return {"access": str(refresh.access_token), "refresh": str(refresh)}
