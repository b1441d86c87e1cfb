"""AD: the admin, the audit and the log."""

import base64
import csv
import dataclasses
import hashlib
import hmac
import html
import io
import itertools
import pickle
import re
import secrets
import sys
import uuid
from datetime import timedelta
from unittest import mock
from urllib.parse import unquote, urlencode

import pytest
from cryptography.hazmat.primitives import serialization
from django.apps import apps
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.signals import got_request_exception
from django.db import connection
from django.test import Client, RequestFactory, override_settings
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.views.debug import ExceptionReporter

from numverify_django import calls, conf, flow, sealing
from numverify_django.admin import search
from numverify_django.models import Opened, VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions, messages
from numverify_django.protocol.phone import PhoneNumber

from ..failing import fails_at
from . import tokens
from .conftest import AGAIN, CLIENT_SECRET, HONEST, HOST, NUMBER, TYPED, Visitor, error_of, make_user, params_of
from .operator import Reply

ATTEMPTS, NUMBERS = (f"/admin/numverify_django/{name}/" for name in ("verificationattempt", "verifiednumber"))
PEPPER = "pepper-of-the-site-0123456789abcdef"
MARKUP = "<script>alert('sim')</script>\"'><img src=x onerror=alert(1)>"
SPELLED = [NUMBER, NUMBER[1:], NUMBER[3:], TYPED]


def fail_in_a_hook(request, user, attempt):
    raise RuntimeError(f"a hook that quotes {NUMBER}")


