"""What is measured in one run, and how often."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from . import load, processes
from .running import ping

FAR = 80  # milliseconds: the round trip of the goals


class Plan(NamedTuple):
    """How much of it: ``rounds`` of all sites in turn, each with so many logins or so many seconds."""

    rounds: int = 4
    logins: int = 8  # one after the other, at each round trip
    closed: int = 3  # after the operator closed the pool, with each pause
    seconds: float = 5.0  # of load, at each round trip
    pause: float = 0.4  # seconds that a browser is at the operator


QUICK = Plan(rounds=1, logins=4, closed=1, seconds=2.0)


def run(operator, sites, plan, tell):
    """Measure it all into the sites' ``measured``; ``tell`` (a callable) is told what comes next."""
    tell("accounts, statements and new connections")
    for site in sites.values():
        prepare(operator, site)
    for number in range(1, plan.rounds + 1):
        tell(f"round {number} of {plan.rounds}")
        for site in _in_turn(sites, number):
            for ms in (0, 20, FAR):
                one_by_one(operator, site, ms, plan.logins)
            for pause in (0, plan.pause):
                after_closing(operator, site, pause, plan.closed)
        for pause in (0, plan.pause):
            on_cold_workers(operator, sites, pause)
        for ms in (0, FAR):
            for site in _in_turn(sites, number):
                under_load(operator, site, ms, plan.seconds)


def _in_turn(sites, number):
    """Return the sites, another one first in each round."""
    named = list(sites.values())
    first = number % len(named)
    return named[first:] + named[:first]


def prepare(operator, site):
    """Make the accounts of the people who will return, and take the counts that are the same each time."""
    operator.set_round_trip(0)
    load.crowd(site.door(site.main), load.CLIENTS, logins=load.NUMBERS)
    for sessions, instance in (("db", site.main), ("cache", site.cached)):
        count_statements(operator, site, sessions, instance)
    site.cached.stop()
    command = [sys.executable, "-m", f"{__package__}.connect", site.name, operator.issuer]
    ran = subprocess.run(command, cwd=processes.ROOT, env=site.environ, check=True, stdout=subprocess.PIPE, text=True)
    site.note(connection=float(ran.stdout))


def count_statements(operator, site, sessions, instance):
    """Log in once, and note the statements, and what the operator was asked."""
    with site.wires(instance) as (wire, phone):
        for _ in range(2):
            before = operator.counts()
            login = load.log_in(site.door(instance), load.number_of(1, 0), wire, phone, count=True)
    site.note(**{f"statements_{sessions}": login.statements})
    asked = operator.counts()
    site.measured["asked"] = {name: count for name in asked if (count := asked[name] - before.get(name, 0))}


def one_by_one(operator, site, ms, logins):
    """Note how long callbacks take with a warm pool."""
    operator.set_round_trip(ms)
    with site.wires(site.main) as (wire, phone):
        for turn in range(2):
            site.log_in(wire, phone, turn)
        for turn in range(logins):
            site.note(**{f"callback_{ms}": site.log_in(wire, phone, turn).callback})


def after_closing(operator, site, pause, logins):
    """Note how long callbacks take when the operator has closed every connection."""
    operator.set_round_trip(FAR)
    with site.wires(site.main) as (wire, phone):
        site.log_in(wire, phone)
        for turn in range(logins):
            operator.close_idle()
            site.note(**{f"closed_{_kind(pause)}": site.log_in(wire, phone, turn, pause=pause).callback})


def on_cold_workers(operator, sites, pause):
    """Note how long the first callback of a worker takes, where another one began.

    Connections that it opened when it was started stand for those opened during the pause; without one they are closed.
    """
    operator.set_round_trip(FAR)
    with ThreadPoolExecutor() as pool:
        list(pool.map(_renew, sites.values()))
    if not pause:
        operator.close_idle()
    for site in sites.values():
        with site.wires(site.main) as (wire, phone), load.Wire(site.other.port) as back:
            login = site.log_in(wire, phone, pause=pause, back=back)
        site.note(**{f"cold_{_kind(pause)}": login.callback})


def _renew(site):
    site.other.renew_workers()
    ping(site, site.other)


def _kind(pause):
    return "paused" if pause else "at_once"


def under_load(operator, site, ms, seconds):
    """Note logins a second, the workers' CPU and the operator's connections with many clients."""
    operator.set_round_trip(ms)
    load.crowd(site.door(site.main), load.CLIENTS, logins=3)
    before = _used(operator, site)
    logins, rate = load.crowd(site.door(site.main), load.CLIENTS, seconds=seconds)
    site.note(**{f"rate_{ms}": rate, f"logins_{ms}": len(logins)})
    for name, value in _used(operator, site).items():
        site.note(**{f"{name}_{ms}": value - before.get(name, 0)})


def _used(operator, site):
    """Return what a site and those around it have used so far: seconds of CPU, and what the operator counted."""
    rest = time.process_time() + operator.cpu()
    return {"connections": 0, "resumed handshakes": 0} | operator.counts() | {"cpu": site.main.cpu(), "rest": rest}
