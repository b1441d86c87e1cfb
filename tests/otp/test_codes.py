"""A login by code, from the number to the record of it."""

import itertools
import logging
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_login_failed
from django.core import mail
from django.db import connections
from django.test import Client

from numverify_django import conf, sealing
from numverify_django.contrib.otp import models
from numverify_django.contrib.otp.models import CodeDevice, CodeLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber

from ..conftest import Browser
from .conftest import (
    ASK,
    ENTER,
    HOST,
    NUMBER,
    TYPED,
    UNKNOWN,
    Person,
    enrol,
    make_user,
    only_row,
    query_of,
    wrong,
)

BACKEND = "numverify_django.contrib.otp.backends.OneTimeCodeBackend"
NOT_RIGHT = "That code isn&#x27;t right. Use the latest message."
RUN_OUT = "That code has run out. Send a new one."


def text_of(page):
    """Return the page without its reference and token."""
    return re.sub(r'name="(csrfmiddlewaretoken|reference|retry)" value="\w+"', "", page.content.decode())


def wait_for(inbox):
    """Wait until a live site has sent a message."""
    deadline = time.monotonic() + 20
    while not inbox.messages and time.monotonic() < deadline:
        time.sleep(0.01)


def move(**ages):
    """Make every row and device older by ``ages`` (of a timedelta)."""
    for model, names in ((CodeLogin, ["created_at", "expires_at"]), (CodeDevice, ["valid_until"])):
        for row in model.objects.all():
            moved = {name: getattr(row, name) - timedelta(**ages) for name in names}
            model.objects.filter(pk=row.pk).update(**moved)


class TestLogin:
    def test_code_logs_in_the_account_of_the_number(self, person, inbox):
        asked = person.ask(next="/payment/")
        answer = person.enter(asked, inbox.code)

        assert (answer.status_code, answer["Location"]) == (302, "/payment/")
        assert person.user_id == str(VerifiedNumber.objects.get().user_id)
        assert person.client.session["_auth_user_backend"] == BACKEND

    def test_code_is_on_record_as_one(self, person, inbox):
        person.enter(person.ask(), inbox.code)
        row = only_row()

        assert (row.outcome, row.reason, row.tries, row.number_shown) == ("logged_in", "", 1, "•••01")
        assert row.user == VerifiedNumber.objects.get().user
        assert (row.sealed, row.ended_at is None) == ("", False)
        assert not VerificationAttempt.objects.exists()

    def test_code_is_no_proof_by_sim(self, person, inbox):
        proved_at = VerifiedNumber.objects.get().last_verified_at
        person.enter(person.ask(), inbox.code)
        request = person.client.get("/home/").wsgi_request

        assert request.user.is_authenticated
        assert not request.number_verification.is_verified
        assert not request.number_verification.is_fresh()
        assert VerifiedNumber.objects.get().last_verified_at == proved_at

    def test_guarded_page_asks_for_the_sim_after_a_code(self, person, inbox):
        person.enter(person.ask(), inbox.code)
        answer = person.client.get("/payment/", headers={"Sec-Fetch-Site": "cross-site"})

        assert (answer.status_code, answer["Location"]) == (302, "/numverify/login/?next=%2Fpayment%2F&confirm=yes")
        assert "Log in another way" not in person.client.get(answer["Location"]).content.decode()

    def test_session_gets_another_key(self, person, inbox):
        asked = person.ask()
        before = person.client.session.session_key
        person.enter(asked, inbox.code)

        assert person.client.session.session_key != before
        assert not type(person.client.session)().exists(before)

    def test_proof_of_an_earlier_login_is_forgotten(self, person, inbox):
        session = person.client.session
        session["numverify"] = {"proof": {"number": VerifiedNumber.objects.get().pk, "at": 9e9, "operator": "movil"}}
        session.save()
        person.enter(person.ask(), inbox.code)

        assert not person.client.get("/home/").wsgi_request.number_verification.is_verified

    @pytest.mark.parametrize("grouped", ["{} {}", " {}-{} ", "{}\t{}\n", "{}\u00a0{}"])
    def test_blanks_are_accepted(self, person, inbox, grouped):
        asked = person.ask()
        person.enter(asked, grouped.format(inbox.code[:3], inbox.code[3:]))

        assert person.user_id is not None

    def test_device_is_no_second_factor_of_django_otp(self, person):
        from django_otp import devices_for_user, match_token, user_has_device

        user = VerifiedNumber.objects.get().user
        person.ask()

        assert CodeDevice.objects.filter(user=user).count() == 1
        assert not user_has_device(user)
        assert list(devices_for_user(user)) == []
        assert match_token(user, CodeDevice.objects.get().token) is None

    def test_message_says_whose_it_is_and_where_it_is_filled_in(self, person, inbox):
        person.ask()
        ((number, text),) = inbox.messages

        assert number.e164 == NUMBER
        code = inbox.code
        assert text == f"{code} is your {HOST} login code. Never share it.\n\n@{HOST} #{code}"

    def test_port_is_no_part_of_the_host_in_the_message(self, person, inbox):
        person.client.defaults["SERVER_PORT"] = "8000"
        person.ask()

        assert inbox.messages[0][1].endswith(f"@{HOST} #{inbox.code}")


