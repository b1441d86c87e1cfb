"""Sites of real servers on ports of their own, a Redis, and an operator: processes, each ended by its own id."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from django.db import connection

from ..conftest import IS_CI
from .phone import Phone

ROOT = Path(__file__).parent.parent.parent
GTHREAD = ["gunicorn", "--worker-class=gthread", "--bind=fd://{fd}", "--workers={workers}", "--threads={threads}"]
GTHREAD += ["--log-level=warning"]
UVICORN = ["uvicorn", "--fd={fd}", "--workers={workers}", "--lifespan=off", "--log-level=warning", "--factory"]
COMMANDS = {
    "gthread": [*GTHREAD, "django.core.wsgi:get_wsgi_application()"],
    "preload": [*GTHREAD, "--preload", "tests.servers.preloaded:application"],
    "warm": [*GTHREAD, "--config=tests/servers/warm.py", "django.core.wsgi:get_wsgi_application()"],
    "uvicorn": [*UVICORN, "django.core.asgi:get_asgi_application"],
    "shared": [*UVICORN, "tests.servers.shared:application"],
    "coexistence": [*GTHREAD, "tests.coexistence.start:application()"],
}
PATIENCE = 20  # seconds for a process to begin or to end


def pytest_terminal_summary(terminalreporter):
    """Print the figures that tests measured."""
    passed = terminalreporter.stats.get("passed", [])
    figures = [value for report in passed for name, value in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("servers")
        terminalreporter.write_line("\n".join(figures))


def need(found, missing):
    """Skip the test where something is not ``found``; fail where all must run."""
    if not found:
        (pytest.fail if IS_CI else pytest.skip)(missing)


def end(process):
    """End a process that we started, by force where it does not go."""
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE)


class Operator:
    """The operator's process; ``trust`` is the file with its certificate. Calling it sends a command."""

    def __init__(self, folder):
        command = [sys.executable, "-m", "tests.servers.operator", str(folder)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        found = json.loads(self._process.stdout.readline())
        self.url, self.trust = found["url"], found["trust"]

    def __call__(self, name, *arguments):
        print(json.dumps([name, *arguments]), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def stop(self):
        """End its process."""
        end(self._process)
        self._process.stdin.close()
        self._process.stdout.close()


class Site:
    """A server on a port of its own: ``workers`` processes; what it prints is in ``log``."""

    def __init__(self, kind, workers, threads, environ, log):
        # Whoever connects before the server is there waits in the socket's queue.
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener, log.open("w") as printed:
            # Connections inherit it: uvicorn takes what comes by a file descriptor for no TCP, and would not set it.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            facts = {"fd": listener.fileno(), "workers": workers, "threads": threads}
            command = [part.format(**facts) for part in COMMANDS[kind]]
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=environ,
                pass_fds=[listener.fileno()],
                stdout=printed,
                stderr=subprocess.STDOUT,
            )
        self.log = log

    @property
    def workers(self):
        """The process ids of its workers; one worker of uvicorn is the process itself."""
        master = self._process.pid
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()] or [master]

    def stop(self):
        """End its processes."""
        end(self._process)

    def check(self):
        """Fail where something was raised that nobody expected."""
        printed = self.log.read_text()
        assert "Traceback" not in printed, printed


def database_url():
    """Return the URL of the tests' database, for a process of its own."""
    facts = connection.settings_dict
    who = quote(facts["USER"]) + (f":{quote(facts['PASSWORD'])}" if facts["PASSWORD"] else "")
    return f"{connection.vendor}://{who}@{facts['HOST']}:{facts['PORT']}/{facts['NAME']}"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory):
    """The URL of a Redis for these tests alone."""
    need(shutil.which("redis-server"), "there is no redis-server")
    folder = tmp_path_factory.mktemp("redis")
    place = folder / "socket"
    options = ["--port", "0", "--unixsocket", str(place), "--save", "", "--dir", str(folder)]
    with (folder / "log").open("w") as printed:
        process = subprocess.Popen(["redis-server", *options], stdout=printed)
    try:
        wait_for(redis.Redis(unix_socket_path=str(place)))
        yield f"unix://{place}"
    finally:
        end(process)


def wait_for(server):
    """Return once a Redis answers."""
    begun = time.monotonic()
    while time.monotonic() < begun + PATIENCE:
        with suppress(redis.ConnectionError):
            return server.ping()
        time.sleep(0.05)
    raise AssertionError("Redis does not answer")


@pytest.fixture(scope="session")
def running_operator(tmp_path_factory):
    """One operator for all tests."""
    operator = Operator(tmp_path_factory.mktemp("operator"))
    yield operator
    operator.stop()


@pytest.fixture
def operator(running_operator):
    """The operator as at its beginning."""
    running_operator("restore")
    return running_operator


@pytest.fixture
def start(transactional_db, operator, redis_url, tmp_path):
    """Start a site; keywords are keys of NUMVERIFY. All share one database, one Redis and one operator."""
    need(connection.vendor != "sqlite", "several machines share no SQLite: set NUMVERIFY_TEST_DATABASE")
    redis.Redis.from_url(redis_url).flushall()
    sites, ended = [], ExitStack()

    def start(kind="gthread", *, workers=2, threads=4, sessions="cached_db", **keys):
        facts = {"redis": redis_url, "sessions": sessions, "conn_max_age": 0 if kind == "uvicorn" else 60}
        facts["numverify"] = {"DEFAULT_REGION": "ES", "OPERATORS": {"exchange": served_by(operator)}} | keys
        environ = os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.servers.settings",
            "HOME": str(tmp_path),  # where gunicorn keeps a socket for its control
            "NUMVERIFY_TEST_DATABASE": database_url(),
            "NUMVERIFY_TEST_SITE": json.dumps(facts),
            "SSL_CERT_FILE": operator.trust,
        }
        sites.append(Site(kind, workers, threads, environ, tmp_path / f"site{len(sites)}.log"))
        ended.callback(sites[-1].stop)
        return sites[-1]

    with ended:
        yield start
    for site in sites:
        site.check()


def served_by(operator):
    """Return the settings of a site's operator."""
    return {
        "PROFILE": "telefonica",
        "ISSUER": operator.url,
        "API_ROOT": f"{operator.url}/v1",
        "CLIENT_ID": "client-of-the-site",
        "CLIENT_SECRET": "secret-of-the-site",
        "ALLOW_LOOPBACK": True,
    }


@pytest.fixture
def phones(operator):
    """Return a new phone at each call."""
    made = []

    def phone():
        made.append(Phone(operator.trust))
        return made[-1]

    yield phone
    for one in made:
        one.close()
