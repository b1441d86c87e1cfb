"""``request.number_verification`` on every request, and views that ask for a fresh proof: who goes where, and back."""

import html
import uuid
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import get_user_model, logout
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.db.models import F
from django.http import Http404, HttpResponse
from django.test import AsyncClient, Client
from django.urls import include, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views import View

from numverify_django.decorators import NumberVerifiedMixin, number_verified_required
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.session import StepUpRequired

from .asgi import LoopClient
from .conftest import HOST, Page, Phone, query_of
from .test_login import GOOD, account
from .test_session import grow_old

pytestmark = pytest.mark.urls(__name__)

LET_THROUGH = b"let through"


def lazy(request):
    return HttpResponse(type(request.number_verification).__name__)


def asks(request):
    return HttpResponse(str(request.number_verification.is_verified))


def pay(request):
    if request.method == "POST":
        Group.objects.create(name=request.POST["to"])
    return HttpResponse(LET_THROUGH)


async def pay_async(request):
    return HttpResponse(LET_THROUGH)


@method_decorator(number_verified_required(max_age=300), name="dispatch")
class PayView(View):
    def get(self, request):
        return pay(request)

    post = get


@number_verified_required(max_age=300)
class DecoratedView(View):
    def get(self, request):
        return pay(request)

    post = get


class MixedView(NumberVerifiedMixin, View):
    max_age = timedelta(minutes=5)

    def get(self, request):
        return pay(request)

    post = get


class AnyAgeView(NumberVerifiedMixin, View):
    def get(self, request):
        return pay(request)


class AsyncView(NumberVerifiedMixin, View):
    max_age = 300

    async def get(self, request):
        return HttpResponse(LET_THROUGH)


@number_verified_required(max_age=300)
class DecoratedAsyncView(View):
    async def get(self, request):
        return HttpResponse(LET_THROUGH)


def pay_by_hand(request):
    """Write first and ask then, as a view may that learns late what it needs."""
    Group.objects.create(name=uuid.uuid4())
    if not request.number_verification.is_fresh(300):
        raise StepUpRequired(300)
    return HttpResponse(LET_THROUGH)


def leave(request):
    logout(request)
    return HttpResponse("left")


def fail_with(error):
    def view(request):
        raise error

    return view


urlpatterns = [
    path("lazy/", lazy),
    path("asks/", asks),
    path("bare/", number_verified_required(pay)),
    path("called/", number_verified_required()(pay)),
    path("function/", number_verified_required(max_age=300)(pay)),
    path("timedelta/", number_verified_required(max_age=timedelta(minutes=5))(pay)),
    path("class/", PayView.as_view()),
    path("decorated/", DecoratedView.as_view()),
    path("mixed/", MixedView.as_view()),
    path("any-age/", AnyAgeView.as_view()),
    path("async-mixed/", AsyncView.as_view()),
    path("async-decorated/", DecoratedAsyncView.as_view()),
    path("soon/", number_verified_required(max_age=1)(pay)),
    path("async/", number_verified_required(max_age=300)(pay_async)),
    path("by-hand/", pay_by_hand),
    path("leave/", leave),
    path("denied/", fail_with(PermissionDenied("ours is a subclass of it"))),
    path("missing/", fail_with(Http404())),
    path("broken/", fail_with(ZeroDivisionError("not ours"))),
    path("numverify/", include("numverify_django.urls")),
]
LOGIN = "/numverify/login/"
ANY_AGE = ["/bare/", "/called/", "/any-age/"]
CLASSES = ["/class/", "/decorated/", "/mixed/", "/async-mixed/", "/async-decorated/"]
WITH_MAX_AGE = ["/function/", "/timedelta/", *CLASSES, "/async/", "/by-hand/"]


def sign_in(phone, number=None):
    """Sign ``phone`` in by password to a new account, which proved ``number`` in another session."""
    user = account(number) if number else get_user_model().objects.create_user("without a number")
    phone.client.force_login(user)
    return user


def is_at_operator(response, sandbox):
    return response.status_code == 302 and response["Location"].startswith(f"{sandbox.url}/")


