"""django-axes 8: a failed login by SIM counts or not, by setting; who is locked out is so for every way in."""

import itertools

import pytest

from .conftest import App, Visitor

LIMIT = 3  # AXES_FAILURE_LIMIT of the site
WRONG, RIGHT, ON_WIFI = "600 000 002", "600 000 201", "600 000 203"
LOCKED_OUT = 429
HOSTS = itertools.count(1)


@pytest.fixture(scope="module")
def lenient(serve):
    """The site as it comes: failed logins by SIM are not counted."""
    return serve("axes")


@pytest.fixture(scope="module")
def strict(serve):
    """The site with SEND_LOGIN_FAILED."""
    return serve("axes", SITE_COUNTS="yes")


def arrive(site):
    """Return a browser with an address of its own."""
    address = f"192.0.2.{next(HOSTS)}"
    visitor = Visitor(site, headers={"X-Address": address})
    visitor.address = address
    return visitor


def failures(site, address):
    """Return what django-axes has on an address: (username, count, what was in the address, what was posted)."""
    statement = (
        "SELECT username, failures_since_start, get_data, post_data FROM axes_accessattempt WHERE ip_address = ?"
    )
    return site.rows(statement, address)


def test_checks_have_nothing_to_say(strict):
    arrive(strict).who()
    assert "System check identified no issues" in strict.log()


def test_failed_login_by_sim_does_not_count_unless_the_site_says_so(lenient):
    visitor = arrive(lenient)
    for _ in range(LIMIT + 1):
        visitor.log_in(WRONG)

    assert failures(lenient, visitor.address) == []
    visitor.log_in(RIGHT)
    assert visitor.who()["verified"] is True


def test_failed_login_by_sim_counts_where_the_site_says_so(strict):
    visitor = arrive(strict)
    answers = [visitor.log_in(WRONG).status_code for _ in range(LIMIT)]

    assert answers == [200, 200, LOCKED_OUT]
    ((username, count, _, _),) = failures(strict, visitor.address)
    assert (username, count) == (None, LIMIT)


def test_neither_number_nor_code_is_on_record_there(strict):
    visitor = arrive(strict)
    visitor.log_in(WRONG)
    ((_, _, asked, posted),) = failures(strict, visitor.address)

    assert (asked.strip(), posted.strip()) == ("", "")
    assert "600000002" not in strict.log().replace(" ", "")


def test_phone_on_wifi_is_no_failed_login(strict):
    visitor = arrive(strict)
    visitor.log_in(ON_WIFI)
    assert strict.outcomes()[-1] == ("unavailable", "not_on_mobile_network")

    assert failures(strict, visitor.address) == []


def test_failed_confirmation_of_who_is_signed_in_is_no_failed_login(strict):
    strict.make("berta", password="a-password", number="+34600000212")
    visitor = arrive(strict)
    visitor.enter("berta", "a-password")
    visitor.get("/pay/")

    assert strict.outcomes()[-1] == ("mismatch", "number_mismatch")
    assert failures(strict, visitor.address) == []


@pytest.mark.parametrize("site", ["lenient", "strict"])
def test_who_is_locked_out_by_passwords_does_not_get_in_by_sim(site, request):
    site = request.getfixturevalue(site)
    visitor = arrive(site)
    for _ in range(LIMIT):
        visitor.enter("nobody", "wrong")
    answer = visitor.log_in(RIGHT)

    assert answer.status_code == LOCKED_OUT
    assert sum(count for _, count, _, _ in failures(site, visitor.address)) == LIMIT + 1  # each is counted once
    assert site.outcomes()[-1] == ("refused", "policy_refused")
    assert visitor.who()["user"] is None


@pytest.mark.parametrize("site", ["lenient", "strict"])
def test_who_is_signed_in_confirms_and_adds_numbers_whoever_is_locked_out_at_their_address(site, request):
    site = request.getfixturevalue(site)
    site.make("dora", password="a-password", number="+34600000241")
    visitor = arrive(site)
    visitor.enter("dora", "a-password")
    stranger = Visitor(site, headers={"X-Address": visitor.address})
    answers = [stranger.enter("nobody", "wrong").status_code for _ in range(LIMIT)]
    counted = failures(site, visitor.address)
    confirmed = visitor.get("/pay/")
    added = visitor.submit(visitor.get("/numverify/numbers/add/"), {"phone_number": "600 000 251"}, "/numverify/")

    assert answers[-1] == LOCKED_OUT
    assert (confirmed.text, added.status_code) == ("paid", 200)
    assert site.outcomes()[-2:] == [("verified", "")] * 2
    assert visitor.who()["number"] == "+34600000251"
    assert failures(site, visitor.address) == counted


def test_who_is_locked_out_by_sim_does_not_get_in_by_password(strict):
    strict.make("carla", password="a-password")
    visitor = arrive(strict)
    for _ in range(LIMIT):
        visitor.log_in(WRONG)

    assert visitor.enter("carla", "a-password").status_code == LOCKED_OUT
    assert visitor.who()["user"] is None


def test_stranger_who_types_a_number_does_not_lock_its_owner_out(strict, sandbox):
    stranger, owner, number = arrive(strict), arrive(strict), "600 000 221"
    owner.log_in(number)
    owner.log_out()
    sandbox.set(sim="+34600000229")
    tries = [stranger.log_in(number).status_code for _ in range(LIMIT)]
    sandbox.set(sim="+34600000221")
    owner.log_in(number)

    assert tries[-1] == LOCKED_OUT
    assert owner.who()["verified"] is True


def test_login_by_sim_is_in_the_access_log(lenient):
    visitor = arrive(lenient)
    visitor.log_in("600 000 231")
    told = lenient.rows("SELECT username FROM axes_accesslog WHERE ip_address = ?", visitor.address)

    assert told == [(visitor.who()["user"],)]


def test_app_counts_and_is_locked_out_as_a_browser_is(strict, sandbox):
    address = f"192.0.2.{next(HOSTS)}"
    app = App(strict, sandbox, headers={"X-Address": address})
    answers = [app.log_in(WRONG).status_code for _ in range(LIMIT)]
    assert answers == [403] * LIMIT
    assert failures(strict, address)[0][1] == LIMIT
    assert (
        "".join(text for _, _, *texts in failures(strict, address) for text in texts).replace("---------", "").strip()
        == ""
    )

    assert app.log_in(RIGHT).status_code == 403
    assert strict.outcomes()[-1] == ("refused", "policy_refused")
