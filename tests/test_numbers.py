"""A signed-in person's numbers: shown, added, changed, removed, and moved from another account if the site says so."""

import threading
from contextlib import suppress

import pytest
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.contrib.auth.signals import user_logged_in
from django.db import IntegrityError, connection
from django.db.models.signals import post_save
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from numverify_django import conf, signals
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.session import has_just_come

from .conftest import Page, Phone
from .test_concurrency import together
from .test_login import GOOD, OTHER, account
from .test_signals import listen  # noqa: F401

HOME, ADD = "/numverify/numbers/", "/numverify/numbers/add/"
NUMBERS = VerifiedNumber._meta.db_table
PASSWORD = "django.contrib.auth.backends.ModelBackend"
SIM = "numverify_django.backends.NumberVerificationBackend"


class ByEmail(ModelBackend):
    """A site's own, which takes passwords."""

    @sensitive_variables("password")
    def authenticate(self, request, username=None, password=None, **kwargs):
        return super().authenticate(request, username, password)


class PermissionsAlone(BaseBackend):
    """A backend by which nobody logs in."""


class ObjectPermissions:
    """The same, as packages for permissions on objects have it."""

    def authenticate(self, request, username=None, password=None):
        return None


class ByLink(ModelBackend):
    """A backend whose accounts are sent a link."""

    def authenticate(self, request, token):
        return None


class Elsewhere(ModelBackend):
    """A backend that asks an identity provider."""

    def authenticate(self, request, **kwargs):
        return None


@pytest.fixture
def person(phone):
    """A phone whose owner logged in by password just now, and has no number."""
    phone.user = get_user_model().objects.create_user("somebody", password="secret")
    phone.client.force_login(phone.user, PASSWORD)
    return phone


def add(phone, number=GOOD, **data):
    """Add ``number``; return the answer to the callback."""
    return phone.client.get(phone.come_back(phone.start(number, ADD, **data)))


def numbers_of(user):
    return sorted(VerifiedNumber.objects.filter(user=user).values_list("number", flat=True))


def remove_url(number="+34600000001"):
    return f"{HOME}{VerifiedNumber.objects.get(number=number).pk}/remove/"


def the_attempt():
    return VerificationAttempt.objects.latest("pk")


def have_been_here_for_long(phone, seconds=1000):
    """Let everything that this session knows of be so much older."""
    session = phone.client.session
    known = session["numverify"]
    known["login_at"] -= seconds
    if known.get("proof"):
        known["proof"]["at"] -= seconds
    session.save()


