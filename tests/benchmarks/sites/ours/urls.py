"""Routes of this project."""

from django.urls import include, path

from ..pages import urlpatterns as common

urlpatterns = [*common, path("numverify/", include("numverify_django.urls"))]
