"""docs/deployment.rst is executed: its settings raise no problem, its options exist, its table adds up."""

import asyncio
import math
import re
import shlex
from pathlib import Path

import pytest
from asgiref.testing import ApplicationCommunicator
from django.core.checks import run_checks
from django.db import connection
from django.db import connections as databases
from django.test import Client
from django.test.utils import CaptureQueriesContext
from docutils import nodes
from docutils.core import publish_doctree
from gunicorn.config import KNOWN_SETTINGS, Config
from uvicorn.main import main as uvicorn

from numverify_django import asgi, connections, limits, session
from numverify_django.protocol import conversation, tokens

from .asgi import LoopClient
from .conftest import HOST, Phone

PAGE = publish_doctree(Path(__file__).parent.parent.joinpath("docs/deployment.rst").read_text())
TEXT = " ".join(PAGE.astext().split())
BUSY = 0.6  # of a core, at which a worker still answers evenly
WAIT = 0.5  # seconds that a callback waits for the operator
OPERATOR = {"PROFILE": "telefonica", "CLIENT_ID": "id", "CLIENT_SECRET": "secret"}


def figure(pattern):
    """Return the number that stands in the page's text as ``pattern`` says."""
    return int(re.search(pattern, TEXT)[1])


CPU = figure(r"a login takes (\d+) ms of CPU") / 1000
ROWS = figure(r"a login writes (\d+) rows")
SESSION_ROWS = figure(r"A session in the database adds (\d+) rows")
TRANSACTIONS = figure(r"rows in (\d+) transactions\. A session")
COMMANDS = figure(r"Redis: (\d+) commands")
CALLS = figure(r"The operator: (\d+) calls")


def blocks(language):
    """Return the texts of the code blocks in ``language``."""
    return [node.astext() for node in PAGE.findall(nodes.literal_block) if language in node["classes"]]


def snippets(name):
    """Return the Python blocks whose first line names the file ``name``."""
    return [text for text in blocks("python") if text.startswith(f"# {name}")]


def table():
    """Return the rows of the first table, as numbers."""
    rows = next(PAGE.findall(nodes.table)).findall(nodes.row)
    texts = [[entry.astext().replace(",", "") for entry in row.findall(nodes.entry)] for row in rows]
    return [[float(text) for text in row] for row in texts[1:]]


def load(a_minute):
    """Return the row of the table for so many logins a minute."""
    a_second = a_minute / 60
    workers = max(2, math.ceil(a_second * CPU / BUSY))
    waiting = a_second * WAIT
    threads = min(connections.POOL_SIZE, max(8, round(2 * waiting / workers)))
    rates = [a_second * each for each in (ROWS, TRANSACTIONS, COMMANDS, CALLS)]
    return [a_minute, a_second, a_second * CPU, workers, waiting, threads, *rates]


@pytest.mark.parametrize("row", table(), ids=lambda row: f"{row[0]:.0f}")
def test_table_follows_from_the_figures_above_it(row):
    expected = load(row[0])
    assert row == [pytest.approx(value, rel=0.03, abs=0.5 if value >= 1 else 0.04) for value in expected]


WRITES = re.compile(r"\s*(?:INSERT|UPDATE|DELETE|WITH (?s:.)* UPDATE )")


@pytest.mark.parametrize(("engine", "rows"), [("cache", ROWS), ("db", ROWS + SESSION_ROWS)])
def test_login_writes_as_many_rows_as_the_page_says(phone, settings, engine, rows):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    phone.log_in("600 000 001")
    with CaptureQueriesContext(connection) as queries:
        assert Phone(phone.sandbox).log_in("600 000 001")["Location"] == "/home/"

    written = [query["sql"] for query in queries if WRITES.match(query["sql"])]
    assert len(written) == rows


