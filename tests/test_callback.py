"""The callback trusts nobody, and whatever happens the attempt ends once and a person sees a page."""

import logging
import re
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.signals import user_logged_in
from django.db import connection
from django.utils import timezone
from django.views.debug import ExceptionReporter

from numverify_django import sealing, session
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import Phone, query_of
from .test_login import GOOD, OTHER, the_attempt


def test_unknown_state_is_a_friendly_page(phone):
    response = phone.client.get("/numverify/callback/?code=x&state=unknown")

    assert response.status_code == 400
    assert "This login is no longer open" in response.content.decode()
    assert not VerificationAttempt.objects.exists()


def test_foreign_browser_spends_nothing(phone, sandbox):
    callback = phone.come_back(phone.start(GOOD))
    stranger = Phone(sandbox)
    stranger.start(GOOD)
    answer = stranger.client.get(callback)

    assert answer.status_code == 400
    assert stranger.user_id is None
    assert "token" not in sandbox.hops()
    phone.client.get(callback)
    assert phone.user_id is not None


def test_replay_is_refused_without_a_call(phone, sandbox):
    callback = phone.come_back(phone.start(GOOD))
    phone.client.get(callback)
    calls = len(sandbox.log())
    replay = phone.client.get(callback)

    assert replay.status_code == 409
    assert "You're already logged in" in replay.content.decode()
    assert len(sandbox.log()) == calls
    assert the_attempt().outcome == "verified"


def test_replayed_failure_is_no_longer_open(phone):
    callback = phone.come_back(phone.start(OTHER))
    phone.client.get(callback)
    replay = phone.client.get(callback)

    assert replay.status_code == 410
    assert the_attempt().outcome == "mismatch"


def test_expired_attempt_is_over(phone, sandbox, configure):
    configure(site={"FALLBACK_URL": "/password/"})
    callback = phone.come_back(phone.start(GOOD, next="/payment/"))
    VerificationAttempt.objects.update(expires_at="2026-01-01T00:00:00Z")
    response = phone.client.get(callback)

    assert response.status_code == 410
    assert (the_attempt().outcome, the_attempt().reason) == ("abandoned", "expired")
    assert "token" not in sandbox.hops()
    page = response.content.decode()
    assert the_attempt().reference_shown in page
    assert 'href="/password/?next=%2Fpayment%2F"' in page
    assert the_attempt().reference_shown not in phone.client.get(callback).content.decode()


def test_changed_operator_gets_no_code(phone, configure, sandbox):
    callback = phone.come_back(phone.start(GOOD))
    configure(CLIENT_ID="another")
    phone.client.get(callback)

    assert the_attempt().reason == "operator_changed"
    assert "token" not in sandbox.hops()


@pytest.mark.parametrize("method", ["head", "post", "put", "delete", "options", "patch"])
def test_other_methods_spend_nothing(phone, method):
    callback = phone.come_back(phone.start(GOOD))

    assert getattr(phone.client, method)(callback).status_code == 405
    assert the_attempt().claimed_at is None


def test_wrong_issuer_gets_no_code(phone, sandbox):
    callback = phone.come_back(phone.start(GOOD)).replace("iss=http", "iss=https")
    phone.client.get(callback)

    assert the_attempt().reason == "issuer_mismatch"
    assert "token" not in sandbox.hops()


def test_missing_issuer_is_refused_where_the_operator_sends_it(phone, sandbox):
    callback = phone.come_back(phone.start(GOOD))
    phone.client.get("&".join(part for part in callback.split("&") if not part.startswith("iss=")))

    assert the_attempt().reason == "issuer_mismatch"


def test_two_tabs_of_one_visitor_both_finish(phone):
    first, second = phone.come_back(phone.start(GOOD, next="/a/")), phone.come_back(phone.start(GOOD, next="/b/"))

    assert phone.client.get(second)["Location"] == "/b/"
    assert phone.client.get(first)["Location"] == "/a/"
    assert list(VerificationAttempt.objects.values_list("outcome", flat=True)) == ["verified"] * 2


def test_logging_out_ends_the_attempt(phone, sandbox):
    callback = phone.come_back(phone.start(GOOD))
    phone.client.logout()

    assert phone.client.get(callback).status_code == 400
    assert phone.user_id is None


def test_session_key_rotates(phone):
    callback = phone.come_back(phone.start(GOOD))
    before = phone.client.session.session_key
    phone.client.get(callback)

    assert phone.client.session.session_key != before