class TestAdding:
    def test_number_is_added_and_logs_in(self, person):
        assert "You have no number here yet." in person.client.get(HOME).content.decode()
        response = add(person)

        assert response["Location"] == HOME
        assert numbers_of(person.user) == ["+34600000001"]
        attempt = the_attempt()
        assert (attempt.use, attempt.outcome, attempt.user) == ("link", "verified", person.user)
        assert 'Number ending <bdi dir="ltr">01</bdi> added.' in person.client.get(HOME).content.decode()
        assert "added." not in person.client.get(HOME).content.decode()
        other = Phone(person.sandbox)
        other.log_in(GOOD)
        assert other.user_id == str(person.user.pk)

    def test_pages_show_no_number(self, person):
        add(person)
        for path in (HOME, ADD, remove_url()):
            assert "600000001" not in person.client.get(path).content.decode().replace(" ", "")

    def test_session_gets_a_new_key(self, person):
        before = person.client.session.session_key
        add(person)
        assert person.client.session.session_key != before

    def test_second_number_is_added_beside_the_first(self, person):
        add(person)
        person.sandbox.set(sim="+34600000002")
        add(person, OTHER)
        assert numbers_of(person.user) == ["+34600000001", "+34600000002"]

    def test_operator_may_tell_the_number(self, person, configure):
        configure(OPERATION="share")
        person.sandbox.set(sim="+34600000001")
        assert "Use this phone's number" in person.client.get(ADD).content.decode()
        add(person, "")
        assert numbers_of(person.user) == ["+34600000001"]

    def test_number_of_ones_own_is_proved_again(self, person):
        add(person)
        before = VerifiedNumber.objects.get()
        add(person)
        after = VerifiedNumber.objects.get()
        assert after.first_verified_at == before.first_verified_at
        assert after.last_verified_at > before.last_verified_at

    def test_another_sim_adds_nothing(self, person):
        person.sandbox.set(sim="+34600000002")
        response = add(person)

        assert numbers_of(person.user) == []
        assert the_attempt().reason == "number_mismatch"
        page = person.page(response).content.decode()
        assert "We couldn't add this number" in page
        assert "You are still logged in" in page
        assert f'href="{ADD}?next=' in page
        assert person.user_id == str(person.user.pk)

    def test_number_waits_for_another_try(self, person):
        person.sandbox.set(fault={"endpoint": "verify", "status": 503})
        page = person.page(add(person))
        (retry,) = Page(page).find(name="retry")
        assert Page(page).find(action=ADD)
        person.sandbox.reset()
        add(person, "", retry=retry["value"])
        assert numbers_of(person.user) == ["+34600000001"]

    def test_staff_who_do_not_log_in_by_sim_are_told_what_it_is_for(self, person):
        get_user_model().objects.update(is_staff=True)
        add(person)
        assert "The SIM of each of these confirms that it's you." in person.client.get(HOME).content.decode()

    def test_form_with_an_error_comes_back_as_it_was(self, person):
        response = person.start("12", ADD)
        assert response.status_code == 400
        page = response.content.decode()
        assert "Add this phone" in page
        assert f'action="{ADD}"' in page

    def test_stranger_is_sent_to_log_in(self, phone):
        for path in (HOME, ADD, f"{HOME}1/remove/"):
            for response in (phone.client.get(path), phone.client.post(path)):
                assert response["Location"].startswith("/numverify/login/?next=/numverify/numbers/")
        assert phone.sandbox.hops() == []

    def test_who_logged_out_meanwhile_adds_nothing(self, person):
        callback = person.come_back(person.start(GOOD, ADD))
        session = person.client.session
        del session[SESSION_KEY]
        session.save()
        person.client.get(callback)
        assert the_attempt().reason == "user_mismatch"
        assert VerifiedNumber.objects.count() == 0
        assert "verify" not in person.sandbox.hops()

    def test_account_that_was_closed_adds_nothing(self, person):
        callback = person.come_back(person.start(GOOD, ADD))
        get_user_model().objects.update(is_active=False)
        person.client.get(callback)
        assert VerifiedNumber.objects.count() == 0


class TestTaken:
    @pytest.fixture
    def holder(self, person):
        """An account that has the number already."""
        return account()

    def decide(self, settings, answer):
        """Set NUMBER_TAKEN to what answers so; return a list of what it was asked."""
        asked = []

        def decision(request, user, holder, attempt):
            asked.append((request.user, user, holder, attempt.use))
            if isinstance(answer, Exception):
                raise answer
            return answer

        settings.NUMVERIFY = settings.NUMVERIFY | {"NUMBER_TAKEN": decision}
        return asked

    @pytest.mark.parametrize("setting", [{}, {"NUMBER_TAKEN": "refuse"}])
    def test_number_of_another_account_stays_there(self, person, holder, settings, setting):
        settings.NUMVERIFY = settings.NUMVERIFY | setting
        page = person.page(add(person)).content.decode()

        assert (the_attempt().outcome, the_attempt().reason) == ("refused", "number_taken")
        assert "It may be in use on another account." in page
        assert (numbers_of(holder), numbers_of(person.user)) == (["+34600000001"], [])
        assert person.user_id == str(person.user.pk)

    def test_site_may_let_it_move(self, person, holder, settings):
        former = Phone(person.sandbox)
        former.log_in(GOOD)
        asked = self.decide(settings, answer=True)
        add(person)

        assert asked == [(person.user, person.user, holder, "link")]
        assert (numbers_of(holder), numbers_of(person.user)) == ([], ["+34600000001"])
        assert not former.client.get(HOME).wsgi_request.number_verification.is_verified
        former.client.logout()
        former.log_in(GOOD)
        assert former.user_id == str(person.user.pk)

    @pytest.mark.parametrize("answer", [False, None, 1, "/elsewhere/"])
    def test_anything_but_true_refuses(self, person, holder, settings, answer):
        asked = self.decide(settings, answer)
        add(person)
        assert the_attempt().reason == "number_taken"
        assert len(asked) == 1
        assert numbers_of(holder) == ["+34600000001"]

    def test_decision_that_fails_moves_nothing(self, person, holder, settings, caplog):
        self.decide(settings, RuntimeError("+34600000001"))
        add(person)
        assert the_attempt().reason == "misconfigured"
        assert numbers_of(holder) == ["+34600000001"]
        assert "600000001" not in caplog.text

    def test_field_that_must_be_unique_asks_nobody_twice(self, person, holder, settings):
        def refuse(**facts):
            raise IntegrityError

        asked = self.decide(settings, answer=True)
        post_save.connect(refuse, sender=VerifiedNumber)
        add(person)
        assert post_save.disconnect(refuse, sender=VerifiedNumber)
        assert (len(asked), numbers_of(holder), the_attempt().reason) == (1, ["+34600000001"], "misconfigured")

    def test_nobody_is_asked_about_a_number_that_is_free(self, person, settings):
        asked = self.decide(settings, answer=False)
        add(person)
        assert (asked, numbers_of(person.user)) == ([], ["+34600000001"])

    def test_logging_in_moves_nothing(self, person, holder, settings):
        asked = self.decide(settings, answer=True)
        person.client.logout()
        person.log_in(GOOD)
        assert (asked, person.user_id) == ([], str(holder.pk))

    def test_operator_that_the_number_left_moves_it_to_the_new_one(self, person, settings):
        holder = account(operator="another")
        self.decide(settings, answer=True)
        add(person)
        assert numbers_of(holder) == []
        assert VerifiedNumber.objects.get().operator == conf.get().operators[0].name


