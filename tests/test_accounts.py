"""Whose account it is: an operator's customers, ported numbers, and a login that is sent elsewhere first."""

import time

import pytest
from django.contrib.auth import get_user_model
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path

from numverify_django import conf, session, signals
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import Phone
from .test_login import GOOD, OTHER, account, the_attempt
from .urls import urlpatterns as pages


def second_factor(request):
    """Complete the waiting login when the code is right."""
    if request.GET.get("code") != "right":
        return HttpResponse("What is your code?")
    user = session.complete_login(request)
    return HttpResponseRedirect(request.GET["next"]) if user else HttpResponse("Too late", status=403)


urlpatterns = [path("second/", second_factor), *pages]


@pytest.fixture
def changed():
    """The arguments of every subscriber_changed."""
    calls = []

    def listen(**facts):
        calls.append(facts)

    signals.subscriber_changed.connect(listen)
    yield calls
    signals.subscriber_changed.disconnect(listen)


class TestSubscriber:
    def test_same_customer_is_no_change(self, phone, sandbox, changed):
        sandbox.set(sim="+34600000001")
        for _ in range(2):
            Phone(sandbox).log_in(GOOD)

        assert changed == []
        assert VerifiedNumber.objects.get().subscriber_digest is not None

    def test_another_customer_with_the_number_is_told(self, phone, sandbox, changed):
        phone.log_in(GOOD)  # a subject for the sandbox's digits, and then one for its SIM
        sandbox.set(sim="+34600000001")
        for _ in range(2):
            Phone(sandbox).log_in(GOOD)

        (told,) = changed
        assert (told["user"], told["attempt"]) == (get_user_model().objects.get(), VerificationAttempt.objects.all()[1])

    def test_row_holds_no_subject(self, phone):
        phone.log_in(GOOD)

        assert len(str(VerifiedNumber.objects.get().subscriber_digest)) == 36

    def test_new_pepper_is_no_change_while_the_old_one_is_kept(self, phone, configure, sandbox, changed):
        operator = conf.get().operators[0].name
        configure(site={"PEPPERS": ["o" * 32]})
        phone.log_in(GOOD)
        configure(site={"PEPPERS": ["n" * 32, "o" * 32]})
        Phone(sandbox).log_in(GOOD)

        assert (conf.get().operators[0].name, changed) == (operator, [])

    def test_operator_without_id_tokens_tells_none(self, phone, configure):
        configure("telefonica-apigateway-v1")
        phone.log_in(GOOD)

        assert VerifiedNumber.objects.get().subscriber_digest is None


class TestPortedNumber:
    def test_policy_that_rebinds_lets_the_other_operator_vouch(self, phone, configure):
        def rebind(request, user, attempt):
            attempt.verified_number.rebind(attempt.operator)
            return True

        user = account(operator="another")
        configure(site={"LOGIN_POLICY": rebind})
        phone.log_in(GOOD)

        assert phone.user_id == str(user.pk)
        assert VerifiedNumber.objects.get().operator == the_attempt().operator

    def test_policy_that_only_agrees_rebinds_nothing(self, phone, configure):
        account(operator="another")
        configure(site={"LOGIN_POLICY": lambda request, user, attempt: True})
        phone.log_in(GOOD)

        assert the_attempt().reason == "operator_not_bound"
        assert VerifiedNumber.objects.get().operator == "another"

    def test_rebinding_is_undone_where_the_login_is_refused(self, phone, configure):
        def rebind(request, user, attempt):
            attempt.verified_number.rebind(attempt.operator)
            return False

        account(operator="another")
        configure(site={"LOGIN_POLICY": rebind})
        phone.log_in(GOOD)

        assert the_attempt().reason == "policy_refused"
        assert VerifiedNumber.objects.get().operator == "another"


@pytest.mark.urls(__name__)
class TestSecondFactor:
    @pytest.fixture(autouse=True)
    def policy(self, phone, configure):
        configure(site={"LOGIN_POLICY": lambda request, user, attempt: "/second/"})

    def test_person_is_sent_there_with_next_and_not_logged_in(self, phone):
        response = phone.log_in(GOOD, next="/payment/")

        assert response["Location"] == "/second/?next=%2Fpayment%2F"
        assert phone.user_id is None
        assert phone.client.get("/payment/").status_code == 302

    def test_right_code_completes_the_login(self, phone):
        phone.log_in(GOOD, next="/payment/")
        phone.client.get("/second/?code=right&next=/payment/")

        assert phone.user_id == str(get_user_model().objects.get().pk)
        assert phone.client.get("/payment/").content == b"paid"

    def test_who_logged_in_meanwhile_as_a_child_of_the_user_model_is_the_same(self, phone, settings):
        settings.AUTHENTICATION_BACKENDS = ["tests.test_backends.Customers", *settings.AUTHENTICATION_BACKENDS]
        phone.log_in(GOOD)
        user, stored = get_user_model().objects.get(), phone.client.session
        stored["_auth_user_id"], stored["_auth_user_backend"] = str(user.pk), "tests.test_backends.Customers"
        stored["_auth_user_hash"] = user.get_session_auth_hash()
        stored.save()

        assert phone.client.get("/second/?code=right&next=/")["Location"] == "/"

    def test_login_is_completed_once(self, phone):
        phone.log_in(GOOD)
        phone.client.get("/second/?code=right&next=/")
        phone.client.logout()

        assert phone.client.get("/second/?code=right&next=/").status_code == 403

    def test_login_that_waited_too_long_is_not_completed(self, phone):
        phone.log_in(GOOD)
        stored = phone.client.session
        stored["numverify"]["held"]["proof"]["at"] = time.time() - 301
        stored.save()

        assert phone.client.get("/second/?code=right&next=/").status_code == 403
        assert phone.user_id is None

    def test_account_that_was_closed_meanwhile_is_not_logged_in(self, phone):
        phone.log_in(GOOD)
        get_user_model().objects.update(is_active=False)

        assert phone.client.get("/second/?code=right&next=/").status_code == 403

    def test_other_browser_has_nothing_to_complete(self, phone, sandbox):
        phone.log_in(GOOD)

        assert Phone(sandbox).client.get("/second/?code=right&next=/").status_code == 403

    def test_number_that_is_not_proved_gets_nowhere(self, phone):
        page = phone.page(phone.log_in(OTHER))

        assert "We couldn't log you in with this number" in page.content.decode()

    @pytest.mark.parametrize("answer", ["yes", "", "https://evil.example/", "second/"])
    def test_answer_that_is_no_path_of_this_site_refuses(self, phone, configure, answer):
        configure(site={"LOGIN_POLICY": lambda request, user, attempt: answer})
        phone.log_in(GOOD)

        assert the_attempt().reason == "policy_refused"
