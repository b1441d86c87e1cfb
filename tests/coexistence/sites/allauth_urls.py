"""The pages, allauth's, and doors for the tests: one lets a proof be gone, one gives an account a second factor."""

from allauth.mfa.models import Authenticator
from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from numverify_django import session

from .urls import urlpatterns as common


def forget(request):
    """Forget what the SIM proved in this session."""
    session.forget_proof(request)
    return HttpResponse()


@csrf_exempt
def second_factor(request):
    """Give an account a TOTP device."""
    Authenticator.objects.create(user_id=request.POST["user"], type="totp", data={"secret": "A" * 32})
    return HttpResponse()


urlpatterns = [
    *common,
    path("accounts/", include("allauth.urls")),
    path("forget/", forget),
    path("second-factor/", second_factor),
]