@pytest.fixture
def superuser(db):
    """A browser of a superuser, in front of the admin."""
    client = Client(SERVER_NAME=HOST)
    user = make_user("superuser", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


@pytest.fixture
def rows(db):
    """An attempt that failed and a number, of one account, under the paths of their admins."""
    user = get_user_model().objects.create_user("somebody")
    opened = Opened("https://site.example/callback/", "f", "/next/", "the-nonce", "the-verifier", NUMBER)
    facts = {"operator": conf.get().operators[0], "operation": "verify", "use": "login", "user": user}
    attempt = VerificationAttempt.objects.open(state="the-state", browser="browser", opened=opened, **facts)
    attempt.fail(exceptions.OperatorTimeout(), kept="sealed text")
    return {ATTEMPTS: attempt, NUMBERS: VerifiedNumber.objects.enrol(user, PhoneNumber(NUMBER), "sandbox")}


# AD-03, AD-04, AD-05 and AD-11 after a login; further below about rows and objects alone, where there is nothing to try


def test_ad_03_login_stays_on_record_as_it_was(superuser, trial):
    trial.log_in()
    before = list(VerificationAttempt.objects.values())
    row = VerificationAttempt.objects.get()
    for path in (f"{ATTEMPTS}add/", f"{ATTEMPTS}{row.pk}/delete/", f"{NUMBERS}add/"):
        assert superuser.get(path).status_code == superuser.post(path, {"post": "yes"}).status_code == 403
    assert superuser.post(f"{ATTEMPTS}{row.pk}/change/", {"outcome": "mismatch"}).status_code == 403

    assert list(VerificationAttempt.objects.values()) == before
    trial.verified()


def test_ad_04_number_that_logged_in_is_masked(superuser, trial):
    trial.log_in()
    (number,) = VerifiedNumber.objects.all()
    pages = [superuser.get(path).content.decode() for path in (ATTEMPTS, NUMBERS, f"{NUMBERS}{number.pk}/delete/")]

    assert ["•••01" in page for page in pages] == [True] * 3
    assert [page for page in pages if NUMBER[3:] in page] == []
    trial.verified()


@pytest.mark.parametrize("term", [NUMBER, NUMBER[1:], TYPED])
def test_ad_05_number_that_logged_in_finds_nothing(superuser, trial, term):
    trial.log_in()
    page = superuser.get(ATTEMPTS, {"q": term})

    assert list(page.context["cl"].result_list) == []
    trial.verified()


def test_ad_11_what_a_login_leaves_calls_itself_by_no_number(trial):
    trial.log_in()
    (attempt,), (number,) = VerificationAttempt.objects.all(), VerifiedNumber.objects.all()

    assert NUMBER[3:] not in f"{attempt} {attempt!r} {number} {number!r} {number.phone_number!r}"
    trial.verified()


# AD-01: one row, one end


def test_ad_01_every_attempt_ends_once_however_it_ends(trial):
    def cut(connection):
        connection.close()

    ways = {
        "": lambda: None,
        "number_mismatch": lambda: setattr(trial.operator, "sim", "+34600000009"),
        "operator_unavailable": lambda: setattr(trial.operator, "verify", lambda operator, received: cut),
        "response_invalid": lambda: setattr(trial.operator, "verify", lambda operator, received: Reply([])),
        "misconfigured": lambda: trial.configure(site={"LOGIN_POLICY": fail_in_a_hook}),
        "policy_refused": lambda: trial.configure(site={"LOGIN_POLICY": lambda *facts: None}),
    }
    for reason, prepare in ways.items():
        trial.operator.sim = NUMBER
        trial.operator.verify = lambda operator, received: Reply({"devicePhoneNumberVerified": operator.sim == NUMBER})
        trial.configure()
        prepare()
        visitor = trial.visitor if reason == "" else Visitor(trial.responses)
        visitor.come_back(visitor.visit_operator(visitor.start()))
        row = VerificationAttempt.objects.latest("pk")
        assert (row.reason, row.is_over, row.ended_at >= row.claimed_at) == (reason, True, True)
        trial.expected.append((row.outcome, reason))
    late, gone = Visitor(trial.responses), Visitor(trial.responses)
    trial.configure()
    callback = late.visit_operator(late.start())
    gone.start()
    assert VerificationAttempt.objects.filter(outcome="pending").count() == 2
    VerificationAttempt.objects.filter(outcome="pending").update(expires_at=timezone.now() - timedelta(hours=1))
    late.client.get(callback)
    call_command("numverify_prune", stdout=io.StringIO())

    ended = list(VerificationAttempt.objects.values_list("outcome", "ended_at", "sealed"))
    assert [row for row in ended if row[0] == "pending" or row[1] is None] == []
    trial.expected += [("abandoned", "expired")] * 2
    trial.calls = [*HONEST, *AGAIN * 5]
    assert len(ended) == len(trial.expected) == 8
    late.client.get(callback)
    assert list(VerificationAttempt.objects.values_list("outcome", "ended_at", "sealed")) == ended


def test_ad_01_outcome_is_given_once(rows):
    attempt = rows[ATTEMPTS]
    before = VerificationAttempt.objects.values().get()
    stale = VerificationAttempt.objects.get()
    for error in (exceptions.NumberMismatch(), exceptions.Expired(), exceptions.Cancelled()):
        assert stale.fail(error) is False
    with pytest.raises(exceptions.Expired):
        attempt.succeed(None, PhoneNumber(NUMBER))
    VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    VerificationAttempt.objects.tidy("browser")
    VerificationAttempt.objects.prune()

    after = VerificationAttempt.objects.values().get()
    assert {name for name in after if after[name] != before[name]} == {"expires_at", "sealed"}


@pytest.mark.parametrize("kind", list(exceptions.leaves()), ids=lambda kind: kind.__name__)
def test_ad_01_every_reason_fits_its_column(rows, kind):
    field = VerificationAttempt._meta.get_field("reason")
    assert re.fullmatch("[a-z_]+", kind.code)
    assert len(kind.code) <= field.max_length
    assert (kind.code in dict(field.choices)) == bool(kind.outcome)


# AD-03: nobody edits


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize("action", ["add/", "{pk}/delete/", "add/?_popup=1", "{pk}/delete/?_popup=1&_to_field=id"])
def test_ad_03_superuser_adds_and_deletes_no_attempt(superuser, rows, action, method):
    before = VerificationAttempt.objects.values().get()
    answer = getattr(superuser, method)(ATTEMPTS + action.format(pk=rows[ATTEMPTS].pk), {"post": "yes"})

    assert answer.status_code == 403
    assert VerificationAttempt.objects.values().get() == before


@pytest.mark.parametrize("where", [ATTEMPTS, NUMBERS])
@pytest.mark.parametrize("button", ["_save", "_continue", "_addanother", "_saveasnew"])
def test_ad_03_superuser_changes_nothing(superuser, rows, where, button):
    before = type(rows[where]).objects.values().get()
    changed = {
        "outcome": "verified",
        "reason": "",
        "operator": "evil",
        "user": "",
        "number": "+34600000009",
        button: "1",
    }
    answer = superuser.post(f"{where}{rows[where].pk}/change/", changed)

    assert answer.status_code == 403
    assert type(rows[where]).objects.values().get() == before


@pytest.mark.parametrize("action", ["delete_selected", "", "export", "__class__"])
def test_ad_03_superuser_has_no_bulk_action(superuser, rows, action):
    before = VerificationAttempt.objects.values().get()
    assert "delete_selected" not in superuser.get(ATTEMPTS).content.decode()
    data = {
        "action": action,
        "_selected_action": [rows[ATTEMPTS].pk],
        "select_across": "1",
        "post": "yes",
        "index": "0",
    }
    assert superuser.post(ATTEMPTS, data).status_code in (200, 302, 403)
    edited = {"form-TOTAL_FORMS": "1", "form-INITIAL_FORMS": "1", "form-0-id": rows[ATTEMPTS].pk, "form-0-reason": "x"}
    assert superuser.post(ATTEMPTS, edited | {"_save": "Save"}).status_code in (200, 302, 403)

    assert VerificationAttempt.objects.values().get() == before


PERMISSIONS = {
    "none": [],
    "view the audit": ["view_verificationattempt"],
    "all of the audit": ["view", "add", "change", "delete"],
    "view numbers": ["view_verifiednumber"],
    "change numbers": ["add_verifiednumber", "change_verifiednumber"],
}


@pytest.mark.parametrize("names", PERMISSIONS.values(), ids=PERMISSIONS)
def test_ad_03_no_permission_makes_staff_an_editor(rows, names):
    names = [name if "_" in name else f"{name}_verificationattempt" for name in names]
    clerk, staff = Client(SERVER_NAME=HOST), make_user("clerk", is_staff=True)
    staff.user_permissions.set(apps.get_model("auth.Permission").objects.filter(codename__in=names))
    clerk.force_login(staff)
    before = {where: type(row).objects.values().get() for where, row in rows.items()}
    form = {"operator": "evil", "number": "+34600000009", "user": "", "post": "yes", "_save": "1"}
    for where, row in rows.items():
        chosen = form | {"action": "delete_selected", "_selected_action": [row.pk]}
        for path in ("", "add/", f"{row.pk}/change/", f"{row.pk}/delete/", f"{row.pk}/history/"):
            pages = [clerk.get(where + path), clerk.post(where + path, chosen)]
            assert {page.status_code for page in pages} <= {200, 302, 403}
            assert [spelled for page in pages for spelled in SPELLED if spelled in page.content.decode()] == []

    assert {where: type(row).objects.values().get() for where, row in rows.items()} == before


def test_ad_03_who_may_delete_accounts_alone_unlinks_no_number(rows):
    user, clerk = rows[NUMBERS].user, Client(SERVER_NAME=HOST)
    staff = make_user("clerk", is_staff=True)
    names = ["view_user", "change_user", "delete_user"]
    staff.user_permissions.set(apps.get_model("auth.Permission").objects.filter(codename__in=names))
    clerk.force_login(staff)
    path = f"/admin/auth/user/{user.pk}/delete/"
    pages = [clerk.get(path), clerk.post(path, {"post": "yes"})]

    assert pages[1].status_code == 403
    assert [spelled for page in pages for spelled in SPELLED if spelled in page.content.decode()] == []
    assert VerifiedNumber.objects.filter(user=user).exists()


def test_ad_03_retention_alone_deletes(rows):
    VerificationAttempt.objects.prune()
    assert VerificationAttempt.objects.count() == 1
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(days=conf.get().retention_days, seconds=1))
    assert VerificationAttempt.objects.prune() == (0, 1)
    assert not VerificationAttempt.objects.exists()


