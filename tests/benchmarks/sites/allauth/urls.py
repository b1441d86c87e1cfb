"""Routes of peer (b)."""

from django.urls import include, path

from ..pages import urlpatterns as common
from .login import start

urlpatterns = [*common, path("start/", start), path("accounts/", include("allauth.urls"))]
