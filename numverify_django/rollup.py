"""What was counted of each hour, once nothing in it can change: who sums up a month adds hours, and reads no rows."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from django.conf import settings as django_settings
from django.db.models import Count, IntegerField, Q, QuerySet
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, TruncHour

from . import conf
from .models import CALLBACK, GRACE, AttemptHour, Outcome, VerificationAttempt
from .protocol.exceptions import Expired

HOUR = timedelta(hours=1)
KEPT = timedelta(days=31)
NAMES = ["operator", "outcome", "reason"]

Names = tuple[str, str, str]  # the values of those
Times = dict[str, Counter[int]]  # operator -> milliseconds -> how often


def hours(first: datetime, now: datetime) -> list[AttemptHour]:
    """Return an AttemptHour for each hour from ``first``, which is whole, to ``now`` in which attempts began.

    Those before ``closed(now)`` are counted once, and kept.
    """
    until = closed(now)
    newest = AttemptHour.objects.order_by("-began_at").values("began_at")[:1]
    known = list(AttemptHour.objects.filter(Q(began_at__gte=first) | Q(began_at=newest)).order_by("began_at"))
    begin = max(known[-1].began_at + HOUR, until - KEPT) if known else until - KEPT
    counted = _counted(VerificationAttempt.objects.filter(created_at__gte=begin), until)
    new = [hour for hour in counted if hour.began_at < until]
    AttemptHour.objects.bulk_create(new, batch_size=100, ignore_conflicts=True)  # another worker may be quicker
    return [hour for hour in known + counted if hour.began_at >= first]


def prune(now: datetime) -> None:
    """Count what was not counted yet, and drop the hours that nobody sums up any more."""
    hours(closed(now), now)
    AttemptHour.objects.filter(began_at__lt=closed(now) - KEPT).delete()


def closed(now: datetime) -> datetime:
    """Return the first hour in which an attempt may still change, as of ``now``."""
    settings = conf.Settings() if conf.problems() else conf.get()  # whoever reads the audit mends nothing else first
    return whole(now - GRACE - timedelta(seconds=settings.attempt_lifetime))


def whole(moment: datetime) -> datetime:
    """Return the hour that ``moment`` is in."""
    return moment.replace(minute=0, second=0, microsecond=0)


def tally(attempts: QuerySet[VerificationAttempt]) -> Iterator[tuple[datetime, str, str, str, int | None, int]]:
    """Yield (hour, operator, outcome, reason, milliseconds, count) of ``attempts``, a queryset.

    The milliseconds are those of the callback, to two digits, or None where there was none.
    """
    hour = TruncHour("created_at", tzinfo=UTC if django_settings.USE_TZ else None)
    took = Cast(KeyTextTransform(CALLBACK, "timings"), IntegerField())
    columns = attempts.order_by().annotate(hour=hour, took=took).values_list("hour", *NAMES, "took")
    for *names, spent, count in columns.annotate(count=Count("*")).iterator():
        yield *names, None if spent is None else rounded(spent), count


def rounded(number: int) -> int:
    """Return ``number`` (an int, 0 or more) to its first two digits."""
    unit: int = 10 ** max(0, len(str(number)) - 2)
    return (number + unit // 2) // unit * unit


def _counted(attempts: QuerySet[VerificationAttempt], until: datetime) -> list[AttemptHour]:
    """Return an AttemptHour, not saved, for each hour; what is pending in one before ``until`` nobody will finish."""
    counts: dict[datetime, Counter[Names]] = defaultdict(Counter)
    times: dict[datetime, Times] = defaultdict(lambda: defaultdict(Counter))
    for hour, operator, outcome, reason, spent, count in tally(attempts):
        is_late = outcome == Outcome.PENDING and hour < until
        ended = (Expired.outcome, Expired.code) if is_late else (outcome, reason)
        counts[hour][operator, *ended] += count
        if spent is not None:
            times[hour][operator][spent] += count
    return [_hour(began_at, counts[began_at], times[began_at]) for began_at in sorted(counts)]


def _hour(began_at: datetime, counts: Mapping[Names, int], times: Times) -> AttemptHour:
    rows = [(*names, count) for names, count in counts.items()]
    columns = {operator: list(zip(*sorted(often.items()), strict=True)) for operator, often in times.items()}
    return AttemptHour(began_at=began_at, counts=rows, times=columns)
