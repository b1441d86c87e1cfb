"""Strangers at the API of apps: what they send is answered as the document says, and costs nothing."""

import io
import json
import logging
import re
import socket
import zlib
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection, connections
from rest_framework.exceptions import ParseError

from numverify_django.contrib.drf import journey, media
from numverify_django.models import VerificationAttempt

from ..conftest import query_of
from ..failing import fails_at
from ..openapi import APPS
from ..test_callback import log_in_by_password
from ..test_concurrency import CROWD, together
from ..test_login import GOOD, OTHER, the_attempt
from .conftest import NOT_OPEN, PATH, App

PATHS = ["start", "complete", "status"]
PAID = {"token", "verify", "share"}
VERIFIER = "v" * 43
SENT = {  # what each takes
    "start": {"code_challenge": journey.challenge_of(VERIFIER), "phone_number": GOOD},
    "complete": {"code_verifier": VERIFIER, "response": "state=x&code=y"},
    "status": {"code_verifier": VERIFIER, "reference": "K7Q-4MX2"},
}
ANSWERS = {"start": 201, "complete": 400, "status": 404}
each_path = pytest.mark.parametrize("path", PATHS)


def send(app, path, body=None, kind="application/json", query="", **options):
    """Post ``body`` (bytes, or what the path takes); return the answer."""
    body = json.dumps(SENT[path]).encode() if body is None else body
    return app.client.generic("POST", f"{PATH}{path}/{query}", body, kind, **options)


# Bodies and headers

UNREADABLE = {
    "nothing but blanks": b"   ",
    "half": b'{"code_verifier": "',
    "array": b"[]",
    "text": b'"code_verifier"',
    "number": b"1",
    "null": b"null",
    "deep array": b"[" * 60_000,
    "deep object": b'{"a":' * 12_000,
    "deep and whole": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "NaN": b'{"response": NaN}',
    "endless number": b'{"response": ' + b"9" * 10_000 + b"}",
    "NUL": b'{"response": "\\u0000"}',
    "raw NUL": b'{"response": "\0"}',
    "surrogate": b'{"response": "\\ud800"}',
    "name that is a surrogate": b'{"\\udfff": "x"}',
    "name twice": b'{"reference": "a", "reference": "b"}',
    "no UTF-8": b'{"response": "\xff"}',
    "UTF-16": '{"response": "x"}'.encode("utf-16"),
    "byte order mark": b"\xef\xbb\xbf{}",
    "form": b"response=x",
    "too long": b'{"response": "' + b"x" * media.BODY_MAX + b'"}',
    "too long by its blanks": b"{}" + b" " * media.BODY_MAX,
    "far too long": b'{"response": "' + b"x" * 10_000_000 + b'"}',
}


@each_path
@pytest.mark.parametrize("name", UNREADABLE)
def test_body_that_is_no_object_is_refused(app, path, name):
    answer = APPS.told(send(app, path, UNREADABLE[name]), 400)
    assert answer == {"detail": "The body must be a JSON object, in UTF-8, of 64 KiB at most."}
    assert not VerificationAttempt.objects.exists()


def test_of_a_body_no_more_is_read_than_is_taken():
    body = io.BytesIO(b"{}" + b" " * 10_000_000)
    with pytest.raises(ParseError):
        media.ObjectParser().parse(body)
    assert body.tell() == media.BODY_MAX + 1


@each_path
@pytest.mark.parametrize("value", [None, True, 1, 1e9, 10**43 + 1, [], ["x"], {}, {"x": "y"}])
def test_field_that_is_no_text_is_refused(app, path, value):
    for name in SENT[path]:
        assert APPS.told(send(app, path, json.dumps(SENT[path] | {name: value}).encode()), 400).keys() == {name}
    assert not VerificationAttempt.objects.exists()


@each_path
def test_secret_with_blanks_around_is_another(app, path):
    name = next(iter(SENT[path]))
    for value in (f" {SENT[path][name]}", f"{SENT[path][name]}\n", f"{SENT[path][name]}\u00a0"):
        assert APPS.told(send(app, path, json.dumps(SENT[path] | {name: value}).encode()), 400).keys() == {name}


@each_path
def test_body_without_anything_lacks_every_field(app, path):
    for body in (b"", b"{}"):
        missing = APPS.told(send(app, path, body), 400)
        assert missing.keys() == SENT[path].keys() - {"phone_number"}


