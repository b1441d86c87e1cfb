"""The test site's pages, each language at a path of its own."""

from django.conf.urls.i18n import i18n_patterns

from .urls import urlpatterns as common

urlpatterns = i18n_patterns(*common)