class TestWho:
    """Who has been here for long shows who they are before they change something."""

    @pytest.mark.parametrize("method", ["get", "post"])
    def test_old_session_changes_nothing(self, person, method):
        add(person)
        have_been_here_for_long(person)
        for path in (ADD, remove_url()):
            response = getattr(person.client, method)(path)
            assert response.status_code == 403
            assert "show that it is still you" in response.content.decode()
        assert numbers_of(person.user) == ["+34600000001"]
        assert person.client.get(HOME).status_code == 200

    def test_sim_of_a_number_that_is_there_opens_the_way(self, person):
        add(person)
        have_been_here_for_long(person)
        (button,) = Page(person.client.get(ADD)).find(**{"class": "numverify-button"})
        assert "Confirm it" in person.client.get(button["href"]).content.decode()
        person.log_in(next=ADD)
        assert person.client.get(ADD).status_code == 200

    def test_confirming_it_offers_each_number_of_the_account(self, person):
        for number in (GOOD, "600 000 011"):
            add(person, number)
        have_been_here_for_long(person)
        (button,) = Page(person.client.get(ADD)).find(**{"class": "numverify-button"})
        page = person.client.get(button["href"]).content.decode()

        assert "•••01" in page
        assert "•••11" in page

    def test_logging_in_again_opens_it_too(self, person, settings):
        settings.LOGIN_URL = "/password/"
        add(person)
        have_been_here_for_long(person)
        page = Page(person.client.get(ADD))
        assert page.find(action="/numverify/login-again/")
        (target,) = page.find(name="next")
        response = person.client.post("/numverify/login-again/", {"next": target["value"]})
        assert response["Location"] == f"/password/?next={ADD}"
        assert person.user_id is None
        person.client.force_login(person.user, PASSWORD)
        assert person.client.get(ADD).status_code == 200

    def test_stolen_session_gets_no_first_number_by_a_step_up(self, person):
        """Neither by the form nor by one that was begun in time."""
        callback = person.come_back(person.start(GOOD))
        have_been_here_for_long(person)
        for response in (person.start(GOOD), person.client.get("/numverify/login/?next=/payment/&confirm=yes")):
            assert response.status_code == 403
            assert "show that it is still you" in response.content.decode()
        person.client.get(callback)
        assert the_attempt().reason == "user_mismatch"
        assert numbers_of(person.user) == []

    def test_login_of_somebody_else_beside_the_session_is_none_of_it(self, person):
        """An API that lets them in for one request may send Django's signal."""
        have_been_here_for_long(person)
        request = person.client.get(HOME).wsgi_request
        thief = get_user_model().objects.create_user("thief")
        user_logged_in.send(type(thief), request=request, user=thief)
        assert not has_just_come(request)
        user_logged_in.send(type(thief), request=request, user=person.user)
        assert has_just_come(request)

    def test_api_without_sessions_may_send_the_signal_of_a_login(self, person):
        user_logged_in.send(type(person.user), request=HttpRequest(), user=person.user)

    def test_login_by_sim_counts(self, phone):
        phone.log_in(GOOD)
        assert phone.client.get(ADD).status_code == 200

    def test_session_of_before_this_app_was_there_is_old(self, person):
        session = person.client.session
        del session["numverify"]
        session.save()
        assert person.client.get(ADD).status_code == 403


