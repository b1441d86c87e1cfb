"""The audit in the admin: everybody who may see it only looks, and sees no number."""

import html
import itertools

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from numverify_django import conf
from numverify_django.models import Opened, VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import PhoneNumber

NUMBER = "+34600000078"
ATTEMPTS, NUMBERS = "/admin/numverify_django/verificationattempt/", "/admin/numverify_django/verifiednumber/"
STATES = itertools.count()

pytestmark = pytest.mark.django_db


def make_attempt(error=None, user=None, **facts):
    """Make an attempt that ended with ``error``, or is still pending."""
    opened = Opened("https://site.example/callback/", "f", "/next/", "the-nonce", "the-verifier", NUMBER)
    given = {"operator": conf.get().operators[0], "operation": "verify", "use": "login", "user": user} | facts
    attempt = VerificationAttempt.objects.open(state=f"state {next(STATES)}", browser="browser", opened=opened, **given)
    if error:
        attempt.fail(error, kept="sealed text")
    return attempt


def make_number(user, number=NUMBER):
    now = timezone.now()
    return VerifiedNumber.objects.create(
        user=user, number=number, operator="sandbox", first_verified_at=now, last_verified_at=now
    )


def make_rows(count):
    """Make ``count`` attempts and numbers, each of a user of its own."""
    for _ in range(count):
        user = get_user_model().objects.create_user(f"user {next(STATES)}")
        make_attempt(user=user)
        make_number(user, f"+346{next(STATES):08}")


@pytest.fixture
def rows():
    """An attempt and a verified number of one user, under the paths of their admins."""
    user = get_user_model().objects.create_user("somebody")
    return {ATTEMPTS: make_attempt(exceptions.OperatorTimeout(), user=user), NUMBERS: make_number(user)}


@pytest.fixture
def staff_client(client):
    """A client of a member of staff, and a function that gives them permissions."""
    user = get_user_model().objects.create_user("staff", is_staff=True)
    client.force_login(user)
    client.allow = lambda *names: user.user_permissions.set(Permission.objects.filter(codename__in=names))
    return client


def count_in(page):
    """Return how many rows a change list shows."""
    return len(page.context["cl"].result_list)


BOTH = pytest.mark.parametrize("where", [ATTEMPTS, NUMBERS])
FORBIDDEN = [(ATTEMPTS, "add/"), (ATTEMPTS, "{pk}/delete/"), (NUMBERS, "add/")]


class TestReadOnly:
    """Also a superuser makes no row, changes none, and deletes no attempt."""

    @pytest.mark.parametrize("method", ["get", "post"])
    @pytest.mark.parametrize(("where", "action"), FORBIDDEN)
    def test_adding_and_deleting_are_forbidden(self, admin_client, rows, where, action, method):
        path = where + action.format(pk=rows[where].pk)
        response = getattr(admin_client, method)(path, {"post": "yes"})

        assert response.status_code == 403
        assert (VerificationAttempt.objects.count(), VerifiedNumber.objects.count()) == (1, 1)

    @BOTH
    def test_changing_is_forbidden(self, admin_client, rows, where):
        before = type(rows[where]).objects.values().get()
        response = admin_client.post(f"{where}{rows[where].pk}/change/", {"operator": "another", "user": ""})

        assert response.status_code == 403
        assert type(rows[where]).objects.values().get() == before

    @BOTH
    def test_detail_page_has_nothing_to_fill_in_or_to_save(self, admin_client, rows, where):
        page = admin_client.get(f"{where}{rows[where].pk}/change/")

        assert page.status_code == 200
        assert not any(field in page.content.decode() for field in ('name="operator"', 'name="user"', 'name="_save"'))

    def test_attempts_have_no_bulk_delete_and_asking_for_it_does_nothing(self, admin_client, rows):
        page = admin_client.get(ATTEMPTS).content.decode()
        assert "delete_selected" not in page
        data = {"action": "delete_selected", "_selected_action": [rows[ATTEMPTS].pk], "post": "yes"}
        admin_client.post(ATTEMPTS, data)

        assert VerificationAttempt.objects.get() == rows[ATTEMPTS]

    @BOTH
    def test_staff_without_permission_sees_nothing(self, staff_client, rows, where):
        detail = f"{where}{rows[where].pk}/change/"

        assert [staff_client.get(path).status_code for path in (where, detail)] == [403, 403]
        assert "numverify_django" not in staff_client.get("/admin/").content.decode()

    @BOTH
    def test_staff_that_may_view_only_looks(self, staff_client, rows, where):
        staff_client.allow(f"view_{where.split('/')[-2]}")
        paths = [where, f"{where}{rows[where].pk}/change/", f"{where}add/", f"{where}{rows[where].pk}/delete/"]

        assert [staff_client.get(path).status_code for path in paths] == [200, 200, 403, 403]

    @pytest.mark.parametrize(("where", "action"), FORBIDDEN)
    def test_no_permission_allows_what_is_forbidden(self, staff_client, rows, where, action):
        staff_client.allow(*(f"{verb}_{where.split('/')[-2]}" for verb in ("add", "change", "delete", "view")))

        assert staff_client.get(where).status_code == 200
        assert staff_client.get(where + action.format(pk=rows[where].pk)).status_code == 403

    def test_number_is_unlinked_from_its_account(self, admin_client, rows):
        admin_client.post(f"{NUMBERS}{rows[NUMBERS].pk}/delete/", {"post": "yes"})

        assert not VerifiedNumber.objects.exists()
        assert VerificationAttempt.objects.get().user == rows[NUMBERS].user

    def test_account_is_deleted_with_its_number_and_its_attempt_stays(self, admin_client, rows):
        user = rows[NUMBERS].user
        admin_client.post(f"/admin/auth/user/{user.pk}/delete/", {"post": "yes"})

        assert not get_user_model().objects.filter(pk=user.pk).exists()
        assert not VerifiedNumber.objects.exists()
        assert VerificationAttempt.objects.get().user is None


