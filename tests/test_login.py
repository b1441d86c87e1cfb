"""A person logs in with the SIM in their phone: the whole way, against the sandbox operator on a socket."""

import time

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from numverify_django import conf
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import Phone, query_of

GOOD, OTHER = "600 000 001", "600 000 002"


def the_attempt():
    return VerificationAttempt.objects.get()


def account(number="+34600000001", operator=None, **facts):
    """Make an account that proved ``number`` before."""
    model = get_user_model()
    user = model(**{model.USERNAME_FIELD: "known"}, **facts)
    user.save()
    moment, operator = "2026-01-01T00:00:00Z", operator or conf.get().operators[0].name
    VerifiedNumber.objects.create(
        user=user, number=number, operator=operator, first_verified_at=moment, last_verified_at=moment
    )
    return user


def test_who_comes_back_by_the_browsers_button_is_told_that_they_are_in(phone):
    phone.log_in("600 000 001", next="/payment/")
    page = phone.client.get("/numverify/login/?next=/payment/").content.decode()
    assert "<h1>You're already logged in</h1>" in page
    assert '<a class="numverify-button" href="/payment/">Continue</a>' in page
    assert "Confirm it's you" in phone.client.get("/numverify/login/?confirm=yes").content.decode()


def test_matching_number_logs_in_a_new_account(phone):
    response = phone.log_in(GOOD, next="/payment/")

    assert (response.status_code, response["Location"]) == (302, "/payment/")
    user = get_user_model().objects.get()
    assert phone.user_id == str(user.pk)
    assert not user.has_usable_password()
    assert "600000001" not in user.get_username()
    attempt = the_attempt()
    assert (attempt.outcome, attempt.reason, attempt.user) == ("verified", "", user)
    assert (attempt.number_shown, attempt.operation, attempt.use) == ("•••01", "verify", "login")
    assert VerifiedNumber.objects.get().number == "+34600000001"


def test_other_number_is_a_mismatch_and_logs_nobody_in(phone):
    page = phone.page(phone.log_in(OTHER))

    assert phone.user_id is None
    assert not get_user_model().objects.exists()
    assert (the_attempt().outcome, the_attempt().reason) == ("mismatch", "number_mismatch")
    assert "We couldn't log you in with this number" in page.content.decode()
    assert the_attempt().reference_shown in page.content.decode()


def test_phone_on_wifi_is_told_to_turn_it_off(phone, sandbox):
    sandbox.set(sim=None)
    page = phone.page(phone.log_in(GOOD))

    assert phone.user_id is None
    assert (the_attempt().outcome, the_attempt().reason) == ("unavailable", "not_on_mobile_network")
    assert "Turn Wi-Fi off and try again" in page.content.decode()


def test_returning_number_logs_in_the_same_account(phone, sandbox):
    phone.log_in(GOOD)
    other = Phone(sandbox)
    other.log_in("+34 600-000-001")

    assert other.user_id == phone.user_id
    assert get_user_model().objects.count() == 1


def test_warm_login_makes_two_calls_on_kept_connections(phone, sandbox):
    phone.log_in(GOOD)
    sandbox.reset()
    Phone(sandbox).log_in(GOOD)
    backend_calls = [entry for entry in sandbox.log() if entry["hop"] != "authorize"]

    assert [entry["hop"] for entry in backend_calls] == ["token", "verify"]
    assert len({entry["connection"] for entry in backend_calls}) == 1
    assert {entry["correlator"] for entry in backend_calls} == {str(VerificationAttempt.objects.last().correlator)}


def test_first_login_discovers_and_fetches_keys_once(phone, sandbox):
    phone.log_in(GOOD)

    assert sandbox.hops() == ["discovery", "authorize", "token", "jwks", "verify"]