# AD-04, AD-05: numbers in the admin


def test_ad_04_number_is_masked_on_every_page_of_the_admin(superuser, rows):
    user = rows[NUMBERS].user
    paths = ["/admin/", "/admin/numverify_django/", f"/admin/auth/user/{user.pk}/change/"]
    paths += [f"/admin/auth/user/{user.pk}/delete/", f"/admin/auth/user/{user.pk}/history/"]
    for where, row in rows.items():
        own = ["", f"?q={rows[ATTEMPTS].reference}", f"{row.pk}/change/", f"{row.pk}/history/", "?o=1.2.3.-4", "?all="]
        paths += [where + name for name in own]
    paths += [f"{NUMBERS}{rows[NUMBERS].pk}/delete/", f"/admin/r/0/{rows[NUMBERS].pk}/"]
    superuser.post("/admin/auth/user/", {"action": "delete_selected", "_selected_action": [user.pk]})
    pages = {path: superuser.get(path).content.decode() for path in paths}

    assert [path for path, text in pages.items() for spelled in SPELLED if spelled in text] == []
    masked = [path for path, text in pages.items() if "•••01" in text]
    assert {ATTEMPTS, NUMBERS, f"{NUMBERS}{rows[NUMBERS].pk}/change/"} <= set(masked)
    assert not re.search(r"•••\d{4}", "".join(pages.values()))


def test_ad_04_unlinked_number_is_masked_in_the_history_too(superuser, rows):
    answer = superuser.post(f"{NUMBERS}{rows[NUMBERS].pk}/delete/", {"post": "yes"}, follow=True)
    index = superuser.get("/admin/").content.decode()

    assert not VerifiedNumber.objects.exists()
    assert [spelled for spelled in SPELLED if spelled in answer.content.decode() + index] == []
    log = str(list(apps.get_model("admin.LogEntry").objects.values()))
    assert ("•••01" in log, [spelled for spelled in SPELLED if spelled in log]) == (True, [])


@pytest.mark.parametrize("model", ["verificationattempt", "verifiednumber"])
@pytest.mark.parametrize("field", ["user", "number", "number_shown", "number_digest"])
def test_ad_04_autocomplete_tells_nothing(superuser, rows, model, field):
    query = {"app_label": "numverify_django", "model_name": model, "field_name": field, "term": NUMBER[3:6]}
    answer = superuser.get("/admin/autocomplete/", query)

    if field == "user":  # Django's own, of accounts
        assert answer.json()["results"] == []
    else:
        assert answer.status_code == 403


def test_ad_04_objects_call_themselves_by_no_number(rows):
    for row in rows.values():
        told = f"{row} {row!r} {row!s:>40} {[row]}"
        assert [spelled for spelled in SPELLED if spelled in told] == []
    number = PhoneNumber(NUMBER)
    told = f"{number} {number!r} {number!s:>40} {[number]}"
    assert (told.count("•••01"), [spelled for spelled in SPELLED if spelled in told]) == (4, [])


@pytest.mark.parametrize("term", [*SPELLED, "01", "6000000", "•••01", "somebody", "the-state", "' OR 1=1"])
def test_ad_05_number_finds_nothing(superuser, rows, term):
    page = superuser.get(ATTEMPTS, {"q": term})
    assert (page.status_code, list(page.context["cl"].result_list)) == (200, [])
    assert 'name="q"' not in superuser.get(NUMBERS).content.decode()


LOOKUPS = [
    "number_shown",
    "number_shown__endswith",
    "number_digest",
    "state_digest",
    "sealed__contains",
    "user__password",
]
LOOKUPS += ["user__verified_numbers__number__startswith", "user__verified_numbers", "correlator", "browser_digest"]


@pytest.mark.parametrize("term", SPELLED[:1] + SPELLED[2:])
def test_ad_05_number_that_is_searched_stands_nowhere(superuser, rows, caplog, term):
    caplog.set_level("DEBUG")
    answer = superuser.post(f"{ATTEMPTS}search/", {"term": term})
    page = superuser.get(answer["Location"])

    assert list(page.context["cl"].result_list) == [rows[ATTEMPTS]]
    digest = rows[ATTEMPTS].number_digest
    told = [*SPELLED, digest.hex, str(digest)]
    places = {
        "address": answer["Location"],
        "headers": str([*answer.items(), *page.items()]),
        "page": page.content.decode(),
        "log": caplog.text,
        "record": str(list(apps.get_model("admin.LogEntry").objects.values())),
        "report": ExceptionReporter(answer.wsgi_request, None, None, None).get_traceback_text(),
    }
    assert [(place, text) for place, shown in places.items() for text in told if text in shown] == []
    assert [text for text in SPELLED if text in str(dict(superuser.session))] == []


def test_ad_05_failed_search_is_reported_without_the_number(superuser, rows):
    superuser.raise_request_exception = False
    reports = []

    def report(sender, request, **kwargs):
        reports.append(ExceptionReporter(request, *sys.exc_info()).get_traceback_html())

    got_request_exception.connect(report)
    try:
        with mock.patch.object(search.secrets, "token_urlsafe", side_effect=RuntimeError):
            assert superuser.post(f"{ATTEMPTS}search/", {"term": NUMBER}).status_code == 500
    finally:
        got_request_exception.disconnect(report)
    assert [text for text in SPELLED for report in reports if text in report] == []
    assert len(reports) == 1


def test_ad_05_search_of_another_browser_finds_nothing(superuser, rows):
    place = superuser.post(f"{ATTEMPTS}search/", {"term": NUMBER})["Location"]
    other = Client(SERVER_NAME=HOST)
    other.force_login(make_user("other", is_staff=True, is_superuser=True))

    assert list(other.get(place).context["cl"].result_list) == []
    assert [row["reference"] for row in exported(other, place.partition("?")[2])] == []


