"""What a session knows: a proof, whose it is and how long it counts; a filled number; the client's address."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth import get_user_model, logout
from django.http import HttpResponse, JsonResponse
from django.test import RequestFactory
from django.urls import include, path

from numverify_django import conf
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.session import NumberVerification, client_address

from .conftest import Phone

pytestmark = pytest.mark.urls(__name__)

GOOD = "600 000 001"
NOTHING = {"is_verified": False, "number": None, "verified_at": None, "operator": None, "is_fresh": False}


def told(known):
    """Return what a NumberVerification tells, as JSON can hold it."""
    return {
        "is_verified": known.is_verified,
        "number": known.number and known.number.e164,
        "verified_at": known.verified_at and known.verified_at.isoformat(),
        "operator": known.operator,
        "is_fresh": known.is_fresh(300),
    }


def facts(request):
    return JsonResponse(told(request.number_verification))


def facts_after_logout(request):
    before = request.number_verification.is_verified
    logout(request)
    return JsonResponse({"before": before, "after": told(request.number_verification)})


def filled(request):
    number = request.number_verification.filled
    return HttpResponse(number.e164 if number else "nothing")


urlpatterns = [
    path("facts/", facts),
    path("facts-after-logout/", facts_after_logout),
    path("filled/", filled),
    path("numverify/", include("numverify_django.urls")),
]


def facts_of(phone):
    return phone.client.get("/facts/").json()


def grow_old(phone, seconds):
    """Move the proof of this session ``seconds`` into the past."""
    session = phone.client.session
    session["numverify"]["proof"]["at"] -= seconds
    session.save()


class TestProof:
    """A proof counts in the session it was made in, for the account it was made for, while the number is theirs."""

    def test_visitor_proved_nothing(self, phone):
        assert facts_of(phone) == NOTHING

    def test_password_login_proved_nothing(self, phone):
        phone.client.force_login(get_user_model().objects.create_user("somebody"))

        assert facts_of(phone) == NOTHING

    def test_sim_login_is_told_with_its_number_operator_and_moment(self, phone):
        before = datetime.now(UTC)
        phone.log_in(GOOD)
        after = datetime.now(UTC)
        told = facts_of(phone)

        verified_at = datetime.fromisoformat(told.pop("verified_at"))
        assert before <= verified_at <= after
        operator = conf.get().operators[0].name
        assert told == {"is_verified": True, "number": "+34600000001", "operator": operator, "is_fresh": True}

    def test_failed_login_proved_nothing(self, phone, sandbox):
        sandbox.set(sim=None)
        phone.log_in(GOOD)

        assert facts_of(phone) == NOTHING

    def test_session_data_hold_no_number(self, phone):
        phone.log_in(GOOD)

        assert "600000001" not in str(dict(phone.client.session))

    def test_deleted_number_ends_the_proof(self, phone):
        phone.log_in(GOOD)
        VerifiedNumber.objects.all().delete()

        assert facts_of(phone) == NOTHING

    def test_number_moved_to_another_account_ends_the_proof(self, phone):
        phone.log_in(GOOD)
        VerifiedNumber.objects.update(user=get_user_model().objects.create_user("new owner"))

        assert facts_of(phone) == NOTHING

    def test_proof_stays_in_its_session(self, phone, sandbox):
        phone.log_in(GOOD)
        desktop = Phone(sandbox)
        desktop.client.force_login(get_user_model().objects.get())

        assert facts_of(desktop) == NOTHING

    def test_logging_out_forgets_the_proof(self, phone):
        phone.log_in(GOOD)
        phone.client.logout()
        phone.client.force_login(get_user_model().objects.get())

        assert facts_of(phone) == NOTHING

    def test_logging_out_forgets_the_proof_within_the_request(self, phone):
        phone.log_in(GOOD)
        response = phone.client.get("/facts-after-logout/")

        assert response.json() == {"before": True, "after": NOTHING}

    def test_account_that_takes_over_the_browser_proved_nothing(self, phone):
        phone.log_in(GOOD)
        phone.client.force_login(get_user_model().objects.create_user("another"))

        assert facts_of(phone) == NOTHING


@pytest.mark.parametrize(
    ("age", "max_age", "verdict"),
    [
        (0, 300, True),
        (290, 300, True),
        (310, 300, False),
        (290, 300.5, True),
        (290, timedelta(minutes=5), True),
        (310, timedelta(minutes=5), False),
        (10_000_000, None, True),
        pytest.param(55, 1, True, id="clocks may differ as much"),
        pytest.param(70, 1, False, id="no clocks differ so much"),
        (70, 0, False),
        pytest.param(-30, 300, True, id="clocks differ a little"),
        pytest.param(-90, 300, False, id="proof from the future"),
    ],
)
def test_proof_is_fresh_up_to_max_age(phone, age, max_age, verdict):
    phone.log_in(GOOD)
    grow_old(phone, age)
    request = RequestFactory().get("/")
    request.session, request.user = phone.client.session, get_user_model().objects.get()

    assert NumberVerification(request).is_fresh(max_age) is verdict


class TestFilled:
    """A shared number waits for the form of the browser that asked, as long as the attempt lives."""

    @pytest.fixture
    def filled_phone(self, phone, configure, sandbox):
        """A phone whose operator has just shared the number with the site."""
        configure(OPERATION="share")
        sandbox.set(sim="+34600000007")
        phone.client.get(phone.come_back(phone.start(path="/numverify/fill/", next="/filled/")))
        return phone

    def test_number_waits_for_its_browser(self, filled_phone):
        assert filled_phone.client.get("/filled/").content == b"+34600000007"

    def test_number_expires_with_the_attempt(self, filled_phone):
        moments = VerificationAttempt.objects.values_list("created_at", "expires_at").get()
        assert moments[1] - moments[0] == timedelta(seconds=conf.get().attempt_lifetime)
        VerificationAttempt.objects.update(expires_at=datetime.now(UTC) - timedelta(seconds=1))

        assert filled_phone.client.get("/filled/").content == b"nothing"

    def test_another_browser_that_names_the_attempt_gets_nothing(self, filled_phone, sandbox):
        thief = Phone(sandbox)
        thief.start(GOOD)
        session = thief.client.session
        session["numverify"] |= {"filled": VerificationAttempt.objects.get(use="fill").pk}
        session.save()

        assert thief.client.get("/filled/").content == b"nothing"

    def test_row_alone_does_not_give_the_number_away(self, filled_phone):
        assert "600000007" not in str(VerificationAttempt.objects.values().get())

    def test_filling_proves_nothing(self, filled_phone):
        assert facts_of(filled_phone) == NOTHING


PROXIES = ["10.0.0.0/8", "2001:db8:1::/48"]


@pytest.mark.parametrize(
    ("proxies", "peer", "forwarded", "verdict"),
    [
        pytest.param([], "198.51.100.7", None, "198.51.100.7", id="no proxy"),
        pytest.param([], "198.51.100.7", "203.0.113.9", "198.51.100.7", id="header without a trusted proxy"),
        pytest.param(PROXIES, "198.51.100.7", "203.0.113.9", "198.51.100.7", id="peer is no proxy"),
        pytest.param(PROXIES, "198.51.100.7", "garbage", "198.51.100.7", id="garbage from a peer that is no proxy"),
        pytest.param(PROXIES, "10.0.0.1", None, "10.0.0.1", id="proxy itself asks"),
        pytest.param(PROXIES, "10.0.0.1", "203.0.113.9", "203.0.113.9", id="one proxy"),
        pytest.param(["10.0.0.1"], "10.0.0.1", "203.0.113.9", "203.0.113.9", id="proxy named by its address"),
        pytest.param(PROXIES, "10.0.0.1", " 203.0.113.9 , 10.0.0.2 ", "203.0.113.9", id="two proxies"),
        pytest.param(PROXIES, "10.0.0.1", "203.0.113.9,10.0.0.3,10.0.0.2", "203.0.113.9", id="three proxies"),
        pytest.param(PROXIES, "10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3", id="client inside the trusted network"),
        pytest.param(PROXIES, "10.0.0.1", "192.0.2.1, 203.0.113.9", "203.0.113.9", id="spoofed left"),
        pytest.param(PROXIES, "10.0.0.1", "10.0.0.9, 203.0.113.9", "203.0.113.9", id="spoofed proxy on the left"),
        pytest.param(PROXIES, "10.0.0.1", "garbage, 203.0.113.9", "203.0.113.9", id="garbage on the left"),
        pytest.param(PROXIES, "10.0.0.1", "garbage", None, id="garbage from the proxy"),
        pytest.param(PROXIES, "10.0.0.1", "192.0.2.1, garbage", None, id="garbage hides no spoofed left"),
        pytest.param(PROXIES, "10.0.0.1", ", ,", "10.0.0.1", id="empty hops"),
        pytest.param(PROXIES, "2001:db8:1::1", "2001:db8:2:0::9", "2001:db8:2::9", id="IPv6"),
        pytest.param(PROXIES, "10.0.0.1", "2001:db8:2::9, 2001:db8:1::2", "2001:db8:2::9", id="IPv6 behind IPv4"),
        pytest.param(PROXIES, "2001:db8:3::1", "203.0.113.9", "2001:db8:3::1", id="IPv6 peer that is no proxy"),
        pytest.param(PROXIES, "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9", id="proxy on a dual-stack socket"),
        pytest.param([], "::ffff:203.0.113.9", None, "203.0.113.9", id="client on a dual-stack socket"),
        pytest.param(PROXIES, "", "203.0.113.9", "127.0.0.1", id="Unix socket"),
        pytest.param(["127.0.0.1"], "", "203.0.113.9", "203.0.113.9", id="proxy at a Unix socket"),
        pytest.param(PROXIES, "10.0.0.1", "203.0.113.9:5000", "203.0.113.9", id="port"),
        pytest.param(PROXIES, "10.0.0.1", "[2001:db8:2::9]:5000", "2001:db8:2::9", id="port of IPv6"),
        pytest.param(PROXIES, "10.0.0.1", "[2001:db8:2::9]", "2001:db8:2::9", id="brackets"),
    ],
)
def test_client_address_is_believed_as_far_as_trusted_proxies_go(settings, proxies, peer, forwarded, verdict):
    settings.NUMVERIFY = settings.NUMVERIFY | {"TRUSTED_PROXIES": proxies}
    headers = {"X-Forwarded-For": forwarded} if forwarded is not None else {}
    request = RequestFactory(REMOTE_ADDR=peer, headers=headers).get("/")

    assert client_address(request) == verdict
