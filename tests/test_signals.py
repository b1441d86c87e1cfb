"""What a site may listen to: each signal once, with its arguments, and no listener breaks a login."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, connections
from django.http import HttpRequest

from numverify_django import signals
from numverify_django.models import VerificationAttempt

from .conftest import Phone
from .test_login import GOOD, OTHER, account

SIGNALS = ["number_verified", "number_verification_failed", "number_linked", "user_created"]


@pytest.fixture
def listen():
    """A function that connects a listener to the signal of a name, until the test is over."""
    connected = []

    def listen(name, listener):
        getattr(signals, name).connect(listener, weak=False)
        connected.append((name, listener))

    yield listen
    for name, listener in connected:
        assert getattr(signals, name).disconnect(listener)


@pytest.fixture
def heard(listen):
    """A list of what was sent: the name of the signal, its sender and its arguments."""
    heard = []
    for name in SIGNALS:

        def note(signal, sender, name=name, **facts):
            outcome = VerificationAttempt.objects.values_list("outcome", flat=True).get(pk=facts["attempt"].pk)
            heard.append((name, sender, facts | {"outcome": outcome}))

        listen(name, note)
    return heard


def names(heard):
    return [name for name, _, _ in heard]


def the_facts(heard, name):
    """Return the arguments of the one signal of this name, without the request, whose kind is checked."""
    ((sender, facts),) = [(sender, facts) for heard_name, sender, facts in heard if heard_name == name]
    assert sender is VerificationAttempt
    assert isinstance(facts.pop("request"), HttpRequest)
    return facts


class TestWhatIsSent:
    def test_first_login_creates_links_and_verifies(self, phone, heard):
        phone.log_in(GOOD)

        facts = {
            "user": get_user_model().objects.get(),
            "attempt": VerificationAttempt.objects.get(),
            "outcome": "verified",
        }
        assert names(heard) == ["user_created", "number_linked", "number_verified"]
        assert [the_facts(heard, name) for name in names(heard)] == [facts] * 3

    def test_second_login_verifies(self, phone, sandbox, heard):
        Phone(sandbox).log_in(GOOD)
        heard.clear()
        phone.log_in(GOOD)

        facts = {
            "user": get_user_model().objects.get(),
            "attempt": VerificationAttempt.objects.latest("pk"),
            "outcome": "verified",
        }
        assert names(heard) == ["number_verified"]
        assert the_facts(heard, "number_verified") == facts

    def test_listener_of_a_login_sees_the_person_logged_in(self, phone, listen):
        seen = []
        listen("number_verified", lambda request, user, **kwargs: seen.append((request.user, user)))
        listen("number_verified", lambda request, **kwargs: seen.append(request.number_verification.number.e164))
        phone.log_in(GOOD)

        user = get_user_model().objects.get()
        assert seen == [(user, user), "+34600000001"]

    def test_first_number_of_an_account_is_linked_and_verified(self, phone, heard):
        user = get_user_model().objects.create_user("password user")
        phone.client.force_login(user)
        phone.log_in(GOOD)

        facts = {"user": user, "attempt": VerificationAttempt.objects.get(), "outcome": "verified"}
        assert names(heard) == ["number_linked", "number_verified"]
        assert [the_facts(heard, name) for name in names(heard)] == [facts] * 2

    def test_confirming_a_known_number_verifies(self, phone, heard):
        phone.client.force_login(account())
        phone.log_in()

        assert names(heard) == ["number_verified"]

    def test_filling_a_form_verifies_for_nobody(self, phone, configure, sandbox, heard):
        configure(OPERATION="share")
        sandbox.set(sim="+34600000007")
        phone.client.get(phone.come_back(phone.start(path="/numverify/fill/")))

        assert names(heard) == ["number_verified"]
        facts = {"user": None, "attempt": VerificationAttempt.objects.get(), "outcome": "verified"}
        assert the_facts(heard, "number_verified") == facts

    @pytest.mark.parametrize(
        ("site", "state", "outcome", "reason"),
        [
            ({}, {"sim": "+34600000009"}, "mismatch", "number_mismatch"),
            ({}, {"sim": None}, "unavailable", "not_on_mobile_network"),
            ({}, {"fault": {"endpoint": "verify", "status": 503}}, "unavailable", "operator_unavailable"),
            ({}, {"fault": {"endpoint": "token", "status": 200, "body": "{}"}}, "error", "token_invalid"),
            ({"UNKNOWN_NUMBER": "deny"}, {}, "refused", "account_unknown"),
            ({"LOGIN_POLICY": lambda request, user, attempt: False}, {}, "refused", "policy_refused"),
            ({"LOGIN_POLICY": lambda request, user, attempt: 1 / 0}, {}, "error", "misconfigured"),
        ],
    )
    def test_failure_is_told_by_its_reason(self, phone, configure, sandbox, heard, site, state, outcome, reason):
        configure(site=site)
        sandbox.set(**state)
        phone.log_in(GOOD)

        assert names(heard) == ["number_verification_failed"]
        facts = {"attempt": VerificationAttempt.objects.get(), "reason": reason, "outcome": outcome}
        assert the_facts(heard, "number_verification_failed") == facts

    def test_operator_that_cannot_be_asked_is_told_at_the_start(self, phone, sandbox, heard):
        sandbox.set(fault={"endpoint": "discovery", "status": 503})
        phone.start(GOOD)

        assert names(heard) == ["number_verification_failed"]
        facts = the_facts(heard, "number_verification_failed")
        assert (facts["reason"], facts["outcome"]) == ("operator_unavailable", "unavailable")

    def test_start_and_form_errors_and_strangers_are_told_nothing(self, phone, sandbox, heard):
        callback = phone.come_back(phone.start(GOOD))
        phone.start("600")
        phone.client.get("/numverify/callback/?code=x&state=unknown")
        Phone(sandbox).client.get(callback)

        assert heard == []

    def test_replay_is_told_nothing(self, phone, heard):
        callback = phone.come_back(phone.start(GOOD))
        phone.client.get(callback)
        heard.clear()
        phone.client.get(callback)

        assert heard == []

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("atomic_requests", [False, True])
    def test_listeners_are_called_after_the_commit(self, phone, listen, monkeypatch, atomic_requests):
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", atomic_requests)
        inside = []
        for name in SIGNALS:
            listen(name, lambda **kwargs: inside.append(connection.in_atomic_block))
        phone.log_in(GOOD)
        phone.log_in(OTHER)

        assert inside == [False] * 4


class TestListenerThatFails:
    """It breaks nothing; Django logs it, with what the site's own exception says."""

    @staticmethod
    def fail(request, **kwargs):
        raise RuntimeError("cannot tell +34600000001")

    @pytest.mark.parametrize("name", ["number_verified", "number_linked", "user_created"])
    def test_login_goes_on(self, phone, listen, heard, name):
        listen(name, self.fail)
        response = phone.log_in(GOOD, next="/payment/")

        assert response["Location"] == "/payment/"
        assert phone.client.get("/payment/").content == b"paid"
        assert phone.user_id == str(get_user_model().objects.get().pk)
        assert names(heard) == ["user_created", "number_linked", "number_verified"]
        assert VerificationAttempt.objects.get().outcome == "verified"

    def test_failure_reaches_its_page(self, phone, listen, sandbox):
        listen("number_verification_failed", self.fail)
        sandbox.set(sim=None)
        page = phone.page(phone.log_in(GOOD))

        assert page.status_code == 200
        assert "Turn Wi-Fi off and try again" in page.content.decode()

    def test_other_listeners_are_still_called(self, phone, listen, heard):
        listen("number_verified", self.fail)
        seen = []
        listen("number_verified", lambda user, **kwargs: seen.append(user))
        phone.log_in(GOOD)

        assert seen == [get_user_model().objects.get()]


