"""The routes, in namespace ``numverify_otp``."""

from django.urls import path

from . import views

app_name = "numverify_otp"

urlpatterns = [
    path("", views.AskView.as_view(), name="ask"),
    path("enter/", views.EnterView.as_view(), name="enter"),
]
