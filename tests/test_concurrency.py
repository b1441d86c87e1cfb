"""Many at once, against a site with threads: whole logins over HTTP, and ten callbacks with one state."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth import get_user_model
from django.db import connections

from numverify_django.models import VerificationAttempt

from .conftest import Browser

CROWD = 10


@pytest.fixture(params=[False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def site(request, transactional_db, configure, live_server, monkeypatch):
    """The URL of the live site."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", request.param)
    return live_server.url


def together(act, items):
    """Return what ``act`` returns for each of ``items``, all at once."""
    with ThreadPoolExecutor(len(items)) as pool:
        return list(pool.map(act, items))


def test_ten_different_logins_at_once(site, sandbox):
    Browser(site).log_in("600 000 001")
    sandbox.reset()
    numbers = [f"6000001{n}1" for n in range(CROWD)]
    answers = together(lambda number: Browser(site).log_in(number), numbers)

    assert {(answer.status_code, answer.url) for answer in answers} == {(200, f"{site}/home/")}
    assert len({answer.text for answer in answers}) == CROWD
    assert get_user_model().objects.count() == CROWD + 1
    assert set(VerificationAttempt.objects.values_list("outcome", flat=True)) == {"verified"}
    calls = [hop for hop in sandbox.hops() if hop != "authorize"]
    assert sorted(calls) == ["token"] * CROWD + ["verify"] * CROWD


def test_ten_first_logins_of_one_number_make_one_account(site):
    answers = together(lambda _: Browser(site).log_in("600 000 001"), range(CROWD))

    assert len({answer.text for answer in answers}) == 1
    assert get_user_model().objects.count() == 1
    assert set(VerificationAttempt.objects.values_list("outcome", flat=True)) == {"verified"}


def test_one_of_ten_racing_callbacks_logs_in(site, sandbox):
    browser = Browser(site)
    callback = sandbox.authorize(browser.log_in("600 000 001", allow_redirects=False).headers["Location"])
    answers = together(lambda url: browser.get(url, allow_redirects=False), [callback] * CROWD)

    statuses = sorted(answer.status_code for answer in answers)
    assert statuses[0] == 302
    # 400: the session in which it began ended meanwhile, because the winner's got a new key
    assert set(statuses[1:]) <= {400, 409, 410}
    assert (sandbox.hops().count("token"), sandbox.hops().count("verify")) == (1, 1)
    assert VerificationAttempt.objects.get().outcome == "verified"


def test_ten_logins_of_a_cold_process_ask_for_each_document_once(site, sandbox):
    answers = together(lambda n: Browser(site).log_in(f"6000001{n}1"), range(CROWD))

    assert {answer.status_code for answer in answers} == {200}
    assert (sandbox.hops().count("discovery"), sandbox.hops().count("jwks")) == (1, 1)


def test_ten_logins_after_a_rotation_ask_for_the_keys_once(site, sandbox):
    Browser(site).log_in("600 000 001")
    sandbox.set(rotate_keys=True)
    answers = together(lambda n: Browser(site).log_in(f"6000001{n}1"), range(CROWD))

    assert {(answer.status_code, answer.url) for answer in answers} == {(200, f"{site}/home/")}
    assert (sandbox.hops().count("discovery"), sandbox.hops().count("jwks")) == (1, 2)
