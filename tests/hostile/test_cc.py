"""CC: many at once, on a live site with threads and on the manager."""

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
import requests
from django.contrib.auth import get_user_model
from django.db import close_old_connections, connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django.live_server_helper import LiveServer

from numverify_django import conf, sealing
from numverify_django.models import GRACE, Opened, VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import PhoneNumber

from ..conftest import Browser
from .conftest import AGAIN, HONEST, HOST, NUMBER, TYPED, Visitor, make_user, users
from .operator import HONEST as HONEST_ENDPOINTS
from .operator import Reply

CROWD = 6
PASSWORD = "django.contrib.auth.backends.ModelBackend"
OPENED = Opened("https://site.example/callback/", "f", "/next/", "the-nonce", "the-verifier", NUMBER)


@pytest.fixture
def site(transactional_db, live_server):
    """The URL of the live site; named before ``trial``."""
    return live_server.url


@pytest.fixture
def fresh_site(everywhere, transactional_db):
    """The URL of a live site of its own: one that runs already keeps the kind of session that it began with."""
    server = LiveServer(HOST)
    yield server.url
    server.stop()


def together(act, items):
    """Return what ``act`` returns for each of ``items``, all at the same instant."""
    barrier = threading.Barrier(len(items))

    def run(item):
        barrier.wait()
        try:
            return act(item)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(run, items))


def begin(site, number=TYPED):
    """Start a login in a browser of its own; return it and the callback."""
    browser = Browser(site)
    started = browser.log_in(number, allow_redirects=False)
    answer = requests.get(started.headers["Location"], allow_redirects=False, timeout=10)
    return browser, answer.headers["Location"]


def come_back(browser, callback):
    """Open the callback; return the answer."""
    return browser.get(callback, allow_redirects=False)


def hand_over(trial, answer):
    """Let the trial's visitor go on in the session that ``answer`` opened."""
    trial.visitor.client.cookies["sessionid"] = answer.cookies["sessionid"].strip('"')


def counted(trial):
    """Return how often each hop was asked for."""
    return {hop: trial.operator.hops.count(hop) for hop in set(trial.operator.hops)}


def attempt_of(state="state", browser="browser", opened=OPENED, **facts):
    """Make a pending attempt."""
    given = {"operator": conf.get().operators[0], "operation": "verify", "use": "login", "opened": opened} | facts
    return VerificationAttempt.objects.open(state=state, browser=browser, **given)


def outcome_of(act):
    """Return what ``act`` returns or the NumberVerifyError that it raises."""
    try:
        return act()
    except exceptions.NumberVerifyError as error:
        return error


# CC-01: one state


def test_cc_01_of_six_callbacks_at_once_one_logs_in(fresh_site, trial):
    browser, callback = begin(fresh_site)
    answers = together(lambda url: come_back(browser, url), [callback] * CROWD)

    (won,) = [answer for answer in answers if answer.status_code == 302]
    assert won.headers["Location"] == "/home/"
    # 400: the session in which it began ended meanwhile, because the winner's got a new key
    assert {answer.status_code for answer in answers if answer is not won} <= {400, 409, 410}
    assert [answer.cookies.get("sessionid") for answer in answers if answer is not won] == [None] * (CROWD - 1)
    assert get_user_model().objects.count() == 2  # with the bystander
    hand_over(trial, won)
    trial.callbacks.append(callback.removeprefix(fresh_site))
    trial.verified()


def test_cc_01_operator_that_is_slow_is_still_asked_once(site, trial):
    def slow(operator, received):
        time.sleep(0.5)
        return Reply(operator.token_body(received))

    trial.operator.token = slow
    browser, callback = begin(site)
    answers = together(lambda url: come_back(browser, url), [callback] * CROWD)

    assert sorted(answer.status_code for answer in answers) == [302, *[410] * (CROWD - 1)]
    hand_over(trial, next(answer for answer in answers if answer.status_code == 302))
    trial.verified()


def test_cc_01_callback_and_error_at_once_end_in_one_of_both(site, trial):
    browser, callback = begin(site)
    error = re.sub(r"code=[^&]*", "error=access_denied", callback)
    answers = together(lambda url: come_back(browser, url), [callback, error] * 3)

    assert [answer.status_code for answer in answers].count(302) == 1
    row = VerificationAttempt.objects.get()
    assert (row.outcome, row.reason) in (("verified", ""), ("unavailable", "access_denied"))
    assert trial.operator.hops == (HONEST if row.outcome == "verified" else ["discovery"])
    assert get_user_model().objects.count() == 1 + (row.outcome == "verified")
    trial.log_in()
    trial.expected.append((row.outcome, row.reason))
    trial.verified([*HONEST, *AGAIN] if row.outcome == "verified" else HONEST)