def test_next_never_leaves_the_site(phone):
    assert phone.log_in(GOOD, next="https://evil.example/")["Location"] == "/home/"


# What happens meanwhile


def log_in_by_password(phone, name="somebody"):
    """Log another account in, in the same browser; return it."""
    model = get_user_model()
    user = model(**{model.USERNAME_FIELD: name})
    user.save()
    phone.client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    return user


def test_other_account_that_logged_in_meanwhile_stays(phone):
    callback = phone.come_back(phone.start(GOOD))
    other = log_in_by_password(phone)
    page = phone.page(phone.client.get(callback))

    assert (the_attempt().outcome, the_attempt().reason) == ("refused", "user_mismatch")
    assert phone.user_id == str(other.pk)
    assert get_user_model().objects.count() == 1
    assert "You are still logged in" in page.content.decode()


@pytest.fixture
def cached_sessions(settings):
    """Sessions that no transaction brings back."""
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"


@pytest.fixture
def step_up(phone):
    """A callback of a signed-in account that proves its number again."""
    phone.log_in(GOOD)
    return phone.come_back(phone.client.post("/numverify/login/", {"next": "/payment/"}))


def test_logging_out_during_the_operators_calls_is_not_undone(phone, cached_sessions, step_up, configure):
    def log_out(request, user, attempt):
        phone.client.session.flush()
        return True

    configure(site={"LOGIN_POLICY": log_out})
    VerifiedNumber.objects.update(operator=VerificationAttempt.objects.latest("pk").operator)
    response = phone.client.get(step_up)

    assert (response.status_code, response["Location"], response.cookies) == (302, "/payment/", {})
    assert VerificationAttempt.objects.latest("pk").reason == "cancelled"
    assert phone.user_id is None


def test_staff_may_confirm_a_number_they_cannot_log_in_with(phone):
    user = log_in_by_password(phone)
    get_user_model().objects.filter(pk=user.pk).update(is_staff=True)
    phone.log_in(GOOD)

    assert (the_attempt().outcome, the_attempt().use) == ("verified", "step_up")
    assert phone.client.get("/payment/").content == b"paid"


def test_confirming_gives_the_session_a_new_key(phone, step_up):
    before = phone.client.session.session_key
    phone.client.get(step_up)

    assert phone.client.session.session_key != before
    assert phone.client.get("/payment/").content == b"paid"


def test_second_of_two_step_ups_of_one_session_costs_nothing(phone, step_up, sandbox):
    second = phone.come_back(phone.client.post("/numverify/login/", {"next": "/home/"}))
    phone.client.get(step_up)
    calls = len(sandbox.log())
    response = phone.client.get(second)

    assert response["Location"] == "/home/"
    assert len(sandbox.log()) == calls
    assert list(VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason")) == [
        ("verified", ""),
        ("verified", ""),
        ("abandoned", "cancelled"),
    ]


def test_failure_after_the_proof_leaves_nobody_half_logged_in(phone):
    def broken(**kwargs):
        raise RuntimeError

    user_logged_in.connect(broken)
    try:
        response = phone.log_in(GOOD)
    finally:
        user_logged_in.disconnect(broken)

    assert response.status_code == 503
    assert "The check didn't finish" in response.content.decode()
    assert phone.user_id is None
    assert the_attempt().outcome == "verified"


@pytest.mark.parametrize("reference", ["\0", "\ud800", "K7Q-4MX2" * 1000, "' OR 1=1", "ß"])
def test_reference_that_is_none_is_a_friendly_page(phone, reference):
    phone.log_in(OTHER)
    response = phone.client.get("/numverify/failed/", {"reference": reference.encode("utf-8", "surrogatepass")})

    assert response.status_code == 404
    assert "This login is no longer open" in response.content.decode()


def test_failed_page_is_shown_to_its_browser_alone(phone, sandbox):
    phone.log_in(OTHER)
    stranger = Phone(sandbox)
    stranger.start(OTHER)
    response = stranger.client.get("/numverify/failed/", {"reference": VerificationAttempt.objects.first().reference})

    assert response.status_code == 404
    assert "This login is no longer open" in response.content.decode()


# A number that is kept for another try


def test_number_that_is_no_longer_kept_is_asked_for_again_and_none_is_shared(phone, configure, sandbox):
    configure(OPERATION="share")
    sandbox.set(sim=None)
    phone.log_in(GOOD, next="/payment/")
    VerificationAttempt.objects.update(expires_at=timezone.now())
    page = phone.client.post("/numverify/login/", {"retry": the_attempt().reference_shown, "next": "/payment/"})

    assert page.status_code == 200
    assert 'value="/payment/"' in page.content.decode()
    assert VerificationAttempt.objects.count() == 1