class TestDjangosSignal:
    @pytest.mark.parametrize(
        ("send", "number", "expected"),
        [(True, OTHER, [{"username": None}]), (True, "600 000 003", []), (False, OTHER, [])],
    )
    def test_failed_login_is_told_where_the_site_wants_it(
        self, phone, configure, failed_logins, send, number, expected
    ):
        configure(site={"SEND_LOGIN_FAILED": send})
        phone.log_in(number)

        assert failed_logins == expected

    def test_login_that_the_site_refuses_is_a_failed_one(self, phone, configure, failed_logins):
        configure(site={"SEND_LOGIN_FAILED": True, "UNKNOWN_NUMBER": "deny"})
        phone.log_in(GOOD)

        assert failed_logins == [{"username": None}]

    def test_login_that_succeeds_is_none(self, phone, configure, failed_logins):
        configure(site={"SEND_LOGIN_FAILED": True})
        phone.log_in(GOOD)

        assert failed_logins == []

    def test_number_of_who_is_signed_in_is_no_login(self, phone, configure, failed_logins):
        configure(site={"SEND_LOGIN_FAILED": True})
        phone.log_in(GOOD)
        phone.log_in(OTHER)

        assert VerificationAttempt.objects.latest("pk").outcome == "mismatch"
        assert failed_logins == []