def test_cc_01_browser_and_stranger_at_once(site, trial):
    browser, callback = begin(site)
    strangers = [Browser(site) for _ in range(CROWD - 1)]
    for stranger in strangers:
        stranger.log_in("not a number", allow_redirects=False)
    answers = together(lambda one: come_back(one, callback), [*strangers, browser])

    assert [answer.status_code for answer in answers] == [400] * (CROWD - 1) + [302]
    hand_over(trial, answers[-1])
    trial.verified()


def test_cc_01_share_that_fills_a_form_is_told_once(site, trial):
    trial.configure(OPERATION="share")
    browser = Browser(site)
    started = browser.post("/numverify/fill/", {"next": "/filled/"}, page="/numverify/login/", allow_redirects=False)
    callback = requests.get(started.headers["Location"], allow_redirects=False, timeout=10).headers["Location"]
    answers = together(lambda url: come_back(browser, url), [callback] * CROWD)

    assert [answer.status_code for answer in answers].count(302) == 1
    assert counted(trial) == {"discovery": 1, "token": 1, "jwks": 1, "share": 1}
    assert get_user_model().objects.count() == 1
    trial.log_in()
    trial.verified()
    trial.verified(["discovery", "token", "jwks", "share", *AGAIN])


def test_cc_01_different_states_of_one_browser_at_once_all_end(site, trial):
    browser = Browser(site)
    callbacks = []
    for _ in range(CROWD):
        started = browser.log_in(TYPED, allow_redirects=False)
        callbacks.append(
            requests.get(started.headers["Location"], allow_redirects=False, timeout=10).headers["Location"]
        )
    answers = together(lambda url: come_back(browser, url), callbacks)

    assert {answer.status_code for answer in answers} <= {302, 400, 503}
    won = [answer for answer in answers if answer.status_code == 302 and answer.headers["Location"] == "/home/"]
    assert won != []
    assert get_user_model().objects.count() == 2
    assert VerifiedNumber.objects.count() == 1
    rows = list(VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason"))
    assert {row for row in rows if row[0] != "pending"} <= {("verified", ""), ("abandoned", "cancelled")}
    assert max(trial.operator.hops.count(hop) for hop in AGAIN) <= CROWD
    trial.log_in()
    trial.expected = [*rows, ("verified", "")]
    trial.calls = trial.operator.hops


@pytest.mark.django_db(transaction=True)
def test_cc_01_one_of_many_claims_wins():
    for number in range(5):
        attempt_of(state=f"state {number}")
        claim = lambda _: outcome_of(lambda: VerificationAttempt.objects.claim(f"state {number}", "browser"))  # noqa: E731, B023
        found = together(claim, range(10))

        won = [result for result in found if isinstance(result, tuple)]
        assert [opened for _, opened in won] == [OPENED]
        assert [type(result) for result in found if result not in won] == [exceptions.Replayed] * 9


# CC-02: one number


@pytest.mark.parametrize("is_new", [True, False])
def test_cc_02_two_browsers_with_one_number_both_log_in(site, trial, is_new):
    if not is_new:
        earlier, callback = begin(site)
        come_back(earlier, callback)
        trial.expected.append(("verified", ""))
    pairs = [begin(site) for _ in range(2)]
    answers = together(lambda pair: come_back(*pair), pairs)

    assert [(answer.status_code, answer.headers["Location"]) for answer in answers] == [(302, "/home/")] * 2
    assert len({answer.cookies["sessionid"] for answer in answers}) == 2
    assert len({browser.get("/home/").text for browser, _ in pairs}) == 1
    assert get_user_model().objects.count() == 2
    assert list(VerifiedNumber.objects.values_list("number", flat=True)) == [NUMBER]
    hand_over(trial, answers[0])
    trial.expected.append(("verified", ""))
    trial.verified()
    trial.calls = trial.operator.hops
    assert counted(trial)["verify"] == counted(trial)["token"] == len(trial.expected)


def test_cc_02_one_that_fails_does_not_disturb_the_other(site, trial):
    (first, good), (second, bad) = begin(site), begin(site)
    bad = re.sub(r"code=[^&]*", "error=login_required", bad)
    answers = together(lambda pair: come_back(*pair), [(first, good), (second, bad)])

    assert answers[0].headers["Location"] == "/home/"
    assert answers[1].headers["Location"].startswith("/numverify/failed/")
    assert second.get("/home/").text == "user None"
    hand_over(trial, answers[0])
    trial.expected.append(("verified", ""))
    trial.refused("not_on_mobile_network", calls=HONEST)
    trial.check_page = lambda: None  # the live browsers saw the pages


def test_cc_02_two_numbers_at_once_are_not_mixed_up(site, trial):
    def verify(operator, received):
        return Reply({"devicePhoneNumberVerified": received.json["phoneNumber"] in (NUMBER, "+34600000002")})

    trial.operator.verify = verify
    pairs = [begin(site, number) for number in (TYPED, "600 000 002") * 3]
    together(lambda pair: come_back(*pair), pairs)

    pages = [browser.get("/home/").text for browser, _ in pairs]
    assert (len(set(pages[::2])), len(set(pages[1::2])), len(set(pages))) == (1, 1, 2)
    assert sorted(VerifiedNumber.objects.values_list("number", flat=True)) == [NUMBER, "+34600000002"]
    trial.log_in()
    trial.expected += [("verified", "")] * 6
    trial.verified()
    trial.calls = trial.operator.hops
    assert counted(trial)["verify"] == counted(trial)["token"] == 7


def test_in_14_starts_at_the_same_instant_do_not_exceed_the_spending_cap(site, trial):
    def discovery(operator, received):
        with suppress(threading.BrokenBarrierError):
            meeting.wait(1)  # all of them are past the limits, and none has opened its attempt
        return HONEST_ENDPOINTS["discovery"](operator, received)

    meeting = threading.Barrier(10)
    trial.operator.discovery = discovery
    trial.configure(site={"RATE_LIMITS": {"operator": [3, 3600], "number_address": None}})
    browsers = [Browser(site) for _ in range(10)]
    answers = together(lambda browser: browser.log_in("600 000 002", allow_redirects=False), browsers)

    assert {answer.status_code for answer in answers} <= {302, 429}
    asked = trial.operator.hops
    trial.configure()
    opened = VerificationAttempt.objects.count()
    VerificationAttempt.objects.all().delete()
    trial.log_in()
    trial.verified([*asked, "token", "jwks", "verify"])
    assert opened <= 3


# CC-07: the reaper


def test_cc_07_reaper_that_comes_during_the_operators_call_wins(site, trial):
    def prune(operator, received):
        VerificationAttempt.objects.update(expires_at=timezone.now() - GRACE - timedelta(seconds=1))
        assert VerificationAttempt.objects.prune() == (1, 0)
        connections.close_all()
        return Reply({"devicePhoneNumberVerified": True})

    trial.operator.verify = prune
    page = trial.log_in()

    assert "This login is no longer open" in page.content.decode()
    assert not VerifiedNumber.objects.exists()
    trial.refused("expired", calls=HONEST)
    trial.check_page = lambda: None  # with its reference, unlike a callback that came too late


def test_cc_07_reaper_that_deletes_the_row_leaves_nobody_logged_in(site, trial):
    def prune(operator, received):
        VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(days=400))
        assert VerificationAttempt.objects.prune()[1] == 1
        connections.close_all()
        return Reply({"devicePhoneNumberVerified": True})

    trial.operator.verify = prune
    trial.log_in()
    assert not VerifiedNumber.objects.exists()
    trial.nothing(HONEST)


