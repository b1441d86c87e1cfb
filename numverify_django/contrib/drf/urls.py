"""The routes, in namespace ``numverify_drf``."""

from django.urls import path

from . import views

app_name = "numverify_drf"

urlpatterns = [
    path("start/", views.StartView.as_view(), name="start"),
    path("complete/", views.CompleteView.as_view(), name="complete"),
    path("status/", views.StatusView.as_view(), name="status"),
]
