"""The audit in sum: a roll-up that one worker counts, and all show for a minute from Django's cache."""

import json
import logging
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings
from django.core.cache import cache
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import rollup
from ..models import Outcome

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

logger = logging.getLogger(__name__)

FRESH = 60  # seconds
PATIENCE = 120  # seconds after which a worker that counts is taken for dead
REASONS_MAX = 10


class Window(NamedTuple):
    """A span of time up to now, and how the hour or day of a moment in it is named."""

    title: "_StrPromise"
    length: timedelta
    name: str


WINDOWS = {
    "24h": Window(_("24 hours"), timedelta(hours=24), "%Y-%m-%dT%H"),
    "7d": Window(_("7 days"), timedelta(days=7), "%Y-%m-%d"),
    "30d": Window(_("30 days"), timedelta(days=30), "%Y-%m-%d"),
}
# What the rows of a Summary hold: whatever else a cache returns is none of ours.
SHAPES: dict[str, tuple[type, ...]] = {
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
    moments: list[tuple[str, str, int]]
    operators: list[tuple[str, str, int]]
    reasons: list[tuple[str, int]]
    times: list[tuple[str, int, int]]

    def __post_init__(self) -> None:
        if self.window not in WINDOWS or type(self.at) is not float or not math.isfinite(self.at):
            raise ValueError("no summary")
        for name, shape in SHAPES.items():
            if not all(tuple(map(type, row)) == shape and min(_numbers(row)) >= 0 for row in getattr(self, name)):
                raise ValueError("no summary")

    @property
    def counted_at(self) -> datetime:
        """When it was counted, as Django shows times."""
        zone = timezone.get_current_timezone() if settings.USE_TZ else None
        return datetime.fromtimestamp(self.at, zone)

    @property
    def total(self) -> Counter[str]:
        """How many attempts of each outcome there were."""
        return _sums((outcome, count) for operator, outcome, count in self.operators)

    def by_moment(self) -> list[tuple[str, Counter[str]]]:
        """Return (name, attempts by outcome) for every hour or day of the window, oldest first."""
        known: dict[str, Counter[str]] = defaultdict(Counter)
        for name, outcome, count in self.moments:
            if outcome in Outcome.values:
                known[name][outcome] += count
        return [(name, known[name]) for name in _names(WINDOWS[self.window], self.at)]

    def by_operator(self) -> list[tuple[str, Counter[str], int | None, int | None]]:
        """Return (operator, attempts by outcome, median, 95th percentile) for each; None where no time is known."""
        times = {operator: spent for operator, *spent in self.times}
        rows = groupby(sorted(self.operators), key=lambda row: row[0])
        return [(name, _sums(row[1:] for row in group), *times.get(name, (None, None))) for name, group in rows]


def success_rate(counts: Counter[str]) -> float | None:
    """Return which share of the attempts that are over was verified (0 to 1), or None where none is."""
    over = sum(counts.values()) - counts[Outcome.PENDING]
    return counts[Outcome.VERIFIED] / over if over else None


def get(window: str) -> Summary | None:
    """Return the Summary of ``window``, or None while another worker counts: waiting would tie up this one too."""
    found = known(window)
    if found is None and _is_my_turn(window):
        try:
            found = known(window) or count(window)
            _careful(cache.set, _key(window), json.dumps(asdict(found)), FRESH)
        finally:
            _careful(cache.delete, _key(window, "turn"))
    return found


def known(window: str) -> Summary | None:
    """Return the Summary that the cache has, or None: what is old or broken is none."""
    text = _careful(cache.get, _key(window))
    try:
        found = Summary(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None
    return found if found.window == window and abs(time.time() - found.at) < FRESH else None


def count(window: str) -> Summary:
    """Return the Summary of ``window`` as of now."""
    now, end = timezone.now(), time.time()
    moments, operators, reasons = Counter[tuple[str, str]](), Counter[tuple[str, str]](), Counter[str]()
    times: dict[str, Counter[int]] = defaultdict(Counter)
    for hour in rollup.hours(since(window, now), now):
        name = _local(hour.began_at).strftime(WINDOWS[window].name)
        for operator, outcome, reason, attempts in hour.counts:
            moments[name, outcome] += attempts
            operators[operator, outcome] += attempts
            reasons[reason] += attempts
        for operator, (spent, often) in hour.times.items():
            times[operator].update(dict(zip(spent, often, strict=True)))
    del reasons[""]
    common = reasons.most_common(REASONS_MAX)
    return Summary(window, end, _rows(moments), _rows(operators), common, list(_percentiles(times)))


def since(window: str, now: datetime) -> datetime:
    """Return when ``window`` begins: with a whole hour."""
    return rollup.whole(now - WINDOWS[window].length)


def _percentiles(times: Mapping[str, Counter[int]]) -> Iterator[tuple[str, int, int]]:
    """Yield (operator, median, 95th percentile) of ``times``: a Counter of milliseconds by operator."""
    for operator, often in sorted(times.items()):
        ordered = sorted(often.items())
        yield operator, _percentile(ordered, 0.5), _percentile(ordered, 0.95)


def _percentile(times: list[tuple[int, int]], share: float) -> int:
    """Return the least time that ``share`` of all do not exceed; ``times`` are (time, how often), ascending."""
    left = math.ceil(share * sum(often for time, often in times))
    for spent, often in times:
        left -= often
        if left <= 0:
            return spent
    raise ValueError("of nothing there is no percentile")


def _names(window: Window, end: float) -> list[str]:
    """Return the names of the hours or days of ``window``, oldest first; those of an hour that comes twice are one."""
    zone, hours = _zone(), int(window.length.total_seconds() // 3600)
    last = end // 3600 * 3600 if zone else end  # the roll-up's hours are UTC's: elsewhere they may begin at half past
    moments = (datetime.fromtimestamp(last - 3600 * back, zone) for back in range(hours, -1, -1))
    return list(dict.fromkeys(moment.strftime(window.name) for moment in moments))


def _local(hour: datetime) -> datetime:
    return hour.astimezone(_zone()) if settings.USE_TZ else hour


def _zone() -> tzinfo | None:
    """Return the site's time zone: all who share the cache share its days."""
    return timezone.get_default_timezone() if settings.USE_TZ else None


def _rows(counter: Counter[tuple[str, str]]) -> list[tuple[str, str, int]]:
    return [(*names, count) for names, count in counter.items()]


def _numbers(row: Iterable[Any]) -> list[int]:
    return [value for value in row if type(value) is int]


def _sums(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    found = Counter[str]()
    for name, count in pairs:
        found[name] += count
    return found


def _is_my_turn(window: str) -> bool:
    is_mine = _careful(cache.add, _key(window, "turn"), True, PATIENCE)
    return is_mine is not False  # a cache that is down keeps nobody from counting


def _key(window: str, what: str = "summary") -> str:
    return f"numverify_django.{what}.{window}"


def _careful(act: Callable[..., Any], *args: Any) -> Any:
    """Return what ``act`` of the cache returns, or None where it fails: each backend has errors of its own."""
    try:
        return act(*args)
    except Exception as error:
        logger.error("the cache failed: %s", type(error).__name__)
        return None
