"""The pages, and the API by which apps log in."""

from django.urls import include, path

from .urls import urlpatterns as common

urlpatterns = [path("numverify/app/", include("numverify_django.contrib.drf.urls")), *common]