class TestWhoGetsACode:
    def test_page_is_the_same_for_a_number_without_an_account(self, person, inbox):
        stranger = Person()
        asked, unknown = person.ask(), stranger.ask(UNKNOWN)
        pages = [who.client.get(answer["Location"]) for who, answer in ((person, asked), (stranger, unknown))]

        assert text_of(pages[0]) == text_of(pages[1])
        assert pages[0].status_code == pages[1].status_code == 200
        assert query_of(asked).keys() == query_of(unknown).keys()
        assert len(inbox) == 1

    def test_wrong_codes_are_answered_alike(self, person):
        stranger = Person()
        asked, unknown = person.ask(), stranger.ask(UNKNOWN)
        answers = [[who.enter(a, "000000") for _ in range(7)] for who, a in ((person, asked), (stranger, unknown))]

        for mine, theirs in zip(*answers, strict=True):
            assert (text_of(mine), mine.status_code) == (text_of(theirs), theirs.status_code)

    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            ({"is_active": False}, "account_inactive"),
            ({"is_staff": True}, "staff_refused"),
            ({"is_superuser": True}, "staff_refused"),
        ],
        ids=str,
    )
    def test_account_that_may_not_log_in_gets_none(self, person, inbox, facts, reason):
        get_user_model().objects.update(**facts)
        asked = person.ask()

        assert (len(inbox), only_row().outcome, only_row().reason) == (0, "refused", reason)
        assert "on its way" in person.client.get(asked["Location"]).content.decode()

    def test_staff_get_one_where_the_site_says_so(self, person, inbox, configure):
        configure(ALLOW_STAFF=True)
        get_user_model().objects.update(is_staff=True)
        person.enter(person.ask(), inbox.code)

        assert person.user_id is not None

    def test_unknown_number_gets_none(self, person, inbox):
        person.ask(UNKNOWN)

        assert (len(inbox), only_row().reason) == (0, "account_unknown")

    def test_number_of_an_operator_that_is_gone_gets_none(self, person, inbox):
        VerifiedNumber.objects.update(operator="sandbox")
        person.ask()

        assert (len(inbox), only_row().reason) == (0, "operator_not_bound")

    @pytest.mark.parametrize("facts", [{"is_active": False}, {"is_staff": True}], ids=str)
    def test_account_that_may_not_log_in_any_more_is_refused(self, person, inbox, facts):
        asked = person.ask()
        get_user_model().objects.update(**facts)
        answer = person.enter(asked, inbox.code)

        assert (answer.status_code, person.user_id, only_row().outcome) == (403, None, "refused")
        assert "We couldn&#x27;t log you in with this number" in answer.content.decode().replace("'", "&#x27;")
        assert only_row().reference_shown in answer.content.decode()

    def test_number_that_left_the_account_logs_nobody_in(self, person, inbox):
        asked = person.ask()
        VerifiedNumber.objects.all().delete()
        enrol(make_user("eve"))
        answer = person.enter(asked, inbox.code)

        assert (answer.status_code, person.user_id) == (400, None)

    def test_account_is_looked_for_when_the_page_has_been_sent(self, transactional_db, configure, live_server):
        gate, sent = threading.Event(), threading.Event()

        def slow(number, text):
            gate.wait(20)
            sent.set()

        configure(CODE_SENDER=slow)
        enrol(make_user())
        answer = Browser(live_server.url).post(ASK, {"phone_number": TYPED}, allow_redirects=False)
        row = only_row()
        try:
            assert (answer.status_code, sent.is_set(), row.outcome) == (302, False, "asked")
        finally:
            gate.set()
        assert sent.wait(20)


