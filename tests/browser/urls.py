"""The test site as browsers need it: with a form to fill, another way in, and an answer for what browsers ask alone."""

from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import path
from django.views.decorators.http import require_POST

from numverify_django.decorators import number_verified_required

from ..urls import urlpatterns as pages

JOIN = """<!doctype html>
<html lang="en"><title>Join</title>
<h1>Join</h1>
<form method="post" action="/numverify/fill/">
  <input type="hidden" name="csrfmiddlewaretoken" value="{token}">
  <input type="hidden" name="next" value="/filled/">
  <button>Use this phone's number</button>
</form>
"""


def join(request):
    return HttpResponse(JOIN.format(token=get_token(request)))


ORDER = """<!doctype html>
<html lang="en"><title>Order</title>
<h1>Order</h1>
<form method="post" action="/pay/">
  <input type="hidden" name="csrfmiddlewaretoken" value="{token}">
  <button>Pay</button>
</form>
"""


def order(request):
    return HttpResponse(ORDER.format(token=get_token(request)))


@require_POST
@number_verified_required(max_age=300)
def pay(request):
    return HttpResponse("<!doctype html><html lang=en><title>Paid</title><h1>Paid</h1>")


def password(request):
    return HttpResponse("The other way in")


WORKER = """
addEventListener("activate", event => event.waitUntil(clients.claim()));
addEventListener("fetch", event => event.respondWith(fetch(event.request)));
"""


def worker(request):
    return HttpResponse(WORKER, content_type="text/javascript")


def favicon(request):
    return HttpResponse(status=204)


urlpatterns = [
    path("join/", join),
    path("order/", order),
    path("pay/", pay),
    path("accounts/login/", password),
    path("worker.js", worker),
    path("favicon.ico", favicon),
    *pages,
]
