"""The pages of every site, and the desk's admin, which has the audit and the numbers and nothing else."""

from django.contrib.admin import AdminSite
from django.urls import include, path

from numverify_django.admin import VerificationAttemptAdmin, VerifiedNumberAdmin
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .urls import urlpatterns as pages

desk = AdminSite(name="desk")
desk.register(VerificationAttempt, VerificationAttemptAdmin)
desk.register(VerifiedNumber, VerifiedNumberAdmin)

urlpatterns = [
    path("numverify/code/", include("numverify_django.contrib.otp.urls")),
    path("desk/", desk.urls),
    *pages,
]
