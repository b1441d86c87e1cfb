"""Addresses of the example."""

import member_admin  # noqa: F401 - registers itself
import views
from django.contrib import admin
from django.contrib.auth.views import LoginView, LogoutView
from django.urls import include, path
from django.views.generic import TemplateView

urlpatterns = [
    path("", TemplateView.as_view(template_name="home.html"), name="home"),
    path("members/", views.members, name="members"),
    path("members/fee/", views.fee, name="fee"),
    path("app/", TemplateView.as_view(template_name="app.html"), name="app"),
    path("join/", views.join, name="join"),
    path("join/thanks/", TemplateView.as_view(template_name="thanks.html"), name="thanks"),
    path("accounts/login/", LoginView.as_view(), name="password_login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("numverify/code/", include("numverify_django.contrib.otp.urls")),
    path("numverify/qr/", include("numverify_django.contrib.qr.urls")),
    path("numverify/", include("numverify_django.urls")),
    path("admin/", admin.site.urls),
]
