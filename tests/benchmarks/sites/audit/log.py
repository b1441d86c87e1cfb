"""An INSERT when it begins, an UPDATE when it ends."""

from django.utils import timezone

from .models import Attempt


def begin(number):
    """Return the row of an attempt to prove ``number`` (text)."""
    return Attempt.objects.create(number_shown=f"***{number[-2:]}", operator="benchmark")


def end(attempt, user):
    """Record that ``user`` was verified."""
    ended = {"ended_at": timezone.now(), "outcome": "verified", "user": user}
    Attempt.objects.filter(pk=attempt.pk).update(**ended)
