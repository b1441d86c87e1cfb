"""Limits that no stranger can use against a person, the spending cap, and the circuit that a dead operator opens."""

import logging
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from numverify_django import conf, limits
from numverify_django.models import VerificationAttempt

from .conftest import Phone
from .test_login import GOOD, OTHER


@pytest.fixture(autouse=True)
def empty_cache():
    cache.clear()
    yield
    cache.clear()


def start_from(address, number=GOOD, sandbox=None, phone=None):
    """Start a login of ``number`` in a new browser, or in that of ``phone``, at ``address``; return the answer."""
    phone = phone or Phone(sandbox)
    return phone.client.post("/numverify/login/", {"phone_number": number}, REMOTE_ADDR=address)


class TestLimits:
    def test_number_is_limited_together_with_the_address(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"number_address": [3, 600]}})
        answers = [start_from("192.0.2.1", sandbox=sandbox) for _ in range(4)]

        assert [answer.status_code for answer in answers] == [302, 302, 302, 429]
        assert start_from("192.0.2.2", sandbox=sandbox).status_code == 302
        assert start_from("192.0.2.1", OTHER, sandbox=sandbox).status_code == 302
        assert VerificationAttempt.objects.count() == 5

    def test_every_spelling_fills_one_bucket(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"number_address": [2, 600]}})
        spellings = ["600 000 001", "+34 600000001", "0034 600-000-001"]

        assert [start_from("192.0.2.1", number, sandbox).status_code for number in spellings] == [302, 302, 429]

    def test_addresses_of_one_ipv6_customer_count_as_one(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"number_address": [1, 600]}})
        addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::1", "2001:db8:1:3::1"]

        assert [start_from(address, sandbox=sandbox).status_code for address in addresses] == [302, 429, 302]

    def test_session_is_limited_whatever_it_types(self, phone, configure):
        configure(site={"RATE_LIMITS": {"session": [2, 600]}})

        assert [phone.start(f"60000000{n}").status_code for n in range(3)] == [302, 302, 429]

    def test_address_alone_is_limited_where_the_site_says_so(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"address": [2, 600]}})
        numbers = ["600 000 001", "600 000 002", "600 000 003"]

        assert [start_from("192.0.2.1", number, sandbox).status_code for number in numbers] == [302, 302, 429]
        assert start_from("192.0.2.2", sandbox=sandbox).status_code == 302

    def test_crowd_behind_one_address_is_not_limited_unless_the_site_says_so(self, phone, sandbox):
        numbers = [f"6000000{n:02}" for n in range(30)]

        assert {start_from("192.0.2.1", number, sandbox).status_code for number in numbers} == {302}

    def test_site_is_limited_as_a_whole(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"site": [2, 600]}})

        assert [start_from(f"192.0.2.{n}", sandbox=sandbox).status_code for n in range(3)] == [302, 302, 429]

    def test_limit_ends_when_it_says(self, phone, configure):
        configure(site={"RATE_LIMITS": {"session": [1, 600]}})
        phone.start(GOOD)
        VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(seconds=590.5))
        limited = phone.start(GOOD)
        VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(seconds=600))

        assert (limited.status_code, limited["Retry-After"]) == (429, "10")
        assert phone.start(GOOD).status_code == 302

    @pytest.mark.django_db
    def test_oldest_that_counts_tells_how_long_to_wait(self, configure, sandbox):
        configure(site={"RATE_LIMITS": {"number_address": [2, 600]}})
        for seconds in (100, 500):
            start_from("192.0.2.1", sandbox=sandbox)
            newest = VerificationAttempt.objects.order_by("-pk")[:1]
            moment = timezone.now() - timedelta(seconds=seconds)
            VerificationAttempt.objects.filter(pk=newest.get().pk).update(created_at=moment)
        limited = start_from("192.0.2.1", sandbox=sandbox)
        assert (limited.status_code, int(limited["Retry-After"]) in (99, 100)) == (429, True)

    @pytest.mark.django_db
    def test_addresses_that_are_not_known_are_one(self, configure, sandbox):
        configure(site={"RATE_LIMITS": {"number_address": [1, 600]}})
        addresses = ["192.0.2.1", "unknown", "no address"]
        assert [start_from(address, sandbox=sandbox).status_code for address in addresses] == [302, 302, 429]

    def test_success_counts(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"number_address": [1, 600]}})
        phone.log_in(GOOD)

        assert Phone(sandbox).start(GOOD).status_code == 429

    def test_form_error_does_not_count(self, phone, configure):
        configure(site={"RATE_LIMITS": {"session": [1, 600]}})
        phone.start("12")

        assert phone.start(GOOD).status_code == 302

    def test_page_says_when_and_not_whose_limit_it_was(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"session": [1, 600]}, "FALLBACK_URL": "/password/"})
        phone.start(GOOD, next="/payment/")
        page = phone.start(GOOD, next="/payment/")

        assert "You can try again in 10 minutes." in " ".join(page.content.decode().split())
        assert 'href="/password/?next=%2Fpayment%2F"' in page.content.decode()
        assert sandbox.hops() == ["discovery"]
        assert "no-store" in page["Cache-Control"]

    def test_step_up_of_the_middleware_is_limited_as_well(self, phone, configure):
        phone.log_in(GOOD)
        session = phone.client.session
        session["numverify"]["proof"]["at"] -= 1000
        session.save()
        configure(site={"RATE_LIMITS": {"session": [1, 600], "number_address": None}})
        phone.client.get("/payment/")

        assert phone.client.get("/payment/").status_code == 429

    def test_filling_a_form_is_limited_as_well(self, phone, configure):
        configure(OPERATION="share", site={"RATE_LIMITS": {"session": [1, 600]}})
        phone.client.post("/numverify/fill/", {"next": "/filled/"})

        assert phone.client.post("/numverify/fill/", {"next": "/filled/"}).status_code == 429


