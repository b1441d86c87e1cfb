"""A Summary as the admin shows it: texts in the reader's language, and links to the attempts that are meant."""

from urllib.parse import urlencode

from django.utils.translation import gettext as _

from ..models import REASONS
from . import drawing, summary
from .drawing import figure, milliseconds, percent

NAMES = dict(REASONS)


def in_short(found):
    """Return what a line tells of the Summary ``found``, or None where there is none."""
    return found and {
        "title": summary.WINDOWS[found.window].title,
        "counted_at": found.counted_at,
        "attempts": figure(sum(found.total.values())),
        "success": percent(summary.success_rate(found.total)),
    }


def of(found, list_url):
    """Return what a page tells of it, with links to ``list_url``, where the attempts are listed; None of nothing."""

    def link(**filters):
        return f"{list_url}?{urlencode(filters | {'since': found.window})}"

    if not found:
        return None
    moments = found.by_moment()
    return in_short(found) | {
        "url": link(),
        "chart": drawing.chart(moments, _("Attempts by time and outcome; the table has the figures")),
        "table": _table(found.total, moments),
        "operators": [_operator(*row, link(operator=row[0])) for row in found.by_operator()],
        "reasons": [(NAMES.get(code, code), figure(count), link(reason__exact=code)) for code, count in found.reasons],
    }


def _table(total, moments):
    """Return the outcomes that occur, and for each moment its name, its attempts and those of each outcome."""
    outcomes = [outcome for outcome in drawing.STACKED if total[outcome]]
    rows = [
        (drawing.moment(name), [figure(sum(counts.values())), *(figure(counts[outcome]) for outcome in outcomes)])
        for name, counts in moments
    ]
    return {"badges": list(map(drawing.badge, outcomes)), "rows": rows}


def _operator(name, counts, median, late, url):
    return {
        "name": name,
        "url": url,
        "attempts": figure(sum(counts.values())),
        "success": percent(summary.success_rate(counts)),
        "median": milliseconds(median),
        "late": milliseconds(late),
    }
