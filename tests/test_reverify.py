"""REVERIFY_AFTER: a proof that grew old is renewed on the way to an ordinary page, and never stands in the way."""

from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.db.models import F
from django.http import HttpResponse
from django.urls import include, path

from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import HOST, Browser, Phone, query_of
from .test_concurrency import CROWD, together
from .test_login import GOOD
from .test_middleware import NAVIGATION, is_at_operator, sign_in, the_end
from .test_session import grow_old

pytestmark = pytest.mark.urls(__name__)

DAY = 86_400
HERE = "/page/?to=1&to=2"


def page(request):
    return HttpResponse(f"{request.method} {request.number_verification.is_fresh(DAY)}")


def plain(request):
    return HttpResponse("plain")


def page_while_another_tab_proves(request):
    """Answer while the session gets a new key elsewhere: its old row is gone."""
    type(request.session)(request.session.session_key).delete()
    return HttpResponse("a page")


urlpatterns = [
    path("meanwhile/", page_while_another_tab_proves),
    path("plain/", plain),
    path("page/", page),
    path("numverify/qr/", include("numverify_django.contrib.qr.urls")),
    path("numverify/code/", include("numverify_django.contrib.otp.urls")),
    path("numverify/", include("numverify_django.urls")),
]


@pytest.fixture
def old(phone, settings):
    """A phone that logged in more than REVERIFY_AFTER ago, at an operator that was asked nothing since."""
    settings.NUMVERIFY = settings.NUMVERIFY | {"REVERIFY_AFTER": DAY}
    phone.log_in(GOOD)
    grow_old(phone, DAY + 10)
    pass_time(phone, 660)
    phone.sandbox.reset()
    return phone


def pass_time(phone, seconds):
    """Let every attempt, and what this session tried, be so much older."""
    VerificationAttempt.objects.update(created_at=F("created_at") - timedelta(seconds=seconds))
    known = phone.client.session
    known["numverify"]["tried"] = known["numverify"].get("tried", 0) - seconds
    known.save()


def session_elsewhere(phone):
    """Return the session as another tab has read it, and may save it later."""
    known = phone.client.session
    known.keys()  # reads it
    return known


def is_left_alone(phone, response):
    """Tell whether the page came, with an old proof and nothing asked."""
    return response.content == b"GET False" and phone.sandbox.hops() == []


def test_old_proof_is_renewed_on_the_way(old):
    user_id, started = old.user_id, old.client.get(HERE, headers=NAVIGATION)
    assert is_at_operator(started, old.sandbox)
    assert "no-store" in started["Cache-Control"]
    back = old.client.get(old.come_back(started))

    assert back["Location"] == HERE
    assert old.client.get(HERE).content == b"GET True"
    assert old.user_id == user_id
    attempt = VerificationAttempt.objects.latest("pk")
    assert (attempt.use, attempt.outcome, str(attempt.user_id)) == ("reverify", "verified", user_id)
    assert old.sandbox.hops() == ["authorize", "token", "verify"]


def test_old_proof_is_renewed_behind_a_service_worker(old):
    passed_on = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "empty", "Accept": "text/html,*/*;q=0.8"}
    assert is_at_operator(old.client.get(HERE, headers=passed_on), old.sandbox)


@pytest.mark.parametrize("age", [0, DAY - 10])
def test_fresh_proof_is_left_alone(old, age):
    grow_old(old, age - (DAY + 10))
    assert old.client.get(HERE).content == b"GET True"


def test_nothing_is_asked_again_by_default(old, settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"REVERIFY_AFTER": None}
    assert is_left_alone(old, old.client.get(HERE))


def test_visitor_and_password_login_are_left_alone(old):
    assert is_left_alone(old, Phone(old.sandbox).client.get(HERE))
    other = Phone(old.sandbox)
    sign_in(other, "+34600000011")
    assert is_left_alone(old, other.client.get(HERE))


def test_proof_of_a_number_that_was_removed_is_left_alone(old):
    VerifiedNumber.objects.all().delete()
    assert is_left_alone(old, old.client.get(HERE))