def confirm(phone, path):
    """Ask for ``path`` as an account whose number is known, and return the answer to the callback."""
    return phone.client.get(phone.come_back(phone.client.get(path)))


def again(form):
    """Return where a person comes back to whose ``form`` was stopped."""
    return f"/numverify/again/?{urlencode({'next': form})}"


def the_end():
    """Return outcome and reason of the last attempt."""
    attempt = VerificationAttempt.objects.latest("pk")
    return attempt.outcome, attempt.reason


class TestAttribute:
    def test_every_request_has_it_and_no_query_is_made_before_it_is_asked(self, phone, django_assert_num_queries):
        sign_in(phone, "+34600000001")
        with django_assert_num_queries(0):
            assert phone.client.get("/lazy/").content == b"NumberVerification"
            assert Phone(phone.sandbox).client.get("/lazy/").content == b"NumberVerification"

    def test_asking_for_a_visitor_makes_no_query(self, phone, django_assert_num_queries):
        with django_assert_num_queries(0):
            assert phone.client.get("/asks/").content == b"False"

    def test_asking_reads_session_user_and_number_once(self, phone, django_assert_num_queries):
        phone.log_in(GOOD)
        with django_assert_num_queries(3):
            assert phone.client.get("/asks/").content == b"True"


@pytest.mark.parametrize("path", [*ANY_AGE, *WITH_MAX_AGE])
class TestGuardedView:
    def test_visitor_is_sent_to_log_in_and_back(self, phone, settings, path):
        settings.LOGIN_URL = "/password/"
        response = phone.client.get(f"{path}?to=1&to=2")

        assert response.status_code == 302
        assert response["Location"] == f"/password/?next={path}%3Fto%3D1%26to%3D2"
        assert not VerificationAttempt.objects.exists()

    @pytest.mark.parametrize(
        ("referer", "back"),
        [(f"http://{HOST}/by-hand/?of=1", f"http://{HOST}/by-hand/?of=1"), ("https://evil.example/", None)],
    )
    def test_visitors_form_is_led_back_to_the_page_that_had_it(self, phone, settings, path, referer, back):
        settings.LOGIN_URL = "/password/"
        response = phone.client.post(f"{path}?to=1", {"to": "somebody"}, headers={"Referer": referer})

        assert response.status_code == 302
        assert query_of(response["Location"]) == {"next": back or f"{path}?to=1"}
        assert not VerificationAttempt.objects.exists()

    def test_account_without_a_number_confirms_one_and_comes_back(self, phone, path):
        user, here = sign_in(phone), f"{path}?to=1&to=2"
        asked = phone.client.get(here)
        page = phone.page(asked).content.decode()
        assert "<h1>Confirm it's you</h1>" in page
        assert 'name="phone_number"' in page
        assert f'name="next" value="{html.escape(here)}"' in page
        response = phone.log_in(GOOD, next=query_of(asked["Location"])["next"])

        assert response["Location"] == here
        assert phone.client.get(here).content == LET_THROUGH
        assert phone.user_id == str(user.pk)
        assert VerifiedNumber.objects.get().user == user
        attempt = VerificationAttempt.objects.get()
        assert (attempt.use, attempt.outcome, attempt.user) == ("step_up", "verified", user)

    def test_account_with_a_number_goes_straight_to_the_operator_and_comes_back(self, phone, sandbox, path):
        user, here = sign_in(phone, "+34600000001"), f"{path}?to=1&to=2"
        started = phone.client.get(here)
        assert is_at_operator(started, sandbox)
        response = phone.client.get(phone.come_back(started))

        assert response["Location"] == here
        assert phone.client.get(here).content == LET_THROUGH
        assert phone.user_id == str(user.pk)

    def test_asynchronous_site_has_the_same_guard(self, phone, configure, sandbox, path):
        configure(REDIRECT_URI=f"http://{HOST}/numverify/callback/")
        sign_in(phone, "+34600000001")
        client = AsyncClient()
        client.cookies, get = phone.client.cookies, async_to_sync(client.get)
        started = get(path)
        assert is_at_operator(started, sandbox)
        phone.client.get(phone.come_back(started))

        assert get(path).content == LET_THROUGH

    @pytest.mark.parametrize("age", [0, 290, 310])
    def test_proof_is_asked_for_again_after_max_age_and_not_before(self, phone, sandbox, path, age):
        phone.log_in(GOOD)
        grow_old(phone, age)
        sandbox.reset()
        response = phone.client.get(path)

        if path in ANY_AGE or age <= 300:
            assert response.content == LET_THROUGH
            assert sandbox.log() == []
        else:
            phone.client.get(phone.come_back(response))
            assert phone.client.get(path).content == LET_THROUGH