class TestBudget:
    def test_paid_calls_of_an_operator_are_capped(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"operator": [2, 3600]}})
        for number in ("600 000 001", "600 000 002"):
            Phone(sandbox).log_in(number)
        page = Phone(sandbox).start("600 000 011")

        assert page.status_code == 429
        assert "Too many tries for now" in page.content.decode()
        assert VerificationAttempt.objects.count() == 2

    def test_attempt_that_may_still_cost_something_counts(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"operator": [1, 3600]}})
        phone.start(GOOD)

        assert Phone(sandbox).start(OTHER).status_code == 429

    def test_attempt_that_never_came_back_costs_nothing_once_it_is_over(self, phone, configure, sandbox):
        configure(site={"RATE_LIMITS": {"operator": [1, 3600]}})
        phone.start(GOOD)
        VerificationAttempt.objects.update(expires_at=timezone.now())

        assert Phone(sandbox).start(OTHER).status_code == 302


def break_operator(sandbox, times=limits.FAULTS_TO_OPEN, **fault):
    """Let ``times`` logins meet the fault."""
    sandbox.set(fault={"endpoint": "token", "times": None} | fault)
    for _ in range(times):
        Phone(sandbox).log_in("600 000 001")
    sandbox.set(fault=None)


class TestCircuit:
    @pytest.fixture(autouse=True)
    def unlimited(self, phone, configure):
        configure(TIMEOUT=1, site={"RATE_LIMITS": {"number_address": None}})

    @pytest.mark.parametrize(
        "fault", [{"status": 503}, {"drop": True}, {"status": 200, "body": "<p>"}, {"status": 302}], ids=str
    )
    def test_five_faults_open_it_and_a_start_costs_no_call_and_no_row(self, phone, sandbox, caplog, fault):
        break_operator(sandbox, **fault)
        calls = len(sandbox.log())
        page = phone.start(GOOD)

        assert page.status_code == 503
        assert "The check didn't finish" in page.content.decode()
        assert [record.name for record in caplog.records if record.levelno >= logging.ERROR] == []  # ADMINS get a mail
        assert (len(sandbox.log()), VerificationAttempt.objects.count()) == (calls, 5)

    def test_four_faults_do_not(self, phone, sandbox):
        break_operator(sandbox, times=4, status=503)

        assert phone.start(GOOD).status_code == 302

    def test_success_in_between_begins_the_count_anew(self, phone, sandbox):
        break_operator(sandbox, times=4, status=503)
        phone.log_in(GOOD)
        break_operator(sandbox, times=4, status=503)

        assert phone.start(GOOD).status_code == 302

    @pytest.mark.parametrize(
        ("sim", "fault"),
        [
            (None, None),
            ("consent", None),
            ("unset", {"endpoint": "token", "error": "invalid_grant", "times": None}),
            ("unset", {"endpoint": "token", "error": "invalid_client", "times": None}),
            ("+34600000099", None),
            ("unknown", None),
            ("unset", {"endpoint": "authorize", "error": "server_error", "times": None}),
            ("unset", {"endpoint": "verify", "status": 429, "times": None}),
        ],
        ids=["wifi", "consent", "invalid_grant", "invalid_client", "mismatch", "unknown", "browser's word", "429"],
    )
    def test_what_a_person_or_a_stranger_can_cause_never_counts(self, phone, sandbox, sim, fault):
        sandbox.set(sim=sim, fault=fault)
        for _ in range(6):
            Phone(sandbox).log_in(GOOD)

        assert phone.start(GOOD).status_code == 302

    def test_callback_of_an_open_circuit_fails_at_once_and_keeps_the_number(self, phone, sandbox):
        callback = phone.come_back(phone.start(GOOD))
        break_operator(sandbox, status=503)
        calls = len(sandbox.log())
        page = phone.page(phone.client.get(callback))

        assert len(sandbox.log()) == calls
        assert VerificationAttempt.objects.earliest("pk").reason == "operator_unavailable"
        assert 'name="retry"' in page.content.decode()

    def test_one_call_is_let_through_after_a_while_and_closes_it(self, phone, sandbox):
        break_operator(sandbox, status=503)
        (operator,) = conf.get().operators
        cache.delete(f"numverify_django.circuit.{operator.fingerprint}.open")  # as OPEN seconds later
        first, second = (Phone(sandbox) for _ in range(2))
        callbacks = [one.come_back(one.start(GOOD)) for one in (first, second)]
        probe = limits.Circuit(operator)
        probe.enter()
        second.client.get(callbacks[1])
        probe.leave()
        first.client.get(callbacks[0])

        assert (first.user_id is not None, second.user_id) == (True, None)
        assert phone.start(GOOD).status_code == 302

    def test_dead_operator_at_discovery_opens_it_as_well(self, phone, configure, sandbox):
        sandbox.set(fault={"endpoint": "discovery", "status": 503, "times": None})
        answers = [Phone(sandbox).start(GOOD).status_code for _ in range(6)]

        assert answers == [302] * 5 + [503]


def test_other_operators_circuit_stays_closed(phone, configure, sandbox):
    configure(site={"RATE_LIMITS": {"number_address": None}})
    break_operator(sandbox, status=503)
    assert phone.start(GOOD).status_code == 503
    configure(CLIENT_ID="mock_sandbox_app_id", CLIENT_SECRET="mock_sandbox_app_secret")

    assert phone.start(GOOD).status_code == 302
