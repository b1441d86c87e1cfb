"""What a login costs, counted: statements, calls of the operator, connections to it."""

import re
import socket
import threading
import time
from collections import Counter

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from numverify_django import connections, flow, transport
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import HOST

CHANGED, READ = re.compile(r"\b(?:INTO|UPDATE|DELETE FROM) \W?(\w+)"), re.compile(r"\bFROM \W?(\w+)")
ATTEMPTS, NUMBERS = VerificationAttempt._meta.db_table, VerifiedNumber._meta.db_table
# For a person who comes back in a new browser. Of the row: the limit of their number, INSERT, claimed, ended. Of the
# number: its date, and who has it. On PostgreSQL the limit is in the INSERT, and what is changed is read at once.
IS_POSTGRESQL = connection.vendor == "postgresql"
OURS = {ATTEMPTS: 3, NUMBERS: 1} if IS_POSTGRESQL else {ATTEMPTS: 5, NUMBERS: 2}
DJANGOS = {"auth_user": 1}  # the date of the last login
# 8 are Django's; whether it was ended meanwhile is asked with the outcome on PostgreSQL, and alone elsewhere.
SESSIONS = {"db": {"django_session": 8 if IS_POSTGRESQL else 9}, "cache": {}}


def statements(act):
    """Return how many statements ``act`` needs, by the table that each is about."""
    with CaptureQueriesContext(connection) as captured:
        act()
    found = (CHANGED.findall(query["sql"]) or READ.findall(query["sql"]) for query in captured)
    return Counter(tables[-1] for tables in found if tables)  # the last is no subquery's


@pytest.fixture
def returning(phone, settings, request):
    """A phone that logged in before, with a new browser; sessions are kept as the parameter says."""
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{request.param}"
    phone.log_in("600 000 001")
    phone.client = Client(SERVER_NAME=HOST)
    phone.engine = request.param
    return phone


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("returning", SESSIONS, indirect=True)
def test_login_asks_no_more_than_it_must(returning):
    asked = statements(lambda: returning.log_in("600 000 001"))
    assert asked == OURS | DJANGOS | SESSIONS[returning.engine]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("returning", ["cache"], indirect=True)
def test_browser_that_began_before_is_asked_about_twice(returning):
    returning.start("600 000 002")
    asked = statements(lambda: returning.log_in("600 000 001"))
    assert asked[ATTEMPTS] == OURS[ATTEMPTS] + (1 if IS_POSTGRESQL else 2)  # what it left open, and its limit


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("returning", ["cache"], indirect=True)
def test_page_that_asks_for_the_number_asks_nothing(returning):
    assert statements(lambda: returning.client.get("/numverify/login/")) == {}


def test_start_opens_a_connection_that_its_callback_finds(phone):
    phone.start("600 000 001")  # and so the documents are known
    connections._forget()
    pool = connections.adapter().pool(phone.sandbox.url)
    assert not pool.has_connection()
    phone.start("600 000 002")
    for thread in [thread for thread in threading.enumerate() if thread.name == transport.WARMING]:
        thread.join(5)
    assert pool.has_connection()


def warmed_up(phone):
    """Log in after ``flow.warm_up``, and return what the operator was asked after it."""
    flow.warm_up()
    before = len(phone.sandbox.hops())
    phone.log_in("600 000 001")
    return phone.sandbox.hops()[before:]


def test_worker_that_warmed_up_asks_for_no_document(phone):
    assert warmed_up(phone) == ["authorize", "token", "verify"]
    assert phone.sandbox.hops()[:2] == ["discovery", "jwks"]


def test_warming_up_twice_asks_once(phone):
    flow.warm_up()
    flow.warm_up()
    assert phone.sandbox.hops() == ["discovery", "jwks"]


def test_operator_without_id_tokens_is_not_asked_for_keys(phone, configure):
    configure("telefonica-apigateway-v0", ISSUER=phone.sandbox.url)
    flow.warm_up()
    assert "jwks" not in phone.sandbox.hops()


def test_operator_that_is_down_keeps_no_worker_from_starting(phone, configure, caplog, free_port):
    url = f"http://127.0.0.1:{free_port}"
    configure(ISSUER=url, API_ROOT=url)
    flow.warm_up()
    (record,) = caplog.records
    assert "could not be asked ahead: operator_unavailable" in record.getMessage()


def test_operators_that_hang_hold_up_a_worker_for_one_deadline(phone, configure, settings, monkeypatch):
    monkeypatch.setattr(flow, "WARM_UP", 0.4)
    with socket.create_server((HOST, 0)) as silent:
        url = f"http://{HOST}:{silent.getsockname()[1]}"
        configure(ISSUER=url, API_ROOT=url)
        ((_, keys),) = settings.NUMVERIFY["OPERATORS"].items()
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": {f"silent{n}": keys for n in range(4)}}
        begun = time.monotonic()
        flow.warm_up()
    assert 0.3 < time.monotonic() - begun < 1.5  # four of them, one by one, would take 1.6


def test_settings_that_are_wrong_keep_no_worker_from_starting(phone, settings):
    settings.NUMVERIFY = {"OPERATORS": {}}
    flow.warm_up()
    assert phone.sandbox.hops() == []