class TestWrongCodes:
    def test_wrong_code_may_be_followed_by_the_right_one(self, person, inbox):
        asked = person.ask()
        answer = person.enter(asked, wrong(inbox.code))
        assert (answer.status_code, NOT_RIGHT in answer.content.decode(), only_row().outcome) == (400, True, "wrong")
        assert "<title>Error: Enter the code" in answer.content.decode()

        person.enter(asked, inbox.code)
        assert (person.user_id is not None, only_row().outcome, only_row().tries) == (True, "logged_in", 2)

    def test_five_wrong_codes_end_it(self, person, inbox):
        asked = person.ask()
        answers = [person.enter(asked, wrong(inbox.code)).content.decode() for _ in range(5)]

        assert [NOT_RIGHT in answer for answer in answers] == [True] * 4 + [False]
        assert RUN_OUT in answers[-1]
        assert RUN_OUT in person.enter(asked, inbox.code).content.decode()
        assert (person.user_id, only_row().outcome, only_row().tries) == (None, "limited", 5)

    @pytest.mark.parametrize("typed", ["", "12345", "1234567", "12345a", "١٢٣٤٥٦", "\0" * 6, "0" * 5000])
    def test_what_is_no_code_costs_no_try(self, person, typed):
        answer = person.enter(person.ask(), typed)

        assert (answer.status_code, only_row().tries) == (400, 0)
        assert "The code must be 6 digits" in answer.content.decode()

    def test_code_is_spent_by_its_use(self, person, inbox):
        asked = person.ask()
        person.enter(asked, inbox.code)
        browser = person.client.session["numverify"]
        person.client.logout()
        session = person.client.session
        session["numverify"] = browser
        session.save()
        answer = person.enter(asked, inbox.code)

        assert (answer.status_code, RUN_OUT in answer.content.decode(), person.user_id) == (400, True, None)

    def test_code_runs_out_after_ten_minutes(self, person, inbox):
        asked = person.ask()
        move(minutes=9, seconds=50)
        assert NOT_RIGHT in person.enter(asked, wrong(inbox.code)).content.decode()
        move(seconds=20)
        answer = person.enter(asked, inbox.code)

        assert (answer.status_code, RUN_OUT in answer.content.decode()) == (400, True)
        assert (person.user_id, only_row().outcome) == (None, "expired")

    def test_new_code_ends_the_one_before(self, person, inbox):
        first, old = person.ask(), inbox.code
        move(seconds=31)
        second = person.again(first)
        assert len(inbox) == 2
        assert person.enter(second, old).status_code == 400 or old == inbox.code
        assert person.enter(first, inbox.code).status_code == 400
        person.enter(second, inbox.code)

        assert person.user_id is not None

    def test_new_code_may_be_had_after_the_old_one_ran_out(self, person, inbox):
        first = person.ask()
        move(minutes=11)
        person.enter(person.again(first), inbox.code)

        assert (len(inbox), person.user_id is not None) == (2, True)

    def test_number_is_asked_for_again_after_twenty_minutes(self, person, inbox):
        first = person.ask()
        move(minutes=21)
        answer = person.again(first)

        assert (answer.status_code, 'name="phone_number"' in answer.content.decode(), len(inbox)) == (200, True, 1)

    @pytest.mark.parametrize("number", [TYPED, UNKNOWN])
    def test_who_asks_again_at_once_is_told_to_wait(self, person, inbox, number):
        first = person.client.get(person.ask(number)["Location"]).content.decode()
        again = person.ask(number)
        words = "You asked for a code a moment ago."

        assert (words in first, words in person.client.get(again["Location"]).content.decode()) == (False, True)

    def test_form_that_is_sent_twice_sends_one_message(self, person, inbox):
        first, second = person.ask(), person.ask()

        assert (len(inbox), CodeLogin.objects.count()) == (1, 1)
        assert query_of(first) | {"sent": "before"} == query_of(second)
        person.enter(second, inbox.code)
        assert person.user_id is not None

    def test_new_code_is_sent_at_once_where_the_old_one_was_ended(self, person, inbox):
        asked = person.ask()
        for _ in range(5):
            person.enter(asked, wrong(inbox.code))
        person.again(asked)

        assert len(inbox) == 2

    def test_failed_login_is_signalled_without_the_code(self, person, inbox):
        heard = []

        def listen(sender, credentials, request, **kwargs):
            heard.append(repr(credentials))

        asked = person.ask()
        user_login_failed.connect(listen)
        try:
            person.enter(asked, typed := wrong(inbox.code))
        finally:
            user_login_failed.disconnect(listen)

        assert len(heard) == 1
        assert typed not in heard[0]

    def test_one_of_ten_racing_requests_logs_in(self, transactional_db, configure, inbox, live_server):
        enrol(make_user())
        browser = Browser(live_server.url)
        page = browser.post(ASK, {"phone_number": TYPED})
        wait_for(inbox)
        data = {"code": inbox.code, "reference": re.search(r"reference=(\w+)", page.url)[1]}
        with ThreadPoolExecutor(10) as pool:
            post = partial(browser.post, ENTER, page="/home/", allow_redirects=False)
            statuses = [answer.status_code for answer in pool.map(post, [data] * 10)]

        assert statuses.count(302) == 1
        assert (only_row().outcome, only_row().user) == ("logged_in", get_user_model().objects.get())


