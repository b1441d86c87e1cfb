"""What must not wear out: ten thousand logins in a process, connections that end, keys that change, forks."""

import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from numverify_django.models import VerificationAttempt

from ..test_concurrency import together
from .conftest import ROOT, served_by
from .phone import Phone

LOGINS, WARM_UP = 10_000, 500
GROWTH_MAX = 10  # MiB
TIME_MAX = 540  # seconds for all of it; a machine with nothing else to do takes less than half
CLIENTS = 4
THREADS = 8
POOL, CROWD = 64, 96  # connections that a process keeps, and threads that want one
QUIET = 3  # seconds in which a server sees that its clients hung up
PEOPLE = 500
NO_LIMITS = {"number_address": None, "session": None}


class Held:
    """What the process ``pid`` holds: resident memory (MiB), sockets, threads; and the ``cpu`` it took (seconds)."""

    def __init__(self, pid):
        folder = Path(f"/proc/{pid}")
        lines = dict(line.split(":", 1) for line in folder.joinpath("status").read_text().splitlines())
        self.memory = int(lines["VmRSS"].split()[0]) / 1024
        self.threads = int(lines["Threads"])
        spent = folder.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]  # proc(5): utime, stime
        self.cpu = sum(map(int, spent)) / os.sysconf("SC_CLK_TCK")
        self.sockets = sum(link.is_socket() for link in folder.joinpath("fd").iterdir())


class Crowd:
    """Phones that log in at ``site`` one login after the other, some at once, each time with an empty session."""

    def __init__(self, site, trust):
        self.site, self.trust = site, trust
        self._numbers = itertools.cycle([f"600{index:05}1" for index in range(PEOPLE)])

    def log_in(self, times, clients=CLIENTS):
        """Return how often each (status, location) came for so many logins, by ``clients`` at once."""
        turns, end = iter(range(times)), time.monotonic() + TIME_MAX
        with ThreadPoolExecutor(clients) as pool:
            found = list(pool.map(lambda _: self._take_turns(turns, end), range(clients)))
        return sum(found, Counter())

    def _take_turns(self, turns, end):
        answers = Counter()
        with closing(Phone(self.trust)) as phone:
            for _ in turns:
                assert time.monotonic() < end, "too slow"
                answer = phone.log_in(self.site, next(self._numbers))
                answers[answer.status, answer.location] += 1
                phone.forget()
        return answers


@pytest.fixture
def crowd(start, operator):
    """Start a site of the kind given, and return a Crowd before it."""

    def crowd(kind="gthread", **options):
        return Crowd(start(kind, RATE_LIMITS=NO_LIMITS, **options), operator.trust)

    return crowd


def all_at_once(phones, site, count):
    """Return the answers to so many logins at the same instant."""
    crowd = [(phones(), f"600{index:05}1") for index in range(count)]
    return together(lambda one: one[0].log_in(site, one[1]), crowd)


def ended_well(answers):
    """Tell how many of the answers led home, and where the others did."""
    return Counter((answer.status, answer.location.partition("?")[0]) for answer in answers)


def held_by(pid):
    """Return what the process holds once nobody asks it any more."""
    time.sleep(QUIET)
    return Held(pid)


def test_ten_thousand_logins_leave_nothing_behind(crowd, record_property):
    many = crowd(workers=1, threads=THREADS, sessions="cache")
    assert many.log_in(WARM_UP, 2 * THREADS) == {(302, "/home/"): WARM_UP}  # every thread has begun
    (worker,) = many.site.workers
    before = held_by(worker)
    assert many.log_in(LOGINS) == {(302, "/home/"): LOGINS}
    after = held_by(worker)

    grown, cpu = after.memory - before.memory, (after.cpu - before.cpu) / LOGINS
    left = after.sockets - before.sockets, after.threads - before.threads
    figure = f"{LOGINS:,} logins in one process: {grown:+.1f} MiB, {left[0]:+d} sockets, {left[1]:+d} threads"
    record_property("figure", f"{figure}; {1000 * cpu:.1f} ms of CPU each")
    assert VerificationAttempt.objects.filter(outcome="verified").count() == LOGINS + WARM_UP
    assert many.site.workers == [worker]
    assert grown < GROWTH_MAX
    assert max(left) <= 0


def test_connections_that_the_operator_closed_between_logins_fail_no_login(crowd, operator, record_property):
    many = crowd(workers=1)
    for _ in range(50):
        assert many.log_in(4) == {(302, "/home/"): 4}
        operator("hang_up")

    told = operator("told")
    record_property("figure", f"200 logins, 50 times every connection closed: none failed, {len(told)} connections")
    assert sum(hops.count("token") for hops in told) == 200
    assert len(told) >= 50


def test_keys_that_rotate_under_load_are_fetched_once_by_each_process(start, phones, operator, record_property):
    site = start(threads=8, RATE_LIMITS=NO_LIMITS)
    operator("delay", 0.2)  # so that all are under way before the first has the keys
    fetched = []
    for _ in range(2):
        answers = all_at_once(phones, site, 16)
        assert ended_well(answers) == {(302, "/home/"): 16}
        fetched.append((operator("count")["jwks"], len({answer.process for answer in answers})))
        operator("rotate")

    record_property("figure", f"keys fetched by 16 logins at once, cold and rotated, and processes: {fetched}")
    assert [fetches for fetches, _ in fetched] == [processes for _, processes in fetched]


def test_preloaded_application_shares_no_connection_with_its_workers(start, phones, operator):
    site = start("preload", RATE_LIMITS=NO_LIMITS)
    answers = all_at_once(phones, site, 16)

    assert ended_well(answers) == {(302, "/home/"): 16}
    told = operator("told")
    assert told[0] == ["discovery"]  # of the process that forked, before it did
    assert sum(hops.count("token") for hops in told) == 16


