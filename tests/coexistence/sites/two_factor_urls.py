"""The pages, and django-two-factor-auth's."""

from django.urls import include, path
from two_factor.urls import urlpatterns as theirs

from .otp_urls import urlpatterns as common

urlpatterns = [*common, path("", include(theirs))]