def test_kept_number_needs_the_servers_key_beside_the_browsers(phone, sandbox):
    sandbox.set(sim=None)
    phone.log_in(GOOD)
    browser = phone.client.session["numverify"]["browser"]

    assert sealing.unseal(browser, the_attempt().sealed) == {}
    assert session.unsealed(browser, the_attempt().sealed)["number"] == "+34600000001"


def test_same_is_sealed_in_another_way_each_time():
    """AES-GCM with one nonce for two texts under one key would give the key's stream away."""
    sealed = [sealing.seal("secret", {"number": "+34600000001"}) for _ in range(2)]
    assert sealed[0] != sealed[1]
    assert [sealing.unseal("secret", text) for text in sealed] == [{"number": "+34600000001"}] * 2


OF_OTHERS = ["gAAAAABl" + "A" * 92, "", "AAAA", "%", sealing.seal("another", {})]


@pytest.mark.parametrize("sealed", OF_OTHERS, ids=["Fernet", "empty", "short", "no base64", "another secret"])
@pytest.mark.parametrize("is_late", [False, True])
def test_login_that_another_version_began_is_over_and_no_crash(phone, sealed, is_late):
    back = phone.come_back(phone.start(GOOD))
    late = {"expires_at": timezone.now()} if is_late else {}
    VerificationAttempt.objects.update(sealed=sealed, **late)
    page = phone.client.get(back)

    assert (page.status_code, the_attempt().reference_shown in page.content.decode()) == (410, True)
    assert (the_attempt().outcome, the_attempt().reason, the_attempt().sealed) == ("abandoned", "expired", "")
    assert phone.client.get(back).status_code == 410


def test_kept_number_is_erased_by_the_retry(phone, sandbox):
    sandbox.set(sim=None)
    phone.log_in(GOOD)
    assert the_attempt().sealed
    phone.client.post("/numverify/login/", {"retry": the_attempt().reference_shown})

    assert VerificationAttempt.objects.earliest("pk").sealed == ""


def test_failed_page_keeps_next_for_the_other_way_in(phone, configure):
    configure(site={"FALLBACK_URL": "/password/"})
    page = phone.page(phone.log_in(OTHER, next="/payment/"))

    assert 'href="/password/?next=%2Fpayment%2F"' in page.content.decode()


def test_failed_fill_goes_back_to_the_form_and_not_to_the_login(phone, configure, sandbox):
    configure(OPERATION="share", site={"FALLBACK_URL": "/password/"})
    sandbox.set(sim=None)
    page = phone.page(phone.client.get(phone.come_back(phone.client.post("/numverify/fill/", {"next": "/filled/"}))))

    assert '<a class="numverify-button" href="/filled/">Back to the form</a>' in page.content.decode()
    assert "Nothing was filled in" in page.content.decode()
    assert "/password/" not in page.content.decode()


# What the site's developer reads

WRONG = {
    "secret": ({"CLIENT_SECRET": "wrong"}, "the token endpoint answered 401 invalid_client: check the client's"),
    "root": ({"API_ROOT": "{}/nowhere"}, "the API answered 404: check API_ROOT and PROFILE"),
    "issuer": ({"ISSUER": "{}/"}, "the discovery document is of another issuer than ISSUER"),
    "discovery": ({"DISCOVERY_URL": "{}/nowhere"}, "check ISSUER, DISCOVERY_URL and JWKS_URI"),
}


@pytest.mark.parametrize(("keys", "words"), WRONG.values(), ids=WRONG)
def test_wrong_setting_is_told_in_the_log(phone, configure, sandbox, caplog, keys, words):
    configure(**{key: value.format(sandbox.url) for key, value in keys.items()})
    started = phone.start(GOOD)
    if started["Location"].startswith(sandbox.url):
        phone.client.get(phone.come_back(started))

    assert the_attempt().reason == "misconfigured"
    (told,) = [record for record in caplog.records if record.name == "numverify_django.flow"]
    assert told.levelname == "ERROR"
    assert words in told.getMessage()
    assert the_attempt().reference_shown in told.getMessage()


