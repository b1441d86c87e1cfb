"""The test site's pages."""

from django.contrib import admin
from django.http import HttpResponse
from django.urls import include, path

from numverify_django.decorators import number_verified_required


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
    path("numverify/", include("numverify_django.urls")),
    path("numverify/qr/", include("numverify_django.contrib.qr.urls")),
    path("admin/", admin.site.urls),
]