@each_path
@pytest.mark.parametrize(
    "charset", ["zlib", "bz2", "hex", "rot13", "utf-16", "idna", "undefined", "unicode_escape", "x"]
)
def test_body_is_utf_8_whatever_charset_is_said(app, path, charset):
    kind = f"application/json; charset={charset}"
    APPS.told(send(app, path, kind=kind), ANSWERS[path])
    APPS.told(send(app, path, zlib.compress(json.dumps(SENT[path]).encode()), kind), 400)


@each_path
@pytest.mark.parametrize(
    "kind",
    [
        "",
        "*/*",
        "application/*",
        "*/json",
        "text/plain",
        "text/json",
        "application/json-patch+json",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/x-www-form-urlencoded, application/json",
        "text/plain; application/json",
    ],
)
def test_body_that_is_not_said_to_be_json_is_not_read(app, path, kind):
    APPS.told(send(app, path, kind=kind), 415)
    assert not VerificationAttempt.objects.exists()


@each_path
@pytest.mark.parametrize(
    "accept",
    [
        "",
        "text/html",
        "application/xml;q=1, application/json;q=0",
        "application/json; indent=8",
        "application/json;a*=idna''%ff",
        "application/json;a*=x''%ff",
        "a/b," * 20_000,
    ],
)
def test_answer_is_json_whatever_is_accepted(app, path, accept):
    APPS.told(send(app, path, headers={"accept": accept}), ANSWERS[path])


@each_path
@pytest.mark.parametrize("query", ["format=api", "format=xml", "format=json&x=%ff", "version=9", "_method=GET"])
def test_query_is_not_read(app, path, query):
    APPS.told(send(app, path, query=f"?{query}"), ANSWERS[path])


@each_path
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(app, path, method):
    answer = app.client.generic(method, f"{PATH}{path}/", json.dumps(SENT[path]), "application/json")
    assert (answer.status_code, answer["Allow"], answer["Content-Type"]) == (405, "POST", "application/json")
    assert not VerificationAttempt.objects.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("Transfer-Encoding: chunked", "2\r\n{}\r\n0\r\n\r\n"),
        ("Content-Length: 9", "{}"),
        ("Content-Length: -1", "{}"),
        ("Content-Length: x", "{}"),
        ("X: y", "{}"),
    ],
)
def test_length_that_is_none_or_wrong_is_answered(app, live_server, head, body):
    address = urlsplit(live_server.url)
    with socket.create_connection((address.hostname, address.port), timeout=10) as connected:
        lines = [f"POST {PATH}status/ HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", head]
        connected.sendall("\r\n".join([*lines, "Connection: close", "", body]).encode())
        connected.shutdown(socket.SHUT_WR)
        answer = connected.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")


RESPONSES = ["?", "&", "=", "%", "%00", "state=%00", "state=%ED%A0%80", "state=%ff", "state=a;state=b", "state=\u202e"]


@pytest.mark.parametrize("response", [*RESPONSES, "state=" + "x" * 8186])
def test_answer_of_no_operator_is_not_open(app, response):
    assert app.complete(response, 400) == NOT_OPEN


def test_answer_of_an_operator_is_short(app):
    assert app.complete("state=" + "x" * 8187, 400).keys() == {"response"}


@pytest.mark.parametrize("reference", ["-", "K7Q-4MX", "K7Q4MX22", "ß", "' OR 1=1 --", "%", "\u0130" * 7])
def test_reference_that_is_none_is_not_found(app, reference):
    app.start()
    app.status(reference, 404)


def test_query_is_taken_with_its_question_mark(app):
    """As ``location.search`` has it."""
    app.complete(f"?{app.open(app.start())}")


# Who is who


def test_cookie_does_not_tell_who_asks(app, configured):
    """Else an app in which somebody is signed in would end as user_mismatch, or log in that account."""
    configured("session.log_in")
    other = log_in_by_password(app)
    app.complete(app.open(app.start()))
    assert app.client.session["_auth_user_id"] != str(other.pk)
    assert app.client.session["_auth_user_id"] == str(the_attempt().user_id)
    assert get_user_model().objects.count() == 2


def test_failure_keeps_nothing_for_a_browser_whose_cookie_comes_along(app):
    app.client.post("/numverify/login/", {"phone_number": GOOD})
    assert app.client.session["numverify"]["browser"]
    app.complete(app.open(app.start(OTHER)), 403)
    assert VerificationAttempt.objects.get(use="app").sealed == ""


