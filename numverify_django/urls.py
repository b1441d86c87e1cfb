"""The routes, in namespace ``numverify``."""

from django.urls import path

from . import views

app_name = "numverify"

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("fill/", views.FillView.as_view(), name="fill"),
    path("callback/", views.CallbackView.as_view(), name="callback"),
    path("again/", views.AgainView.as_view(), name="again"),
    path("failed/", views.FailedView.as_view(), name="failed"),
]