class TestRemoving:
    def test_number_is_removed_and_logs_in_no_more(self, person, settings):
        settings.NUMVERIFY = settings.NUMVERIFY | {"UNKNOWN_NUMBER": "deny"}
        add(person)
        page = person.client.get(remove_url()).content.decode()
        assert 'Remove the number ending <bdi dir="ltr">01</bdi>?' in page
        assert numbers_of(person.user) == ["+34600000001"]

        response = person.client.post(remove_url())
        assert response["Location"] == HOME
        assert numbers_of(person.user) == []
        assert 'Number ending <bdi dir="ltr">01</bdi> removed.' in person.client.get(HOME).content.decode()
        assert not person.client.get(HOME).wsgi_request.number_verification.is_verified
        other = Phone(person.sandbox)
        other.log_in(GOOD)
        assert (other.user_id, the_attempt().reason) == (None, "account_unknown")

    def test_last_way_in_stays(self, phone):
        phone.log_in(GOOD)
        page = phone.client.get(remove_url())
        assert "It is your only way to log in." in page.content.decode()
        assert Page(page).find(method="post") == []
        response = phone.client.post(remove_url())
        assert response["Location"] == remove_url()
        assert VerifiedNumber.objects.count() == 1

    def test_password_is_another_way(self, phone):
        phone.log_in(GOOD)
        user = get_user_model().objects.get()
        user.set_password("secret")
        user.save()
        phone.client.force_login(user, SIM)  # a new password ends sessions
        phone.client.post(remove_url())
        assert VerifiedNumber.objects.count() == 0

    @pytest.mark.parametrize(
        ("backends", "stays"),
        [
            ([], True),
            (["django.contrib.auth.backends.AllowAllUsersModelBackend"], False),
            ([f"{__name__}.ByEmail"], False),
            ([f"{__name__}.PermissionsAlone"], True),
            ([f"{__name__}.ObjectPermissions"], True),
            ([f"{__name__}.ByLink"], True),
            ([f"{__name__}.Elsewhere"], True),
        ],
    )
    def test_password_counts_where_a_backend_is_known_to_take_it(self, phone, settings, backends, stays):
        settings.AUTHENTICATION_BACKENDS = [*backends, SIM]
        phone.log_in(GOOD)
        user = get_user_model().objects.get()
        user.set_password("secret")
        user.save()
        phone.client.force_login(user, SIM)
        phone.client.post(remove_url())
        assert VerifiedNumber.objects.exists() is stays

    def test_what_one_logged_in_with_is_another_way(self, person):
        get_user_model().objects.update(password="!")  # as single sign-on leaves it
        person.client.force_login(get_user_model().objects.get(), PASSWORD)
        add(person)
        person.client.post(remove_url())
        assert numbers_of(person.user) == []

    def test_empty_password_is_none(self, phone):
        phone.log_in(GOOD)
        get_user_model().objects.update(password="")
        phone.client.force_login(get_user_model().objects.get(), SIM)
        phone.client.post(remove_url())
        assert VerifiedNumber.objects.count() == 1

    def test_what_one_logged_in_with_long_ago_is_none(self, person):
        get_user_model().objects.update(password="!")
        person.client.force_login(get_user_model().objects.get(), PASSWORD)
        have_been_here_for_long(person)
        VerifiedNumber.objects.enrol(person.user, PhoneNumber("+34600000001"), conf.get().operators[0].name)
        person.log_in()
        person.client.post(remove_url())
        assert numbers_of(person.user) == ["+34600000001"]

    def test_number_of_an_operator_that_is_gone_is_no_other_way(self, phone):
        phone.log_in(GOOD)
        VerifiedNumber.objects.enrol(get_user_model().objects.get(), PhoneNumber("+34600000002"), "gone")
        phone.client.post(remove_url())
        assert VerifiedNumber.objects.count() == 2

    def test_step_up_under_way_adds_it_not_again(self, person):
        add(person)
        callback = person.come_back(person.start())
        person.client.post(remove_url())
        person.client.get(callback)
        assert the_attempt().reason == "cancelled"
        assert numbers_of(person.user) == []

    def test_another_number_is_another_way(self, phone):
        phone.log_in(GOOD)
        phone.sandbox.set(sim="+34600000002")
        add(phone, OTHER)
        phone.client.post(remove_url())
        assert VerifiedNumber.objects.get().number == "+34600000002"

    def test_number_of_somebody_else_is_not_there(self, person):
        account()
        for response in (person.client.get(remove_url()), person.client.post(remove_url())):
            assert response.status_code == 302
        assert person.client.post(remove_url(), follow=True).redirect_chain[-1][0] == HOME
        assert VerifiedNumber.objects.count() == 1

    @pytest.mark.parametrize("pk", [0, 10**18, 10**30])
    def test_number_that_cannot_be_is_not_there(self, person, pk):
        for answer in (person.client.get, person.client.post):
            assert answer(f"{HOME}{pk}/remove/", follow=True).redirect_chain[-1][0] == HOME

    def test_forged_form_removes_nothing(self, person):
        add(person)
        person.client.handler.enforce_csrf_checks = True
        assert person.client.post(remove_url()).status_code == 403
        assert numbers_of(person.user) == ["+34600000001"]