class TestBrowserAndStranger:
    def test_code_of_another_browser_is_of_no_use(self, person, inbox):
        asked, thief = person.ask(), Person()
        answer = thief.enter(asked, inbox.code)
        assert (answer.status_code, thief.user_id, only_row().tries) == (400, None, 0)
        assert "This login is no longer open" in answer.content.decode()
        assert thief.client.get(asked["Location"]).status_code == 400

        own = thief.ask(UNKNOWN)
        assert thief.enter(own, inbox.code).status_code == 400
        assert thief.user_id is None
        person.enter(asked, inbox.code)
        assert person.user_id is not None

    def test_code_is_of_no_use_to_another_browser_that_asked_for_the_same_number(self, person, inbox):
        person.ask()
        mine, thief = inbox.code, Person()
        theirs = thief.ask()

        assert len(inbox) == 2
        assert thief.enter(theirs, mine).status_code == 400 or mine == inbox.code

    def test_stranger_cannot_lock_a_person_out(self, person, inbox):
        asked, mine = person.ask(), inbox.code
        for last in range(2, 6):
            stranger = Person()
            stranger.address = f"192.0.2.{last}"
            theirs = stranger.ask()
            for _ in range(6):
                stranger.enter(theirs, wrong(inbox.code))
        person.enter(asked, mine)

        assert person.user_id is not None
        again = Person()
        assert again.ask().status_code == 302

    def test_database_holds_neither_code_nor_key(self, person, inbox):
        person.ask()
        rows = str([list(model.objects.values()) for model in (CodeLogin, CodeDevice)])

        assert inbox.code not in rows
        assert NUMBER not in rows

    def test_who_is_logged_in_gets_no_code(self, person, inbox):
        asked = person.ask()
        other = make_user("other")
        person.client.force_login(other, "django.contrib.auth.backends.ModelBackend")
        answers = [person.client.get(ASK), person.ask(), person.client.get(asked["Location"])]
        answers.append(person.enter(asked, inbox.code))

        assert [answer.status_code for answer in answers] == [200, 409, 200, 409]
        assert all("already logged in" in answer.content.decode() for answer in answers)
        assert (len(inbox), person.user_id) == (1, str(other.pk))

    @pytest.mark.parametrize("path", [ASK, ENTER])
    def test_form_of_another_site_is_refused(self, person, inbox, path):
        client = Client(SERVER_NAME=HOST, enforce_csrf_checks=True)
        answer = client.post(path, {"phone_number": TYPED, "code": "123456"})

        assert (answer.status_code, len(inbox)) == (403, 0)
        assert "This login is no longer open" in answer.content.decode()

    @pytest.mark.parametrize("path", [ASK, ENTER])
    def test_pages_are_neither_cached_nor_framed(self, person, path):
        answers = [person.client.get(path), person.client.post(path), person.client.get(path, headers={"Cookie": ""})]
        answers.append(person.client.put(path))

        for answer in answers:
            assert "no-store" in answer["Cache-Control"]
            assert (answer["X-Frame-Options"], answer["Referrer-Policy"]) == ("DENY", "same-origin")
        assert answers[-1].status_code == 405

    @pytest.mark.parametrize("path", [ASK, ENTER])
    def test_pages_need_no_login(self, person, settings, path):
        settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]

        assert person.client.get(path).status_code in (200, 400)

    @pytest.mark.parametrize("next_url", ["https://evil.example/", "//evil.example/", "#top", ""])
    def test_next_leads_to_this_site_alone(self, person, inbox, next_url):
        asked = person.ask(next=next_url)
        answer = person.enter(asked, inbox.code, next=next_url)

        assert answer["Location"] == "/home/"

    @pytest.mark.parametrize("reference", ["", "x", "\0", "AAAAAAA", "A" * 999, "٣"])
    def test_reference_that_is_none_is_no_longer_open(self, person, reference):
        person.ask()

        assert person.client.get(ENTER, {"reference": reference}).status_code == 400
        assert person.client.post(ENTER, {"reference": reference, "code": "123456"}).status_code == 400
        assert person.client.post(ASK, {"retry": reference}).status_code == 200

    def test_number_is_on_no_page_and_in_no_address(self, person, inbox, caplog):
        caplog.set_level(logging.DEBUG)
        asked = person.ask()
        pages = [asked, person.client.get(asked["Location"]), person.enter(asked, wrong(inbox.code))]
        person.again(asked)
        seen = "".join(f"{dict(page.items())} {page.content.decode()}" for page in pages)

        for secret in (NUMBER, NUMBER[1:], NUMBER[3:], TYPED, inbox.code):
            assert secret not in seen
            assert secret not in caplog.text


