"""Every reason, and how a browser comes to it: ``REASONS[reason]`` takes a Visitor to its page."""

import re

from django.test import Client
from django.utils import timezone

from numverify_django.models import VerificationAttempt

from ..conftest import HOST
from ..test_login import account
from .visitor import GOOD, OTHER_SIM, SIM, somebody, without


def sim(value):
    """Log in with this SIM in the phone."""
    return lambda visitor: (visitor.sandbox.set(sim=value), visitor.log_in())


def fault(endpoint, **what):
    """Log in while this endpoint of the operator answers otherwise."""
    return lambda visitor: (visitor.sandbox.set(fault={"endpoint": endpoint, **what}), visitor.log_in())


def digit(last):
    """Log in with a number that ends so."""
    return lambda visitor: visitor.log_in(f"60000001{last}")


def known(**facts):
    """Log in to an account that is there, and is so."""
    return lambda visitor: (account(**facts), visitor.log_in())


def site(**keys):
    """Log in to a site with these keys in NUMVERIFY."""
    return lambda visitor: (visitor.configure(site=keys), visitor.log_in())


def limited(**limits):
    """Log in where others used up what the site allows."""

    def reach(visitor):
        visitor.configure(site={"RATE_LIMITS": limits})
        Client(SERVER_NAME=HOST).post("/numverify/login/", {"phone_number": SIM})
        visitor.log_in()

    return reach


def callback(change):
    """Come back from the operator to an address that was changed on the way."""
    return lambda visitor: visitor.open(change(visitor.wait_at_operator()))


def meanwhile(act):
    """Come back after ``act(visitor)`` happened."""

    def reach(visitor):
        back = visitor.wait_at_operator()
        act(visitor)
        visitor.open(back)

    return reach


def replay(visitor):
    """Come back twice to a login that failed."""
    visitor.sandbox.set(sim=OTHER_SIM)
    back = visitor.wait_at_operator()
    for _ in range(2):
        visitor.open(back)


def too_slow(visitor):
    """Log in while the operator takes longer than the site waits."""
    visitor.configure(TIMEOUT=0.5)
    visitor.sandbox.set(fault={"endpoint": "token", "delay": 2})
    visitor.log_in()


def number_of_another(visitor):
    """Confirm a number that logs in to another account."""
    account()
    visitor.sign_in(somebody())
    visitor.confirm(GOOD)


def number_of_two(visitor):
    """Log in with a number that a backend of the site finds twice."""
    visitor.settings.AUTHENTICATION_BACKENDS = ["tests.test_backends.ByEmail"]
    for name in ("one", "two"):
        somebody(name, email=f"{SIM[1:]}@sim.example")
    visitor.log_in()


def expire(visitor):
    VerificationAttempt.objects.update(expires_at=timezone.now())


REASONS = {
    "number_mismatch": sim(OTHER_SIM),
    "not_on_mobile_network": sim(None),
    "consent_required": sim("consent"),
    "cannot_determine": sim("unknown"),
    "not_covered": fault("verify", status=422, body={"code": "SERVICE_NOT_APPLICABLE"}),
    "access_denied": fault("authorize", error="access_denied"),
    "operator_unavailable": fault("token", status=503),
    "operator_timeout": too_slow,
    "operator_busy": digit(7),
    "account_unknown": site(UNKNOWN_NUMBER="deny"),
    "account_inactive": known(is_active=False),
    "staff_refused": known(is_staff=True),
    "operator_not_bound": known(operator="another"),
    "policy_refused": site(LOGIN_POLICY=lambda request, user, attempt: False),
    "user_mismatch": number_of_another,
    "number_taken": number_of_two,
    "callback_invalid": callback(lambda url: without("code", url)),
    "issuer_mismatch": callback(lambda url: url.replace("iss=http", "iss=https")),
    "operator_changed": meanwhile(lambda visitor: visitor.configure(CLIENT_ID="another")),
    "token_refused": digit(8),
    "token_invalid": fault("token", status=200, body="{}"),
    "id_token_invalid": fault("token", status=200, body={"access_token": "a", "token_type": "Bearer"}),
    "permission_denied": digit(9),
    "response_invalid": digit(0),
    "response_too_large": fault("verify", status=200, body="[" * 500_000),
    "redirect_refused": fault("token", status=307, headers={"Location": "/token"}),
    "misconfigured": fault("token", error="invalid_client"),
    "expired": meanwhile(expire),
    "state_unknown": callback(lambda url: re.sub("state=[^&]*", "state=unknown", url)),
    "foreign_browser": meanwhile(lambda visitor: visitor.context.clear_cookies()),
    "replayed": replay,
    "too_many_tries": limited(number_address=[1, 600]),
    "budget_spent": limited(operator=[1, 600]),
}