class TestWhatIsShown:
    @BOTH
    @pytest.mark.parametrize("page", ["", "{pk}/change/", "{pk}/history/"])
    def test_number_is_masked_on_every_page(self, admin_client, rows, where, page):
        content = admin_client.get(where + page.format(pk=rows[where].pk)).content.decode()

        assert str(rows[where]) in content or "•••78" in content
        assert NUMBER[3:] not in content

    def test_list_masks_what_the_site_stores_in_full(self, admin_client, settings):
        settings.NUMVERIFY = settings.NUMVERIFY | {"STORE_NUMBER": "full"}
        assert make_attempt().number_shown == NUMBER
        content = admin_client.get(ATTEMPTS).content.decode()

        assert "•••78" in content
        assert NUMBER[3:] not in content

    def test_list_shows_who_what_and_why(self, admin_client, rows):
        content = admin_client.get(ATTEMPTS).content.decode()
        attempt = rows[ATTEMPTS]

        shown = ["Unavailable", "operator timeout", "sandbox", "Log in", "•••78", "somebody", attempt.reference_shown]
        assert [text for text in shown if text not in content] == []

    def test_detail_page_shows_what_to_quote_and_no_secret(self, admin_client, rows):
        attempt = rows[ATTEMPTS]
        content = admin_client.get(f"{ATTEMPTS}{attempt.pk}/change/").content.decode()

        assert str(attempt.correlator) in content
        assert attempt.reference_shown in content
        digests = [attempt.state_digest, attempt.browser_digest, attempt.number_digest]
        secrets = [attempt.sealed, *map(str, digests), *(digest.hex for digest in digests)]
        assert [secret for secret in secrets if secret in content] == []

    def test_operator_name_is_escaped(self, admin_client, rows):
        name = "<script>alert('sim')</script>"
        VerificationAttempt.objects.update(operator=name)
        VerifiedNumber.objects.update(operator=name)
        pages = [path for where in rows for path in (where, f"{where}{rows[where].pk}/change/")]

        for path in pages:
            content = admin_client.get(path).content.decode()
            assert name not in content
            assert html.escape(name) in content

    def test_models_call_themselves_by_what_may_be_read(self):
        attempt = VerificationAttempt(reference="K7Q4MX2", outcome="mismatch")

        assert str(attempt) == "K7Q-4MX2 mismatch"
        assert str(VerifiedNumber(number=NUMBER)) == PhoneNumber(NUMBER).masked == "•••78"
        assert NUMBER[3:] not in repr(VerifiedNumber(number=NUMBER))


class TestSearch:
    @pytest.mark.parametrize("spell", [str, str.lower, lambda text: text.replace("-", ""), lambda text: f" {text} "])
    def test_reference_finds_its_row_in_every_spelling(self, admin_client, spell):
        make_rows(2)
        attempt = make_attempt()
        page = admin_client.get(ATTEMPTS, {"q": spell(attempt.reference_shown)})

        assert list(page.context["cl"].result_list) == [attempt]

    @pytest.mark.parametrize("term", [NUMBER, NUMBER[3:], "78", "somebody", "sandbox", "K7Q"])
    def test_nothing_else_is_searched(self, admin_client, rows, term):
        assert count_in(admin_client.get(ATTEMPTS, {"q": term})) == 0

    @pytest.mark.parametrize(
        ("name", "value"),
        [("outcome", "mismatch"), ("reason", "number_mismatch"), ("use", "fill"), ("operation", "share")],
    )
    def test_filter_finds_what_it_says(self, admin_client, name, value):
        make_attempt(exceptions.OperatorTimeout())
        wanted = make_attempt(exceptions.NumberMismatch(), operation="share", use="fill")
        query = f"{name}__exact={value}"
        assert f'href="?{query}"' in admin_client.get(ATTEMPTS).content.decode()

        assert list(admin_client.get(f"{ATTEMPTS}?{query}").context["cl"].result_list) == [wanted]

    @pytest.mark.parametrize(
        ("where", "query"),
        [
            (NUMBERS, "number__startswith=%2B346000000"),
            (ATTEMPTS, "sealed__startswith=s"),
            (ATTEMPTS, "user__verified_numbers__number__startswith=%2B346"),
            (NUMBERS, "user__password__startswith=a"),
        ],
    )
    def test_what_is_hidden_cannot_be_guessed_by_filtering(self, admin_client, rows, where, query):
        assert admin_client.get(f"{where}?{query}").status_code == 400


@BOTH
def test_query_count_does_not_grow_with_the_rows(admin_client, django_assert_num_queries, where):
    make_rows(1)
    assert count_in(admin_client.get(where)) == 1
    with CaptureQueriesContext(connection) as for_one:
        admin_client.get(where)
    make_rows(29)
    with django_assert_num_queries(len(for_one)):
        assert count_in(admin_client.get(where)) == 30


def test_newest_attempt_comes_first(admin_client):
    make_rows(3)
    page = admin_client.get(ATTEMPTS)

    assert list(page.context["cl"].result_list) == list(VerificationAttempt.objects.order_by("-pk"))