def test_cc_07_reaper_leaves_a_call_under_way_alone(site, trial):
    def prune(operator, received):
        VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        assert VerificationAttempt.objects.prune() == (0, 0)
        connections.close_all()
        return Reply({"devicePhoneNumberVerified": True})

    trial.operator.verify = prune
    trial.log_in()
    trial.verified()


REAPERS = {
    "prune": lambda: VerificationAttempt.objects.prune()[0],
    "tidy": lambda: VerificationAttempt.objects.tidy("browser"),
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("reap", REAPERS.values(), ids=REAPERS)
def test_cc_07_claim_and_reaper_at_once_have_one_outcome(reap):
    for number in range(10):
        attempt = attempt_of(state=f"state {number}")
        VerificationAttempt.objects.filter(pk=attempt.pk).update(expires_at=timezone.now() - timedelta(hours=1))
        acts = [lambda: VerificationAttempt.objects.claim(f"state {number}", "browser"), reap] * 2  # noqa: B023
        claims = together(outcome_of, acts)[::2]

        assert {type(claim) for claim in claims} <= {exceptions.Expired, exceptions.Replayed}
        attempt.refresh_from_db()
        assert (attempt.outcome, attempt.reason, attempt.claimed_at, attempt.sealed) == (
            "abandoned",
            "expired",
            None,
            "",
        )


@pytest.mark.django_db(transaction=True)
def test_cc_07_worker_and_reaper_at_once_have_one_outcome():
    number, winners = PhoneNumber(NUMBER), set()
    for index in range(10):
        attempt_of(state=f"state {index}")
        attempt, _ = VerificationAttempt.objects.claim(f"state {index}", "browser")
        VerificationAttempt.objects.filter(pk=attempt.pk).update(expires_at=timezone.now() - timedelta(hours=1))
        acts = [lambda: attempt.succeed(None, number), lambda: VerificationAttempt.objects.prune()[0]]  # noqa: B023
        finished, pruned = together(outcome_of, acts if index % 2 else acts[::-1])[:: 1 if index % 2 else -1]

        row = VerificationAttempt.objects.get(pk=attempt.pk)
        won = finished is None
        assert won or isinstance(finished, exceptions.Expired)
        assert (row.outcome, pruned) == (("verified", 0) if won else ("abandoned", 1))
        winners.add(row.outcome)
    assert winners <= {"verified", "abandoned"}


@pytest.mark.django_db(transaction=True)
def test_cc_07_two_reapers_count_each_attempt_once():
    for number in range(20):
        attempt_of(state=f"state {number}")
    VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    counts = together(lambda _: VerificationAttempt.objects.prune(), range(4))

    assert sum(ended for ended, _ in counts) == 20
    assert set(VerificationAttempt.objects.values_list("outcome", "reason")) == {("abandoned", "expired")}


# CC-09: every database


AT_ONCE = connection.vendor == "postgresql"  # where a row is claimed and read in one statement


@pytest.mark.django_db(transaction=True)
def test_cc_09_claim_is_one_conditional_update(request):
    attempt = attempt_of()
    with CaptureQueriesContext(connection) as queries:
        VerificationAttempt.objects.claim("state", "browser")
    statements = [query["sql"] for query in queries]

    assert [statement.split()[0] for statement in statements] == (["WITH"] if AT_ONCE else ["SELECT", "UPDATE"])
    where = statements[-1].partition(" WHERE ")[2]
    key = "attempt.id" if AT_ONCE else connection.ops.quote_name("id")
    assert all(name in where for name in ("outcome", "claimed_at", "expires_at", key))
    # what MySQL and others lack or do otherwise: locks, a subquery of the same table, RETURNING
    assert AT_ONCE or not re.search(r"FOR UPDATE|RETURNING|\(SELECT", " ".join(statements))
    assert VerificationAttempt.objects.get().pk == attempt.pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "changed", [{"claimed_at": timezone.now()}, {"outcome": "mismatch"}], ids=lambda value: next(iter(value))
)
def test_cc_09_claim_goes_by_the_row_and_not_by_what_was_read(changed):
    attempt_of()

    def change_after_reading(execute, sql, params, many, context):
        result = execute(sql, params, many, context)
        if sql.startswith("SELECT") and not done:
            done.append(True)
            VerificationAttempt.objects.update(**changed)
        return result

    done = []
    refused = nullcontext() if AT_ONCE else pytest.raises(exceptions.Replayed)
    with connection.execute_wrapper(change_after_reading), refused:
        VerificationAttempt.objects.claim("state", "browser")
    assert bool(done) is not AT_ONCE  # nothing can come between
    assert (VerificationAttempt.objects.get().sealed == "") is AT_ONCE


