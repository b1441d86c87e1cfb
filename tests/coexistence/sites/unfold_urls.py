"""The pages of every site, and static files for a real browser."""

from django.contrib.staticfiles.views import serve
from django.urls import path

from . import unfold_models  # noqa: F401 (the admin's URLs are those of what is registered by now)
from .urls import urlpatterns as pages

urlpatterns = [path("static/<path:path>", serve, {"insecure": True}), *pages]