def test_settings_raise_no_problem(settings):
    site = settings.NUMVERIFY | {"OPERATORS": {"telefonica": dict(OPERATOR)}}
    names = {"DATABASES": {"default": {}}, "NUMVERIFY": site}
    exec("\n".join(snippets("settings.py")), names)  # noqa: S102
    for name in ("CACHES", "SESSION_ENGINE", "SECURE_PROXY_SSL_HEADER", "NUMVERIFY"):
        setattr(settings, name, names[name])

    assert names["DATABASES"]["default"].keys() - connection.settings_dict.keys() == {"DISABLE_SERVER_SIDE_CURSORS"}
    found = {message.id for message in run_checks(include_deployment_checks=True, databases=[])}
    assert [name for name in found if re.match(r"numverify\.(E|W011|W021)", name)] == []


def test_hook_of_gunicorn_fetches_what_a_first_login_would(configure, sandbox):
    (hook,), names = snippets("gunicorn.conf.py"), {}
    exec(hook, names)  # noqa: S102
    names["post_worker_init"](None)

    assert sandbox.hops() == ["discovery", "jwks"]
    assert {"post_worker_init"} <= {setting.name for setting in KNOWN_SETTINGS}


def test_page_names_the_warning_of_a_cache_that_is_not_shared():
    found = {message.id for message in run_checks(include_deployment_checks=True, databases=[])}
    assert [name for name in re.findall(r"numverify\.W\d+", TEXT) if name in found] == ["numverify.W011"]


def commands():
    """Return the commands of the page, split as a shell does, by their program."""
    typed = [shlex.split(line.removeprefix("$ ")) for text in blocks("console") for line in text.splitlines()]
    return {program: arguments for program, *arguments in typed}


def test_gunicorn_takes_the_options():
    told = Config().parser().parse_args(commands()["gunicorn"])

    assert (told.worker_class, told.workers, told.threads, told.preload_app) == ("gthread", 2, 8, True)
    assert told.args == ["riverside.wsgi:application"]


def test_uvicorn_takes_the_options():
    told = uvicorn.make_context("uvicorn", commands()["uvicorn"]).params

    assert (told["app"], told["workers"], told["lifespan"]) == ("riverside.asgi:application", 2, "off")
    assert told["access_log"] is False


def test_asgi_application_answers_in_shared_threads():
    (module,), names = snippets("asgi.py"), {}
    exec(module, names)  # noqa: S102
    scope = {"type": "http", "method": "GET", "path": "/nowhere/", "headers": [(b"host", HOST.encode())]}

    async def ask():
        asked = ApplicationCommunicator(names["application"], scope | {"query_string": b""})
        await asked.send_input({"type": "http.request", "body": b""})
        status = (await asked.receive_output())["status"]
        await asked.receive_output()
        await asked.wait()
        return status

    assert asyncio.run(ask()) == 404
    assert (asgi.THREADS, "share sixteen" in TEXT) == (16, True)


def test_health_check_asks_no_database(db, configure, settings):
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    with CaptureQueriesContext(connection) as queries:
        assert Client(SERVER_NAME=HOST).get("/numverify/login/").status_code == 200

    assert [query["sql"] for query in queries] == []


def test_figures_are_those_of_the_code():
    assert (limits.FAULTS_TO_OPEN, "until five faults open the circuit" in TEXT) == (5, True)
    assert f"No more threads than {connections.POOL_SIZE} a worker" in TEXT
    assert f"ID tokens are checked to {tokens.LEEWAY} seconds" in TEXT
    assert f"machines may differ by {session.SKEW} seconds" in TEXT
    assert f"After {conversation.FRESH} seconds the next login asks for both again" in TEXT
    assert f"some {round(BUSY / CPU)} logins a second" in TEXT


@pytest.mark.parametrize("client", [Client, LoopClient])
@pytest.mark.parametrize("place", ["login/", "callback/", "numbers/", "code/", "qr/", "app/status/"])
def test_atomic_requests_of_another_database_open_nothing_there(db, monkeypatch, client, place):
    other = databases.settings["default"] | {"ENGINE": "django.db.backends.dummy", "ATOMIC_REQUESTS": True}
    monkeypatch.setitem(databases.settings, "other", other)  # where any use is an error
    visitor = client(SERVER_NAME=HOST)
    ask = visitor.post if place.startswith("app/") else visitor.get
    assert ask(f"/numverify/{place}").status_code < 500
