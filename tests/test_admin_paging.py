"""Lists of any length: no OFFSET, no page number, no count without an end."""

import itertools
import re
import uuid
from datetime import timedelta
from urllib.parse import parse_qsl

import pytest
from django.contrib.auth import get_user_model
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from numverify_django.admin import VerificationAttemptAdmin, paging
from numverify_django.contrib.otp.models import CodeLogin
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .test_admin import ATTEMPTS, NUMBERS

PAGE = VerificationAttemptAdmin.list_per_page
CODES, QR_LOGINS = "/admin/numverify_otp/codelogin/", "/admin/numverify_qr/qrlogin/"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]


def make_attempts(count, **facts):
    """Make ``count`` attempts; three at a time began at the same moment."""
    began, now = timezone.now() - timedelta(hours=1), timezone.now()
    VerificationAttempt.objects.bulk_create(
        VerificationAttempt(
            created_at=began + timedelta(milliseconds=number // 3),
            expires_at=now,
            state_digest=uuid.uuid4(),
            browser_digest=uuid.uuid4(),
            **({"operator": "sandbox", "operation": "verify", "use": "login", "outcome": "verified"} | facts),
        )
        for number in range(count)
    )


def newest_first():
    """Return the primary keys of all attempts, as the list has them."""
    return list(VerificationAttempt.objects.order_by("-created_at", "-id").values_list("pk", flat=True))


def shown(page):
    """Return the primary keys of the rows on ``page``."""
    return [row.pk for row in page.context["cl"].result_list]


def links(page):
    """Return the addresses of the other pages by their names; those that lead nowhere are left out."""
    return {name: address for name, address in page.context["cl"].links if address is not None}


def walk(client, name, page):
    """Return the pages from ``page`` on that the links called ``name`` lead to, one after the other."""
    pages = [page]
    while name in links(pages[-1]):
        pages.append(client.get(ATTEMPTS + links(pages[-1])[name]))
    return pages


@pytest.mark.parametrize("count", [PAGE + 1, 2 * PAGE, 2 * PAGE + 7, 3 * PAGE])
def test_older_leads_to_every_row_once_and_newer_back(admin_client, count):
    make_attempts(count)
    down = walk(admin_client, "Older", admin_client.get(ATTEMPTS))
    up = walk(admin_client, "Newer", down[-1])

    assert list(itertools.chain(*map(shown, down))) == newest_first()
    assert [shown(page) for page in up[1:]] == [shown(page) for page in down[-2::-1]]
    assert [list(links(page)) for page in (down[0], down[-1])] == [["Older", "Oldest"], ["Newest", "Newer"]]


def test_oldest_and_newest_are_one_step_away(admin_client):
    make_attempts(2 * PAGE + 7)
    oldest = admin_client.get(ATTEMPTS + links(admin_client.get(ATTEMPTS))["Oldest"])

    assert shown(oldest) == newest_first()[-PAGE:]
    assert list(links(oldest)) == ["Newest", "Newer"]
    assert shown(admin_client.get(ATTEMPTS + links(oldest)["Newest"])) == newest_first()[:PAGE]


def test_newer_page_is_whole_also_where_less_than_a_page_is_newer(admin_client):
    make_attempts(2 * PAGE)
    oldest = admin_client.get(ATTEMPTS, {"after": ""})
    make_attempts(3)
    newer = admin_client.get(ATTEMPTS + links(oldest)["Newer"])
    newest = admin_client.get(ATTEMPTS + links(newer)["Newer"])

    assert (len(shown(newer)), shown(newest)) == (PAGE, newest_first()[:PAGE])


def test_one_page_has_no_links(admin_client):
    make_attempts(PAGE)
    page = admin_client.get(ATTEMPTS)

    assert (links(page), "Oldest" in page.content.decode()) == ({}, False)
    assert f"{PAGE} verification attempts" in page.content.decode()


def test_filters_go_along_and_a_new_filter_begins_at_the_newest(admin_client):
    make_attempts(PAGE + 1, outcome="mismatch", reason="number_mismatch")
    make_attempts(PAGE + 1)
    older = links(admin_client.get(ATTEMPTS, {"outcome__exact": "mismatch"}))["Older"]
    page = admin_client.get(ATTEMPTS + older)

    assert [row.outcome for row in page.context["cl"].result_list] == ["mismatch"]
    others = re.findall(r'href="(\?[^"]*outcome__exact=verified[^"]*)"', page.content.decode())
    assert [dict(parse_qsl(other[1:])) for other in others] == [{"outcome__exact": "verified"}]


@pytest.mark.parametrize("query", [{}, {"outcome__exact": "mismatch"}])
@pytest.mark.parametrize(("count", "capped"), [(PAGE + 1, f"{PAGE + 1}"), (120, "120"), (121, "More than 120")])
def test_rows_are_counted_but_by_postgresql_only_up_to_a_limit(admin_client, monkeypatch, count, capped, query):
    monkeypatch.setattr(paging, "COUNTED", 120)
    make_attempts(count, outcome="mismatch", reason="number_mismatch")
    told = capped if connection.vendor == "postgresql" else str(count)
    page = admin_client.get(ATTEMPTS, query).content.decode()
    assert f"<span>{told} verification attempts</span>" in page


def test_page_that_was_deleted_meanwhile_is_the_newest(admin_client):
    make_attempts(PAGE + 1)
    older = links(admin_client.get(ATTEMPTS))["Older"]
    VerificationAttempt.objects.filter(pk=newest_first()[-1]).delete()
    page = admin_client.get(ATTEMPTS + older)
    assert (shown(page), links(page)) == (newest_first(), {})
    VerificationAttempt.objects.all().delete()
    assert shown(admin_client.get(ATTEMPTS + older)) == []


def test_search_on_another_page_looks_at_all(admin_client):
    now = timezone.now()
    CodeLogin.objects.bulk_create(
        CodeLogin(created_at=now, expires_at=now, browser_digest=uuid.uuid4()) for _ in range(PAGE + 1)
    )
    page = admin_client.get(CODES + links(admin_client.get(CODES))["Older"]).content.decode()
    assert 'name="before"' not in page


@pytest.mark.parametrize("query", ["", "before=BOUND", "after=BOUND", "after=", "outcome__exact=verified&before=BOUND"])
def test_no_page_is_reached_by_reading_what_is_before_it(admin_client, query):
    make_attempts(3 * PAGE)
    middle = VerificationAttempt.objects.get(pk=newest_first()[PAGE + 20])
    query = query.replace("BOUND", f"{middle.created_at:%Y-%m-%dT%H:%M:%S.%f}%2B00:00,{middle.pk}")
    with CaptureQueriesContext(connection) as queries:
        assert len(shown(admin_client.get(f"{ATTEMPTS}?{query}"))) == PAGE
    asked = " ".join(query["sql"] for query in queries)

    assert len(queries) <= 8
    assert [word for word in ("OFFSET", "DISTINCT") if word in asked] == []
    whole = re.findall(r"COUNT\(\*\)(?! FROM \(SELECT .* LIMIT 10001\))(?! AS .count)", asked)
    assert len(whole) == (0 if connection.vendor == "postgresql" else 1)


@pytest.mark.parametrize(
    "bound",
    [
        "x",
        "1",
        "2026-01-01",
        "2026-01-01,x",
        ",5",
        "2026-01-01T00:00:00,5,5",
        "2026-01-01T00:00:00,5",
        "0001-01-01T00:00:00+23:59,5",
    ],
)
@pytest.mark.parametrize("name", ["before", "after"])
def test_address_that_names_no_row_leads_to_the_list(admin_client, name, bound):
    make_attempts(PAGE + 1)
    assert admin_client.get(ATTEMPTS, {name: bound})["Location"] == f"{ATTEMPTS}?e=1"


@pytest.mark.parametrize("where", [ATTEMPTS, NUMBERS])
@pytest.mark.parametrize("query", ["o=1", "o=-5", "p=3", "all="])
def test_no_parameter_sorts_or_numbers_or_lists_all(admin_client, where, query):
    make_attempts(PAGE + 1)
    with CaptureQueriesContext(connection) as queries:
        page = admin_client.get(f"{where}?{query}")
    (asked,) = [query["sql"] for query in queries if "LIMIT 51" in query["sql"]]

    assert page.status_code == 200
    assert len(re.findall("DESC", asked)) == 2
    assert "OFFSET" not in asked


def test_numbers_are_paged_alike(admin_client):
    user, now = get_user_model().objects.create_user("somebody"), timezone.now()
    VerifiedNumber.objects.bulk_create(
        VerifiedNumber(user=user, number=f"+346{n:08}", operator="x", first_verified_at=now, last_verified_at=now)
        for n in range(2 * PAGE)
    )
    page = admin_client.get(NUMBERS)
    older = admin_client.get(NUMBERS + links(page)["Older"])
    assert sorted(shown(page) + shown(older)) == sorted(VerifiedNumber.objects.values_list("pk", flat=True))


def test_export_is_not_cut_by_the_page_it_was_asked_for_on(admin_client):
    make_attempts(PAGE + 7)
    older = links(admin_client.get(ATTEMPTS))["Older"]
    form = re.search(r'action="([^"]*export/[^"]*)"', admin_client.get(ATTEMPTS + older).content.decode())[1]
    exported = b"".join(admin_client.post(form.replace("&amp;", "&")).streaming_content)
    assert len(exported.splitlines()) == PAGE + 8


@pytest.mark.parametrize(("model", "where"), [(CodeLogin, CODES), (QrLogin, QR_LOGINS)])
def test_audits_of_other_apps_are_paged_alike(admin_client, model, where):
    now = timezone.now()
    own = (lambda: {"token_digest": uuid.uuid4()}) if model is QrLogin else dict
    model.objects.bulk_create(
        model(created_at=now, expires_at=now, browser_digest=uuid.uuid4(), **own()) for _ in range(PAGE + 1)
    )
    page = admin_client.get(where)
    assert len(shown(admin_client.get(where + links(page)["Older"]))) == 1
