"""The pages, the provider's, and a door for the tests that makes clients."""

from django.http import HttpResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from oauth2_provider.models import Application

from .urls import urlpatterns as common


@csrf_exempt
def client(request):
    """Register a public client that is led back to ``redirect_uri``; tell its id."""
    kinds = {"client_type": Application.CLIENT_PUBLIC, "authorization_grant_type": Application.GRANT_AUTHORIZATION_CODE}
    made = Application.objects.create(name="Client", redirect_uris=request.POST["redirect_uri"], **kinds)
    return HttpResponse(made.client_id)


urlpatterns = [
    path("numverify/app/", include("numverify_django.contrib.drf.urls")),
    path("o/", include("oauth2_provider.urls")),
    path("client/", client),
    *common,
]