def test_authorization_request_has_no_number_and_every_parameter(phone, sandbox):
    query = query_of(phone.start(GOOD)["Location"])

    assert query.keys() == {
        "response_type",
        "client_id",
        "redirect_uri",
        "scope",
        "state",
        "nonce",
        "prompt",
        "code_challenge",
        "code_challenge_method",
    }
    assert (query["prompt"], query["code_challenge_method"]) == ("none", "S256")
    assert query["scope"] == "openid dpv:FraudPreventionAndDetection number-verification:verify"
    assert query["redirect_uri"] == "http://127.0.0.1/numverify/callback/"
    assert "600000001" not in str(query)


PROFILES = [
    "telefonica",
    "telefonica-sandbox",
    "telefonica-apigateway-v0",
    "telefonica-apigateway-v1",
    "telefonica-apigateway-v2",
    "camara-v0",
    "camara-v1",
    "camara-v2",
]


@pytest.fixture(params=["client_secret_basic", "client_secret_post", "private_key_jwt"])
def credentials(request, sandbox):
    """The operator keys of one way to authenticate the client."""
    if request.param != "private_key_jwt":
        return {"CLIENT_AUTH": request.param}
    client = sandbox.client()
    return {"PRIVATE_KEY": client["private_key"], "KEY_ID": client["key_id"]}


@pytest.mark.parametrize("profile", PROFILES)
def test_verify_logs_in_through_every_profile(phone, configure, sandbox, credentials, profile):
    configure(profile, **credentials)
    sandbox.set(sim="+34600000007")
    phone.log_in("600 000 007")

    assert (the_attempt().outcome, the_attempt().reason) == ("verified", "")
    assert phone.user_id is not None
    (token,) = [entry for entry in sandbox.log() if entry["hop"] == "token"]
    assert token["client_auth"] == credentials.get("CLIENT_AUTH", "private_key_jwt")


@pytest.mark.parametrize("profile", PROFILES)
def test_share_logs_in_through_every_profile(phone, configure, sandbox, credentials, profile):
    configure(profile, OPERATION="share", **credentials)
    sandbox.set(sim="+4915112345671")
    phone.log_in()

    assert (the_attempt().outcome, the_attempt().operation) == ("verified", "share")
    assert VerifiedNumber.objects.get().number == "+4915112345671"
    assert phone.user_id is not None


def test_login_without_next_and_without_a_page_to_lead_to_goes_home(phone, settings):
    settings.LOGIN_REDIRECT_URL = "no-such-url"

    assert phone.log_in(GOOD)["Location"] == "/"


@pytest.mark.parametrize("profile", [name for name in PROFILES if not name.startswith("telefonica-sandbox")][1:])
def test_hashed_number_logs_in(phone, configure, sandbox, profile):
    configure(profile, HASHED=True)
    sandbox.set(sim="+34600000007")
    phone.log_in("600 000 007")

    assert the_attempt().outcome == "verified"


def test_share_fills_a_form_and_logs_nobody_in(phone, configure, sandbox):
    configure(OPERATION="share")
    sandbox.set(sim="+34600000007")
    started = phone.client.post("/numverify/fill/", {"next": "/filled/"})
    response = phone.client.get(phone.come_back(started))

    assert response["Location"] == "/filled/"
    assert phone.client.get("/filled/").content == b"+34600000007"
    assert phone.user_id is None
    assert not get_user_model().objects.exists()
    assert (the_attempt().outcome, the_attempt().use, the_attempt().user) == ("verified", "fill", None)
    assert Phone(sandbox).client.get("/filled/").content == b""
    assert "600000007" not in str(dict(phone.client.session))


def test_share_is_not_offered_where_the_operator_only_verifies(phone):
    assert phone.start("", operation="share").status_code == 400
    assert phone.client.post("/numverify/fill/", {"next": "/home/"}).status_code == 400
    assert not VerificationAttempt.objects.exists()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "Enter your mobile number"),
        ("600 FLOWERS", "Use digits only"),
        ("600", "Enter a mobile number with all its digits, like 612 34 56 78"),
        ("912 345 678", "Enter the number of a mobile, like 612 34 56 78"),
        ("+44 7400 123456", "Enter a mobile number that begins with +34, +49 or +55"),
    ],
)
def test_unusable_number_is_a_form_error_and_costs_nothing(phone, sandbox, typed, told):
    response = phone.start(typed)

    assert response.status_code == 400
    assert told in response.content.decode()
    assert sandbox.log() == []
    assert not VerificationAttempt.objects.exists()


