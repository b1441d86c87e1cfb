"""The test site's pages."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import include, path

from numverify_django.admin import VerificationAttemptInline, VerifiedNumberInline
from numverify_django.decorators import number_verified_required


class AccountAdmin(UserAdmin):
    inlines = [VerifiedNumberInline, VerificationAttemptInline]


if admin.site.is_registered(User):  # which another user model takes the place of in settings_members
    admin.site.unregister(User)
    admin.site.register(User, AccountAdmin)


def home(request):
    return HttpResponse(f"user {request.user.pk}")


@number_verified_required(max_age=300)
def payment(request):
    return HttpResponse("paid")


def filled(request):
    number = request.number_verification.filled
    return HttpResponse(number.e164 if number else "")


urlpatterns = [
    path("filled/", filled),
    path("home/", home),
    path("payment/", payment),
    path("numverify/code/", include("numverify_django.contrib.otp.urls")),
    path("numverify/app/", include("numverify_django.contrib.drf.urls")),
    path("numverify/", include("numverify_django.urls")),
    path("numverify/qr/", include("numverify_django.contrib.qr.urls")),
    path("admin/", admin.site.urls),
]
