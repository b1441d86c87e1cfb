"""The sites and the operator of one run, started and ended."""

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from contextlib import ExitStack, contextmanager
from pathlib import Path

from . import certificates, databases, distant, load, processes
from .operator import CLIENT_ID, CLIENT_SECRET

WORKERS, THREADS = 2, 8
SITES = {  # name -> where its form is posted to
    "ours": "/numverify/login/",
    "mozilla": "/start/",
    "allauth": "/start/",
    "floor": "/start/",
}


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
def started():
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
