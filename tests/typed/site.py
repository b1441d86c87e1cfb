"""What a site may write of its own, annotated: ``make types`` reads it, and test_typed.py logs in with it."""

import logging
import os
import secrets
from datetime import timedelta

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.views import View

from numverify_django.backends import Claims, NumberVerificationBackend
from numverify_django.decorators import NumberVerifiedMixin, number_verified_required
from numverify_django.models import VerificationAttempt
from numverify_django.session import NumberVerificationRequest
from numverify_django.signals import number_linked

logger = logging.getLogger(__name__)


class MemberBackend(NumberVerificationBackend):
    """Among AUTHENTICATION_BACKENDS, in place of ours. ``User`` is the AUTH_USER_MODEL, whatever that is."""

    def filter_users_by_claims(self, claims: Claims) -> QuerySet[User]:
        return super().filter_users_by_claims(claims).exclude(groups__name="Former members")

    def create_user(self, claims: Claims) -> User:
        user = super().create_user(claims)
        user.first_name = "New member"
        user.save(update_fields=["first_name"])
        return user

    def update_user(self, user: User, claims: Claims) -> User:
        if user.first_name == "New member":
            user.first_name = "Member"
            user.save(update_fields=["first_name"])
        return super().update_user(user, claims)

    def get_username(self, claims: Claims) -> str:
        return f"member-{secrets.token_hex(8)}"


def operators() -> dict[str, dict[str, object]]:
    """OPERATORS."""
    operator = {
        "PROFILE": "telefonica",
        "ISSUER": os.environ["OPERATOR_URL"],
        "API_ROOT": f"{os.environ['OPERATOR_URL']}/v1",
        "CLIENT_ID": os.environ["OPERATOR_CLIENT_ID"],
        "CLIENT_SECRET": os.environ["OPERATOR_CLIENT_SECRET"],
        "ALLOW_LOOPBACK": True,  # of the sandbox
    }
    return {"sandbox": operator}


def second_factor_for_staff(request: HttpRequest, user: User, attempt: VerificationAttempt) -> bool | str:
    """LOGIN_POLICY: True, a path that the person is sent to first, or anything else to refuse."""
    return "/second-factor/" if user.is_staff else user.is_active


def may_move(request: HttpRequest, user: User, holder: User, attempt: VerificationAttempt) -> bool:
    """NUMBER_TAKEN: whether ``user`` gets the number that ``holder`` has."""
    return holder.first_name == "Former member"


@receiver(number_linked)
def tell_of_a_new_number(
    sender: type[VerificationAttempt], user: User, attempt: VerificationAttempt, **kwargs: object
) -> None:
    logger.warning("%s has a number at %s", user.get_username(), attempt.operator)


@number_verified_required(max_age=300)
def pay(request: NumberVerificationRequest) -> HttpResponse:
    number = request.number_verification.number
    return HttpResponse(f"paid by {number.masked}" if number else "paid")


class Payment(NumberVerifiedMixin, View):
    max_age = timedelta(minutes=5)

    def get(self, request: NumberVerificationRequest) -> HttpResponse:
        return HttpResponse(f"paid, as {request.number_verification.operator} knows")
