"""The routes, in namespace ``numverify``."""

from django.urls import path

from . import numbers, views

app_name = "numverify"

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("fill/", views.FillView.as_view(), name="fill"),
    path("callback/", views.CallbackView.as_view(), name="callback"),
    path("callback/<path:operator>/", views.CallbackView.as_view(), name="operator_callback"),
    path("again/", views.AgainView.as_view(), name="again"),
    path("numbers/", numbers.NumbersView.as_view(), name="numbers"),
    path("numbers/add/", numbers.AddNumberView.as_view(), name="add_number"),
    path("numbers/<int:pk>/remove/", numbers.RemoveNumberView.as_view(), name="remove_number"),
    path("login-again/", numbers.LoginAgainView.as_view(), name="login_again"),
    path("failed/", views.FailedView.as_view(), name="failed"),
]
