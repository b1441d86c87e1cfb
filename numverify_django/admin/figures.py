"""A Summary as the admin shows it: texts in the reader's language, and links to the attempts that are meant."""

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from ..models import REASONS
from . import drawing, summary
from .drawing import figure, milliseconds, percent

NAMES = dict(REASONS)


def in_short(found: summary.Summary | None) -> dict[str, Any] | None:
    """Return what a line tells of the Summary ``found``, or None where there is none."""
    return None if found is None else _in_short(found)


def _in_short(found: summary.Summary) -> dict[str, Any]:
    return {
        "title": summary.WINDOWS[found.window].title,
        "counted_at": found.counted_at,
        "attempts": figure(sum(found.total.values())),
        "success": percent(summary.success_rate(found.total)),
    }


def of(found: summary.Summary | None, list_url: str) -> dict[str, Any] | None:
    """Return what a page tells of it, with links to ``list_url``, where the attempts are listed; None of nothing."""
    if found is None:
        return None

    def link(**filters: str) -> str:
        return f"{list_url}?{urlencode(filters | {'since': found.window})}"

    moments = found.by_moment()
    return _in_short(found) | {
        "url": link(),
        "chart": drawing.chart(moments, _("Attempts by time and outcome; the table has the figures")),
        "table": _table(found.total, moments),
        "operators": [_operator(*row, link(operator=row[0])) for row in found.by_operator()],
        "reasons": [(NAMES.get(code, code), figure(count), link(reason__exact=code)) for code, count in found.reasons],
    }


def _table(total: Counter[str], moments: drawing.Moments) -> dict[str, Any]:
    """Return the outcomes that occur, and for each moment its name, its attempts and those of each outcome."""
    outcomes = [outcome for outcome in drawing.STACKED if total[outcome]]
    rows = [
        (drawing.moment(name), [figure(sum(counts.values())), *(figure(counts[outcome]) for outcome in outcomes)])
        for name, counts in moments
    ]
    return {"badges": list(map(drawing.badge, outcomes)), "rows": rows}


def _operator(name: str, counts: Counter[str], median: int | None, late: int | None, url: str) -> dict[str, Any]:
    return {
        "name": name,
        "url": url,
        "attempts": figure(sum(counts.values())),
        "success": percent(summary.success_rate(counts)),
        "median": milliseconds(median),
        "late": milliseconds(late),
    }
