"""The routes, in namespace ``numverify_qr``."""

from django.urls import path

from . import views

app_name = "numverify_qr"

urlpatterns = [
    path("", views.ShowView.as_view(), name="show"),
    path("code/", views.FinishView.as_view(), name="finish"),
    path("status/", views.StatusView.as_view(), name="status"),
    path("<slug:token>/", views.PhoneView.as_view(), name="phone"),
]