def test_first_login_of_a_worker_that_was_warmed_up_asks_for_no_document(start, phones, operator):
    site, phone = start("warm", workers=1), phones()
    assert phone.home(site) == "user None"  # the worker is there
    before = operator("count")
    phone.log_in(site, "600 000 001")

    assert before == {"discovery": 1, "jwks": 1}
    assert operator("count") == {"authorize": 1, "token": 1, "verify": 1}


def test_worker_that_dies_is_replaced_and_its_attempts_end_elsewhere(start, phones):
    site = start(RATE_LIMITS=NO_LIMITS)
    phone = phones()
    began = phone.start(site, "600 000 001")
    callback = phone.visit_operator(began)
    os.kill(began.process, 9)
    phone.close()
    ended = phone.come_back(site, callback)

    assert (ended.status, ended.location) == (302, "/home/")
    assert ended.process != began.process


@pytest.mark.parametrize("kind", ["gthread", "preload", "uvicorn", "shared"])
def test_every_kind_of_server_logs_in_a_crowd(crowd, kind, record_property):
    many = crowd(kind)
    begun = time.monotonic()
    assert many.log_in(200) == {(302, "/home/"): 200}
    record_property("figure", f"{kind}: 200 logins in {time.monotonic() - begun:.1f} s")


def test_uvicorn_ends_as_many_logins_at_once_as_come(start, phones):
    assert ended_well(all_at_once(phones, start("uvicorn", RATE_LIMITS=NO_LIMITS), 16)) == {(302, "/home/"): 16}


WAITING = 200  # logins at once
SLOW = 1  # seconds that the operator takes for each of the two calls of a callback
THREADS_MAX = 16 + 8  # those that requests share, and what a process has besides


class Watch(threading.Thread):
    """What a page takes meanwhile (``spent``, seconds), and what the worker and the database hold at most."""

    def __init__(self, site, phone):
        super().__init__()
        self._site, self._phone, self._is_over = site, phone, threading.Event()
        self.spent, self.threads, self.connections = [], 0, 0

    def run(self):
        """Ask until it is over."""
        (worker,) = self._site.workers
        while not self._is_over.wait(0.02):
            begun = time.monotonic()
            assert self._phone.home(self._site) == "user None"
            self.spent.append(time.monotonic() - begun)
            self.threads = max(self.threads, Held(worker).threads)
            self.connections = max(self.connections, _connections())
        connection.close()

    def stop(self):
        """Return the figure that it makes."""
        self._is_over.set()
        self.join(60)
        times = sorted(1000 * spent for spent in self.spent)
        median, last = times[len(times) // 2], times[-1]
        held = f"{self.threads} threads, {self.connections} connections to the database"
        return f"{held}; a page meanwhile {median:,.0f} ms, at most {last:,.0f}"


def _connections():
    """Return how many connections there are to this database but for ours, which is two threads'."""
    with connection.cursor() as cursor:
        cursor.execute("select count(*) from pg_stat_activity where datname = current_database()")
        return cursor.fetchone()[0] - 2


def patient(start, operator, kind):
    """Return a site of one worker, which waits long for its operator."""
    exchange = served_by(operator) | {"TIMEOUT": 30}
    return start(kind, workers=1, threads=16, RATE_LIMITS=NO_LIMITS, OPERATORS={"exchange": exchange})


def led_back(site, phones):
    """Return WAITING phones, each with the callback that it is led back to."""
    callbacks = []
    for index in range(WAITING):
        phone = phones()
        callbacks.append((phone, phone.visit_operator(phone.start(site, f"600{index:05}1"))))
        phone.close()  # a server keeps no connection for that long
    return callbacks


def test_hundreds_of_logins_are_at_the_operator_at_once(start, phones, operator):
    """It answers the first when the last has come: more than there are threads."""
    site = patient(start, operator, "shared")
    callbacks = led_back(site, phones)
    operator("gather", WAITING)
    answers = together(lambda one: one[0].come_back(site, one[1]), callbacks)

    assert ended_well(answers) == {(302, "/home/"): WAITING}
    assert operator("gathered")


@pytest.mark.parametrize("kind", ["gthread", "shared"])
def test_hundreds_of_logins_wait_for_a_slow_operator(start, phones, operator, record_property, kind):
    """In an event loop, neither a thread nor a connection of the database waits with them."""
    site = patient(start, operator, kind)
    callbacks = led_back(site, phones)
    operator("delay", SLOW)
    watch, begun = Watch(site, phones()), time.monotonic()
    watch.start()
    try:
        answers = together(lambda one: one[0].come_back(site, one[1]), callbacks)
        spent = time.monotonic() - begun
    finally:
        told = watch.stop()

    record_property("figure", f"{kind}: {WAITING} logins that wait {2 * SLOW:.0f} s ended in {spent:.1f} s; {told}")
    assert ended_well(answers) == {(302, "/home/"): WAITING}
    assert watch.threads <= THREADS_MAX
    assert watch.connections <= 16


def test_more_threads_than_the_pool_has_connections_are_all_answered(operator, record_property):
    operator("delay", 0.5)
    command = [sys.executable, "-m", "tests.servers.asking", f"{operator.url}/jwks", str(CROWD), "3"]
    environ = os.environ | {"SSL_CERT_FILE": operator.trust}
    run = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=60, check=True)
    found, connections = json.loads(run.stdout), len(operator("told"))

    record_property("figure", f"{CROWD} threads, a pool of {POOL}: {connections} connections for {3 * CROWD} calls")
    assert found["statuses"] == {"200": 3 * CROWD}
    assert CROWD <= connections <= 2 * CROWD
    assert found["sockets"] <= POOL