@pytest.mark.django_db(transaction=True)
def test_cc_09_state_is_taken_once():
    errors = together(lambda _: taken(), range(4))

    assert sorted(errors) == ["IntegrityError"] * 3 + ["opened"]
    assert VerificationAttempt.objects.get().state_digest == sealing.digest("state")


def taken():
    """Open an attempt with a state that others open as well; tell how it went."""
    close_old_connections()
    try:
        attempt_of()
    except Exception as error:
        return type(error).__name__
    return "opened"


@pytest.mark.django_db(transaction=True)
def test_cc_09_number_logs_in_to_one_account_alone():
    users = [get_user_model().objects.create_user(f"user {number}") for number in range(4)]

    def enrol(user):
        try:
            VerifiedNumber.objects.enrol(user, PhoneNumber(NUMBER), "sandbox")
        except Exception as error:
            return type(error).__name__
        return "enrolled"

    assert sorted(together(enrol, users)) == ["IntegrityError"] * 3 + ["enrolled"]
    assert VerifiedNumber.objects.count() == 1


def test_cc_09_claim_works_with_the_visitor_on_this_database(site, trial):
    others = [Visitor([]) for _ in range(2)]
    callbacks = [visitor.visit_operator(visitor.start()) for visitor in others]
    trial.log_in()
    for visitor, callback in zip(others, callbacks, strict=True):
        visitor.come_back(callback)
        assert visitor.user_id == trial.visitor.user_id
    trial.expected += [("verified", "")] * 2
    trial.verified([*HONEST, *AGAIN * 2])


