"""The pages of every site, and a door for the tests that names one."""

from django.contrib.sites.models import Site
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from .urls import urlpatterns as pages


@csrf_exempt
def found(request):
    """Make the site of this request's host, called as posted."""
    Site.objects.create(domain=request.get_host(), name=request.POST["name"])
    return HttpResponse(status=204)


urlpatterns = [path("found/", found), *pages]