def test_header_does_not_tell_who_asks(app):
    """A token of another account is no part of a login."""
    first = app.complete(app.open(app.start()))
    app.client.defaults["HTTP_AUTHORIZATION"] = f"Token {first['token']}"
    second = app.complete(app.open(app.start("600 000 011")))
    assert second["token"] != first["token"]


def test_other_app_learns_nothing_of_what_there_is(app):
    """What is open, over, ended or nobody's is one answer."""
    other, started = App(app.sandbox), app.start()
    references = [started["reference"], "K7Q-4MX2"]
    before = [other.status(reference, 404) for reference in references]
    response = app.open(started)
    told = [other.complete(answer, 400) for answer in (response, response.replace("code=", "code=x"), "state=x&code=y")]
    app.complete(response)
    after = [other.status(reference, 404) for reference in references]
    told += [other.complete(response, 400)]
    assert len({json.dumps(answer) for answer in before + after}) == 1
    assert told == [NOT_OPEN] * 4


def test_stranger_costs_nothing(app):
    response, stranger = app.open(app.start()), App(app.sandbox)
    stranger.complete(response, 400)
    stranger.complete("state=x&code=y", 400)
    stranger.status(the_attempt().reference, 404)
    state = query_of(stranger.start()["authorization_url"])["state"]
    stranger.complete(urlencode({"state": state, "code": "x", "iss": app.sandbox.url}), 503)
    assert PAID & set(app.sandbox.hops()) == {"token"}  # which refused the code
    app.complete(response)