class TestWhatIsKept:
    def test_digest_of_a_code_is_of_no_use_without_the_servers_key(self, person, inbox):
        person.ask()
        browser, token = person.client.session["numverify"]["browser"], CodeDevice.objects.get().token
        keys = ["numverify_django", browser, f"{browser}:"]
        guesses = {sealing.digest(f"{text}{inbox.code}", key).hex[:16] for key in keys for text in ("", f"{browser}:")}

        assert token not in guesses
        assert token == sealing.digest(inbox.code, f"{browser}:{settings.SECRET_KEY}").hex[:16]

    def test_code_of_a_message_that_seemed_to_fail_logs_in(self, person, inbox, configure):
        def send(number, text):
            inbox(number, text)
            raise TimeoutError

        configure(CODE_SENDER=send)
        asked = person.ask()
        assert only_row().outcome == "failed"
        answer = person.enter(asked, inbox.code)

        assert (answer.status_code, only_row().outcome, only_row().reason) == (302, "logged_in", "")


class TestLimits:
    @pytest.mark.parametrize("number", [TYPED, UNKNOWN])
    def test_number_and_address_are_limited(self, person, inbox, configure, number):
        configure(RATE_LIMITS={"number_address": [2, 600]})
        answers = [Person().ask(number) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [302, 302, 429]
        assert 0 < int(answers[-1]["Retry-After"]) <= 600
        assert CodeLogin.objects.count() == 2
        page = answers[-1].content.decode()
        assert "Too many tries for now" in page
        assert ('href="/numverify/login/?' in page, f'href="{ASK}?' in page) == (True, True)
        elsewhere = Person()
        elsewhere.address = "192.0.2.2"
        assert elsewhere.ask(number).status_code == 302

    def test_number_is_limited_from_wherever_codes_are_asked_for(self, person, inbox):
        statuses = []
        for last in range(12):
            stranger = Person()
            stranger.address = f"2001:db8:{last}::1"
            statuses.append(stranger.ask().status_code)

        assert (statuses, len(inbox)) == ([302] * 10 + [429] * 2, 10)
        assert person.client.get("/numverify/login/").status_code == 200

    @pytest.mark.parametrize("limit", ["session", "site", "address"])
    def test_limit_is_kept(self, person, inbox, configure, limit):
        configure(RATE_LIMITS={limit: [3, 600]})
        answers = [person.ask(f"60000000{last}").status_code for last in range(1, 5)]

        assert answers == [302, 302, 302, 429]
        assert len(inbox) == 1

    def test_button_for_a_new_code_is_limited_too(self, person, inbox, configure):
        configure(RATE_LIMITS={"session": [1, 600]})
        asked = person.ask()
        move(seconds=31)

        assert (person.again(asked).status_code, len(inbox)) == (429, 1)

    def test_attempts_by_sim_are_counted_apart(self, person, configure):
        configure(RATE_LIMITS={"session": [1, 600]})
        assert person.ask().status_code == 302
        assert not VerificationAttempt.objects.exists()

    @pytest.mark.parametrize(
        ("number", "told"),
        [
            ("+44 7400 123456", "Enter a mobile number that begins with"),
            ("", "Enter your mobile number"),
            ("  ", "Enter your mobile number"),
            ("600 000", "with all its digits"),
            ("abc", "Use digits only"),
            ("806 123 456", "Enter "),
        ],
    )
    def test_number_that_no_operator_serves_gets_no_row(self, person, inbox, number, told):
        answer = person.ask(number)

        assert (answer.status_code, told in answer.content.decode()) == (400, True)
        assert (len(inbox), CodeLogin.objects.count()) == (0, 0)
        assert "<title>Error: Get a code by text message" in answer.content.decode()

    def test_operator_that_shares_makes_no_empty_number_of_it(self, person, inbox, settings):
        operators = {"movil": settings.NUMVERIFY["OPERATORS"]["movil"] | {"OPERATION": "share"}}
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": operators}

        assert (person.ask("").status_code, len(inbox)) == (400, 0)


class TestSender:
    def test_missing_sender_is_told_on_a_page(self, person, configure, caplog):
        configure(CODE_SENDER=None)
        answer = person.ask()

        assert (answer.status_code, CodeLogin.objects.count()) == (503, 0)
        assert "Codes don" in answer.content.decode()
        assert "CODE_SENDER" in caplog.text

    @pytest.mark.parametrize("error", [RuntimeError(NUMBER), ValueError(TYPED), TimeoutError()], ids=repr)
    def test_sender_that_fails_is_logged_and_answered_as_any(self, person, inbox, caplog, error):
        inbox.broken = error
        asked = person.ask()
        page, unknown = person.client.get(asked["Location"]), Person()
        other = unknown.client.get(unknown.ask(UNKNOWN)["Location"])
        row = CodeLogin.objects.earliest("pk")

        assert text_of(page) == text_of(other)
        assert (row.outcome, row.reason) == ("failed", "misconfigured")
        assert (row.reference_shown in caplog.text, type(error).__name__ in caplog.text) == (True, True)
        for secret in (NUMBER, TYPED):
            assert secret not in caplog.text
        assert mail.outbox == []

    def test_code_that_is_typed_before_the_sender_is_done_stays_on_record(self, person, configure):
        def slow(number, text):
            CodeLogin.objects.get().end("wrong")

        configure(CODE_SENDER=slow)
        person.ask()

        assert only_row().outcome == "wrong"

    def test_person_tries_again_where_the_sender_failed(self, person, inbox):
        inbox.broken = RuntimeError()
        asked = person.ask()
        inbox.broken = None
        move(seconds=31)
        person.enter(person.again(asked), inbox.code)

        assert person.user_id is not None

    def test_site_that_takes_any_host_sends_nothing(self, person, inbox, settings):
        settings.ALLOWED_HOSTS = ["*"]

        assert (person.ask().status_code, len(inbox)) == (503, 0)

    @pytest.mark.parametrize("atomic", [False, True])
    def test_message_is_sent_outside_of_transactions(self, transactional_db, configure, monkeypatch, atomic):
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic)
        within = []
        configure(CODE_SENDER=lambda number, text: within.append(connections["default"].in_atomic_block))
        enrol(make_user())
        Person().ask()

        assert within == [False]

    def test_settings_that_are_wrong_are_told_on_a_page(self, person, configure, inbox):
        configure(CODE_SENDER="missing.sender")

        assert (person.ask().status_code, len(inbox)) == (503, 0)

    def test_console_shows_the_message_and_not_the_number(self, person, configure, capsys):
        configure(CODE_SENDER="numverify_django.contrib.otp.senders.console")
        person.ask()
        printed = capsys.readouterr().out

        assert re.search(r"^Text message to •••01:\n[0-9]{6} is your ", printed)
        assert NUMBER[3:] not in printed