@pytest.mark.parametrize("guess", ["", "x", NUMBER, "0", "{digest}", "{digest.hex}", "{key}x", "__class__"])
def test_ad_05_key_of_a_search_is_not_guessed(superuser, rows, guess):
    key = superuser.post(f"{ATTEMPTS}search/", {"term": NUMBER})["Location"].partition("=")[2]
    page = superuser.get(ATTEMPTS, {"found": guess.format(digest=rows[ATTEMPTS].number_digest, key=key)})

    assert (page.status_code, list(page.context["cl"].result_list)) == (200, [])


@pytest.mark.parametrize("action", ["search", "export"])
def test_ad_05_other_sites_neither_search_nor_export(superuser, rows, action):
    strict = Client(SERVER_NAME=HOST, enforce_csrf_checks=True)
    strict.cookies = superuser.cookies
    assert strict.post(f"{ATTEMPTS}{action}/", {"term": NUMBER}).status_code == 403
    assert superuser.get(f"{ATTEMPTS}{action}/", {"term": NUMBER}).status_code == 405
    anonymous = Client(SERVER_NAME=HOST).post(f"{ATTEMPTS}{action}/", {"term": NUMBER})
    assert (anonymous.status_code, NUMBER[3:] in anonymous["Location"]) == (302, False)

    assert not apps.get_model("admin.LogEntry").objects.exists()


def exported(client, query=""):
    """Return the rows of the CSV file that ``client`` exports, as dicts."""
    answer = client.post(f"{ATTEMPTS}export/?{query}")
    return list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))


def test_ad_04_export_masks_what_the_site_stores_in_full(superuser, rows, settings):
    VerificationAttempt.objects.update(number_shown=NUMBER)
    answer = superuser.post(f"{ATTEMPTS}export/")
    text = b"".join(answer.streaming_content).decode()

    assert ("•••01" in text, [spelled for spelled in SPELLED if spelled in text + str(answer.items())]) == (True, [])
    attempt = rows[ATTEMPTS]
    secret = [attempt.sealed, attempt.state_digest, attempt.browser_digest, attempt.number_digest]
    assert [value for value in secret if str(value) in text] == []


@pytest.mark.parametrize("lookup", ["number_digest", "number_shown__endswith", "user__password__startswith", "sealed"])
def test_ad_05_number_is_not_guessed_by_exporting(superuser, rows, lookup):
    assert superuser.post(f"{ATTEMPTS}export/?{lookup}={NUMBER[:4]}").status_code == 400
    assert not apps.get_model("admin.LogEntry").objects.exists()


@pytest.mark.parametrize("lookup", LOOKUPS)
def test_ad_05_number_is_not_guessed_by_filtering(superuser, rows, lookup):
    assert superuser.get(ATTEMPTS, {lookup: NUMBER[:4]}).status_code in (302, 400)
    assert superuser.get(NUMBERS, {lookup.replace("number_shown", "number"): NUMBER[:4]}).status_code in (302, 400)


PAST_USERS = ["verified_numbers__number__startswith", "verified_numbers__number__regex", "password__startswith"]
PAST_USERS += ["verified_numbers__subscriber_digest", "verification_attempts__number_digest"]
PAST_USERS += ["verification_attempts__number_shown__endswith", "verification_attempts__sealed__contains"]


@pytest.mark.parametrize("lookup", PAST_USERS)
def test_ad_05_number_is_not_guessed_by_filtering_accounts(superuser, rows, lookup):
    assert superuser.get("/admin/auth/user/", {lookup: NUMBER[:4]}).status_code in (302, 400)


@pytest.mark.parametrize("order", ["1", "-1", "1.2.3", "-0", "99", "number"])
def test_ad_05_order_of_the_list_tells_no_number(superuser, rows, order):
    for number in ("+34600000009", "+34600000005", "+34600000007"):
        VerifiedNumber.objects.enrol(rows[NUMBERS].user, PhoneNumber(number), "sandbox")
    VerifiedNumber.objects.update(last_verified_at=timezone.now(), first_verified_at=timezone.now())
    found = [row.pk for row in superuser.get(NUMBERS, {"o": order}).context["cl"].result_list]

    by_number = list(VerifiedNumber.objects.order_by("number").values_list("pk", flat=True))
    assert found not in (by_number, by_number[::-1])


@pytest.mark.parametrize("field", ["number", "number_digest", "sealed", "reference", "subscriber_digest"])
def test_ad_05_no_column_is_chosen_as_a_key(superuser, rows, field):
    for where, row in rows.items():
        for path in ("", f"{row.pk}/change/"):
            page = superuser.get(where + path, {"_to_field": field, "_popup": "1"})
            assert (page.status_code, [text for text in SPELLED if text in page.content.decode()]) == (400, [])


def test_ad_05_audit_has_no_column_with_the_number(rows):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {VerificationAttempt._meta.db_table}")  # noqa: S608
        stored = str(cursor.fetchall())
    assert [spelled for spelled in SPELLED if spelled in stored] == []
    assert "•••01" in stored


# AD-06: markup of others


def test_ad_06_markup_of_the_operator_is_not_in_the_admin(trial):
    told = {"code": MARKUP, "message": MARKUP, "error": MARKUP, "status": 403, "error_description": MARKUP}
    trial.operator.verify = lambda operator, received: Reply(told, 403, {"X-Correlator": MARKUP})
    trial.visitor.client.defaults |= {"HTTP_USER_AGENT": MARKUP, "HTTP_X_CORRELATOR": MARKUP}
    trial.log_in()

    row = VerificationAttempt.objects.get()
    assert [value for value in vars(row).values() if isinstance(value, str) and "<" in value] == []
    admin = trial.admin
    trial.admin = lambda: page if "alert(" not in (page := admin()) else pytest.fail("markup in the admin")
    trial.refused("permission_denied", calls=HONEST)


