"""The pages, allauth's, and a way to let a proof be gone."""

from django.http import HttpResponse
from django.urls import include, path

from numverify_django import session

from .urls import urlpatterns as common


def forget(request):
    """Forget what the SIM proved in this session."""
    session.forget_proof(request)
    return HttpResponse()


urlpatterns = [*common, path("accounts/", include("allauth.urls")), path("forget/", forget)]
