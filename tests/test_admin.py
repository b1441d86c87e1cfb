"""The audit in the admin: everybody who may see it only looks, and sees no number."""

import html
import itertools
import re
import secrets
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

import numverify_django
from numverify_django import conf, models
from numverify_django.admin import drawing, search
from numverify_django.contrib.otp.models import CodeLogin
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import Opened, Outcome, VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import PhoneNumber

NUMBER = "+34600000078"
ATTEMPTS, NUMBERS = "/admin/numverify_django/verificationattempt/", "/admin/numverify_django/verifiednumber/"
STATES = itertools.count()

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]


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

    @pytest.mark.parametrize("outcome", Outcome.values)
    def test_badge_is_a_word_and_a_shape_of_its_own(self, admin_client, outcome):
        attempt = make_attempt()
        VerificationAttempt.objects.update(outcome=outcome)
        pages = [admin_client.get(path).content.decode() for path in (ATTEMPTS, f"{ATTEMPTS}{attempt.pk}/change/")]

        for page in pages:
            shape, word = re.search(rf'numverify-{outcome}"><svg.*?d="(.*?)"/></svg>(\w+)</span>', page).groups()
            assert (word, list(drawing.SHAPES.values()).count(shape)) == (Outcome(outcome).label, 1)

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    def test_badges_can_be_read(self, scheme):
        style = Path(numverify_django.__file__).with_name("static").joinpath("numverify/admin.css").read_text()
        (block,) = re.findall(rf'html\[data-theme="{scheme}"\][^{{]*{{(.*?)}}', style, re.DOTALL)
        colours = dict(re.findall(r"--numverify-(\w+): (#\w{6});", block))

        assert set(colours) == set(Outcome.values)
        for ground in {"light": ["#ffffff", "#f8f8f8"], "dark": ["#121212", "#212121"]}[scheme]:
            assert [name for name, colour in colours.items() if contrast(colour, ground) < 4.5] == []

    def test_both_dark_blocks_are_one(self):
        style = Path(numverify_django.__file__).with_name("static").joinpath("numverify/admin.css").read_text()
        blocks = re.findall(r"--numverify-verified: (#\w+);\s*(?:--.*?\s*)*?}", style)
        light, *dark = (
            re.findall("--numverify-.*", block) for block in re.findall(r"{([^{}]*--numverify[^{}]*: #[^{}]*)}", style)
        )
        assert (len(blocks), dark[0]) == (3, dark[1])
        assert light != dark[0]

    def test_list_tells_how_long_the_callback_took(self, admin_client):
        make_attempt()
        VerificationAttempt.objects.update(timings={"token": 40, "callback": 1234})

        assert "1,234\N{NO-BREAK SPACE}ms" in admin_client.get(ATTEMPTS).content.decode()

    def test_detail_page_has_a_bar_and_a_figure_for_each_hop(self, admin_client):
        attempt = make_attempt()
        timings = {"verify": 180, "callback": 360, "token": 90, "of another release": 7, "jwks": "8"}
        VerificationAttempt.objects.update(timings=timings)
        page = admin_client.get(f"{ATTEMPTS}{attempt.pk}/change/").content.decode()

        row = r'<th scope="row">([\w ]+)</th><td><svg.*?<rect width="(\d+)".*?</svg></td><td>(\d+).ms</td>'
        assert re.findall(row, page) == [
            ("token", "90", "90"),
            ("verify", "180", "180"),
            ("callback in all", "360", "360"),
        ]

    @pytest.mark.parametrize("timings", [{}, {"token": 0}])
    def test_detail_page_without_timings_is_one_too(self, admin_client, timings):
        attempt = make_attempt()
        VerificationAttempt.objects.update(timings=timings)
        assert admin_client.get(f"{ATTEMPTS}{attempt.pk}/change/").status_code == 200

    @pytest.mark.parametrize("kind", [kind for kind in exceptions.leaves() if kind.outcome], ids=lambda kind: kind.code)
    def test_detail_page_explains_the_reason_in_a_sentence(self, admin_client, kind):
        attempt = make_attempt(kind())
        page = html.unescape(admin_client.get(f"{ATTEMPTS}{attempt.pk}/change/").content.decode())

        text = f'<span class="numverify-explained">{kind.__doc__} <code>{kind.code}</code></span>'
        assert f"{kind.code.replace('_', ' ')} {text}" in page
        assert re.fullmatch(r"[A-Z][^\n]*\.", kind.__doc__)

    @pytest.mark.parametrize(
        ("language", "words"),
        [
            ("de", ["Zustimmung fehlt", "Nicht verfügbar", "Anmelden", "Begonnen", "Prüfen"]),
            ("es", ["falta el permiso", "No disponible", "Iniciar sesión", "Inicio", "Comprobar"]),
            ("pt-br", ["autorização necessária", "Indisponível", "Entrar", "Início", "Verificar"]),
        ],
    )
    def test_it_speaks_the_readers_language(self, admin_client, settings, language, words):
        settings.LANGUAGE_CODE = language
        attempt = make_attempt(exceptions.ConsentRequired())
        paths = ["", f"{attempt.pk}/change/", "summary/"]
        listed, shown, summed = (html.unescape(admin_client.get(ATTEMPTS + path).content.decode()) for path in paths)

        assert [word for word in words[:4] if word not in listed] == []
        assert f"{attempt.reference_shown} {words[1]}" in shown
        assert words[4] in shown
        assert words[0] in summed
        english = ["consent required", "Unavailable", "unavailable", "Log in", "Started", "Summary", "Success rate"]
        assert [word for word in english if word in re.sub("<[^>]*>", " ", listed + shown + summed)] == []

    def test_list_links_to_what_to_quote(self, admin_client, rows):
        page = admin_client.get(ATTEMPTS).content.decode()
        link = re.search(rf'href="([^"]*)#quote"[^>]*>{rows[ATTEMPTS].reference_shown}</a>', page)[1]
        row = admin_client.get(link).content.decode()

        assert re.search(rf'<input id="quote"[^>]* readonly [^>]*value="{rows[ATTEMPTS].correlator}">', row)
        assert f"{rows[ATTEMPTS].created_at:%Y-%m-%d %H:%M:%S} UTC" in row

    @pytest.mark.parametrize("path", ["", "{pk}/change/", "summary/", "?outcome__exact=refused", "{pk}/history/"])
    def test_page_passes_a_strict_policy(self, admin_client, path):
        attempt = make_attempt(exceptions.OperatorTimeout())
        VerificationAttempt.objects.update(timings={"token": 40, "callback": 1234})
        page = admin_client.get(ATTEMPTS + path.format(pk=attempt.pk)).content.decode()

        assert re.findall(r"<style|\sstyle=|<script>|<script(?![^>]*\ssrc=)|\son\w+=|javascript:", page) == []
        assert "numverify/admin.css" in page or "history" in path

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

        assert str(attempt) == "K7Q-4MX2 Mismatch"
        assert str(VerifiedNumber(number=NUMBER)) == PhoneNumber(NUMBER).masked == "•••78"
        assert NUMBER[3:] not in repr(VerifiedNumber(number=NUMBER))


