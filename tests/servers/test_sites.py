"""Two sites' worth of workers on two ports: nothing that matters lives in a process."""

import time

import pytest
import redis
from django.contrib.auth import get_user_model

from numverify_django import limits
from numverify_django.models import VerificationAttempt, VerifiedNumber

from ..test_concurrency import together
from .conftest import served_by

CROWD = 12
NUMBER = "600 000 001"
NO_LIMITS = {"number_address": None, "session": None}


@pytest.fixture
def pair(start):
    """Two sites that share everything but their processes."""
    return start(), start()


@pytest.fixture
def complete(start, operator):
    """Two sites that know the operator's endpoints: no document that a worker fetches first interrupts the faults."""
    places = {"AUTHORIZATION_ENDPOINT": "authorize", "TOKEN_ENDPOINT": "token", "JWKS_URI": "jwks"}
    keys = served_by(operator) | {name: f"{operator.url}/{path}" for name, path in places.items()}
    return tuple(start(OPERATORS={"exchange": keys}) for _ in range(2))


def number(index):
    """Return one of a hundred numbers."""
    return f"6000002{index:02}"


def outcomes():
    """Return the outcomes of all attempts, oldest first."""
    return list(VerificationAttempt.objects.order_by("pk").values_list("outcome", flat=True))


@pytest.mark.parametrize("sessions", ["cached_db", "cache"])
def test_login_begun_at_one_site_ends_at_the_other(start, phones, operator, sessions):
    one, other = start(sessions=sessions), start(sessions=sessions)
    phone = phones()
    began = phone.start(one, NUMBER)
    ended = phone.come_back(other, phone.visit_operator(began))

    assert (ended.status, ended.location) == (302, "/home/")
    assert began.process != ended.process
    user = VerifiedNumber.objects.get(number="+34600000001").user_id
    assert {phone.home(site) for site in (one, other)} == {f"user {user}"}
    assert outcomes() == ["verified"]
    assert operator("count")["token"] == 1


def test_login_takes_eleven_commands_of_redis_at_most(start, phones, redis_url):
    site, server = start(workers=1, sessions="cache"), redis.Redis.from_url(redis_url)
    phones().log_in(site, NUMBER)
    time.sleep(limits.CALM + 0.1)
    server.config_resetstat()
    phones().log_in(site, NUMBER)
    counted = {name.removeprefix("cmdstat_"): facts["calls"] for name, facts in server.info("commandstats").items()}

    told = {name: counted.get(name, 0) for name in ("get", "set", "exists", "del")}
    assert told == {"get": 2, "set": 3, "exists": 3, "del": 1}  # docs/deployment.rst counts with it
    assert counted["mget"] in (1, 2)  # of the circuit: at the callback only where more than CALM seconds passed
    server.close()


@pytest.mark.parametrize("sessions", ["cached_db", "cache"])
def test_session_that_is_logged_out_at_one_site_is_out_at_the_other(start, phones, sessions):
    one, other = start(sessions=sessions), start(sessions=sessions)
    phone = phones()
    phone.log_in(one, NUMBER)
    thief = phone.copy()
    assert thief.home(other) == phone.home(other) != "user None"
    assert phone.post(f"{one.url}/logout/").status == 302

    assert [thief.home(site) for site in (one, other)] == ["user None"] * 2
    thief.close()


def test_limit_of_a_number_holds_across_both_sites(pair, phones):
    starts = [phones().start(pair[index % 2], NUMBER) for index in range(12)]

    assert [started.status for started in starts] == [302] * 10 + [429] * 2
    assert outcomes() == ["pending"] * 10


def test_spending_cap_holds_for_starts_at_both_sites_at_once(start, phones):
    limited = {"RATE_LIMITS": NO_LIMITS | {"operator": [3, 3600]}}
    sites = [start(**limited), start(**limited)] * (CROWD // 2)
    crowd = [(phones(), site, number(index)) for index, site in enumerate(sites)]
    starts = together(lambda one: one[0].start(*one[1:]), crowd)

    assert {started.status for started in starts} <= {302, 429}
    assert [started.status for started in starts].count(302) == len(outcomes()) <= 3


def test_circuit_that_opened_at_one_site_is_open_at_the_other(complete, phones, operator):
    one, other = complete
    operator("break_down", "token")
    for index in range(limits.FAULTS_TO_OPEN):
        phones().log_in(one, number(index))
    operator("count")
    refused = [phones().start(site, NUMBER).status for site in (other, one)]

    assert refused == [503, 503]
    assert operator("count") == {}
    assert outcomes() == ["unavailable"] * limits.FAULTS_TO_OPEN


def test_faults_at_both_sites_open_the_circuit_together(complete, phones, operator):
    operator("break_down", "token")
    for index in range(limits.FAULTS_TO_OPEN):
        phones().log_in(complete[index % 2], number(index))

    assert [phones().start(site, NUMBER).status for site in complete] == [503, 503]


@pytest.mark.parametrize("sessions", ["cached_db", "cache"])
def test_one_of_callbacks_that_race_to_both_sites_logs_in(start, phones, operator, sessions):
    sites = [start(sessions=sessions), start(sessions=sessions)]
    phone = phones()
    callback = phone.visit_operator(phone.start(sites[0], NUMBER))
    operator("delay", 0.2)
    racers = [(phone.copy(), sites[index % 2]) for index in range(CROWD)]
    answers = together(lambda racer: racer[0].come_back(racer[1], callback), racers)

    (won,) = [index for index, answer in enumerate(answers) if answer.status == 302]
    assert answers[won].location == "/home/"
    # 400: the session in which it began ended meanwhile, because the winner's got a new key
    assert {answer.status for answer in answers if answer is not answers[won]} <= {400, 409, 410}
    asked = operator("count")
    assert (asked["token"], asked["verify"]) == (1, 1)
    assert outcomes() == ["verified"]
    homes = [racer.home(site) for racer, site in racers]
    assert [index for index, home in enumerate(homes) if home != "user None"] == [won]
    for racer, _ in racers:
        racer.close()


def test_first_logins_of_one_number_at_both_sites_at_once_make_one_account(start, phones):
    sites = [start(RATE_LIMITS=NO_LIMITS), start(RATE_LIMITS=NO_LIMITS)] * (CROWD // 2)
    crowd = [(phones(), site) for site in sites]
    answers = together(lambda one: one[0].log_in(one[1], NUMBER), crowd)

    assert {(answer.status, answer.location) for answer in answers} == {(302, "/home/")}
    assert get_user_model().objects.count() == VerifiedNumber.objects.count() == 1
    assert outcomes() == ["verified"] * CROWD