class TestPolicy:
    @pytest.mark.parametrize("answer", [False, None, "/second/factor/", 1, "yes"])
    def test_policy_lets_in_by_true_alone(self, person, inbox, configure, answer):
        configure(LOGIN_POLICY=lambda request, user, attempt: answer)
        response = person.enter(person.ask(), inbox.code)

        assert (response.status_code, person.user_id) == (403, None)
        assert (only_row().outcome, only_row().reason) == ("refused", "policy_refused")

    def test_policy_is_told_that_it_is_a_code(self, person, inbox, configure):
        asked = []

        def policy(request, user, attempt):
            asked.append((user, attempt.operation, attempt.use, attempt.operator, attempt.verified_number.user))
            return True

        configure(LOGIN_POLICY=policy)
        person.enter(person.ask(), inbox.code)
        user = get_user_model().objects.get()

        assert asked == [(user, "code", "login", "movil", user)]
        assert person.user_id == str(user.pk)

    def test_policy_that_fails_lets_nobody_in(self, person, inbox, configure, caplog):
        def policy(request, user, attempt):
            raise ValueError(user.verified_numbers.get().number)

        configure(LOGIN_POLICY=policy)
        answer = person.enter(person.ask(), inbox.code)

        assert (answer.status_code, person.user_id, only_row().outcome) == (503, None, "failed")
        assert NUMBER not in caplog.text
        assert NUMBER not in answer.content.decode()

    def test_session_that_was_ended_meanwhile_is_not_brought_back(self, person, inbox, configure):
        def policy(request, user, attempt):
            type(request.session)(request.session.session_key).delete()
            return True

        configure(LOGIN_POLICY=policy)
        answer = person.enter(person.ask(), inbox.code)

        assert (answer.status_code, person.user_id) == (400, None)