def test_two_tabs_that_ask_at_once_cost_one_paid_call(phone, sandbox):
    sign_in(phone, "+34600000001")
    first, second = (phone.come_back(phone.client.get(path)) for path in ("/function/", "/class/"))

    assert [phone.client.get(callback)["Location"] for callback in (second, first)] == ["/class/", "/function/"]
    assert phone.client.get("/function/").content == LET_THROUGH
    assert sandbox.hops().count("verify") == 1
    assert sorted(VerificationAttempt.objects.values_list("outcome", flat=True)) == ["abandoned", "verified"]


@pytest.mark.parametrize("ahead", [0, 45, 59])
def test_proof_does_for_the_view_that_asked_though_its_clock_is_ahead(phone, sandbox, ahead):
    sign_in(phone, "+34600000001")
    asked = phone.client.get("/soon/")
    VerificationAttempt.objects.update(created_at=F("created_at") + timedelta(seconds=ahead))
    phone.client.get(phone.come_back(asked))
    grow_old(phone, ahead + 2)  # as the machine sees it that asked, after 2 seconds on the way back

    assert phone.client.get("/soon/").content == LET_THROUGH
    assert sandbox.hops().count("verify") == 1


def test_proof_does_for_a_view_on_another_machine_whose_clock_is_ahead(phone, sandbox):
    phone.log_in(GOOD)
    grow_old(phone, 45)

    assert phone.client.get("/soon/").content == LET_THROUGH


@pytest.mark.parametrize("max_age", [0, -1, timedelta(), timedelta(seconds=-1)])
def test_max_age_that_no_proof_can_meet_is_an_error_of_the_developer(max_age):
    with pytest.raises(ValueError, match="max_age must be above 0 seconds"):
        number_verified_required(max_age=max_age)


FIRST, LAST = "+34600000011", "+34600000021"


