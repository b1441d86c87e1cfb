"""The audit as CSV: streamed, masked, harmless to a spreadsheet, for those who may, and on record."""

import csv
import io
import itertools
import re
import uuid
from datetime import datetime, timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from numverify_django.admin import export
from numverify_django.models import VerificationAttempt
from numverify_django.protocol import exceptions

from .test_admin import ATTEMPTS, NUMBER, make_attempt

EXPORT = f"{ATTEMPTS}export/"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]


@pytest.fixture
def clerk(client):
    """A member of staff who may see the audit, and take it away."""
    return log_in(client, "view_verificationattempt", "export_verificationattempt")


def log_in(client, *permissions):
    user = get_user_model().objects.create_user("clerk", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    client.user = user
    return client


def text_of(response):
    return b"".join(response.streaming_content).decode()


def rows_of(response):
    """Return the rows of the file as dicts."""
    return list(csv.DictReader(io.StringIO(text_of(response))))


def test_export_has_a_row_for_each_attempt(clerk):
    attempt = make_attempt(exceptions.OperatorTimeout(), user=clerk.user)
    VerificationAttempt.objects.update(timings={"token": 40, "verify": 2000, "callback": 2051})
    response = clerk.post(EXPORT)
    (row,) = rows_of(response)
    attempt.refresh_from_db()

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(
        r'attachment; filename="verification-attempts-\d{8}T\d{6}Z\.csv"', response["Content-Disposition"]
    )
    assert "no-store" in response["Cache-Control"]
    assert datetime.fromisoformat(row.pop("created_at")) == attempt.created_at
    assert datetime.fromisoformat(row.pop("ended_at")) == attempt.ended_at
    assert row == {
        "reference": attempt.reference,
        "correlator": str(attempt.correlator),
        "claimed_at": "",
        "outcome": "unavailable",
        "reason": "operator_timeout",
        "operator": "sandbox",
        "operation": "verify",
        "use": "login",
        "user_id": str(clerk.user.pk),
        "number": "•••78",
        "discovery_ms": "",
        "token_ms": "40",
        "jwks_ms": "",
        "verify_ms": "2000",
        "share_ms": "",
        "callback_ms": "2051",
    }


@pytest.mark.parametrize(
    "query", ["outcome__exact=mismatch", "reason__exact=number_mismatch", "since=1h&use__exact=fill"]
)
def test_export_is_of_what_the_list_shows(clerk, query):
    make_attempt(exceptions.OperatorTimeout())
    old = make_attempt(use="fill")
    VerificationAttempt.objects.filter(pk=old.pk).update(created_at=timezone.now() - timedelta(hours=2))
    wanted = make_attempt(exceptions.NumberMismatch(), use="fill")
    page = clerk.get(f"{ATTEMPTS}?{query}").content.decode()
    action = re.search(rf'action="({EXPORT}[^"]*)"', page)[1].replace("&amp;", "&")

    assert [row["reference"] for row in rows_of(clerk.post(action))] == [wanted.reference]


def test_export_of_a_number_finds_its_attempts(clerk):
    wanted = make_attempt()
    VerificationAttempt.objects.filter(pk=make_attempt().pk).update(number_digest=uuid.uuid4())
    place = clerk.post(f"{ATTEMPTS}search/", {"term": NUMBER})["Location"]

    assert [row["reference"] for row in rows_of(clerk.post(place.replace(ATTEMPTS, EXPORT)))] == [wanted.reference]
    assert LogEntry.objects.get().change_message == "number: •••78"


def test_pages_of_the_list_do_not_matter(clerk):
    for _ in range(60):
        make_attempt()

    assert len(rows_of(clerk.post(f"{EXPORT}?p=2&o=-1"))) == 60
    assert clerk.post(f"{EXPORT}?p=99&since=never")["Location"] == ATTEMPTS


def test_number_is_masked_where_the_site_stores_it_in_full(clerk, settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"STORE_NUMBER": "full"}
    assert make_attempt().number_shown == NUMBER
    text = text_of(clerk.post(EXPORT))

    assert "•••78" in text
    assert NUMBER[3:] not in text


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_no_cell_is_a_formula(clerk, start):
    make_attempt()
    operator = f'{start}HYPERLINK("http://evil.example/","click")'
    VerificationAttempt.objects.update(operator=operator)

    assert [row["operator"] for row in rows_of(clerk.post(EXPORT))] == [f"'{operator}"]


@pytest.mark.parametrize("operator", ["telefonica", "a=b", "O'Móvil", 'say "hi", you', "", "two\nlines"])
def test_other_cells_are_as_they_were(clerk, operator):
    make_attempt()
    VerificationAttempt.objects.update(operator=operator)

    assert [row["operator"] for row in rows_of(clerk.post(EXPORT))] == [operator]


# Who, and how it is known


@pytest.mark.parametrize(
    "permissions",
    [
        [],
        ["view_verificationattempt"],
        ["export_verificationattempt"],
        [
            "view_verificationattempt",
            "add_verificationattempt",
            "change_verificationattempt",
            "delete_verificationattempt",
        ],
    ],
)
def test_export_needs_a_permission_of_its_own(client, permissions):
    make_attempt()
    log_in(client, *permissions)

    assert client.post(EXPORT).status_code == 403
    assert not LogEntry.objects.exists()
    if "view_verificationattempt" in permissions:
        assert "Export CSV" not in client.get(ATTEMPTS).content.decode()


def test_whoever_may_export_is_told_that_it_is_recorded(clerk):
    make_attempt()
    page = clerk.get(ATTEMPTS).content.decode()

    assert 'value="Export CSV"' in page
    assert "This export is recorded." in page


def test_export_is_posted_with_a_token(clerk):
    assert clerk.get(EXPORT).status_code == 405
    stranger = Client(enforce_csrf_checks=True)
    stranger.force_login(clerk.user)
    assert stranger.post(EXPORT).status_code == 403
    assert not LogEntry.objects.exists()


def test_export_is_on_record_before_the_first_line(clerk):
    for error in (exceptions.OperatorTimeout(), exceptions.NumberMismatch(), exceptions.NumberMismatch()):
        make_attempt(error)
    clerk.post(f"{EXPORT}?outcome__exact=mismatch&since=7d&operator=sandbox")
    entry = LogEntry.objects.get()

    assert (entry.user, entry.object_repr) == (clerk.user, "CSV export, attempts: 2")
    assert entry.change_message == "time: 7 days; outcome: Mismatch; operator: sandbox"
    assert str(entry) == "Added “CSV export, attempts: 2”."
    page = clerk.get(f"{ATTEMPTS}summary/").content.decode()
    assert all(text in page for text in (entry.object_repr, entry.change_message, "clerk"))
    assert clerk.get("/admin/").status_code == 200


@pytest.mark.parametrize(
    ("query", "recorded"),
    [
        ("", "all attempts"),
        ("q=K7Q4MX2", "reference: K7Q4MX2"),
        ("q=%2B34600000078", "reference: ?"),
        ("operator=%2B34600000078", "operator: ?"),
        ("outcome__exact=%2B34600000078", "outcome: ?"),
        ("found=600000078", "number: This search is over."),
    ],
)
def test_record_repeats_nothing_that_somebody_typed(clerk, query, recorded):
    clerk.post(f"{EXPORT}?{query}")
    assert LogEntry.objects.get().change_message == recorded


def test_export_that_cannot_be_recorded_is_none(clerk):
    make_attempt()
    clerk.raise_request_exception = False

    def refuse(execute, sql, *args):
        if "django_admin_log" in sql:
            raise RuntimeError
        return execute(sql, *args)

    with connection.execute_wrapper(refuse):
        assert clerk.post(EXPORT).status_code == 500


# Many rows


def test_rows_are_read_as_they_are_sent():
    VerificationAttempt.objects.bulk_create(
        VerificationAttempt(
            created_at=timezone.now(), expires_at=timezone.now(), state_digest=uuid.uuid4(), browser_digest=uuid.uuid4()
        )
        for _ in range(30)
    )
    lines = export.lines(VerificationAttempt.objects.order_by("pk"))
    with CaptureQueriesContext(connection) as queries:
        assert next(lines).startswith("reference,correlator,")
        assert len(queries) == 0
        assert len(list(lines)) == 30
        assert len(queries) <= 1  # none where the database has a cursor for it


def test_export_takes_eight_queries_at_most(clerk, django_assert_max_num_queries):
    for _ in range(30):
        make_attempt()
    with django_assert_max_num_queries(8):
        assert len(rows_of(clerk.post(EXPORT))) == 30


def test_attempts_that_begin_meanwhile_are_not_in_it(clerk):
    make_attempt()
    response = clerk.post(EXPORT)
    make_attempt()

    assert len(list(itertools.islice(response.streaming_content, 9))) == 2