# One number, several accounts


def tabs(site, numbers, user=None):
    """Return a browser, of ``user`` where one is given, that has begun once with each number, and the callbacks."""
    browser = Browser(site.replace("localhost", HOST))  # to which a cookie can be given
    if user:
        phone = Client()
        phone.force_login(user, PASSWORD)
        browser._http.cookies.set("sessionid", phone.cookies["sessionid"].value, domain=HOST)
    begun = [browser.log_in(number, allow_redirects=False).headers["Location"] for number in numbers]
    callbacks = [requests.get(url, allow_redirects=False, timeout=10).headers["Location"] for url in begun]
    return browser, callbacks


@pytest.mark.parametrize("use", ["login", "step_up"])
def test_two_tabs_of_one_browser_that_overlap_leave_it_logged_in(site, trial, use):
    user = None
    if use == "step_up":
        user = make_user("known")
        VerifiedNumber.objects.enrol(user, PhoneNumber(NUMBER), conf.get().operators[0].name)
    browser, callbacks = tabs(site, [TYPED, TYPED] if user is None else ["", ""], user)
    delays = iter([0.2, 0.5])

    def slow(operator, received):
        time.sleep(next(delays, 0))
        return HONEST_ENDPOINTS["verify"](operator, received)

    trial.operator.verify = slow
    before = dict(browser._http.cookies)
    answers = together(lambda url: requests.get(url, cookies=before, allow_redirects=False, timeout=10), callbacks)
    keys = [answer.cookies["sessionid"] for answer in answers if "sessionid" in answer.cookies]

    assert {answer.status_code for answer in answers} == {302}
    assert {urlsplit(answer.headers["Location"]).path for answer in answers} == {"/home/"}
    assert len(keys) == 1  # the slower tab leaves the quicker one's cookie alone
    assert outcomes() == [("abandoned", "cancelled"), ("verified", "")]
    home = requests.get(f"{browser.site}/home/", cookies={"sessionid": keys[0]}, timeout=10)
    assert home.text != "user None"
    trial.visitor.client.cookies["sessionid"] = keys[0].strip('"')
    trial.expected = list(VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason"))
    trial.calls = trial.operator.hops


def test_account_that_proves_several_first_numbers_at_once_gets_one(site, trial):
    user = make_user("known")
    numbers = [f"600 000 00{digit}" for digit in range(1, 5)]
    browser, callbacks = tabs(site, numbers, user)
    trial.operator.verify = lambda operator, received: Reply({"devicePhoneNumberVerified": True})
    together(lambda url: come_back(browser, url), callbacks)

    assert VerifiedNumber.objects.filter(user=user).count() == 1
    assert [outcome for outcome, _ in outcomes()].count("verified") == 1
    trial.nothing()
    trial.finish = lambda: None  # its leak oracle knows one number


def outcomes():
    """Return (outcome, reason) of each row, sorted."""
    return sorted(VerificationAttempt.objects.values_list("outcome", "reason"))


def test_accounts_that_prove_one_number_at_once_do_not_share_it(site, trial):
    browsers, site = [], site.replace("localhost", HOST)
    for number in range(CROWD):
        client = Client()
        client.force_login(make_user(f"person{number}"), "django.contrib.auth.backends.ModelBackend")
        browsers.append(Browser(site))
        browsers[-1]._http.cookies.set("sessionid", client.cookies["sessionid"].value, domain=HOST)
    trial.users = users()
    started = [browser.log_in(TYPED, allow_redirects=False).headers["Location"] for browser in browsers]
    backs = [requests.get(url, allow_redirects=False, timeout=10).headers["Location"] for url in started]
    answers = together(lambda pair: come_back(*pair), list(zip(browsers, backs, strict=True)))

    assert {answer.status_code for answer in answers} == {302}
    assert VerifiedNumber.objects.count() == 1
    rows = list(VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason"))
    assert sorted(rows) == [("refused", "user_mismatch")] * (CROWD - 1) + [("verified", "")]
    VerificationAttempt.objects.all().delete()
    trial.log_in()
    trial.verified(trial.operator.hops)
