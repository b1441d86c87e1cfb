"""The rule of verify, alone."""

import pytest

from numverify_django.sandbox.dialects import BY_NAME, CANNOT_TELL, judge
from numverify_django.sandbox.state import UNKNOWN, UNSET

from .relying_party import DIALECTS, NUMBER

# A hash that was made elsewhere, of +447700900000
VECTOR = "d867b6540ac8db72d860d67d3d612a1621adcf3277573e9299be1153b6d0de15"
each_dialect = pytest.mark.parametrize("dialect", [BY_NAME[name] for name in DIALECTS], ids=DIALECTS)


@each_dialect
def test_verdict_on_a_chosen_sim_is_immediate(dialect):
    assert judge(dialect, NUMBER, "phoneNumber", NUMBER) == (True, 0)
    assert judge(dialect, NUMBER, "phoneNumber", f"{NUMBER}1") == (False, 0)


@each_dialect
def test_last_digit_of_a_chosen_sim_means_nothing(dialect):
    assert judge(dialect, "+34600000005", "phoneNumber", "+34600000005") == (True, 0)


@each_dialect
def test_digit_6_takes_3_seconds(dialect):
    assert judge(dialect, UNSET, "phoneNumber", "+34600000006") == (True, 3)


@pytest.mark.parametrize("digit", list("0123456789"))
def test_digit_means_the_same_at_every_call(digit):
    dialect = BY_NAME["telefonica"]
    verdicts = {judge(dialect, UNSET, "phoneNumber", f"+346{middle:07}{digit}") for middle in range(100)}

    assert len(verdicts) == 1


@pytest.mark.parametrize("spelling", [VECTOR, VECTOR.upper()], ids=["lower", "upper"])
def test_hash_of_a_known_vector_matches(spelling):
    assert judge(BY_NAME["camara-v2"], "+447700900000", "hashedPhoneNumber", spelling) == (True, 0)


def test_unknown_sim_cannot_be_told_whatever_the_digit():
    assert judge(BY_NAME["telefonica"], UNKNOWN, "phoneNumber", NUMBER) == (CANNOT_TELL, 0)