def test_operator_that_does_not_run_is_told_in_the_log(phone, configure, caplog):
    configure(ISSUER="http://127.0.0.1:9", API_ROOT="http://127.0.0.1:9/v1")
    phone.start(GOOD)

    (told,) = [record for record in caplog.records if record.name == "numverify_django.flow"]
    assert (told.levelname, "discovery at 127.0.0.1:9: ConnectionError" in told.getMessage()) == ("WARNING", True)


def test_persons_own_affair_is_no_warning(phone, sandbox, caplog):
    caplog.set_level("INFO")
    sandbox.set(sim=None)
    phone.log_in(GOOD)

    (told,) = [record for record in caplog.records if record.name == "numverify_django.flow"]
    assert told.levelname == "INFO"


@pytest.mark.parametrize("debug", [True, False])
def test_text_of_a_hooks_error_is_told_under_debug_alone(phone, configure, settings, caplog, debug):
    words = "-".join(["no", "such", "hook"])

    def broken(request, user, attempt):
        raise RuntimeError(words)

    settings.DEBUG = debug
    configure(site={"LOGIN_POLICY": broken})
    phone.log_in(GOOD)

    assert (words in caplog.text) is debug


# Exception reports


class Reports(logging.Handler):
    """Django's exception report, as mailed to the admins, of every error that is logged with its traceback."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        reporter = ExceptionReporter(record.request, *record.exc_info, is_email=True)
        self.texts += [reporter.get_traceback_text(), reporter.get_traceback_html()]


@pytest.fixture
def reports():
    """The texts of the exception reports that the site would send."""
    handler, logger = Reports(), logging.getLogger("django.request")
    logger.addHandler(handler)
    yield handler.texts
    logger.removeHandler(handler)


STATEMENTS = {  # what the database refuses, and the step that it breaks
    "start": r"INSERT INTO .numverify_django_verificationattempt",
    "claim": r"UPDATE .numverify_django_verificationattempt. .*SET .?claimed_at",
    "end": r"numverify_django_verifiednumber|UPDATE .numverify_django_verificationattempt.*ended_at",
}


@pytest.mark.parametrize("step", STATEMENTS)
def test_exception_report_of_a_broken_database_tells_no_secret(phone, reports, step):
    def refuse(execute, sql, params, many, context):
        if re.search(STATEMENTS[step], sql):
            raise RuntimeError("the database is gone")
        return execute(sql, params, many, context)

    phone.client.raise_request_exception = False
    callback = phone.come_back(phone.start(GOOD))
    with connection.execute_wrapper(refuse):
        response = phone.start(GOOD) if step == "start" else phone.client.get(callback)

    assert response.status_code == 500
    assert len(reports) == 2
    secrets = ["600000001", "600 000 001", query_of(callback)["code"], query_of(callback)["state"]]
    assert [secret for secret in secrets for text in reports if secret in text] == []


# What each hop took


def test_timings_of_a_login_are_kept(phone):
    phone.log_in(GOOD)
    timings = the_attempt().timings

    assert set(timings) == {"discovery", "token", "jwks", "verify", "callback"}
    assert timings["callback"] >= timings["token"] + timings["jwks"] + timings["verify"] - 2  # each is rounded


@pytest.mark.parametrize(
    ("endpoint", "asked"),
    [
        ("token", {"discovery", "token", "callback"}),
        ("verify", {"discovery", "token", "jwks", "verify", "callback"}),
        ("discovery", {"discovery"}),  # at the start: there was no callback
    ],
)
def test_failed_attempt_keeps_the_timings_of_what_was_asked(phone, sandbox, endpoint, asked):
    sandbox.set(fault={"endpoint": endpoint, "status": 503, "delay": 0.1})
    started = phone.start(GOOD)
    if endpoint != "discovery":
        phone.client.get(phone.come_back(started))
    attempt = the_attempt()

    assert attempt.reason == "operator_unavailable"
    assert set(attempt.timings) == asked
    assert attempt.timings[endpoint] >= 100


def test_answer_of_the_browser_alone_has_the_callback_time(phone):
    callback = phone.come_back(phone.start(GOOD))
    phone.client.get(re.sub("code=[^&]*", "error=access_denied", callback))

    assert set(the_attempt().timings) == {"discovery", "callback"}
    assert the_attempt().timings["callback"] < 1000


def test_attempt_that_nobody_came_back_to_has_no_callback_time(phone):
    phone.start(GOOD)
    VerificationAttempt.objects.prune(now=timezone.now() + timedelta(hours=1))

    assert (the_attempt().reason, set(the_attempt().timings)) == ("expired", {"discovery"})
