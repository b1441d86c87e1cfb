"""The pages of the tests' site, a way out, and the name of the process that answered."""

import os

from asgiref.sync import iscoroutinefunction
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.utils.decorators import sync_and_async_middleware


@sync_and_async_middleware
def name_process(get_response):
    """Return a middleware that tells in ``X-Process`` which process answered."""

    def named(response):
        response["X-Process"] = str(os.getpid())
        return response

    if iscoroutinefunction(get_response):

        async def middleware(request):
            return named(await get_response(request))
    else:

        def middleware(request):
            return named(get_response(request))

    return middleware


urlpatterns = [path("logout/", LogoutView.as_view()), path("", include("tests.urls"))]
