"""What pruning a tenth of the large table takes, and what it takes from the logins meanwhile."""

import json
import os
import statistics
import subprocess
import sys

from .. import processes
from . import filling, pages

HEADINGS = ["", "goal", "measured", "holds"]
TENTH = filling.DAYS // 10
CLAIMS = 300  # before


def measured(tell):
    """Return the lines of the table."""
    site, claims = pages.Site("large"), pages.Claims()
    before = [_claim(site, claims) for _ in range(CLAIMS)]
    tell("pruning")
    told, meanwhile = _pruned(site, claims)
    whole, most = told["counting"] + told["seconds"], 5 * told["deleted"] / 1_000_000
    return [
        _line(f"{told['deleted']:,} attempts deleted", whole, "s", most),
        _line("of that, the hours of a day counted first", told["counting"], "s"),
        _line("the longest transaction that changes rows", told["longest"], "s", 0.2),
        _line("memory", told["memory"], "MB", 20),
        _line("a claim of a callback before, median", statistics.median(before), "ms"),
        _line("a claim of a callback before, 99th percentile", _p99(before), "ms"),
        _line("a claim of a callback meanwhile, median", statistics.median(meanwhile), "ms"),
        _line("a claim of a callback meanwhile, 99th percentile", _p99(meanwhile), "ms"),
    ]


def _pruned(site, claims):
    """Return what the pruning process told, and how long the claims meanwhile took (ms)."""
    environ = os.environ | {"BENCH_SMALL": os.environ["BENCH_LARGE"]}  # which is the default one there
    command, meanwhile = [sys.executable, "-m", f"{__package__}.pruner", str(filling.DAYS - TENTH)], []
    with subprocess.Popen(command, cwd=processes.ROOT, env=environ, stdout=subprocess.PIPE, text=True) as pruner:
        while pruner.poll() is None:
            meanwhile.append(_claim(site, claims))
        if pruner.returncode:
            raise RuntimeError("the process that prunes failed")
        return json.load(pruner.stdout), meanwhile


def _claim(site, claims):
    claims.open(site)
    return site.timed(claims.claim)[0]


def _p99(values):
    return statistics.quantiles(values, n=100)[98]


def _line(name, value, unit, most=None):
    goal, verdict = ("", "") if most is None else (f"<= {most:.3g} {unit}", "holds" if value <= most else "MISSED")
    return [name, goal, f"{value:,.3g} {unit}".strip(), verdict]