@pytest.mark.parametrize("length", [2048, 2049])
def test_page_whose_address_is_too_long_to_come_back_to_comes_at_once(old, length):
    here = HERE.ljust(length, "x")
    response = old.client.get(here, headers=NAVIGATION)
    if length > 2048:
        assert is_left_alone(old, response)
    else:
        assert old.client.get(old.come_back(response))["Location"] == here


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_what_a_person_sends_is_not_held_up(old, method):
    response = getattr(old.client, method)(HERE, headers=NAVIGATION)
    assert (response.content, old.sandbox.hops()) == (f"{method.upper()} False".encode(), [])


@pytest.mark.parametrize(
    "headers",
    [
        NAVIGATION | {"Sec-Fetch-Site": "cross-site"},
        NAVIGATION | {"Sec-Fetch-Dest": "iframe"},
        NAVIGATION | {"Sec-Purpose": "prefetch;prerender"},
        NAVIGATION | {"Sec-Fetch-Dest": "empty"},  # a link to download
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty", "Sec-Purpose": "prefetch"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Accept": "image/avif"},
        {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "empty", "Accept": "image/avif"},  # by a service worker
    ],
)
def test_what_no_person_navigates_to_is_left_alone(old, headers):
    assert is_left_alone(old, old.client.get(HERE, headers=headers))
    assert VerificationAttempt.objects.count() == 1


SCRIPTS = [
    {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
    {"X-Requested-With": "XMLHttpRequest"},
    {"HX-Request": "true"},
    {"Accept": "application/json"},
    {"Accept": "*/*"},
]


@pytest.mark.parametrize("headers", SCRIPTS)
@pytest.mark.parametrize("method", ["get", "post"])
def test_script_is_told_where_the_person_confirms(old, headers, method):
    referer = f"http://{HOST}/page/?of=script"
    response = getattr(old.client, method)(HERE, headers=headers | {"Referer": referer})

    assert response.status_code == 403
    assert response.json() == {"error": "step_up_required", "authorization_url": response["authorization_url"]}
    assert "no-store" in response["Cache-Control"]
    assert query_of(response["authorization_url"]) == {"next": referer, "confirm": "yes"}
    assert VerificationAttempt.objects.count() == 1
    shown = old.client.get(response["authorization_url"]).content.decode()
    assert "<h1>Confirm it's you</h1>" in shown
    assert old.log_in("", next=referer)["Location"] == referer
    assert getattr(old.client, method)(HERE, headers=headers).content.endswith(b"True")


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, SCRIPTS[0]])
def test_client_with_a_token_of_its_own_is_left_alone_beside_a_session(old, headers):
    assert is_left_alone(old, old.client.get(HERE, headers=headers | {"Authorization": "Bearer abc"}))
    behind_a_proxy = {"Authorization": "Bearer abc"}
    assert is_at_operator(old.client.get(HERE, headers=NAVIGATION | behind_a_proxy), old.sandbox)


def test_browser_is_asked_beside_what_it_sends_by_itself(old):
    behind_a_password = {"Authorization": "Basic c29tZWJvZHk6c2VjcmV0"}
    assert old.client.get(HERE, headers=SCRIPTS[0] | behind_a_password).status_code == 403
    assert is_at_operator(old.client.get(HERE, headers=NAVIGATION | behind_a_password), old.sandbox)


@pytest.mark.parametrize("referer", ["", "https://evil.example/page/", "javascript:alert(1)"])
def test_script_of_no_page_of_ours_leads_to_the_first_page(old, referer):
    response = old.client.get(HERE, headers=SCRIPTS[0] | {"Referer": referer})
    assert query_of(response.json()["authorization_url"])["next"] == "/home/"


@pytest.mark.parametrize(
    "url", ["/numverify/login/?confirm=yes", "/numverify/failed/", "/numverify/code/", "/numverify/qr/"]
)
def test_our_own_pages_ask_nothing(old, url):
    assert not is_at_operator(old.client.get(url), old.sandbox)
    assert old.client.get(url, headers=SCRIPTS[0]).status_code != 403
    assert old.sandbox.hops() == []


