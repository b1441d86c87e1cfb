"""One run: the processes, what is measured with them, and how often."""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from . import certificates, databases, distant, load, processes
from .operator import CLIENT_ID, CLIENT_SECRET

WORKERS, THREADS = 2, 8
FAR = 80  # milliseconds: the round trip of the goals
SITES = {  # name -> where its form is posted to
    "ours": "/numverify/login/",
    "mozilla": "/start/",
    "allauth": "/start/",
    "floor": "/start/",
}


class Plan(NamedTuple):
    """How much of it: ``rounds`` of all sites in turn, each with so many logins or so many seconds."""

    rounds: int = 4
    logins: int = 8  # one after the other, at each round trip
    closed: int = 3  # after the operator closed the pool, with each pause
    seconds: float = 5.0  # of load, at each round trip
    pause: float = 0.4  # seconds that a browser is at the operator


QUICK = Plan(rounds=1, logins=4, closed=1, seconds=2.0)


class Site:
    """One site: ``main`` serves it, ``other`` has one worker that may be cold, ``cached`` keeps sessions in Redis."""

    def __init__(self, name, environ, start, phones):
        self.name, self.environ, self.measured = name, environ, defaultdict(list)
        self._phones = phones
        self.main = start("db", workers=WORKERS, threads=THREADS)
        self.other = start("db")
        self.cached = start("cache")

    def door(self, instance):
        """Return the Door of ``instance``."""
        return load.Door(instance.port, SITES[self.name], self._phones)

    @contextmanager
    def wires(self, instance):
        """Open a connection to ``instance`` and one to the operator."""
        with load.Wire(instance.port) as wire, load.Wire(self._phones) as phone:
            yield wire, phone

    def log_in(self, wire, phone, turn=0, **options):
        """Log in one person at the main instance."""
        return load.log_in(self.door(self.main), load.number_of(0, turn), wire, phone, **options)

    def note(self, **values):
        """Add to what was measured."""
        for name, value in values.items():
            self.measured[name].append(value)


@contextmanager
def running():
    """Start everything; the value is the operator and the sites by name. End everything."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(_told_logs(folder))
        certificates.make(folder)
        operator = distant.start(stack, folder)
        names = stack.enter_context(databases.made(SITES))
        environs = {site: _environ(folder, operator.issuer, name) for site, name in names.items()}
        _migrate(environs)
        sites = {site: _start(stack, site, environs[site], folder, operator.phones) for site in SITES}
        for site in sites.values():
            _wait_for(site)
        yield operator, sites


@contextmanager
def _told_logs(folder):
    """Show what the sites said last, where something goes wrong."""
    try:
        yield
    except Exception:
        for log in folder.glob("*.log"):
            sys.stderr.write(f"{log.name}: {log.read_text()[-3000:]}\n")
        raise


def _environ(folder, issuer, database):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "GUNICORN_"))}
    return inherited | {
        "BENCH_DATABASE": database,
        "BENCH_SESSIONS": "db",
        "BENCH_ISSUER": issuer,
        "BENCH_CLIENT_ID": CLIENT_ID,
        "BENCH_CLIENT_SECRET": CLIENT_SECRET,
        # What requests loads, and what OpenSSL does, whose authorities ours trusts besides those of certifi: as many as
        # on any machine.
        "REQUESTS_CA_BUNDLE": str(folder / "bundle.pem"),
        "SSL_CERT_FILE": str(folder / "bundle.pem"),
    }


def settings_of(site):
    """Return the dotted path of a site's settings."""
    return f"{__package__}.sites.{site}.settings"


def _migrate(environs):
    command = [sys.executable, "-m", "django", "migrate", "--verbosity=0"]
    for site, environ in environs.items():
        named = environ | {"DJANGO_SETTINGS_MODULE": settings_of(site)}
        subprocess.run(command, cwd=processes.ROOT, env=named, check=True)


def _start(stack, site, environ, folder, phones):
    def start(sessions, **size):
        named = environ | {"BENCH_SESSIONS": sessions}
        served = processes.Gunicorn(settings_of(site), named, folder / f"{site}.log", **size)
        stack.callback(served.stop)
        return served

    return Site(site, environ, start, phones)


def _wait_for(site):
    for instance in (site.main, site.other, site.cached):
        ping(site, instance)


def ping(site, instance):
    """Open a page, as any worker has before somebody logs in."""
    with load.Wire(instance.port) as wire:
        answer = wire.ask("GET", "/ping/", {"Host": f"127.0.0.1:{instance.port}"})
    assert answer.status == 200, (site.name, answer)


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
    """Note how long the first callback of a worker takes, where another one began."""
    operator.set_round_trip(FAR)
    with ThreadPoolExecutor() as pool:
        list(pool.map(_renew, sites.values()))
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
    load.crowd(site.door(site.main), load.CLIENTS, logins=2)
    before = _used(operator, site)
    logins, rate = load.crowd(site.door(site.main), load.CLIENTS, seconds=seconds)
    site.note(**{f"rate_{ms}": rate})
    for name, value in _used(operator, site).items():
        site.note(**{f"{name}_{ms}": (value - before.get(name, 0)) * 1000 / len(logins)})


def _used(operator, site):
    """Return what a site and those around it have used so far: seconds of CPU, and what the operator counted."""
    rest = time.process_time() + operator.cpu()
    return {"connections": 0, "resumed handshakes": 0} | operator.counts() | {"cpu": site.main.cpu(), "rest": rest}
