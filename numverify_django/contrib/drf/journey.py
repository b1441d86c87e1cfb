"""A login that an app begins and ends: no cookie is needed, and the browser between is the system's.

The app makes a random verifier and tells its digest at the start; who ends the login shows the verifier (the method
S256 of RFC 7636 4.2, between app and site). It takes the place of the session's random value on the attempt.
"""

import base64
import hashlib

from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ... import flow, signals, uses
from ...protocol.messages import Verification

PREFIX = "app:"  # no session's value begins so


def browser_of(challenge: str) -> str:
    """Return what stands for the app of this ``code_challenge`` on its attempts."""
    return f"{PREFIX}{challenge}"


@sensitive_variables()
def challenge_of(verifier: str) -> str:
    """Return the ``code_challenge`` of a ``code_verifier``, both text (RFC 7636 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode("ascii")).digest()).decode().rstrip("=")


class LogInApp(uses.Purpose):
    """Find the account of the number; APP_LOGIN makes of it what the app needs."""

    @sensitive_variables()
    def complete(self, request: HttpRequest, claimed: flow.Claimed, verification: Verification) -> None:
        """Find it, and tell the site."""
        user = uses.identify(request, claimed.attempt, verification)
        signals.send(signals.number_verified, request, user=user, attempt=claimed.attempt)
