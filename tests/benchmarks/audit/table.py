"""The table: what each act takes on the small database and on the large one."""

import itertools
import statistics
from functools import partial
from typing import NamedTuple
from urllib.parse import urlsplit

from django.conf import settings
from django.test import Client
from django.test.utils import override_settings

from .. import load
from . import choice, pages

HEADINGS = ["", "goal", "small", "large", "large to small", "queries", "holds"]
QUERIES = 8
FORBIDDEN = ("OFFSET", "DISTINCT")
QUERIES_EACH = 10  # of what takes a few statements and no page, in a round
LOGINS = 40
ADDRESSES = itertools.count(1)  # a new one for each login, because of the limits


def measured(operator, rounds, tell):
    """Return the lines of the table."""
    small, large = (pages.Site(name) for name in choice.NAMES)
    compare = partial(_compare, small, large, rounds)
    lines = []
    for name, act in pages.lists().items():
        base = act if small.timed(act)[1] == large.timed(act)[1] else pages.page()
        lines.append(_page(name, compare(act, base), "<= 1.5 times", lambda it: it.ratio <= 1.5))
        tell(name)
    for name, act in pages.sums().items():
        lines.append(_page(name, compare(act), "<= 100 ms", lambda it: it.large <= 100))
        tell(name)
    ask, claims = partial(_compare, small, large, rounds * QUERIES_EACH), pages.Claims()
    lines.append(_query("the limits, as by default", ask(pages.check_limits)))
    with override_settings(NUMVERIFY=settings.NUMVERIFY | {"RATE_LIMITS": pages.EVERY_LIMIT}):
        lines.append(_query("the limits, every one set", ask(pages.check_limits)))
    lines.append(_query("the claim of a callback", ask(claims.claim, before=claims.open)))
    login = _compare(small, large, LOGINS, _login(operator))
    lines.append(_cells("a login, start and callback", "<= 1.1 times", login, login.ratio <= 1.1))
    for site in (small, large):
        pages.open_some(site)
    for name, act in {"search by number": pages.search_number, "search by reference": pages.search_reference}.items():
        lines.append(_page(name, compare(act), "<= 20 ms", lambda it: it.large <= 20))
    return lines


class Compared(NamedTuple):
    """Median milliseconds on the small and on the large database, and the large one's SQL statements."""

    small: float
    large: float
    asked: list

    @property
    def ratio(self):
        """How many times longer the large one takes."""
        return self.large / self.small


def _compare(small, large, rounds, act, base=None, before=None):
    """Do ``base`` (``act`` where there is none) on ``small`` and ``act`` on ``large``, in turn.

    Each time ``before`` is done first; once to warm up, and then ``rounds`` times.
    """
    times = [], []
    for _ in range(rounds + 1):
        for taken, site, done in zip(times, (small, large), (base or act, act), strict=True):
            if before:
                before(site)
            taken.append(site.timed(done)[0])
    if before:
        before(large)
    return Compared(*(statistics.median(taken[1:]) for taken in times), large.asked(act))


def _page(name, found, goal, is_kept):
    """Return the line of a page, which has a goal for its statements too."""
    is_bounded = len(found.asked) <= QUERIES and not any(word in sql for sql in found.asked for word in FORBIDDEN)
    return _cells(name, f"{goal}, <= {QUERIES} queries", found, is_kept(found) and is_bounded)


def _query(name, found):
    """Return the line of what a login asks of the audit."""
    return _cells(name, "<= 2 ms", found, found.large <= 2)


def _login(operator):
    """Return the act of a whole login, of somebody who comes back in a new browser."""

    def act(site):
        browser = Client(SERVER_NAME="127.0.0.1", REMOTE_ADDR=f"2001:db8:0:{next(ADDRESSES):x}::1")
        started = browser.post("/numverify/login/", {"phone_number": pages.NUMBER})
        url = urlsplit(started["Location"])
        with load.Wire(operator.phones) as phone:
            came = phone.ask("GET", f"{url.path}?{url.query}", {"X-SIM": pages.NUMBER})
        back = urlsplit(came.get("location"))
        assert browser.get(f"{back.path}?{back.query}")["Location"] == "/home/"

    return act


def _cells(name, goal, found, is_kept):
    times = [f"{found.small:.1f}", f"{found.large:.1f}", f"{found.ratio:.2f}", str(len(found.asked))]
    return [name, goal, *times, "holds" if is_kept else "MISSED"]
