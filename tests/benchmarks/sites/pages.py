"""The pages that every site has."""

from django.contrib.auth.models import User
from django.http import HttpResponse
from django.urls import path


def ping(request):
    """Answer once the URLconf is imported and the database connected, as in a worker that has served pages."""
    return HttpResponse(f"ready {User.objects.exists()}")


def home(request):
    """Answer who is logged in."""
    return HttpResponse(request.user.get_username())


urlpatterns = [path("ping/", ping), path("home/", home)]
