"""The pages of every site: who is here, one that wants the SIM, and a door for the tests that makes accounts."""

from django.contrib import admin
from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.decorators import login_not_required, login_required
from django.contrib.auth.views import LoginView, LogoutView
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt

from numverify_django.decorators import number_verified_required
from numverify_django.models import VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber


@login_not_required
def who(request):
    """Tell who is signed in, how they came, and what the SIM proved."""
    proof = request.number_verification
    return JsonResponse(
        {
            "user": request.user.get_username() or None,
            "backend": request.session.get(BACKEND_SESSION_KEY),
            "verified": proof.is_verified,
            "number": proof.number.e164 if proof.is_verified else None,
        }
    )


@login_required
def members(request):
    """A page for who is signed in."""
    return HttpResponse(f"members: {request.user.get_username()}")


@number_verified_required(max_age=300)
def pay(request):
    """A page that wants a fresh proof."""
    return HttpResponse("paid")


@csrf_exempt
@login_not_required
def make(request):
    """Make an account of the fields posted, with a ``number`` where there is one; tell its primary key."""
    facts = request.POST.dict()
    number = facts.pop("number", "")
    user = get_user_model().objects.create_user(**facts)
    if number:
        VerifiedNumber.objects.enrol(user, PhoneNumber(number), "sandbox")
    return HttpResponse(user.pk)


urlpatterns = [
    path("who/", who),
    path("members/", members),
    path("pay/", pay),
    path("make/", make),
    path("enter/", LoginView.as_view(template_name="admin/login.html")),  # with a password
    path("logout/", LogoutView.as_view(next_page="/who/")),
    path("numverify/", include("numverify_django.urls")),
    path("admin/", admin.site.urls),
]
