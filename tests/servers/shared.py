"""The site's ASGI application, whose requests share threads, as the deployment page says."""

from django.core.asgi import get_asgi_application

from numverify_django.asgi import in_shared_threads


def application():
    """Return it."""
    return in_shared_threads(get_asgi_application())