class TestFailure:
    """The page comes, the proof stays old, nobody is logged out, and ten minutes nothing is tried again."""

    @pytest.mark.parametrize(
        ("state", "end"),
        [
            ({"sim": None}, ("unavailable", "not_on_mobile_network")),
            ({"sim": "+34600000009"}, ("mismatch", "number_mismatch")),
            ({"fault": {"endpoint": "token", "status": 503}}, ("unavailable", "operator_unavailable")),
        ],
    )
    def test_page_comes_as_if_nothing_had_been_asked(self, old, state, end):
        user_id = old.user_id
        old.sandbox.set(**state)
        back = old.client.get(old.come_back(old.client.get(HERE)))

        assert (the_end(), back["Location"]) == (end, HERE)
        assert old.client.get(HERE).content == b"GET False"
        assert old.user_id == user_id

    def test_it_is_tried_again_after_ten_minutes_and_not_before(self, old):
        old.sandbox.set(sim=None)
        old.client.get(old.come_back(old.client.get(HERE)))
        pass_time(old, 590)
        assert old.client.get(HERE).content == b"GET False"
        assert old.client.get(HERE, headers=SCRIPTS[0]).content == b"GET False"
        pass_time(old, 20)
        assert is_at_operator(old.client.get(HERE), old.sandbox)

    def test_note_of_a_try_that_another_tab_overwrote_changes_nothing_of_that(self, old):
        elsewhere = session_elsewhere(old)
        assert is_at_operator(old.client.get(HERE), old.sandbox)
        elsewhere.save()
        pass_time(old, 590)
        assert old.client.get(HERE).content == b"GET False"
        assert old.client.get(HERE, headers=SCRIPTS[0]).content == b"GET False"
        pass_time(old, 20)
        assert is_at_operator(old.client.get(HERE), old.sandbox)

    def test_whoever_never_comes_back_is_not_sent_again(self, old):
        assert is_at_operator(old.client.get(HERE), old.sandbox)
        assert old.client.get(HERE).content == b"GET False"

    def test_another_number_of_the_account_proves_nothing_for_this_one(self, old):
        VerifiedNumber.objects.update(number="+34600000011")
        old.sandbox.set(sim="+34600000001")
        old.client.get(old.come_back(old.client.get(HERE)))

        assert the_end() == ("mismatch", "number_mismatch")
        assert old.client.get(HERE).content == b"GET False"

    def test_operator_that_is_down_delays_no_page(self, old, configure, settings, free_port):
        url = f"http://{HOST}:{free_port}"
        configure(ISSUER=url, API_ROOT=url)
        settings.NUMVERIFY = settings.NUMVERIFY | {"REVERIFY_AFTER": DAY}
        assert old.client.get(HERE).content == b"GET False"
        assert the_end() == ("unavailable", "operator_unavailable")
        assert old.client.get(HERE).content == b"GET False"
        assert VerificationAttempt.objects.count() == 2

    def test_limit_that_is_reached_hides_no_page(self, old, settings):
        limits = {"RATE_LIMITS": {"session": [1, 3600]}}
        settings.NUMVERIFY = settings.NUMVERIFY | limits
        assert is_left_alone(old, old.client.get(HERE))

    @pytest.mark.parametrize("numverify", [{}, {"OPERATORS": {"sim": {"PROFILE": "none such"}}}])
    def test_wrong_configuration_hides_no_page(self, old, settings, numverify):
        settings.NUMVERIFY = numverify
        assert old.client.get(HERE).status_code == 200

    def test_operator_that_left_hides_no_page(self, old, settings):
        (keys,) = settings.NUMVERIFY["OPERATORS"].values()
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": {"another": keys}}
        assert is_left_alone(old, old.client.get(HERE))


DESKTOP = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"}


class TestScriptsOfAPage:
    """They are let through once a page was, whatever became of its own check."""

    def assert_page_and_script_come(self, phone, headers=NAVIGATION, method="get"):
        assert getattr(phone.client, method)(HERE, headers=headers).status_code == 200
        agent = {name: value for name, value in headers.items() if name == "User-Agent"}
        assert phone.client.get(HERE, headers=SCRIPTS[0] | agent).content == b"GET False"
        assert phone.sandbox.hops() == []

    def test_on_a_desktop_that_is_offered_a_qr_code(self, old):
        self.assert_page_and_script_come(old, NAVIGATION | DESKTOP)

    def test_on_a_page_that_another_site_led_to(self, old):
        self.assert_page_and_script_come(old, NAVIGATION | {"Sec-Fetch-Site": "cross-site"})

    def test_on_what_a_form_answered(self, old):
        self.assert_page_and_script_come(old, method="post")

    def test_while_a_limit_is_reached(self, old, settings):
        settings.NUMVERIFY = settings.NUMVERIFY | {"RATE_LIMITS": {"session": [1, 3600]}}
        self.assert_page_and_script_come(old)

    def test_while_the_site_takes_any_host(self, old, settings, caplog):
        settings.ALLOWED_HOSTS = ["*"]
        self.assert_page_and_script_come(old)
        self.assert_page_and_script_come(old)
        assert caplog.text.count("a number is not verified again: misconfigured") == 1

    def test_while_the_operator_is_not_in_the_settings(self, old, settings):
        (keys,) = settings.NUMVERIFY["OPERATORS"].values()
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": {"another": keys}}
        self.assert_page_and_script_come(old)


