"""The test site's pages, and an API that takes the tokens of the site's identity provider."""

from django.urls import include, path
from mozilla_django_oidc.contrib.drf import OIDCAuthentication
from rest_framework.views import APIView

from .urls import urlpatterns as common


class Api(APIView):
    authentication_classes = [OIDCAuthentication]


urlpatterns = [*common, path("api/", include([path("", Api.as_view())]))]
