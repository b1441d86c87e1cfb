"""The pages, one that wants a token, django-otp's page that asks for it, and one where a login waits for it."""

from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django_otp import login as remember_device
from django_otp import user_has_device
from django_otp.decorators import otp_required
from django_otp.forms import OTPTokenForm
from django_otp.plugins.otp_totp.models import TOTPDevice
from django_otp.views import LoginView

from numverify_django.session import complete_login

from .urls import urlpatterns as common


def second_factor_first(request, user, attempt):
    """A LOGIN_POLICY: who has a device shows its token before the login is complete."""
    if not user_has_device(user) or (request.user == user and request.user.is_verified()):
        return True
    request.session["waiting"] = user.pk
    return "/second/"


def second(request):
    """Ask for the token of the login that waits, and complete it."""
    user = get_object_or_404(get_user_model(), pk=request.session.get("waiting"))
    form = OTPTokenForm(user, request, data=request.POST or None)
    if not form.is_valid():
        return render(request, "token.html", {"form": form, "next": request.GET.get("next")})
    if complete_login(request) != user:
        return redirect("numverify:login")
    remember_device(request, user.otp_device)
    return redirect("/secret/")


@otp_required
def secret(request):
    """A page that wants a token."""
    return HttpResponse(f"secret of {request.user.get_username()}")


@csrf_exempt
def device(request):
    """Give an account a TOTP device; tell its name in django-otp."""
    made = TOTPDevice.objects.create(user_id=request.POST["user"], name="default", key=request.POST["key"])
    return HttpResponse(made.persistent_id)


urlpatterns = [
    *common,
    path("secret/", secret),
    path("second/", second),
    path("device/", device),
    path("token/", LoginView.as_view(template_name="token.html")),
]