class TestSeveralNumbers:
    """The SIM in this phone has one of them: what this session proved is asked for first, and any may be chosen."""

    @pytest.fixture
    def person(self, phone):
        """A phone with the SIM of FIRST, whose owner is signed in by password and proved LAST last, elsewhere."""
        phone.user = sign_in(phone, FIRST)
        enrol(phone.user, LAST)
        phone.sandbox.set(sim=FIRST)
        return phone

    def fail(self, person):
        """Return the page of a step-up that failed."""
        return person.page(person.client.get(person.come_back(person.client.get("/function/"))))

    def key(self, number):
        return str(VerifiedNumber.objects.get(number=number).pk)

    def test_what_this_session_proved_is_confirmed(self, phone, sandbox):
        sandbox.set(sim=FIRST)
        phone.log_in(FIRST)
        enrol(get_user_model().objects.get(), LAST)
        grow_old(phone, 310)
        phone.client.get(phone.come_back(phone.client.get("/function/")))

        assert phone.client.get("/function/").content == LET_THROUGH

    def test_what_was_proved_last_is_confirmed_where_this_session_proved_none(self, person):
        person.sandbox.set(sim=LAST)
        person.client.get(person.come_back(person.client.get("/function/")))

        assert person.client.get("/function/").content == LET_THROUGH

    def test_mismatch_is_told_truly_and_leads_to_the_choice(self, person):
        failed = self.fail(person)
        text = html.unescape(failed.content.decode())
        url = "/numverify/login/?next=%2Ffunction%2F&confirm=yes"

        assert the_end() == ("mismatch", "number_mismatch")
        assert "The SIM in use has another number than the one we checked" in text
        assert "than the one on your account" not in text
        assert [found["href"] for found in Page(failed).find(**{"class": "numverify-button"})] == [url]
        chosen = Page(person.client.get(url))
        assert [found["value"] for tag, found in chosen.elements if tag == "option"] == list(
            map(self.key, (LAST, FIRST))
        )
        assert not chosen.find(name="phone_number")

    def test_single_number_is_told_as_before(self, person):
        VerifiedNumber.objects.filter(number=FIRST).delete()
        text = html.unescape(self.fail(person).content.decode())

        assert "The SIM in use has another number than the one on your account" in text
        assert "own_number" not in person.client.get("/numverify/login/?confirm=yes").content.decode()

    def test_chosen_number_is_confirmed_and_comes_first_from_then_on(self, person):
        self.fail(person)
        response = person.log_in("", own_number=self.key(FIRST), next="/function/")

        assert response["Location"] == "/function/"
        assert person.client.get("/function/").content == LET_THROUGH
        grow_old(person, 310)
        VerifiedNumber.objects.filter(number=LAST).update(last_verified_at=timezone.now() + timedelta(minutes=1))
        person.client.get(person.come_back(person.client.get("/function/")))
        assert the_end() == ("verified", "")

    def test_page_of_what_may_be_tried_again_offers_the_others(self, person):
        person.sandbox.set(sim=None)
        failed = self.fail(person)

        assert the_end() == ("unavailable", "not_on_mobile_network")
        links = Page(failed).find(href="/numverify/login/?next=%2Ffunction%2F&confirm=yes")
        assert len(links) == 1
        assert "Use another number" in failed.content.decode()

    def test_pages_show_no_more_than_the_last_digits(self, person):
        pages = [self.fail(person), person.client.get("/numverify/login/?confirm=yes")]

        assert "•••11" in pages[1].content.decode()
        assert not [
            number for page in pages for number in ("600000011", "600000021") if number in page.content.decode()
        ]

    @pytest.mark.parametrize("key", ["another's", "nobody's", "0x1"])
    def test_what_is_not_theirs_starts_nothing_and_is_answered_alike(self, person, key):
        other = get_user_model().objects.create_user("another")
        enrol(other, "+34600000031")
        keys = {"another's": self.key("+34600000031"), "nobody's": "987654"}
        response = person.start("", own_number=keys.get(key, key))

        assert response.status_code == 200
        assert "own_number" in response.content.decode()
        assert not VerificationAttempt.objects.exists()

    def test_number_that_was_removed_meanwhile_is_asked_about_again(self, person):
        enrol(person.user, "+34600000041")
        removed = self.key(FIRST)
        VerifiedNumber.objects.filter(pk=removed).delete()
        values = [
            found["value"] for tag, found in Page(person.start("", own_number=removed)).elements if tag == "option"
        ]

        assert values == [self.key("+34600000041"), self.key(LAST)]

    def test_choice_is_sent_once(self, person):
        response = person.client.post("/numverify/login/", {"own_number": [self.key(FIRST), self.key(LAST)]})

        assert response.status_code == 400
        assert not VerificationAttempt.objects.exists()

    def test_number_that_no_operator_serves_is_not_offered(self, person, configure):
        configure(PREFIXES=["+346000000"])
        enrol(person.user, "+34711000001")
        person.sandbox.set(sim=LAST)
        person.client.get(person.come_back(person.client.get("/function/")))

        assert the_end() == ("verified", "")


def enrol(user, number):
    """Let ``number`` be proved just now for ``user``, in another session."""
    return VerifiedNumber.objects.enrol(user, PhoneNumber(number), VerifiedNumber.objects.first().operator)


