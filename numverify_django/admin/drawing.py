"""What the admin draws: badges, bars and figures, as HTML and SVG without inline style or script."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from django.utils import formats
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from ..models import CALLBACK, Outcome

# In a square of 12: each outcome has its shape, so that no colour has to be told from another.
DISC = "M6 0a6 6 0 1 1 0 12a6 6 0 1 1 0-12z"
SHAPES: dict[str, str] = {
    Outcome.VERIFIED: f"{DISC}M5 9.2l4.6-4.7l-1.1-1.1l-3.5 3.6l-1.5-1.5l-1.1 1.1z",
    Outcome.MISMATCH: "M6 0l6 6l-6 6l-6-6z",
    Outcome.UNAVAILABLE: "M6 .5l6 11h-12z",
    Outcome.REFUSED: f"{DISC}M2.5 5h7v2h-7z",
    Outcome.ERROR: "M2 0l4 4l4-4l2 2l-4 4l4 4l-2 2l-4-4l-4 4l-2-2l4-4l-4-4z",
    Outcome.PENDING: f"{DISC}M6 2a4 4 0 1 0 0 8a4 4 0 1 0 0-8z",
    Outcome.ABANDONED: "M0 0h12v12h-12zM2 2v8h8v-8z",
}
STACKED = list(SHAPES)  # from the bottom of a bar to its top
HOPS = ["discovery", "token", "jwks", "verify", "share", CALLBACK]
WIDTH, HEIGHT, LEFT, BELOW, ABOVE = 720, 220, 48, 24, 12  # of the chart and its margins
MOMENTS_NAMED = 8  # on the axis, where there are more of them

Moments = Sequence[tuple[str, Mapping[str, int]]]  # name, attempts by outcome


def figure(number: float, decimals: int = 0) -> str:
    """Return ``number`` as people read it in their language: 1,234.5."""
    return formats.number_format(number, decimals, use_l10n=True, force_grouping=True)


def percent(share: float | None) -> str:
    """Return ``share`` (0 to 1) as a percentage, or a dash where there is none (None)."""
    return "-" if share is None else _("%(number)s%%") % {"number": figure(share * 100, 1)}


def milliseconds(number: int | None) -> str:
    """Return a time in milliseconds with its unit, or a dash where there is none (None)."""
    return "-" if number is None else _("%(number)s\u00a0ms") % {"number": figure(number)}


def badge(outcome: str) -> SafeString:
    """Return the word and the shape of ``outcome``; one that is unknown has its word alone."""
    if outcome not in SHAPES:
        return format_html('<span class="numverify-badge">{}</span>', outcome)
    return format_html(
        '<span class="numverify-badge numverify-{}"><svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">'
        '<path fill="currentColor" fill-rule="evenodd" d="{}"/></svg>{}</span>',
        outcome,
        SHAPES[outcome],
        Outcome(outcome).label,
    )


def hops(timings: Mapping[str, Any]) -> str:
    """Return a bar for each hop in ``timings`` (milliseconds by hop), in the order in which they are asked."""
    known = {hop: timings[hop] for hop in HOPS if type(timings.get(hop)) is int}
    if not known:
        return "-"
    titles = {CALLBACK: _("callback in all")}
    widest = max(1, *known.values())
    rows = [(titles.get(hop, hop), round(360 * took / widest), milliseconds(took)) for hop, took in known.items()]
    row = (
        '<tr><th scope="row">{}</th><td><svg width="360" height="10" aria-hidden="true">'
        '<rect width="{}" height="10" rx="2"/></svg></td><td>{}</td></tr>'
    )
    return format_html('<table class="numverify-hops">{}</table>', format_html_join("", row, rows))


def moment(name: str) -> str:
    """Return how a person reads a day or an hour that a Summary names."""
    return formats.date_format(datetime.fromisoformat(name), "TIME_FORMAT" if "T" in name else "MONTH_DAY_FORMAT")


def chart(moments: Moments, label: str) -> SafeString:
    """Return stacked bars for ``moments``: (name, {outcome: count}) each, oldest first; ``label`` is said aloud."""
    top = _round_up(max((sum(counts.values()) for name, counts in moments), default=0))
    return format_html(
        '<svg class="numverify-chart" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}</svg>',
        WIDTH,
        HEIGHT,
        label,
        format_html_join("", '<path d="M{} {}H{}"/><text x="{}" y="{}" text-anchor="end">{}</text>', _grid(top)),
        format_html_join("", "<g><title>{}</title>{}</g>{}", _bars(moments, top)),
    )


def _round_up(number: int) -> int:
    """Return the least even number of one figure and zeros (or 1, or 10) that is at least ``number``."""
    unit = 1
    while unit * 10 < number:
        unit *= 10
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= number)


def _grid(top: int) -> Iterator[tuple[int, int, int, int, int, str]]:
    for value in sorted({0, top // 2, top}):
        y = _y(value, top)
        yield LEFT, y, WIDTH, LEFT - 6, y + 4, figure(value)


def _y(value: int, top: int) -> int:
    return round(HEIGHT - BELOW - (HEIGHT - BELOW - ABOVE) * value / top)


def _bars(moments: Moments, top: int) -> Iterator[tuple[str, SafeString, str]]:
    """Yield the title, the pieces and the name below (or nothing) of each bar."""
    step = (WIDTH - LEFT) / len(moments)
    every = -(-len(moments) // MOMENTS_NAMED)
    for place, (name, counts) in enumerate(moments):
        x = LEFT + place * step
        told = [f"{Outcome(outcome).label} {figure(counts[outcome])}" for outcome in STACKED if outcome in counts]
        below = '<text x="{}" y="{}" text-anchor="middle">{}</text>'
        named = format_html(below, round(x + step / 2), HEIGHT - 6, moment(name)) if place % every == 0 else ""
        pieces = format_html_join("", PIECE, _pieces(counts, top, x, step))
        yield f"{moment(name)}: {', '.join(told) or figure(0)}", pieces, named


PIECE = '<rect class="numverify-{}" x="{}" y="{}" width="{}" height="{}"/>'


def _pieces(counts: Mapping[str, int], top: int, x: float, step: float) -> Iterator[tuple[str, int, int, int, int]]:
    below = 0
    for outcome in STACKED:
        if count := counts.get(outcome, 0):
            y, bottom = _y(below + count, top), _y(below, top)
            yield outcome, round(x + step * 0.15), y, round(step * 0.7), bottom - y
            below += count
