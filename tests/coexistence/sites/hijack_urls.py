"""The pages and django-hijack's; a switched session is nobody's login."""

from django.urls import include, path
from hijack.signals import hijack_ended, hijack_started

from numverify_django import session

from .urls import urlpatterns as common


def on_switch(sender, request, **kwargs):
    session.forget_login(request)


hijack_started.connect(on_switch)
hijack_ended.connect(on_switch)
urlpatterns = [*common, path("hijack/", include("hijack.urls"))]