FAULTS = [
    ({"endpoint": "authorize", "error": "consent_required"}, "unavailable", "consent_required"),
    ({"endpoint": "authorize", "error": "access_denied"}, "unavailable", "access_denied"),
    ({"endpoint": "authorize", "error": "temporarily_unavailable"}, "unavailable", "operator_unavailable"),
    ({"endpoint": "authorize", "error": "invalid_scope"}, "error", "misconfigured"),
    ({"endpoint": "authorize", "error": "something_new"}, "error", "callback_invalid"),
    ({"endpoint": "token", "error": "invalid_grant"}, "error", "token_refused"),
    ({"endpoint": "token", "status": 503}, "unavailable", "operator_unavailable"),
    ({"endpoint": "token", "status": 429}, "unavailable", "operator_busy"),
    ({"endpoint": "token", "status": 307, "headers": {"Location": "/evil"}}, "error", "redirect_refused"),
    ({"endpoint": "token", "status": 200, "body": "<html>", "content_type": "text/html"}, "error", "token_invalid"),
    ({"endpoint": "token", "drop": True}, "unavailable", "operator_unavailable"),
    ({"endpoint": "token", "delay": 3}, "unavailable", "operator_timeout"),
    ({"endpoint": "jwks", "status": 500}, "unavailable", "operator_unavailable"),
    ({"endpoint": "verify", "status": 503}, "unavailable", "operator_unavailable"),
    ({"endpoint": "verify", "drop": True}, "unavailable", "operator_unavailable"),
    ({"endpoint": "verify", "delay": 3}, "unavailable", "operator_timeout"),
    ({"endpoint": "verify", "status": 422}, "unavailable", "cannot_determine"),
    ({"endpoint": "verify", "status": 403}, "error", "permission_denied"),
    ({"endpoint": "verify", "status": 401}, "error", "token_refused"),
    ({"endpoint": "verify", "status": 302, "headers": {"Location": "/evil"}}, "error", "redirect_refused"),
    (
        {"endpoint": "verify", "status": 200, "body": {"devicePhoneNumberVerified": "true"}},
        "error",
        "response_invalid",
    ),
    ({"endpoint": "verify", "status": 200, "body": "x" * 200_000}, "error", "response_too_large"),
]


@pytest.mark.parametrize(("fault", "outcome", "reason"), FAULTS)
def test_operator_fault_ends_in_its_reason(phone, configure, sandbox, fault, outcome, reason):
    configure(TIMEOUT=1)
    sandbox.set(sim="+34600000001", fault=fault)
    page = phone.page(phone.log_in(GOOD))

    assert (the_attempt().outcome, the_attempt().reason) == (outcome, reason)
    assert page.status_code == 200
    assert phone.user_id is None
    assert not get_user_model().objects.exists()


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"endpoint": "discovery", "status": 503}, "operator_unavailable"),
        ({"endpoint": "discovery", "status": 404}, "misconfigured"),
        ({"endpoint": "discovery", "status": 200, "body": {"issuer": "https://evil.example"}}, "misconfigured"),
    ],
)
def test_operator_that_cannot_be_asked_fails_at_the_start(phone, sandbox, fault, reason):
    sandbox.set(fault=fault)
    page = phone.page(phone.start(GOOD))

    assert the_attempt().reason == reason
    assert "The check didn't finish" in page.content.decode()


def test_operator_that_is_slow_at_discovery_costs_the_start_its_timeout_at_most(phone, configure, sandbox):
    configure(TIMEOUT=1)
    sandbox.set(fault={"endpoint": "discovery", "delay": 5})
    begun = time.monotonic()
    phone.start(GOOD)

    assert 1 <= time.monotonic() - begun < 4
    assert the_attempt().reason == "operator_timeout"


