"""Measure, print the table and write it into the documentation: ``make bench``."""

import argparse
import signal
import sys
import time

from . import machine, measure, report, running

SIZES = {True: measure.QUICK, False: measure.Plan()}


def main():
    """Run with the options of the command line."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, which is not written into the documentation")
    parser.add_argument("--statements", action="store_true", help="list the SQL statements of one login of ours")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    plan, begun = SIZES[options.quick], time.monotonic()

    def tell(text):
        sys.stderr.write(f"{time.monotonic() - begun:5.0f} s  {text}\n")

    tell("starting")
    told = machine.describe()
    with running.started() as (operator, sites):
        measure.run(operator, sites, plan, tell)
    tell("done")
    found = report.rows(sites)
    sys.stdout.write(f"{told}\n{describe(plan)}\n\n{report.as_text(found)}\n")
    if options.statements:
        sys.stdout.write(f"{report.list_statements(sites)}\n")
    if not options.quick:
        report.write(report.as_page(found, told, describe(plan)))


def describe(plan):
    """Return how much was measured."""
    return (
        f"{plan.rounds} interleaved rounds, each with {plan.logins} logins one after the other at each round trip, "
        f"{plan.closed} after the pool was closed and one on a cold worker with each pause, "
        f"and {plan.seconds:g} s of load at each round trip. Load generator and operator share the cores."
    )


if __name__ == "__main__":
    main()
