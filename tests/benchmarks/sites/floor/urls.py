"""Routes of the floor."""

from django.urls import path

from ..pages import urlpatterns as common
from .login import callback, start

urlpatterns = [*common, path("start/", start), path("callback/", callback, name="callback")]