class TestBackend:
    def test_password_is_not_taken(self, db, settings):
        user = make_user()
        user.set_password("secret")
        user.save()
        settings.AUTHENTICATION_BACKENDS = [BACKEND]

        assert not Client().login(username="ana", password="secret")

    def test_other_backend_that_answers_a_code_logs_nobody_in(self, person, settings):
        settings.AUTHENTICATION_BACKENDS = [f"{__name__}.GenerousBackend", BACKEND]
        answer = person.enter(person.ask(), "000000")

        assert (answer.status_code, person.user_id) == (503, None)

    def test_deactivated_account_is_logged_out(self, person, inbox):
        person.enter(person.ask(), inbox.code)
        get_user_model().objects.update(is_active=False)

        assert person.client.get("/home/").content.decode() == "user None"


class GenerousBackend:
    """A site's own, which takes anything for a login."""

    def authenticate(self, request, **credentials):
        """Return somebody."""
        return get_user_model().objects.get()

    def get_user(self, user_id):
        """Return somebody."""
        return get_user_model().objects.get(pk=user_id)


class TestPruning:
    def test_codes_end_and_old_rows_go(self, person, inbox, configure, capsys):
        from django.core.management import call_command

        person.ask()
        move(minutes=11)
        call_command("numverify_prune")
        row = only_row()
        assert (row.outcome, row.sealed, CodeDevice.objects.count()) == ("expired", "", 0)
        assert capsys.readouterr().out == "Rows ended: 1, erased: 2, deleted: 0.\n"

        move(days=91)
        call_command("numverify_prune")
        assert not CodeLogin.objects.exists()

    def test_code_under_way_is_left(self, person, inbox):
        asked = person.ask()
        CodeLogin.objects.prune()
        person.enter(asked, inbox.code)

        assert person.user_id is not None

    def test_account_that_is_deleted_leaves_its_row(self, person, inbox):
        person.enter(person.ask(), inbox.code)
        get_user_model().objects.get().delete()

        assert (only_row().user, only_row().outcome, CodeDevice.objects.count()) == (None, "logged_in", 0)


def test_reprs_hold_no_secret(person, inbox):
    asked = person.ask()
    row, device = only_row(), CodeDevice.objects.get()
    texts = [repr(row), str(row), repr(device), str(device), str(asked)]

    for text, secret in itertools.product(texts, (NUMBER, NUMBER[3:], inbox.code, device.token)):
        assert secret not in text


def test_code_is_as_documented():
    documented = {"LENGTH": 6, "LIFETIME": timedelta(minutes=10), "TRIES": 5}
    assert {name: getattr(models, name) for name in documented} == documented
    assert conf.Settings().code_sender is None