def test_ad_06_markup_in_any_column_is_escaped(superuser, rows):
    VerificationAttempt.objects.update(
        operator=MARKUP[:64],
        reason=MARKUP[:32],
        outcome=MARKUP[:16],
        number_shown=MARKUP[:16],
        use="<b>",
        operation="<i>",
    )
    VerifiedNumber.objects.update(operator=MARKUP[:64])
    get_user_model().objects.filter(username="somebody").update(username=MARKUP)
    paths = [
        path for where, row in rows.items() for path in (where, f"{where}{row.pk}/change/", f"{where}{row.pk}/history/")
    ]
    paths += [f"{ATTEMPTS}summary/?window=30d", f"/admin/auth/user/{rows[NUMBERS].user.pk}/change/"]
    VerificationAttempt.objects.update(timings={MARKUP: 1, "token": MARKUP, "callback": 7})
    for operator in (None, MARKUP):
        cache.clear()
        superuser.post(f"{ATTEMPTS}export/", QUERY_STRING=urlencode({"operator": operator} if operator else {}))
    pages = [superuser.get(path) for path in paths]
    pages += [superuser.get(ATTEMPTS, {"found": MARKUP, "operator": MARKUP})]
    pages += [superuser.post(f"{ATTEMPTS}search/", {"term": MARKUP}, follow=True)]
    pages += [superuser.get(ATTEMPTS, {"q": MARKUP}), superuser.get(f"{NUMBERS}{rows[NUMBERS].pk}/delete/")]
    pages += [superuser.post(f"{NUMBERS}{rows[NUMBERS].pk}/delete/", {"post": "yes"}, follow=True)]

    for page in pages:
        assert page.status_code == 200
        assert not re.search(r"<script>alert|<img src=x|<b><|<i><", page.content.decode())
    assert html.escape(MARKUP[:64]) in pages[0].content.decode()


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    '=HYPERLINK("http://evil.example")',
    "=cmd|' /C calc'!A0",
]


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("column", ["operator", "reason", "outcome", "number_shown", "use", "operation", "reference"])
def test_ad_06_export_has_no_formula(superuser, rows, column, formula):
    most = VerificationAttempt._meta.get_field(column).max_length
    VerificationAttempt.objects.update(**{column: formula[:most]})
    (row,) = exported(superuser)

    assert [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))] == []
    assert len(row) == 18


@pytest.mark.parametrize("operator", [MARKUP[:64], '",=1+1,"', 'a\r\n=1+1,"', '"\n=1+1', "\u202e=1+1"])
def test_ad_06_export_keeps_cells_in_their_places(superuser, rows, operator):
    VerificationAttempt.objects.update(operator=operator)
    answer = superuser.post(f"{ATTEMPTS}export/")
    (header, row) = csv.reader(io.StringIO(b"".join(answer.streaming_content).decode(), newline=""))

    assert (len(row), row[header.index("operator")]) == (len(header), operator)
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"].startswith("attachment;")
    assert answer["X-Content-Type-Options"] == "nosniff"


# AD-08: what is deleted


def test_ad_08_old_rows_are_deleted_by_age(rows, capsys, settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"RETENTION_DAYS": 30}
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(days=30) + timedelta(minutes=1))
    call_command("numverify_prune")
    assert (capsys.readouterr().out, VerificationAttempt.objects.count()) == (
        "Rows ended: 0, erased: 0, deleted: 0.\n",
        1,
    )
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(days=30))
    call_command("numverify_prune")
    assert (capsys.readouterr().out, VerificationAttempt.objects.count()) == (
        "Rows ended: 0, erased: 0, deleted: 1.\n",
        0,
    )
    assert VerifiedNumber.objects.exists()  # an account's, and no audit


def test_ad_08_deleted_account_leaves_no_trace_of_the_person(trial):
    trial.log_in()
    user = get_user_model().objects.get(pk=trial.visitor.user_id)
    name = user.username
    user.delete()
    row = VerificationAttempt.objects.get()

    assert (row.user_id, row.sealed, row.number_shown) == (None, "", "•••01")
    assert [text for text in [*SPELLED, name] if text in str(VerificationAttempt.objects.values().get())] == []
    assert not VerifiedNumber.objects.exists()
    trial.verified()


def test_ad_08_number_kept_for_a_retry_is_erased_in_time(trial):
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    assert VerificationAttempt.objects.get().sealed != ""
    VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
    VerificationAttempt.objects.prune()
    assert VerificationAttempt.objects.get().sealed == ""

    trial.visitor.client.get(page.wsgi_request.get_full_path())
    again = trial.visitor.client.post("/numverify/login/", {"retry": VerificationAttempt.objects.get().reference_shown})
    assert (again.status_code, 'name="phone_number"' in again.content.decode()) == (200, True)
    trial.responses.append(page)
    trial.refused("not_on_mobile_network", calls=["discovery"])


# AD-11: what objects tell of themselves

PLAIN = {
    "client secret": CLIENT_SECRET,
    "pepper": PEPPER,
    "state": "the-state-of-the-attempt",
    "nonce": "the-nonce-of-the-attempt",
    "verifier": "the-verifier-of-the-attempt",
    "code": "the-code-of-the-attempt",
    "token": "the-access-token",
    "ID token": "the.id.token",
    "subscriber": "the-subscriber",
    "next": "/the/next/page/",
    "number": NUMBER[1:],
}


def pem(key):
    """Return a private key as the settings hold it."""
    kind = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption()).decode()


