"""The pages of the tests' site, a way out, and the name of the process that answered."""

import os

from django.contrib.auth.views import LogoutView
from django.urls import include, path


def name_process(get_response):
    """Return a middleware that tells in ``X-Process`` which process answered."""

    def middleware(request):
        response = get_response(request)
        response["X-Process"] = str(os.getpid())
        return response

    return middleware


urlpatterns = [path("logout/", LogoutView.as_view()), path("", include("tests.urls"))]