class TestPost:
    @pytest.mark.parametrize("path", ["/function/", "/class/", "/decorated/", "/mixed/"])
    @pytest.mark.parametrize("number", [None, "+34600000001"])
    def test_post_gets_the_page_and_starts_nothing(self, phone, path, number):
        sign_in(phone, number)
        asked = phone.client.post(f"{path}?to=1", {"to": "somebody"})

        assert query_of(asked["Location"]) == {"next": again(f"{path}?to=1"), "confirm": "yes"}
        page = phone.page(asked).content.decode()
        assert "<h1>Confirm it's you</h1>" in page
        assert ('name="phone_number"' in page) is (number is None)
        assert not VerificationAttempt.objects.exists()

    def test_post_is_never_replayed(self, phone):
        sign_in(phone, "+34600000001")
        asked = phone.client.post("/function/", {"to": "somebody"})
        response = phone.log_in("", next=query_of(asked["Location"])["next"])

        assert response["Location"] == again("/function/")
        page = phone.page(response).content.decode()
        assert "<h1>Confirmed. Now send it again</h1>" in page
        assert "Your form has not been sent yet." in page
        assert '<a class="numverify-button" href="/function/">Back to the form</a>' in page
        assert phone.client.get("/function/").content == LET_THROUGH
        assert not Group.objects.exists()

    @pytest.mark.parametrize(
        ("referer", "form"),
        [
            (f"http://{HOST}/by-hand/?of=form", f"http://{HOST}/by-hand/?of=form"),
            ("https://evil.example/form/", "/function/"),
            ("javascript:alert(1)", "/function/"),
            ("", "/function/"),
        ],
    )
    def test_person_comes_back_to_the_page_that_has_the_form(self, phone, referer, form):
        sign_in(phone, "+34600000001")
        asked = phone.client.post("/function/", {"to": "somebody"}, headers={"Referer": referer})
        assert query_of(asked["Location"])["next"] == again(form)
        phone.log_in("", next=again(form))
        assert f'href="{form}"' in phone.client.get(again(form)).content.decode()

    def test_nobody_is_told_that_they_confirmed_who_did_not(self, phone):
        sign_in(phone, "+34600000001")
        for visitor in (phone, Phone(phone.sandbox)):
            assert visitor.client.get(again("/function/"))["Location"] == "/function/"
            assert visitor.client.get(again("https://evil.example/"))["Location"] == "/home/"
        phone.log_in("")
        assert phone.client.get(again("/function/"))["Location"] == "/function/"  # no form of theirs was stopped

    def test_form_waits_once(self, phone):
        sign_in(phone, "+34600000001")
        phone.client.post("/function/", {"to": "somebody"})
        phone.log_in("")
        assert phone.client.get(again("/function/")).status_code == 200
        assert phone.client.get(again("/function/"))["Location"] == "/function/"

    def test_form_waits_for_no_old_proof(self, phone):
        sign_in(phone, "+34600000001")
        phone.client.post("/function/", {"to": "somebody"})
        phone.log_in("")
        grow_old(phone, 310)
        assert phone.client.get(again("/function/"))["Location"] == "/function/"

    def test_post_with_a_fresh_proof_is_done(self, phone):
        phone.log_in(GOOD)
        phone.client.post("/function/", {"to": "somebody"})

        assert Group.objects.get().name == "somebody"


SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}


@pytest.mark.parametrize("client", [Client, LoopClient])
class TestCookie:
    """A proof gives the session a new key; what a script asks with the old one takes nothing from the browser."""

    def tab(self, phone, client):
        """Return another tab of this browser, which has not heard of a new cookie."""
        tab = client(SERVER_NAME=HOST)
        tab.cookies["sessionid"] = phone.client.cookies["sessionid"].value
        return tab

    def test_script_answered_after_the_proof_logs_nobody_out(self, phone, client):
        phone.log_in(GOOD)
        grow_old(phone, 310)
        tab = self.tab(phone, client)
        confirm(phone, "/function/")
        answer = tab.get("/asks/", headers=SCRIPT)

        assert (answer.content, "sessionid" in answer.cookies) == (b"False", False)
        assert "Cookie" in answer["Vary"]
        phone.client.cookies.update(answer.cookies)
        assert phone.client.get("/function/").content == LET_THROUGH

    def test_page_deletes_the_cookie_of_no_session_as_ever(self, phone, client):
        phone.log_in(GOOD)
        tab = self.tab(phone, client)
        phone.client.session.delete()

        assert tab.get("/asks/").cookies["sessionid"]["max-age"] == 0

    @pytest.mark.parametrize("headers", [{}, SCRIPT], ids=["page", "script"])
    @pytest.mark.parametrize("is_old", [False, True])
    def test_logging_out_deletes_it_as_ever(self, phone, client, is_old, headers):
        phone.log_in(GOOD)
        tab = self.tab(phone, client)
        if is_old:
            phone.client.session.delete()
        answer = tab.get("/leave/", headers=headers)

        assert (answer.content, answer.cookies["sessionid"]["max-age"]) == (b"left", 0)


NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize("number", [None, "+34600000001"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Mode": "same-origin"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"},
        NAVIGATION | {"Sec-Fetch-Dest": "iframe"},
        NAVIGATION | {"Sec-Purpose": "prefetch"},
        NAVIGATION | {"Sec-Purpose": "prefetch;prerender"},
        NAVIGATION | {"Purpose": "prefetch"},
    ],
)
def test_script_frame_or_prefetch_starts_nothing(phone, sandbox, number, headers):
    sign_in(phone, number)
    response = phone.client.get("/function/", headers=headers)

    assert response.status_code == 403
    url = "/numverify/login/?next=%2Fhome%2F&confirm=yes"
    assert response.json() == {"error": "step_up_required", "authorization_url": url}
    assert response["authorization_url"] == url
    assert "no-store" in response["Cache-Control"]
    assert sandbox.log() == []
    assert not VerificationAttempt.objects.exists()


def test_navigation_goes_to_the_operator_and_is_kept_in_no_cache(phone, sandbox):
    sign_in(phone, "+34600000001")
    response = phone.client.get("/function/", headers=NAVIGATION)

    assert is_at_operator(response, sandbox)
    assert "no-store" in response["Cache-Control"]


class TestOtherEndings:
    """A step-up that proves nothing leaves everything as it was."""

    @pytest.mark.parametrize(
        ("state", "outcome", "reason", "words"),
        [
            ({"sim": "+34600000009"}, "mismatch", "number_mismatch", "We couldn't confirm it's you"),
            ({"sim": None}, "unavailable", "not_on_mobile_network", "Turn Wi-Fi off and try again"),
        ],
    )
    def test_failure_is_told_and_logs_nobody_out(self, phone, sandbox, state, outcome, reason, words):
        phone.log_in(GOOD)
        user_id = phone.user_id
        grow_old(phone, 310)
        sandbox.set(**state)
        page = phone.page(confirm(phone, "/function/")).content.decode()

        assert the_end() == (outcome, reason)
        assert "You are still logged in" in page
        assert words in page
        assert phone.user_id == user_id
        assert phone.client.get("/bare/").content == LET_THROUGH
        assert is_at_operator(phone.client.get("/function/"), sandbox)

    def test_number_of_another_account_is_a_user_mismatch(self, phone):
        owner, user = account(), sign_in(phone)
        page = phone.page(phone.log_in(GOOD, next="/function/")).content.decode()

        assert the_end() == ("refused", "user_mismatch")
        assert "You are still logged in" in page
        assert "We couldn't confirm it's you" in page
        assert VerifiedNumber.objects.get().user == owner
        assert phone.user_id == str(user.pk)
        assert phone.client.get("/function/").status_code == 302

    def test_another_number_than_the_accounts_own_is_a_user_mismatch(self, phone):
        user = sign_in(phone, "+34600000011")
        phone.log_in(GOOD, next="/function/")

        assert the_end() == ("refused", "user_mismatch")
        assert VerifiedNumber.objects.get().number == "+34600000011"
        assert phone.user_id == str(user.pk)
        assert phone.client.get("/asks/").content == b"False"

    def test_phone_on_wifi_tries_again_and_comes_back(self, phone, sandbox):
        sign_in(phone, "+34600000001")
        sandbox.set(sim=None)
        page = phone.page(confirm(phone, "/function/?to=1")).content.decode()
        reference = VerificationAttempt.objects.get().reference_shown
        assert f'name="retry" value="{reference}"' in page
        sandbox.set(sim="+34600000001")

        assert phone.log_in(retry=reference)["Location"] == "/function/?to=1"
        assert phone.client.get("/function/?to=1").content == LET_THROUGH

    def test_whoever_logged_out_meanwhile_stays_logged_out(self, phone):
        user = sign_in(phone, "+34600000001")
        callback, session = phone.come_back(phone.client.get("/function/")), phone.client.session
        del session["_auth_user_id"]
        session.save()
        phone.sandbox.reset()
        phone.client.get(callback)

        assert the_end() == ("refused", "user_mismatch")
        assert phone.sandbox.hops() == []  # before anything is paid for
        assert phone.user_id is None
        assert VerificationAttempt.objects.get().user == user