@pytest.fixture(params=[False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def site(request, transactional_db, configured, live_server, monkeypatch):
    """The URL of the live site."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", request.param)
    return live_server.url


def test_one_of_ten_racing_apps_is_logged_in(site, sandbox):
    app = App(sandbox)
    sent = {"code_verifier": app.verifier, "response": app.open(app.start())}
    answers = together(lambda _: requests.post(f"{site}{PATH}complete/", json=sent, timeout=30), range(CROWD))
    assert sorted(answer.status_code for answer in answers) == [200, *[410] * (CROWD - 1)]
    assert (sandbox.hops().count("token"), sandbox.hops().count("verify")) == (1, 1)
    assert the_attempt().outcome == "verified"


def test_no_transaction_spans_the_operators_calls(site, configured, sandbox):
    seen = []

    def log_in(request, user, attempt):
        seen.append(connection.in_atomic_block)
        return {}

    configured(log_in)
    app = App(sandbox)
    app.complete(app.open(app.start()))
    assert seen == [False]


# What fails meanwhile


CLAIM = re.compile(r"UPDATE .numverify_django_verificationattempt. .*SET .?claimed_at")


def after_the_claim(act):
    """Return a wrapper of the database that calls ``act`` once the attempt is claimed."""
    claimed = []

    def watch(execute, sql, params, many, context):
        if claimed:
            claimed.pop()()
        done = execute(sql, params, many, context)
        claimed.extend([act] if CLAIM.search(sql) else [])
        return done

    return connection.execute_wrapper(watch)


def test_login_that_is_ended_meanwhile_is_over(app):
    """By numverify_forget, for one."""
    response, rows = app.open(app.start()), VerificationAttempt.objects
    with after_the_claim(lambda: rows.update(outcome="abandoned", reason="cancelled")):
        told = app.complete(response, 403)
    assert told == {"error": "not_open", "reference": the_attempt().reference_shown}
    assert not get_user_model().objects.exists()


def test_settings_that_are_wrong_meanwhile_spend_nothing(app, configured, settings):
    response, right = app.open(app.start()), settings.NUMVERIFY
    settings.NUMVERIFY = {"OPERATORS": {}}
    assert app.complete(response, 503) == {"error": "unfinished", "reference": None}
    assert app.start(status=503) == {"error": "unfinished", "reference": None}
    settings.NUMVERIFY = right
    app.complete(response)


def test_hook_that_returns_no_json_is_told_as_one_that_fails(app, configured, caplog):
    configured(lambda request, user, attempt: {"token": "secret-of-the-hook", "user": user})
    told = app.complete(app.open(app.start()), 503)
    assert told == {"error": "unfinished", "reference": the_attempt().reference_shown}
    assert "TypeError" in caplog.text
    assert "secret-of-the-hook" not in caplog.text


@pytest.mark.parametrize("answer", [None, "text", ["text"], 1])
def test_hook_that_returns_no_dict_is_told_as_one_that_fails(app, configured, answer):
    configured(lambda request, user, attempt: answer)
    assert app.complete(app.open(app.start()), 503)["error"] == "unfinished"


def test_outage_is_no_mail_for_each_login(app, caplog):
    """Django's handler mails ADMINS what django.request logs as an error."""
    app.sandbox.set(fault={"endpoint": "discovery", "status": 503, "times": None})
    app.start(status=503)
    app.sandbox.set(fault={"endpoint": "verify", "status": 503})
    app.complete(app.open(app.start()), 503)
    assert [record for record in caplog.records if record.name == "django.request"] == []
    told = [record for record in caplog.records if record.name == "numverify_django.flow"]
    assert [record.levelname for record in told] == ["WARNING", "WARNING"]


def dies_after_the_claim():
    """Return a wrapper of the database that refuses every statement after the attempt is claimed."""
    dead = []

    def refuse(execute, sql, params, many, context):
        if dead:
            raise OperationalError("the database is gone")
        dead.extend(CLAIM.findall(sql))
        return execute(sql, params, many, context)

    return connection.execute_wrapper(refuse)


def test_database_that_dies_during_the_calls_logs_nobody_in(transactional_db, configured, sandbox, caplog):
    app = App(sandbox)
    response = app.open(app.start())
    with dies_after_the_claim():
        assert app.complete(response, 503) == {"error": "unfinished", "reference": None}
    attempt = the_attempt()
    assert (attempt.outcome, attempt.sealed, attempt.claimed_at is not None) == ("pending", "", True)
    assert f"attempt {attempt.reference_shown} could not be ended: OperationalError" in caplog.text
    assert not get_user_model().objects.exists()
    assert app.complete(response, 410) == NOT_OPEN
    assert (sandbox.hops().count("token"), sandbox.hops().count("verify")) == (1, 1)
    VerificationAttempt.objects.update(expires_at="2026-01-01T00:00:00Z")
    VerificationAttempt.objects.prune()
    assert app.status(attempt.reference)["error"] == "not_open"


# What is told


def secrets_of(response):
    """Return the code and the state of an operator's answer."""
    values = query_of(f"?{response}")
    return [values["code"], values["state"]]


@pytest.mark.parametrize("statement", range(3))
@each_path
def test_report_of_a_database_that_dies_shows_no_secret(
    transactional_db, configured, sandbox, reported_errors, path, statement
):
    app = App(sandbox)
    app.client.raise_request_exception = False
    started = app.start()
    response = app.open(started)
    ways = {
        "start": lambda: app.client.post(f"{PATH}start/", SENT["start"], "application/json"),
        "complete": lambda: app.client.post(
            f"{PATH}complete/", {"code_verifier": app.verifier, "response": response}, "application/json"
        ),
        "status": lambda: app.client.post(
            f"{PATH}status/", {"code_verifier": app.verifier, "reference": started["reference"]}, "application/json"
        ),
    }
    with fails_at(statement):
        ways[path]()
    assert reported_errors or statement > 0
    secret = [GOOD, "600000001", app.verifier, *secrets_of(response)]
    assert [value for value in secret for report in reported_errors if value in report] == []


def test_log_has_no_secret(app, configured, caplog):
    caplog.set_level(logging.DEBUG)
    given = [app.complete(app.open(app.start()))]
    configured("simplejwt.log_in")
    given += [app.complete(app.open(app.start()))]
    response = app.open(app.start(OTHER))
    app.complete(response, 403)
    App(app.sandbox).complete(response, 400)
    app.complete(response, 410)
    app.start("600 000 00x", 400)
    app.post("complete", 400, code_verifier=app.verifier, response="\0")
    app.post("complete", 400, code_verifier=f"{app.verifier}!", response=response)
    secret = [app.verifier, *secrets_of(response), "600000001", "600 000 00"]
    secret += [value for answer in given for name, value in answer.items() if name != "reference"]
    ours = ("numverify_django", "django.request", "django.security", "rest_framework")
    told = [record.getMessage() for record in caplog.records if record.name.startswith(ours)]
    assert "app without a claim: foreign_browser" in told
    assert [value for value in secret for line in told if value in line] == []