def test_shared_number_of_another_country_is_not_believed(phone, configure, sandbox):
    configure(OPERATION="share")
    sandbox.set(sim="+14155552671")
    phone.log_in()

    assert the_attempt().reason == "response_invalid"
    assert phone.user_id is None


def test_pages_need_no_login_under_login_required_middleware(phone, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]

    assert phone.client.get("/numverify/login/").status_code == 200
    assert phone.log_in(GOOD)["Location"] == "/home/"


def test_next_of_an_https_site_is_https(phone):
    response = phone.client.post(
        "/numverify/login/", {"phone_number": GOOD, "next": "http://127.0.0.1/x/"}, secure=True
    )
    callback = phone.sandbox.authorize(response["Location"]).removeprefix("https://127.0.0.1")

    assert phone.client.get(callback, secure=True)["Location"] == "/home/"


def test_failed_attempt_is_tried_again_without_typing(phone, sandbox):
    sandbox.set(sim=None)
    phone.page(phone.log_in(GOOD, next="/payment/"))
    reference = the_attempt().reference_shown
    sandbox.set(sim="+34600000001")
    response = phone.client.get(phone.come_back(phone.client.post("/numverify/login/", {"retry": reference})))

    assert response["Location"] == "/payment/"
    assert VerificationAttempt.objects.latest("pk").outcome == "verified"


def test_kept_number_is_nobody_elses(phone, sandbox):
    sandbox.set(sim=None)
    phone.log_in(GOOD)
    stranger = Phone(sandbox)
    stranger.client.get("/numverify/login/")
    response = stranger.client.post("/numverify/login/", {"retry": the_attempt().reference_shown})

    assert 'name="phone_number"' in response.content.decode()
    assert VerificationAttempt.objects.count() == 1


def test_key_rotation_is_noticed(phone, sandbox):
    phone.log_in(GOOD)
    sandbox.set(rotate_keys=True)
    other = Phone(sandbox)
    other.log_in(GOOD)

    assert other.user_id == phone.user_id
    assert sandbox.hops().count("jwks") == 2


class TestUnknownNumber:
    """UNKNOWN_NUMBER decides; a refusal tells nothing that a stranger could use."""

    def test_deny_refuses_with_the_page_of_a_mismatch(self, phone, configure):
        configure(site={"UNKNOWN_NUMBER": "deny"})
        refused = phone.page(phone.log_in(GOOD)).content.decode()
        assert (the_attempt().outcome, the_attempt().reason) == ("refused", "account_unknown")
        mismatch = phone.page(phone.log_in(OTHER)).content.decode()

        references = VerificationAttempt.objects.order_by("pk")
        first, second = (attempt.reference_shown for attempt in references)
        assert refused.replace(first, "") == mismatch.replace(second, "")
        assert not get_user_model().objects.exists()

    def test_deny_lets_a_known_number_in(self, phone, configure):
        configure(site={"UNKNOWN_NUMBER": "deny"})
        user = account()
        phone.log_in(GOOD)

        assert phone.user_id == str(user.pk)