@pytest.fixture
def secret_objects(db, settings):
    """One of each object that holds a secret, by name; and the secrets."""
    key = pem(tokens.rsa_key("site"))
    operator = {"PROFILE": "telefonica", "CLIENT_ID": "client", "CLIENT_SECRET": CLIENT_SECRET}
    operator |= {"PRIVATE_KEY": key, "KEY_ID": "key-1"}
    settings.NUMVERIFY = {"OPERATORS": {"movil": operator}, "PEPPERS": [PEPPER]}
    metadata = messages.Metadata("https://operator.example/authorize", "https://operator.example/token", None, True)
    opened = Opened("https://site.example/", "f", PLAIN["next"], PLAIN["nonce"], PLAIN["verifier"], NUMBER)
    facts = {"operator": conf.get().operators[0], "operation": "verify", "use": "login"}
    attempt = VerificationAttempt.objects.open(state=PLAIN["state"], browser="browser", opened=opened, **facts)
    params = {"code": [PLAIN["code"]], "state": [PLAIN["state"]]}
    deadline = calls.Deadline(9)
    url = f"https://operator.example/authorize?state={PLAIN['state']}"
    found = {
        "Settings": conf.get(),
        "Operator": conf.get().operators[0],
        "Opened": opened,
        "attempt": attempt,
        "Claimed": flow.Claimed(attempt, opened, params, conf.get().operators[0], deadline),
        "AuthorizationRequest": messages.AuthorizationRequest(
            url, PLAIN["state"], PLAIN["nonce"], PLAIN["verifier"], "https://site.example/"
        ),
        "AuthorizationResponse": messages.AuthorizationResponse(PLAIN["code"], metadata),
        "TokenSet": messages.TokenSet(PLAIN["token"], PLAIN["ID token"], True),
        "AccessToken": messages.AccessToken(PLAIN["token"], PLAIN["subscriber"]),
        "Verification": messages.Verification(PhoneNumber(NUMBER), PLAIN["subscriber"]),
        "Request": messages.Request("token", "POST", url, {"authorization": PLAIN["token"]}, PLAIN["code"].encode()),
        "Response": messages.Response(200, {"x": PLAIN["token"]}, PLAIN["token"].encode()),
        "Device": messages.Device(PhoneNumber(NUMBER), PLAIN["subscriber"], PLAIN["state"], 1, PLAIN["nonce"]),
        "VerifiedNumber": VerifiedNumber(number=NUMBER, operator="movil"),
    }
    return found, [*PLAIN.values(), key.splitlines()[1]]


OBJECTS = ["Settings", "Operator", "Opened", "attempt", "Claimed", "AuthorizationRequest", "AuthorizationResponse"]
OBJECTS += ["TokenSet", "AccessToken", "Verification", "Request", "Response", "Device", "VerifiedNumber"]


@pytest.mark.parametrize("name", OBJECTS)
def test_ad_11_object_shows_no_secret(secret_objects, name):
    objects, values = secret_objects
    shown = objects[name]
    told = (
        f"{shown} {shown!r} {shown!s} {shown!a} {[shown]} { ({'x': shown}) } {'%s %r' % (shown, shown)} {shown!s:>99}"  # noqa: UP031
    )

    assert [value for value in values if value in told] == []


KEPT = ["VerifiedNumber"]  # a row of the database, whose number is what it is for


@pytest.mark.parametrize("name", [name for name in OBJECTS if name not in KEPT])
def test_ad_11_pickle_holds_no_secret(secret_objects, name):
    objects, values = secret_objects
    try:
        told = pickle.dumps(objects[name])
    except (TypeError, pickle.PicklingError, AttributeError):
        return  # it cannot be pickled at all
    assert [value for value in values if value.encode() in told] == []


@pytest.mark.parametrize("name", OBJECTS)
def test_ad_11_error_about_an_object_shows_no_secret(secret_objects, name):
    objects, values = secret_objects
    shown = objects[name]
    told = []
    for act in (lambda: setattr(shown, "client_secret", "x"), lambda: shown["x"], shown, lambda: shown < 1):
        try:
            act()
        except Exception as error:
            told.append(f"{error} {error!r}")
    if dataclasses.is_dataclass(shown):
        try:
            dataclasses.replace(shown, no_such_field=1)
        except TypeError as error:
            told.append(str(error))
    assert [value for value in values if value in " ".join(told)] == []


def test_ad_11_every_class_of_messages_is_tried():
    named = {name for name, kind in vars(messages).items() if dataclasses.is_dataclass(kind)}
    assert named - {"Metadata", "PhoneNumber"} <= set(OBJECTS)


def test_ad_11_exception_report_masks_the_settings(secret_objects):
    _, values = secret_objects
    request = RequestFactory().get("/")
    reporter = ExceptionReporter(request, ValueError, ValueError("x"), None, is_email=True)
    told = reporter.get_traceback_text() + reporter.get_traceback_html()

    assert "NUMVERIFY" in told
    assert [value for value in values if value in html.unescape(told)] == []


@pytest.mark.parametrize("statement", range(6))
@pytest.mark.parametrize("step", ["start", "callback"])
def test_ad_11_report_of_a_database_that_dies_shows_no_secret(
    transactional_db, configure, operator, reported_errors, step, statement
):  # no trial: it is Django that answers here, with a 500
    visitor = Visitor([])
    callback = visitor.visit_operator(visitor.start())
    params = {name: unquote(value) for name, value in params_of(callback).items()}
    browser = visitor.client.session["numverify"]["browser"]
    with fails_at(statement):
        visitor.start() if step == "start" else visitor.client.get(callback)
    told = "\n".join(reported_errors)

    secret = [params["code"], params["state"], browser, CLIENT_SECRET, *SPELLED, *operator.secrets]
    assert [value for value in secret if value in told] == []
    asked = 2 if connection.vendor == "postgresql" else 3  # before the operator is, and what fails is told
    assert bool(told) or statement >= asked


@pytest.mark.parametrize("key", ["CLIENT_SECRET", "PRIVATE_KEY", "PEPPERS", "LOGIN_POLICY"])
def test_ad_11_wrong_setting_is_not_repeated_by_the_checks(settings, key):
    wrong = "a-secret-that-is-wrong"
    operator = {"PROFILE": "telefonica", "CLIENT_ID": "client", "CLIENT_SECRET": "x", "KEY_ID": "k"}
    site = {"PEPPERS": [wrong]} if key == "PEPPERS" else {key: wrong} if key == "LOGIN_POLICY" else {}
    value = {"CLIENT_SECRET": [wrong], "PRIVATE_KEY": wrong}.get(key)
    settings.NUMVERIFY = {"OPERATORS": {"movil": operator | ({key: value} if value else {})}} | site
    told = [
        f"{message} {message!r} {message.hint}" for message in run_checks(include_deployment_checks=True, databases=[])
    ]

    assert any(f"'{key}'" in text or key in text for text in told)
    assert [text for text in told if wrong in text] == []


