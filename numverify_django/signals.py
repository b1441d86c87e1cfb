"""What a site may listen to. All are sent with ``send_robust``: a listener that fails breaks no login."""

from typing import Any

from django.dispatch import Signal
from django.http import HttpRequest

#: After a number was proved. Arguments: request, user (None where a form is filled), attempt.
number_verified = Signal()
#: After an attempt ended otherwise, unless nobody came back to it. Arguments: request, attempt, reason (str).
number_verification_failed = Signal()
#: After a proved number became an account's: at its first login, or because a person added it. Arguments: request,
#: user, attempt.
number_linked = Signal()
#: After NUMBER_TAKEN let a number leave an account for another; number_linked comes as well. Arguments: request, user
#: (who has it now), previous (the user who had it), attempt.
number_moved = Signal()
#: After a person took a number off their account. Arguments: request, user, number (a PhoneNumber); the sender is
#: VerifiedNumber.
number_removed = Signal()
#: After a known number was proved by another customer of the operator than before: it may have changed hands.
#: Arguments: request, user, attempt.
subscriber_changed = Signal()
#: After an account was created for an unknown number. Arguments: request, user, attempt.
user_created = Signal()


def send(signal: Signal, request: HttpRequest, *, attempt: object, **facts: Any) -> None:
    """Send ``signal`` about ``attempt``, whose class is the sender."""
    signal.send_robust(sender=type(attempt), request=request, attempt=attempt, **facts)
