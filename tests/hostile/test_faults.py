"""Faults of the site itself: the database or the worker dies in the middle of a callback, or all workers wait."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
import requests
from django.db import OperationalError, connection
from django.utils import timezone

from numverify_django.models import VerificationAttempt

from ..conftest import Browser
from ..test_example import free_port
from .conftest import CLIENT_SECRET, Visitor
from .operator import HONEST

EXAMPLE = Path(__file__).parents[2] / "example_project"
THREADS = 4
SITE_TIMEOUT = 10  # seconds: the default of TIMEOUT


@pytest.fixture
def dying_database(operator):
    """Return a function that makes the database refuse every statement as soon as an endpoint is asked."""
    dead = threading.Event()

    def refuse(execute, sql, params, many, context):
        if dead.is_set():
            raise OperationalError("the database is gone")
        return execute(sql, params, many, context)

    @contextlib.contextmanager
    def dies_at(hop):
        def endpoint(operator, received):
            dead.set()
            return HONEST[hop](operator, received)

        setattr(operator, hop, endpoint)
        with connection.execute_wrapper(refuse):
            yield
        dead.clear()

    return dies_at


@pytest.mark.parametrize("hop", ["token", "verify"])
def test_database_that_dies_during_the_calls_logs_nobody_in(transactional_db, configure, operator, dying_database, hop):
    visitor = Visitor([])
    callback = visitor.visit_operator(visitor.start())
    with dying_database(hop):
        response = visitor.client.get(callback)

    assert response.status_code == 503
    assert "The check didn't finish" in response.content.decode()
    assert visitor.user_id is None
    attempt = VerificationAttempt.objects.get()
    assert (attempt.outcome, attempt.sealed, attempt.claimed_at is not None) == ("pending", "", True)

    assert visitor.client.get(callback).status_code == 410
    assert operator.hops.count("token") == 1
    VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
    operator.restore()
    visitor.come_back(visitor.visit_operator(visitor.start()))
    outcomes = VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason")
    assert list(outcomes) == [("abandoned", "expired"), ("verified", "")]
    assert visitor.user_id is not None


class Site:
    """The example site as a process of its own under gunicorn, with few threads, whose operator is hostile."""

    def __init__(self, folder, operator):
        self.database, self.port = folder / "site.sqlite3", free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environ = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "settings",
            "DATABASE_URL": f"sqlite:///{self.database}",
            "NUMVERIFY_PROFILE": "telefonica",
            "NUMVERIFY_ISSUER": operator.url,
            "NUMVERIFY_API_ROOT": f"{operator.url}/v1",
            "NUMVERIFY_CLIENT_ID": "client-of-the-site",
            "NUMVERIFY_CLIENT_SECRET": CLIENT_SECRET,
        }
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=EXAMPLE, env=self._environ, check=True, timeout=60)
        self.start()

    def start(self):
        """Start it, and wait until it answers."""
        bind = ["--bind", f"127.0.0.1:{self.port}", "--threads", str(THREADS), "--log-level", "error"]
        wsgi = "django.core.wsgi:get_wsgi_application()"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", *bind, wsgi], cwd=EXAMPLE, env=self._environ, start_new_session=True
        )
        for _ in range(100):
            with contextlib.suppress(requests.ConnectionError):
                return requests.get(self.url, timeout=5)
            time.sleep(0.1)
        raise AssertionError("the site does not answer")

    def kill(self):
        """Kill it, workers and all, without a word."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=10)

    def query(self, sql):
        """Return the rows of ``sql``, or change them."""
        with contextlib.closing(sqlite3.connect(self.database)) as database, database:
            return database.execute(sql).fetchall()


@pytest.fixture
def own_site(tmp_path, operator):
    """A Site, killed at the end."""
    site = Site(tmp_path, operator)
    yield site
    site.kill()


ROWS = "SELECT outcome, reason FROM numverify_django_verificationattempt ORDER BY id"


def test_worker_that_is_killed_during_the_calls_leaves_a_row_and_no_login(own_site, operator):
    asked, release = threading.Event(), threading.Event()

    def verify(operator, received):
        asked.set()
        release.wait(SITE_TIMEOUT)
        return b""

    operator.verify = verify
    browser = Browser(own_site.url)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(browser.log_in, "600 000 001")
        assert asked.wait(SITE_TIMEOUT)
        own_site.kill()
        release.set()
        with pytest.raises(requests.ConnectionError):
            waiting.result()
    operator.restore()
    own_site.start()

    assert own_site.query(ROWS) == [("pending", "")]
    assert "/numverify/login/" in browser.get("/members/").url
    own_site.query("UPDATE numverify_django_verificationattempt SET expires_at = '2026-01-01 00:00:00'")
    assert "Hello" in browser.log_in("600 000 001").text
    assert own_site.query(ROWS) == [("abandoned", "expired"), ("verified", "")]


def test_pages_that_need_no_operator_answer_once_the_deadline_frees_the_workers(own_site, operator):
    release = threading.Event()
    operator.token = lambda operator, received: lambda connection: release.wait(3 * SITE_TIMEOUT)
    browsers = [Browser(own_site.url) for _ in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        waiting = [pool.submit(browser.log_in, f"60000000{n}") for n, browser in enumerate(browsers)]
        while len(operator.hops) < 1 + THREADS:
            time.sleep(0.05)
        begun = time.monotonic()
        assert requests.get(own_site.url, timeout=2 * SITE_TIMEOUT).status_code == 200
        waited = time.monotonic() - begun
        answers = [future.result() for future in waiting]
        release.set()

    assert waited < SITE_TIMEOUT + 1
    assert {"The check didn't finish" in answer.text for answer in answers} == {True}
    assert own_site.query(ROWS) == [("unavailable", "operator_timeout")] * THREADS


def test_operator_that_is_dead_costs_milliseconds_once_the_circuit_is_open(own_site, operator):
    operator.token = lambda operator, received: lambda connection: None  # it hangs up
    for n in range(5):
        Browser(own_site.url).log_in(f"60000000{n}")
    browser = Browser(own_site.url)
    browser.get("/numverify/login/")
    begun = time.monotonic()
    answer = browser.log_in("600 000 001")

    assert time.monotonic() - begun < 1
    assert (answer.status_code, "Log in another way" in answer.text) == (503, True)
    assert len(own_site.query(ROWS)) == 5