# AD-12: digests


def cut(digest):
    """Return the UUID that a digest (bytes) is kept as."""
    return uuid.UUID(bytes=digest[:16], version=4)


def test_ad_12_digest_of_a_number_is_keyed_by_the_pepper(rows, settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"PEPPERS": [PEPPER]}
    opened = Opened("https://site.example/", "f", "/", "n", "v", NUMBER)
    facts = {"operator": conf.get().operators[0], "operation": "verify", "use": "login", "address": "192.0.2.1"}
    attempt = VerificationAttempt.objects.open(state="another", browser="browser", opened=opened, **facts)
    attempt.refresh_from_db()

    assert attempt.number_digest == cut(hmac.digest(PEPPER.encode(), NUMBER.encode(), "sha256"))
    assert attempt.address_digest == cut(hmac.digest(PEPPER.encode(), b"192.0.2.1/32", "sha256"))
    assert attempt.number_digest != rows[ATTEMPTS].number_digest


def test_ad_12_digest_is_none_that_anybody_can_make(rows):
    digest, key = rows[ATTEMPTS].number_digest, django_settings.SECRET_KEY
    for text in (NUMBER, NUMBER[1:], NUMBER[3:], f"tel:{NUMBER}", TYPED):
        plain = [hashlib.new(kind, text.encode()).digest() for kind in ("sha256", "sha1", "md5", "sha512", "sha3_256")]
        plain += [hashlib.sha256(text.encode()).hexdigest().encode(), base64.b64encode(text.encode()).ljust(16)]
        plain += [hmac.digest(word.encode(), text.encode(), "sha256") for word in ("", "numverify_django", key)]
        plain += [hashlib.sha1(f"{key}{text}".encode()).digest(), hashlib.sha256(f"{key}{text}".encode()).digest()]  # noqa: S324
        plain += [hashlib.sha256(f"{text}{key}".encode()).digest()]
        plain += [salted_hmac("numverify_django", text, algorithm=kind).digest() for kind in ("sha1", "sha256")]
        assert [found for found in plain if cut(found) == digest] == []
        assert digest not in {uuid.uuid5(space, text) for space in (uuid.NAMESPACE_DNS, uuid.NAMESPACE_URL)}


def test_ad_12_digest_without_peppers_has_a_key_of_its_own(rows, settings):
    before = rows[ATTEMPTS].number_digest
    key = hmac.new(settings.SECRET_KEY.encode(), b"numverify_django.pepper", hashlib.sha256).hexdigest()
    assert before == cut(hmac.digest(key.encode(), NUMBER.encode(), "sha256"))
    settings.SECRET_KEY = "another-secret-key-of-the-site" * 2
    assert sealing.digest(NUMBER, conf.get().peppers[0]) != before


def test_ad_12_subscriber_is_digested_with_the_pepper(trial):
    trial.configure(site={"PEPPERS": [PEPPER]})
    trial.log_in()
    digest = VerifiedNumber.objects.get().subscriber_digest

    assert digest is not None
    stored = str(VerifiedNumber.objects.values().get())
    assert [text for text in ("subscriber-1", trial.operator.url) if text in stored] == []
    told = ["subscriber-1", f"{trial.operator.url} subscriber-1", f"{trial.operator.url}subscriber-1"]
    assert digest not in {cut(hashlib.sha256(text.encode()).digest()) for text in told}
    trial.configure()
    VerifiedNumber.objects.update(subscriber_digest=None)
    trial.verified()


# AD-15: references


def test_ad_15_reference_on_the_page_finds_its_row_in_the_admin(trial):
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    (reference,) = re.findall(r"<bdi[^>]*>([^<]+)</bdi>", page.content.decode())
    row = VerificationAttempt.objects.get()
    assert (reference, re.fullmatch("[2-9A-HJ-NP-Z]{3}-[2-9A-HJ-NP-Z]{4}", reference) is not None) == (
        row.reference_shown,
        True,
    )

    admin, spelled = (
        Client(SERVER_NAME=HOST),
        [reference, reference.lower(), f" {reference} ", reference.replace("-", "")],
    )
    root = make_user("searcher", is_staff=True, is_superuser=True)
    admin.force_login(root)
    found = [list(admin.get(ATTEMPTS, {"q": text}).context["cl"].result_list) for text in spelled]
    root.delete()
    assert found == [[row]] * 4
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_ad_15_references_are_random(rows):
    made = [VerificationAttempt().reference for _ in range(5000)]

    assert len(set(made)) == 5000
    assert [made.index(first) for first, second in itertools.pairwise(made) if first[:6] == second[:6]] == []
    for place in range(7):
        counts = [sum(text[place] == letter for text in made) for letter in "23456789ABCDEFGHJKMNPQRSTUVWXYZ"]
        assert 80 < min(counts) <= max(counts) < 260, place  # 161 each, six standard deviations


def test_ad_15_reference_of_another_is_no_key(trial):
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    row = VerificationAttempt.objects.get()
    stranger = Visitor(trial.responses)
    stranger.start("not a number")
    for reference in (row.reference, row.reference_shown, secrets.token_hex(3), str(row.pk)):
        assert stranger.client.get("/numverify/failed/", {"reference": reference}).status_code == 404
        stranger.client.post("/numverify/login/", {"retry": reference})
    assert trial.bystander.client.get("/numverify/failed/", {"reference": row.reference}).status_code == 404
    trial.responses.append(page)
    trial.refused("not_on_mobile_network", calls=["discovery"])


# AD-16: the checks

CAMARA = {"PROFILE": "camara-v2", "CLIENT_ID": "client", "CLIENT_SECRET": "secret", "API_ROOT": "https://o.example/api"}
CAMARA |= {"ISSUER": "https://o.example"}
ENDPOINTS = {"AUTHORIZATION_ENDPOINT": "https://o.example/a", "TOKEN_ENDPOINT": "https://o.example/t"}
NAMELESS = {name: value for name, value in CAMARA.items() if name != "ISSUER"} | ENDPOINTS
SIGNING = {"CLIENT_SECRET": "", "KEY_ID": "key-1"}
HTTP = ["ISSUER", "DISCOVERY_URL", "AUTHORIZATION_ENDPOINT", "TOKEN_ENDPOINT", "JWKS_URI", "API_ROOT"]


