"""Fill, measure, print the table and write it into the documentation: ``make bench-admin``."""

import argparse
import os
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from .. import certificates, databases, distant, machine, report
from ..operator import CLIENT_ID, CLIENT_SECRET

ROWS = 10_000_000
SMALL = 100
ROUNDS = 15
PRUNED = "The large table pruned, by another process than the one whose claims are timed:"


def main():
    """Run with the options of the command line."""
    parser = argparse.ArgumentParser(prog="make bench-admin", description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS, help=f"of the large table (default: {ROWS:,})")
    options, begun = parser.parse_args(), time.monotonic()

    def tell(text):
        sys.stderr.write(f"{time.monotonic() - begun:5.0f} s  {text}\n")

    with ready() as operator:
        from . import filling, pruned, table

        for name, rows in (("small", SMALL), ("large", options.rows)):
            call_command("migrate", database=name, verbosity=0)
            filling.fill(name, rows, tell)
        found = [table.HEADINGS, *table.measured(operator, ROUNDS, tell)]
        least = [pruned.HEADINGS, *pruned.measured(tell)]
    told = machine.describe()
    plan = f"{options.rows:,} attempts of {filling.DAYS} days beside {SMALL}; medians of {ROUNDS} rounds, in ms."
    sys.stdout.write(f"{told}\n{plan}\n\n{report.aligned(found)}\n\n{PRUNED}\n\n{report.aligned(least)}\n")
    if options.rows == ROWS:
        report.write(f"{report.listed(found, told, plan)}\n\n{PRUNED}\n\n{report.table(least)}", "make bench-admin")


@contextmanager
def ready():
    """Make the databases, start an operator and Django; the value is the operator."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificates.make(folder)
        operator = distant.start(stack, folder)
        made = stack.enter_context(databases.made(["small", "large"]))
        os.environ |= {f"BENCH_{name.upper()}": database for name, database in made.items()}
        os.environ |= {
            "SSL_CERT_FILE": str(folder / "authority.pem"),
            "DJANGO_SETTINGS_MODULE": f"{__package__}.settings",
        }
        django.setup()
        _point_at(operator)
        yield operator


def _point_at(operator):
    from django.conf import settings

    keys = {"PROFILE": "telefonica", "ISSUER": operator.issuer, "API_ROOT": f"{operator.issuer}/v1"}
    keys |= {"CLIENT_ID": CLIENT_ID, "CLIENT_SECRET": CLIENT_SECRET, "ALLOW_LOOPBACK": True}
    settings.NUMVERIFY = {"OPERATORS": {"telefonica": keys}, "DEFAULT_REGION": "ES"}


if __name__ == "__main__":
    main()