class TestOperators:
    """Of several the one that vouched for a number is asked again; another may not."""

    @pytest.fixture
    def bound(self, phone, settings):
        """A phone signed in to an account whose number the second of two operators enrolled."""
        (keys,) = settings.NUMVERIFY["OPERATORS"].values()
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": {"first": keys, "second": keys}}
        phone.client.force_login(account("+34600000001", operator="second"))
        return phone

    @pytest.mark.parametrize("starts", [lambda client: client.get("/function/"), lambda client: client.post(LOGIN)])
    def test_the_one_that_enrolled_the_number_is_asked(self, bound, starts):
        bound.client.get(bound.come_back(starts(bound.client)))
        assert VerificationAttempt.objects.get().operator == "second"
        assert the_end() == ("verified", "")

    def test_another_is_asked_where_the_site_left_that_one(self, bound, settings):
        (keys, _) = settings.NUMVERIFY["OPERATORS"].values()
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": {"third": keys}}
        bound.client.get(bound.come_back(bound.client.get("/function/")))
        assert the_end() == ("refused", "operator_not_bound")


class TestExceptions:
    @pytest.mark.parametrize(("path", "status"), [("/denied/", 403), ("/missing/", 404)])
    def test_other_exceptions_keep_their_answer(self, phone, path, status):
        sign_in(phone, "+34600000001")

        assert phone.client.get(path).status_code == status
        assert not VerificationAttempt.objects.exists()

    def test_error_of_a_view_passes_through(self, phone):
        with pytest.raises(ZeroDivisionError, match="not ours"):
            phone.client.get("/broken/")

    @pytest.mark.parametrize("numverify", [{}, {"OPERATORS": {"sim": {"PROFILE": "none such"}}}])
    @pytest.mark.parametrize("number", [None, "+34600000001"])
    def test_wrong_configuration_is_a_page_and_no_500(self, phone, settings, caplog, numverify, number):
        sign_in(phone, number)
        settings.NUMVERIFY = numverify
        response = phone.client.get("/function/", follow=True)

        assert response.status_code == 503
        assert "The check didn't finish" in response.content.decode()
        assert "numverify_django is misconfigured" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_atomic_requests_undo_what_the_view_wrote_and_keep_the_attempt(phone, sandbox, monkeypatch):
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)
    sign_in(phone, "+34600000001")
    started = phone.client.get("/by-hand/")
    assert is_at_operator(started, sandbox)
    assert not Group.objects.exists()
    assert VerificationAttempt.objects.get().outcome == "pending"
    response = phone.client.get(phone.come_back(started))

    assert response["Location"] == "/by-hand/"
    assert phone.client.get("/by-hand/").content == LET_THROUGH
    assert Group.objects.count() == 1


@pytest.mark.parametrize("path", ["/function/", "/async/", "/decorated/", "/async-mixed/"])
def test_what_is_guarded_is_kept_in_no_cache(phone, path):
    phone.log_in(GOOD)
    assert "no-store" in phone.client.get(path)["Cache-Control"]


def test_script_of_a_visitor_is_told_the_sites_own_login_page(phone, settings):
    settings.LOGIN_URL = "/password/"
    response = phone.client.get("/function/", headers={"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"})
    assert (response.status_code, response.json()["authorization_url"]) == (403, "/password/?next=/home/")