def test_number_that_was_removed_meanwhile_stays_removed_and_costs_nothing(old):
    callback = old.come_back(old.client.get(HERE))
    VerifiedNumber.objects.all().delete()
    old.sandbox.reset()

    assert old.client.get(callback)["Location"] == HERE
    assert the_end() == ("refused", "user_mismatch")
    assert (VerifiedNumber.objects.count(), old.sandbox.hops()) == (0, [])


def test_number_that_is_another_accounts_by_now_stays_there(old):
    callback = old.come_back(old.client.get(HERE))
    other = get_user_model().objects.create_user("other")
    old.client.get("/page/")
    VerifiedNumber.objects.update(user=other)

    assert old.client.get(callback)["Location"] == HERE
    assert the_end() == ("refused", "user_mismatch")
    assert VerifiedNumber.objects.get().user == other


def test_who_comes_back_too_late_finds_the_page(old):
    callback = old.come_back(old.client.get(HERE))
    VerificationAttempt.objects.update(expires_at=F("created_at"))

    assert old.client.get(callback)["Location"] == HERE
    assert the_end() == ("abandoned", "expired")


@pytest.mark.django_db(transaction=True)
def test_database_that_takes_no_attempt_hides_no_page(old, caplog):
    def refuse(execute, sql, params, many, context):
        if "INSERT" in sql and "verificationattempt" in sql:
            raise OperationalError("read-only")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(refuse):
        assert old.client.get(HERE).content == b"GET False"
    assert "a number is not verified again: OperationalError" in caplog.text


def test_page_in_flight_comes_where_another_tab_gives_the_session_a_new_key(old):
    response = old.client.get("/meanwhile/", headers=NAVIGATION | {"Sec-Fetch-Site": "cross-site"})
    assert (response.status_code, response.content) == (200, b"a page")


def test_page_of_a_visitor_stays_cacheable(old):
    assert "Vary" not in Phone(old.sandbox).client.get("/plain/")


def test_page_comes_where_another_began_since_it_was_found_due(old):
    elsewhere, others = session_elsewhere(old), []

    def begin_another(execute, sql, params, many, context):
        if not others and "INSERT" in sql and "verificationattempt" in sql:
            others.append("begins")
            elsewhere.save()  # it had not read what the first noted
            others.append(old.client.get(HERE, headers=NAVIGATION))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(begin_another):
        assert old.client.get(HERE, headers=NAVIGATION).content == b"GET False"
    assert is_at_operator(others[1], old.sandbox)
    assert VerificationAttempt.objects.filter(use="reverify").count() == 1


@pytest.mark.django_db(transaction=True)
def test_pages_of_one_session_that_open_at_once_cost_one_call(live_server, configure, sandbox, settings):
    configure()
    settings.NUMVERIFY = settings.NUMVERIFY | {"REVERIFY_AFTER": DAY}
    browser = Browser(live_server.url)
    browser.log_in(GOOD)
    for _ in range(5):  # where all of them begin at the same instant, none goes on
        grow_old_in_table()
        sandbox.reset()
        answers = together(lambda _: browser.get(f"{live_server.url}{HERE}", headers=NAVIGATION), range(CROWD))
        assert {answer.status_code for answer in answers} == {200}
        if sandbox.hops():
            break
    assert sandbox.hops() == ["authorize", "token", "verify"]
    assert get_user_model().objects.count() == 1


def grow_old_in_table():
    """Let the one session that there is, and every attempt, be a day older."""
    (stored,) = Session.objects.all()
    known = stored.get_decoded()
    known["numverify"]["proof"]["at"] -= DAY + 10
    known["numverify"]["tried"] = 0
    stored.session_data = SessionStore().encode(known)
    stored.save()
    VerificationAttempt.objects.update(created_at=F("created_at") - timedelta(seconds=DAY))