class TestRefusedAccounts:
    """The number is proved, and still nobody is logged in."""

    @pytest.mark.parametrize(
        ("facts", "reason"),
        [
            ({"is_active": False}, "account_inactive"),
            ({"is_staff": True}, "staff_refused"),
            ({"is_superuser": True}, "staff_refused"),
        ],
    )
    def test_account_is_refused(self, phone, facts, reason):
        account(**facts)
        page = phone.page(phone.log_in(GOOD))

        assert (the_attempt().outcome, the_attempt().reason) == ("refused", reason)
        assert "We couldn't log you in with this number" in page.content.decode()
        assert phone.user_id is None

    def test_staff_is_let_in_where_the_site_allows_it(self, phone, configure):
        configure(site={"ALLOW_STAFF": True})
        user = account(is_staff=True)
        phone.log_in(GOOD)

        assert phone.user_id == str(user.pk)

    def test_operator_vouches_only_for_whom_it_enrolled(self, phone):
        account(operator="another")
        phone.log_in(GOOD)

        assert the_attempt().reason == "operator_not_bound"
        assert phone.user_id is None

    @pytest.mark.parametrize("answer", [False, None, 1, "yes"])
    def test_policy_refuses_by_anything_but_true(self, phone, configure, answer):
        configure(site={"LOGIN_POLICY": lambda request, user, attempt: answer})
        phone.log_in(GOOD)

        assert the_attempt().reason == "policy_refused"
        assert not get_user_model().objects.exists()

    def test_policy_that_breaks_is_no_500_and_leaves_no_account(self, phone, configure, caplog):
        number = "+34600000001"

        def broken(request, user, attempt):
            raise RuntimeError(number)

        configure(site={"LOGIN_POLICY": broken})
        page = phone.page(phone.log_in(GOOD))

        assert page.status_code == 200
        assert (the_attempt().outcome, the_attempt().reason) == ("error", "misconfigured")
        assert not get_user_model().objects.exists()
        assert "RuntimeError" in caplog.text
        assert "600000001" not in caplog.text


@pytest.mark.parametrize(
    ("path", "referrer_policy"),
    [
        ("/numverify/login/", "same-origin"),  # no-referrer would make browsers post the form with "Origin: null"
        ("/numverify/failed/", "same-origin"),
        ("/numverify/callback/", "no-referrer"),
    ],
)
def test_pages_are_neither_cached_nor_framed_nor_told_of(phone, path, referrer_policy):
    response = phone.client.get(path)

    assert "no-store" in response["Cache-Control"]
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == referrer_policy


@pytest.mark.parametrize("path", ["/numverify/login/", "/numverify/fill/"])
@pytest.mark.parametrize("without", [[], ["django.middleware.csrf.CsrfViewMiddleware"]], ids=["", "no middleware"])
@pytest.mark.parametrize(
    "headers", [{}, {"Origin": "https://evil.example"}, {"Origin": "null"}], ids=["no token", "foreign", "null"]
)
def test_start_needs_the_csrf_token(phone, configure, settings, path, without, headers):
    configure(OPERATION="share")
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name not in without]
    client = Client(SERVER_NAME="127.0.0.1", enforce_csrf_checks=True)
    client.get("/numverify/login/")
    token = {"csrfmiddlewaretoken": client.cookies["csrftoken"].value} if headers else {}
    response = client.post(path, {"phone_number": GOOD, **token}, headers=headers)

    assert response.status_code == 403
    assert "This login is no longer open" in response.content.decode()
    assert not VerificationAttempt.objects.exists()


def test_start_with_the_csrf_token_goes_on(phone):
    client = Client(SERVER_NAME="127.0.0.1", enforce_csrf_checks=True)
    client.get("/numverify/login/")
    form = {"phone_number": GOOD, "csrfmiddlewaretoken": client.cookies["csrftoken"].value}

    assert client.post("/numverify/login/", form).status_code == 302


def test_interstitial_moves_on_without_a_redirect(phone, configure):
    configure(site={"REDIRECT_MODE": "interstitial"})
    page = phone.start(GOOD)

    assert page.status_code == 200
    assert 'http-equiv="refresh"' in page.content.decode()
    assert "code_challenge_method=S256" in page.content.decode()


def test_fallback_carries_next(phone, configure):
    configure(site={"FALLBACK_URL": "/password/"})
    page = phone.client.get("/numverify/login/?next=/payment/").content.decode()

    assert 'href="/password/?next=%2Fpayment%2F"' in page


def test_send_device_sends_the_address_of_the_callback(phone, configure, sandbox):
    configure(SEND_DEVICE=True, site={"TRUSTED_PROXIES": ["127.0.0.1"]})
    callback = phone.come_back(phone.start(GOOD))
    phone.client.get(callback, headers={"X-Forwarded-For": "203.0.113.9"})

    assert the_attempt().outcome == "verified"
    (call,) = [entry for entry in sandbox.log() if entry["hop"] == "verify"]
    assert "203.0.113.9" in str(call["body"])
