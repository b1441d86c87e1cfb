"""The audit in sum: a roll-up that one worker counts, and all show for a minute from Django's cache."""

import json
import logging
import math
import time
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.db.models import Count, IntegerField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, TruncDay, TruncHour
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..models import CALLBACK, Outcome, VerificationAttempt

logger = logging.getLogger(__name__)

FRESH = 60  # seconds
PATIENCE = 120  # seconds after which a worker that counts is taken for dead
REASONS_MAX = 10


class Window(NamedTuple):
    """A span of time up to now, and the ``step`` of its bars with how one is named."""

    title: str
    length: timedelta
    step: type
    name: str


WINDOWS = {
    "24h": Window(_("24 hours"), timedelta(hours=24), TruncHour, "%Y-%m-%dT%H"),
    "7d": Window(_("7 days"), timedelta(days=7), TruncDay, "%Y-%m-%d"),
    "30d": Window(_("30 days"), timedelta(days=30), TruncDay, "%Y-%m-%d"),
}
# What the rows of a Summary hold: whatever else a cache returns is none of ours.
SHAPES = {
    "moments": (str, str, int),
    "operators": (str, str, int),
    "reasons": (str, int),
    "times": (str, int, int),
}


@dataclass(frozen=True, slots=True)
class Summary:
    """What was counted ``at`` a moment (seconds since the epoch) for one of the WINDOWS.

    ``moments`` are (name, outcome, attempts), ``operators`` (operator, outcome, attempts), ``reasons`` (reason,
    attempts), and ``times`` (operator, median, 95th percentile of the callback in milliseconds).
    """

    window: str
    at: float
    moments: list
    operators: list
    reasons: list
    times: list

    def __post_init__(self):
        if self.window not in WINDOWS or type(self.at) is not float or not math.isfinite(self.at):
            raise ValueError("no summary")
        for name, shape in SHAPES.items():
            if not all(tuple(map(type, row)) == shape and min(_numbers(row)) >= 0 for row in getattr(self, name)):
                raise ValueError("no summary")

    @property
    def counted_at(self):
        """When it was counted, as Django shows times."""
        zone = timezone.get_current_timezone() if settings.USE_TZ else None
        return datetime.fromtimestamp(self.at, zone)

    @property
    def total(self):
        """How many attempts of each outcome there were."""
        return _sums((outcome, count) for operator, outcome, count in self.operators)

    def by_moment(self):
        """Return (name, attempts by outcome) for every hour or day of the window, oldest first."""
        known = defaultdict(Counter)
        for name, outcome, count in self.moments:
            if outcome in Outcome.values:
                known[name][outcome] += count
        return [(name, known[name]) for name in _names(WINDOWS[self.window], self.at)]

    def by_operator(self):
        """Return (operator, attempts by outcome, median, 95th percentile) for each; None where no time is known."""
        times = {operator: spent for operator, *spent in self.times}
        rows = groupby(sorted(self.operators), key=lambda row: row[0])
        return [(name, _sums(row[1:] for row in group), *times.get(name, (None, None))) for name, group in rows]


def success_rate(counts):
    """Return which share of the attempts that are over was verified (0 to 1), or None where none is."""
    over = sum(counts.values()) - counts[Outcome.PENDING]
    return counts[Outcome.VERIFIED] / over if over else None


def get(window):
    """Return the Summary of ``window``, or None while another worker counts: waiting would tie up this one too."""
    found = known(window)
    if found is None and _is_my_turn(window):
        try:
            found = known(window) or count(window)
            _careful(cache.set, _key(window), json.dumps(asdict(found)), FRESH)
        finally:
            _careful(cache.delete, _key(window, "turn"))
    return found


def known(window):
    """Return the Summary that the cache has, or None: what is old or broken is none."""
    text = _careful(cache.get, _key(window))
    try:
        found = Summary(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None
    return found if found.window == window and abs(time.time() - found.at) < FRESH else None


def count(window):
    """Return the Summary of ``window`` as of now, by two passes over its rows and no more."""
    end = time.time()
    rows = VerificationAttempt.objects.order_by().filter(created_at__gte=timezone.now() - WINDOWS[window].length)
    moments, operators, reasons = Counter(), Counter(), Counter()
    for at, operator, outcome, reason, attempts in _counted(rows, WINDOWS[window]):
        moments[at, outcome] += attempts
        operators[operator, outcome] += attempts
        reasons[reason] += attempts
    del reasons[""]
    common = reasons.most_common(REASONS_MAX)
    return Summary(window, end, _rows(moments), _rows(operators), common, list(_times(rows)))


def _counted(rows, window):
    step = window.step("created_at", tzinfo=_zone())
    groups = rows.annotate(moment=step).values_list("moment", "operator", "outcome", "reason")
    for moment, *names, attempts in groups.annotate(attempts=Count("*")):
        yield moment.strftime(window.name), *names, attempts


def _times(rows):
    """Yield (operator, median, 95th percentile): exact, of as many rows as there are different times."""
    took = Cast(KeyTextTransform(CALLBACK, "timings"), IntegerField())
    columns = rows.filter(timings__has_key=CALLBACK).annotate(took=took).values_list("operator", "took")
    counted = columns.annotate(attempts=Count("*")).order_by("operator", "took")
    for operator, group in groupby(counted, key=lambda row: row[0]):
        times = [row[1:] for row in group]
        yield operator, _percentile(times, 0.5), _percentile(times, 0.95)


def _percentile(times, share):
    """Return the least time that ``share`` of all do not exceed; ``times`` are (time, how often), ascending."""
    left = math.ceil(share * sum(often for time, often in times))
    for spent, often in times:
        left -= often
        if left <= 0:
            return spent
    raise ValueError("of nothing there is no percentile")


def _names(window, end):
    """Return the names of the hours or days of ``window``, oldest first; those of an hour that comes twice are one."""
    zone, hours = _zone(), int(window.length.total_seconds() // 3600)
    moments = (datetime.fromtimestamp(end - 3600 * back, zone) for back in range(hours, -1, -1))
    return list(dict.fromkeys(moment.strftime(window.name) for moment in moments))


def _zone():
    """Return the site's time zone: all who share the cache share its days."""
    return timezone.get_default_timezone() if settings.USE_TZ else None


def _rows(counter):
    return [(*names, count) for names, count in counter.items()]


def _numbers(row):
    return [value for value in row if type(value) is int]


def _sums(pairs):
    found = Counter()
    for name, count in pairs:
        found[name] += count
    return found


def _is_my_turn(window):
    is_mine = _careful(cache.add, _key(window, "turn"), True, PATIENCE)
    return is_mine is not False  # a cache that is down keeps nobody from counting


def _key(window, what="summary"):
    return f"numverify_django.{what}.{window}"


def _careful(act, *args):
    """Return what ``act`` of the cache returns, or None where it fails: each backend has errors of its own."""
    try:
        return act(*args)
    except Exception as error:
        logger.error("the cache failed: %s", type(error).__name__)
        return None
