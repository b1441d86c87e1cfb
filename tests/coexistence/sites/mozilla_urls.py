"""The pages, single sign-on, an API, and a way to let an ID token grow old."""

from django.http import HttpResponse
from django.urls import include, path
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from numverify_django.contrib.drf.permissions import NumberVerified

from .urls import urlpatterns as common


class Api(APIView):
    permission_classes = [IsAuthenticated]
    renderer_classes = [JSONRenderer]

    def get(self, request):
        """Tell who asks."""
        return Response({"user": request.user.email})


class Payments(Api):
    permission_classes = [IsAuthenticated, NumberVerified]


def expire(request):
    """Let the ID token of this session be too old from now on."""
    request.session["oidc_id_token_expiration"] = 0
    return HttpResponse()


urlpatterns = [
    *common,
    path("oidc/", include("mozilla_django_oidc.urls")),
    path("api/", Api.as_view()),
    path("api/pay/", Payments.as_view()),
    path("expire/", expire),
]