class TestSearch:
    def test_reference_of_a_code_or_a_qr_login_leads_to_its_own_list(self, admin_client):
        now = timezone.now()
        facts = {"created_at": now, "expires_at": now, "browser_digest": uuid.uuid4()}
        for row in (CodeLogin.objects.create(**facts), QrLogin.objects.create(token_digest=uuid.uuid4(), **facts)):
            found = admin_client.post(f"{ATTEMPTS}search/", {"term": row.reference_shown})
            assert found["Location"] == f"/admin/{row._meta.app_label}/{row._meta.model_name}/?q={row.reference}"
            assert row.reference_shown in admin_client.get(found["Location"]).content.decode()

    @pytest.mark.parametrize("spell", [str, str.lower, lambda text: text.replace("-", ""), lambda text: f" {text} "])
    def test_reference_finds_its_row_in_every_spelling(self, admin_client, spell):
        make_rows(2)
        attempt = make_attempt()
        page = admin_client.get(ATTEMPTS, {"q": spell(attempt.reference_shown)})

        assert list(page.context["cl"].result_list) == [attempt]

    @pytest.mark.parametrize("term", [NUMBER, NUMBER[3:], "78", "somebody", "sandbox", "K7Q"])
    def test_nothing_else_is_searched_by_address(self, admin_client, rows, term):
        assert count_in(admin_client.get(ATTEMPTS, {"q": term})) == 0

    def test_form_is_posted(self, admin_client, rows):
        page = admin_client.get(ATTEMPTS).content.decode()
        form = re.search(rf'<form method="post" action="{ATTEMPTS}search/".*?</form>', page, re.DOTALL)[0]

        assert 'name="term"' in form
        assert "Number or reference. Numbers are hashed and kept in no address or log." in form
        assert 'name="q"' not in page
        assert admin_client.get(f"{ATTEMPTS}search/").status_code == 405

    @pytest.mark.parametrize("term", [NUMBER, "600 000 078", "+34 600-000-078", " 600000078 "])
    def test_number_finds_its_attempts_and_is_in_no_address(self, admin_client, term):
        make_rows(2)
        wanted = [make_attempt(), make_attempt()]
        VerificationAttempt.objects.exclude(pk__in=[row.pk for row in wanted]).update(number_digest=uuid.uuid4())
        answer = admin_client.post(f"{ATTEMPTS}search/", {"term": term})
        page = admin_client.get(answer["Location"])

        assert re.fullmatch(rf"{ATTEMPTS}\?found=[\w-]{{12}}", answer["Location"])
        assert {row.pk for row in page.context["cl"].result_list} == {row.pk for row in wanted}
        assert "By number" in page.content.decode()

    def test_number_finds_attempts_made_with_an_older_pepper(self, admin_client, settings):
        old = settings.NUMVERIFY | {"PEPPERS": ["o" * 32]}
        settings.NUMVERIFY = old
        first = make_attempt()
        settings.NUMVERIFY = old | {"PEPPERS": ["n" * 32, "o" * 32]}
        second = make_attempt()
        assert first.number_digest != second.number_digest
        page = admin_client.post(f"{ATTEMPTS}search/", {"term": NUMBER}, follow=True)

        assert list(page.context["cl"].result_list) == [second, first]

    def test_number_that_nobody_could_type_is_found_as_it_was_told(self):
        assert search.number_in("+99 1234-5678") == PhoneNumber("+9912345678")
        assert search.number_in("+34 912 345 678") == PhoneNumber("+34912345678")  # a share may tell a landline

    @pytest.mark.parametrize(
        ("spell", "finds"),
        [
            ("{}", True),
            ("Reference {}", True),
            ("Reference: {}.", True),
            ("{} 5", False),
            ("5 {}", False),
            ("34{}", False),
        ],
    )
    def test_reference_that_is_posted_finds_its_row(self, admin_client, spell, finds):
        attempt = make_attempt()
        VerificationAttempt.objects.update(reference="K7Q4MX2")
        page = admin_client.post(f"{ATTEMPTS}search/", {"term": spell.format("k7q-4mx2")}, follow=True)

        assert list(page.context["cl"].result_list) == [attempt]
        assert page.redirect_chain[0][0] == ATTEMPTS + ("?q=K7Q4MX2" if finds else "")
        assert ("This is neither a number nor a reference." in page.content.decode()) != finds

    @pytest.mark.parametrize("term", ["", "somebody", "555-2345", "5552345", "12", "+34", "x" * 10_000, "\0"])
    def test_what_is_neither_is_told_and_not_repeated(self, admin_client, rows, term):
        page = admin_client.post(f"{ATTEMPTS}search/", {"term": term}, follow=True)

        assert page.redirect_chain == [(ATTEMPTS, 302)]
        assert "This is neither a number nor a reference." in page.content.decode()

    def test_reference_is_never_only_digits(self, monkeypatch):
        drawn = iter("2345678" + "2345A78")
        monkeypatch.setattr(secrets, "choice", lambda alphabet: next(drawn))
        assert models.reference() == "2345A78"

    def test_search_of_another_session_or_of_long_ago_finds_nothing(self, admin_client, client, admin_user):
        make_attempt()
        place = admin_client.post(f"{ATTEMPTS}search/", {"term": NUMBER})["Location"]
        assert count_in(admin_client.get(place)) == 1
        client.logout()
        client.force_login(admin_user)
        assert count_in(client.get(place)) == 0
        assert "This search is over." in client.get(place).content.decode()
        session = admin_client.session
        for found in session[search.KEY].values():
            found["at"] -= search.LIFETIME + 1
        session.save()
        assert count_in(admin_client.get(place)) == 0

    def test_session_remembers_few_searches(self, admin_client):
        for number in range(search.KEPT + 2):
            admin_client.post(f"{ATTEMPTS}search/", {"term": f"+3460000000{number}"})

        assert [found["shown"][-1] for found in admin_client.session[search.KEY].values()] == ["2", "3", "4", "5", "6"]

    def test_search_needs_permission_to_see(self, staff_client, rows):
        assert staff_client.post(f"{ATTEMPTS}search/", {"term": NUMBER}).status_code == 403
        staff_client.allow("view_verificationattempt")
        assert count_in(staff_client.post(f"{ATTEMPTS}search/", {"term": NUMBER}, follow=True)) == 1


