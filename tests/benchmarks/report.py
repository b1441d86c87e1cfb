"""The table: each goal with what was measured, printed, and written into docs/benchmarks.rst."""

import math
import statistics
from pathlib import Path
from typing import NamedTuple

from . import load, statements

PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.rst"
NAMES = {"ours": "ours", "mozilla": "(a) mozilla", "allauth": "(b) allauth", "floor": "(d) floor"}
HEADINGS = ["", "goal", *NAMES.values(), "to (a)", "to (d)", "holds"]
ACCOUNTS = ("userinfo", "token", "jwks", "verify", "openid-configuration")


class Row(NamedTuple):
    """One line: ``values`` by site; ``most`` and ``least`` are the goal, of our value and of its ratios by site."""

    what: str
    values: dict
    unit: str = ""
    most: dict = {}
    least: dict = {}

    @property
    def goal(self):
        """The goal as people read it."""
        told = [f"<= {bound:g}{self._of(site)}" for site, bound in self.most.items()]
        return ", ".join(told + [f">= {bound:g}{self._of(site)}" for site, bound in self.least.items()])

    @property
    def verdict(self):
        """``holds``, ``MISSED``, or nothing where there is no goal."""
        if not (self.most or self.least):
            return ""
        kept = [self.measured(site) <= bound for site, bound in self.most.items()]
        kept += [self.measured(site) >= bound for site, bound in self.least.items()]
        return "holds" if all(kept) else "MISSED"

    def measured(self, site):
        """Return our value (``ours``) or its ratio to that of ``site``."""
        ours = self.values["ours"]
        return ours if site == "ours" else ours / self.values[site] if self.values[site] else float("inf")

    def cells(self):
        """Return the texts of the line, as HEADINGS has them."""
        values = [_number(self.values[site]) + self.unit for site in NAMES]
        ratios = [_number(self.measured(site)) if self.values[site] else "" for site in ("mozilla", "floor")]
        return [self.what, self.goal, *values, *ratios, self.verdict]

    def _of(self, site):
        return {"ours": self.unit, "mozilla": " of (a)", "floor": " of (d)"}[site]


def _number(value):
    """Return ``value`` with three digits that mean something."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def rows(sites):
    """Return the Rows of what was measured on ``sites``, those with a goal first."""
    return [*_goals(sites), *_others(sites)]


def _goals(sites):
    far, cold = "callback p50 at 80 ms", {"at_once": 0.36, "paused": 0.20}
    pauses = {"at_once": "", "paused": ", the browser being 400 ms at the operator"}
    yield _median(sites, f"{far}, warm pool", "callback_80", " ms", most={"mozilla": 0.20, "floor": 1.15})
    for when, what in (("closed", "the operator closed the pool"), ("cold", "cold worker")):
        for kind, bound in cold.items():
            yield _median(sites, f"{far}, {what}{pauses[kind]}", f"{when}_{kind}", " ms", most={"mozilla": bound})
    asked = {name: sum(site.measured["asked"].get(path, 0) for path in ACCOUNTS) for name, site in sites.items()}
    yield Row("operator requests per warm login", asked, most={"ours": 2})
    what = f"new connections per 1,000 logins, {load.CLIENTS} clients"
    yield _per_login(sites, what, "connections_0", 1000, most={"ours": 20})
    yield _median(sites, "CPU per new connection", "connection", " ms", most={"ours": 2})
    what = f"CPU per login, gthread, {load.CLIENTS} clients"
    yield _per_login(sites, what, "cpu_0", 1000, " ms", most={"floor": 1.25, "mozilla": 0.15})
    yield _count(sites, "SQL statements, own tables", "statements_db", own=True, most={"ours": 6})
    yield _count(sites, "SQL statements, database sessions", "statements_db", most={"ours": 14})
    yield _count(sites, "SQL statements, cache sessions", "statements_cache", most={"ours": 8})
    yield _median(sites, "logins a second, RTT 0", "rate_0", least={"mozilla": 5})
    yield _median(sites, "logins a second, RTT 80 ms", "rate_80", least={"mozilla": 4})


def _others(sites):
    for ms in (0, 20):
        yield _median(sites, f"callback p50 at {ms} ms, warm pool", f"callback_{ms}", " ms")
    for ms in (0, 20, 80):
        yield _row(sites, f"callback p95 at {ms} ms, warm pool", f"callback_{ms}", _p95, " ms")
    for name in ("connections", "full handshakes", "resumed handshakes"):
        yield _per_login(sites, f"{name} per 1,000 logins at 80 ms", f"{name}_80", 1000)
    yield _per_login(sites, "full handshakes per 1,000 logins at 0 ms", "full handshakes_0", 1000)
    yield _per_login(sites, "CPU per login at 80 ms", "cpu_80", 1000, " ms")
    yield _per_login(sites, "CPU per login of load generator, operator and proxy", "rest_0", 1000, " ms")


def _median(sites, what, name, unit="", **goal):
    return _row(sites, what, name, statistics.median, unit, **goal)


def _per_login(sites, what, name, factor, unit="", **goal):
    """Return the Row of what all rounds used together, by login, times ``factor``."""
    logins = f"logins_{name.rpartition('_')[2]}"
    used = {key: sum(site.measured[name]) / sum(site.measured[logins]) * factor for key, site in sites.items()}
    return Row(what, used, unit, **goal)


def _row(sites, what, name, digest, unit="", **goal):
    return Row(what, {key: digest(site.measured[name]) for key, site in sites.items()}, unit, **goal)


def _p95(values):
    """Return the value that 95 % of ``values`` do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def _count(sites, what, name, own=False, **goal):
    made = {key: site.measured[name][0] for key, site in sites.items()}
    return Row(what, {key: len(statements.own(sqls) if own else sqls) for key, sqls in made.items()}, **goal)


def as_text(found):
    """Return the table for a terminal."""
    return aligned([HEADINGS, *(row.cells() for row in found)])


def aligned(lines):
    """Return ``lines``, each a list of cells, in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
    return "\n".join(line.rstrip() for line in padded)


def as_page(found, machine, plan):
    """Return the generated part of the page."""
    return listed([HEADINGS, *(row.cells() for row in found)], machine, plan)


def listed(lines, machine, plan):
    """Return ``lines``, each a list of cells, as a table of the page, below what was measured on what."""
    return f"{machine}\n\n{plan}\n\n{table(lines)}"


def table(lines):
    """Return ``lines``, each a list of cells, as a table of the page; the first has the headings."""
    told = [".. list-table::", "   :header-rows: 1", ""]
    for cells in lines:
        told += [f"   {'  -' if column else '* -'} {_escaped(cell)}".rstrip() for column, cell in enumerate(cells)]
    return "\n".join(told)


def _escaped(cell):
    return f"\\{cell}" if cell.startswith("(") else cell  # or it would begin a numbered list


def write(text, command="make bench"):
    """Put ``text`` in the place of the page's part that ``command`` generates."""
    begin, end = f".. {command} writes what follows", f".. {command} wrote what precedes"
    before, _, rest = PAGE.read_text().partition(begin)
    after = rest.partition(end)[2]
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def list_statements(sites):
    """Return the statements of one start and callback of ours, numbered, without what they select."""
    lines = []
    for sessions in ("db", "cache"):
        lines.append(f"\nours, start and callback, {sessions} sessions:")
        made = sites["ours"].measured[f"statements_{sessions}"][0]
        lines += [f"{number:3} {statements.shortened(sql)}" for number, sql in enumerate(made, 1)]
    return "\n".join(lines)