SHARED_CACHE = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1"}}


def reported(settings, *operators, site=None):
    """Return the IDs of our messages about a site with these operators."""
    named = {f"operator{number}": keys for number, keys in enumerate(operators)}
    careful = {"PEPPERS": [PEPPER], "FALLBACK_URL": "/password/", "CODE_SENDER": lambda number, text: None}
    careful["APP_LOGIN"] = lambda request, user, attempt: {}
    settings.NUMVERIFY = {"OPERATORS": named} | careful | (site or {})
    with override_settings(CACHES=SHARED_CACHE):
        found = run_checks(include_deployment_checks=True, databases=[])
    return [message.id.removeprefix("numverify.") for message in found if (message.id or "").startswith("numverify.")]


def test_ad_16_careful_site_is_silent(settings):
    assert reported(settings, CAMARA) == []
    assert reported(settings, CAMARA, CAMARA | {"CLIENT_ID": "other"}) == []


@pytest.mark.parametrize("key", HTTP)
@pytest.mark.parametrize(
    "url", ["http://o.example/x", "HTTP://o.example/x", "//o.example/x", "ftp://o.example/x", "o.example"]
)
def test_ad_16_endpoint_without_https_is_an_error(settings, key, url):
    assert "E007" in reported(settings, CAMARA | {key: url})


@pytest.mark.parametrize(
    "host", ["10.0.0.1", "169.254.169.254", "localhost", "[::1]", "operator", "0x7f.1", "o.internal"]
)
def test_ad_16_endpoint_inside_is_an_error(settings, host):
    assert "E007" in reported(settings, CAMARA | {"TOKEN_ENDPOINT": f"https://{host}/token"})


def test_ad_16_missing_issuer_of_one_of_several_is_reported(settings):
    other = NAMELESS | {"ID_TOKEN": "absent"}
    assert "E005" in reported(settings, CAMARA, NAMELESS)
    assert "E005" in reported(settings, CAMARA, NAMELESS | {"ID_TOKEN": "absent", "RESPONSE_ISS": True})
    assert "E012" in reported(settings, CAMARA, other)
    assert "E012" not in reported(settings, other)


def test_ad_16_short_keys_are_errors(settings):
    short, long = pem(tokens.rsa_key("short", 1024)), pem(tokens.rsa_key("site"))
    assert "E006" in reported(settings, CAMARA | SIGNING | {"PRIVATE_KEY": short})
    assert reported(settings, CAMARA | SIGNING | {"PRIVATE_KEY": long}) == []
    for algorithm in ("ES256", "PS256"):
        found = reported(settings, CAMARA | SIGNING | {"PRIVATE_KEY": short, "ASSERTION_ALG": algorithm})
        assert "E006" in found
    assert "E003" in reported(settings, CAMARA, site={"PEPPERS": ["x" * 31]})
    assert "E003" in reported(settings, CAMARA, site={"PEPPERS": [PEPPER, "short"]})
    assert "E003" in reported(settings, CAMARA, site={"PEPPERS": []})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SESSION_COOKIE_SAMESITE", "Strict", "W022"),
        ("SESSION_ENGINE", "django.contrib.sessions.backends.signed_cookies", "W021"),
    ],
)
def test_ad_16_session_that_loses_or_replays_logins_is_reported(settings, name, value, message):
    setattr(settings, name, value)
    assert message in reported(settings, CAMARA)


OFF = [
    "VERIFY",
    "VERIFY_SSL",
    "SSL_VERIFY",
    "TLS_VERIFY",
    "INSECURE",
    "CA_BUNDLE",
    "VERIFY_JWT",
    "OIDC_VERIFY_SSL",
    "PROXY",
]


@pytest.mark.parametrize("key", OFF)
def test_ad_16_verification_cannot_be_switched_off(settings, key):
    assert "E002" in reported(settings, CAMARA | {key: False})
    assert "E002" in reported(settings, CAMARA, site={key: False})


WEAK = {
    "no PKCE": ({"PKCE": False}, "W007"),
    "no ID token": ({"ID_TOKEN": "absent"}, "W006"),
    "no ID token and no PKCE": ({"ID_TOKEN": "absent", "PKCE": False}, "E009"),
    "number in a URL": ({"LOGIN_HINT": "tel"}, "W008"),
    "no algorithm": ({"ID_TOKEN_ALG": "none"}, "E003"),
    "shared key": ({"ID_TOKEN_ALG": "HS256"}, "E003"),
    "no client": ({"CLIENT_ID": ""}, "E005"),
    "no secret": ({"CLIENT_SECRET": ""}, "E006"),
    "no client authentication": ({"CLIENT_AUTH": "none"}, "E003"),
    "endless timeout": ({"TIMEOUT": 10_000}, "E003"),
    "no timeout": ({"TIMEOUT": 0}, "E003"),
}


@pytest.mark.parametrize(("keys", "message"), WEAK.values(), ids=WEAK)
def test_ad_16_weak_choice_is_reported(settings, keys, message):
    assert message in reported(settings, CAMARA | keys)


def test_ad_16_login_is_refused_while_a_check_reports_an_error(trial):
    trial.configure(API_ROOT="http://operator.example/v1")
    answer = trial.visitor.start()
    assert (answer.status_code, "The check didn't finish" in answer.content.decode()) == (503, True)
    trial.configure()
    trial.nothing()


def test_ad_16_checks_ask_no_operator_and_no_database(trial, settings):
    assert reverse("numverify:callback") == "/numverify/callback/"
    with connection.execute_wrapper(lambda *query: pytest.fail("a check asked the database")):
        run_checks(include_deployment_checks=True, databases=[])
    trial.nothing()
