"""The club's pages: for members, for members who prove their number again, and for those who join."""

import uuid

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.decorators import login_required
from django.db import IntegrityError, transaction
from django.shortcuts import redirect, render
from forms import JoinForm

from numverify_django.decorators import number_verified_required
from numverify_django.models import VerifiedNumber


@login_required
def members(request):
    """Show what the site knows of the member."""
    return render(request, "members.html")


@login_required
@number_verified_required(max_age=300)  # seconds
def fee(request):
    """Take the fee from a member whose SIM was checked in the last five minutes, by whatever way they logged in."""
    if request.method == "POST":
        messages.success(request, "Thank you. Your fee for this season is paid.")
        return redirect("members")
    return render(request, "fee.html")


def join(request):
    """Make an account for a name that was typed and a number that came from the operator, never from the browser."""
    number = request.number_verification.filled
    form = JoinForm(request.POST or None)
    if number and form.is_valid():
        try:
            enrol(form.cleaned_data["name"], number)
        except IntegrityError:
            form.add_error(None, "This number belongs to a member already. Log in with it.")
        else:
            return redirect("thanks")
    return render(request, "join.html", {"form": form, "number": number})


@transaction.atomic
def enrol(name, number):
    """Make a user called ``name`` who logs in with ``number``; raise IntegrityError if another one does."""
    (operator,) = settings.NUMVERIFY["OPERATORS"]
    user = get_user_model().objects.create_user(uuid.uuid4().hex, first_name=name)
    VerifiedNumber.objects.enrol(user, number, operator)