class TestFilters:
    @pytest.mark.parametrize(
        ("name", "value"),
        [("outcome", "mismatch"), ("reason", "number_mismatch"), ("use", "fill")],
    )
    def test_filter_finds_what_it_says(self, admin_client, name, value):
        make_attempt(exceptions.OperatorTimeout())
        wanted = make_attempt(exceptions.NumberMismatch(), operation="share", use="fill")
        query = f"{name}__exact={value}"
        assert f'href="?{query}"' in admin_client.get(ATTEMPTS).content.decode()

        assert list(admin_client.get(f"{ATTEMPTS}?{query}").context["cl"].result_list) == [wanted]

    @pytest.mark.parametrize(("since", "kept"), [("1h", 1), ("24h", 2), ("7d", 3), ("30d", 4)])
    def test_time_window_leaves_out_what_is_older(self, admin_client, since, kept):
        for hours in (0, 2, 25, 24 * 8, 24 * 31):
            at = timezone.now() - timedelta(hours=hours)
            VerificationAttempt.objects.filter(pk=make_attempt().pk).update(created_at=at)
        assert f'href="?since={since}"' in admin_client.get(ATTEMPTS).content.decode()

        assert count_in(admin_client.get(ATTEMPTS, {"since": since})) == kept

    def test_unknown_time_window_is_refused(self, admin_client):
        assert admin_client.get(ATTEMPTS, {"since": "2 hours"})["Location"] == f"{ATTEMPTS}?e=1"

    def test_operators_are_those_of_the_settings_and_those_that_were_counted(self, admin_client):
        attempt = make_attempt()
        VerificationAttempt.objects.update(operator="of last year's settings")
        admin_client.get(ATTEMPTS)
        page = admin_client.get(ATTEMPTS)
        (choices,) = [spec.lookup_choices for spec in page.context["cl"].filter_specs if spec.title == "operator"]

        assert [name for name, _ in choices] == ["sandbox", "of last year's settings"]
        found = admin_client.get(ATTEMPTS, {"operator": "of last year's settings"})
        assert list(found.context["cl"].result_list) == [attempt]
        assert count_in(admin_client.get(ATTEMPTS, {"operator": "sandbox"})) == 0

    def test_no_filter_reads_the_table(self, admin_client):
        make_rows(3)
        admin_client.get(ATTEMPTS)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(ATTEMPTS)
        asked = [query["sql"] for query in queries if "verificationattempt" in query["sql"]]

        assert len(asked) == 1  # which; how many, where there are more, nobody counts
        assert "DISTINCT" not in str(asked)
        assert "Show counts" not in admin_client.get(ATTEMPTS).content.decode()

    @pytest.mark.parametrize("query", ["outcome__exact=refused", "q=K7Q4MX2", "since=1h&operator=another", "found=x"])
    def test_nothing_matches_and_the_way_back_is_there(self, admin_client, rows, query):
        page = admin_client.get(f"{ATTEMPTS}?{query}").content.decode()

        assert 'Nothing matches. <a href="?">Clear the filters.</a>' in page
        assert "Export CSV" not in page

    def test_empty_audit_matches_nothing_and_says_no_such_thing(self, admin_client):
        assert "Nothing matches." not in admin_client.get(ATTEMPTS).content.decode()

    @pytest.mark.parametrize(
        "query", ["outcome__in=a,b", "reason__startswith=n", "outcome__gt=a", "operator__contains=a"]
    )
    def test_filter_takes_no_other_lookup(self, admin_client, query):
        assert admin_client.get(f"{ATTEMPTS}?{query}").status_code == 400

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