@pytest.mark.django_db(transaction=True)
def test_one_of_two_tabs_that_remove_the_last_two_numbers_is_refused(phone):
    phone.log_in(GOOD)
    phone.sandbox.set(sim="+34600000002")
    add(phone, OTHER)
    urls = [remove_url(number) for number in ("+34600000001", "+34600000002")]
    both_removing = threading.Barrier(2, timeout=0.5)  # seconds; who takes turns never meets the other there

    def meet(execute, sql, *args):
        with suppress(threading.BrokenBarrierError):
            _ = sql.startswith("DELETE FROM") and NUMBERS in sql and both_removing.wait()
        return execute(sql, *args)

    def remove(url):
        tab = Phone(phone.sandbox).client
        tab.cookies = phone.client.cookies
        with connection.execute_wrapper(meet):
            tab.post(url)
        connection.close()  # of this thread

    together(remove, urls)
    assert VerifiedNumber.objects.count() == 1


def test_number_is_changed_by_adding_the_new_one_and_removing_the_old(person):
    add(person)
    page = Page(person.client.get(HOME))
    (change,) = [url for url in page.addresses() if url.startswith(f"{ADD}?")]
    person.sandbox.set(sim="+34600000002")
    form = Page(person.client.get(change))
    (target,) = form.find(name="next")
    response = add(person, OTHER, next=target["value"])

    assert response["Location"] == remove_url()
    page = person.page(response).content.decode()
    assert 'Number ending <bdi dir="ltr">02</bdi> added.' in page
    assert 'Remove the number ending <bdi dir="ltr">01</bdi>?' in page
    person.client.post(remove_url())
    assert numbers_of(person.user) == ["+34600000002"]


class TestSignals:
    @pytest.fixture
    def heard(self, listen):  # noqa: F811
        """A list of the signals that were sent: their names, with the facts but for request and attempt."""
        heard = []
        for name in ("number_linked", "number_moved", "number_removed", "number_verified"):

            def note(signal, sender, request, name=name, attempt=None, **facts):
                heard.append((name, facts))

            listen(name, note)
        return heard

    def test_adding_and_removing_are_told(self, person, heard):
        add(person)
        assert [name for name, _ in heard] == ["number_linked", "number_verified"]
        number = VerifiedNumber.objects.get().phone_number
        heard.clear()
        person.client.post(remove_url())
        assert heard == [("number_removed", {"user": person.user, "number": number})]

    def test_moving_is_told_with_who_had_it(self, person, heard, settings):
        holder = account()
        settings.NUMVERIFY = settings.NUMVERIFY | {"NUMBER_TAKEN": lambda *asked: True}
        add(person)
        assert heard == [
            ("number_linked", {"user": person.user}),
            ("number_moved", {"user": person.user, "previous": holder}),
            ("number_verified", {"user": person.user}),
        ]

    def test_listener_that_fails_breaks_no_removal(self, person, listen):  # noqa: F811
        def fail(**facts):
            raise RuntimeError

        add(person)
        listen("number_removed", fail)
        assert person.client.post(remove_url())["Location"] == HOME
        assert signals.number_removed.has_listeners()
