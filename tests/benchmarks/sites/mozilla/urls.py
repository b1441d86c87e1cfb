"""Routes of peer (a)."""

from django.urls import include, path

from ..pages import urlpatterns as common
from .login import StartView

urlpatterns = [*common, path("start/", StartView.as_view()), path("oidc/", include("mozilla_django_oidc.urls"))]