class TestAccountPage:
    """What the inlines show on the page of an account."""

    @pytest.fixture
    def page_of(self, admin_client):
        return lambda user: admin_client.get(f"/admin/auth/user/{user.pk}/change/").content.decode()

    def test_numbers_and_last_attempts_are_shown_masked(self, page_of, rows):
        make_attempt()
        page = page_of(rows[NUMBERS].user)

        assert re.findall(r'<td class="field-masked">\s*<p>(.*?)</p>', page) == ['<bdi dir="ltr">•••78</bdi>'] * 2
        assert rows[ATTEMPTS].reference_shown in page
        assert f"{ATTEMPTS}{rows[ATTEMPTS].pk}/change/" in page
        assert NUMBER[3:] not in page

    def test_last_ten_attempts_are_shown_newest_first(self, page_of, rows):
        attempts = [make_attempt(user=rows[NUMBERS].user) for _ in range(12)]
        page = page_of(rows[NUMBERS].user)

        shown = re.findall(r"([A-Z0-9]{3}-[A-Z0-9]{4}) Pending", page)
        assert shown == [attempt.reference_shown for attempt in reversed(attempts)][:10]

    def test_each_table_is_one_query(self, admin_client, rows):
        for number in range(3):
            make_number(rows[NUMBERS].user, f"+3460000010{number}")
            make_attempt(user=rows[NUMBERS].user)
        with CaptureQueriesContext(connection) as queries:
            admin_client.get(f"/admin/auth/user/{rows[NUMBERS].user.pk}/change/")
        for table in ("verificationattempt", "verifiednumber"):
            read = f"FROM {connection.ops.quote_name(f'numverify_django_{table}')}"
            assert len([query for query in queries if read in query["sql"]]) == 1

    def test_account_is_saved_and_its_records_are_as_they_were(self, admin_client, rows):
        user = rows[NUMBERS].user
        before = [list(model.objects.values()) for model in (VerificationAttempt, VerifiedNumber)]
        answer = admin_client.post(f"/admin/auth/user/{user.pk}/change/", account_form("renamed"))
        user.refresh_from_db()

        assert (answer.status_code, user.username) == (302, "renamed")
        assert [list(model.objects.values()) for model in (VerificationAttempt, VerifiedNumber)] == before

    def test_rows_that_are_posted_are_not_read(self, admin_client, rows):
        user = rows[NUMBERS].user
        before = [list(model.objects.values()) for model in (VerificationAttempt, VerifiedNumber)]
        forged = account_form("renamed")
        for prefix in ("verified_numbers", "verification_attempts"):
            forged |= {f"{prefix}-TOTAL_FORMS": "2", f"{prefix}-INITIAL_FORMS": "1"}
            forged |= {f"{prefix}-0-id": "1", f"{prefix}-0-DELETE": "on", f"{prefix}-0-operator": "evil"}
            forged |= {f"{prefix}-1-number": "+34600000009", f"{prefix}-1-operator": "evil"}
        answer = admin_client.post(f"/admin/auth/user/{user.pk}/change/", forged)

        assert answer.status_code == 302
        assert [list(model.objects.values()) for model in (VerificationAttempt, VerifiedNumber)] == before

    def test_form_with_an_error_shows_them_again(self, admin_client, rows):
        page = admin_client.post(f"/admin/auth/user/{rows[NUMBERS].user.pk}/change/", account_form(""))
        assert (page.status_code, page.content.decode().count("•••78</bdi></p>")) == (200, 2)

    def test_whoever_may_see_accounts_alone_sees_neither(self, staff_client, rows):
        path = f"/admin/auth/user/{rows[NUMBERS].user.pk}/change/"
        staff_client.allow("view_user")
        assert "•••78" not in staff_client.get(path).content.decode()
        staff_client.allow("view_user", "view_verifiednumber")
        assert staff_client.get(path).content.decode().count("•••78</bdi></p>") == 1

    def test_account_that_is_being_made_has_none(self, admin_client):
        page = admin_client.get("/admin/auth/user/add/").content.decode()
        assert "verification attempts" not in page.partition('id="content"')[2].lower()


def account_form(username):
    """Return what the page of an account posts."""
    return {"username": username, "is_active": "on", "date_joined_0": "2026-11-24", "date_joined_1": "12:00:00"}


def contrast(one, other):
    """Return the contrast ratio of two colours such as #1b6e3c (WCAG 2.2, 1.4.3)."""
    lighter, darker = sorted(map(luminance, (one, other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
