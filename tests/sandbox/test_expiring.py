"""What may be used once, and for a while: the clock is an argument."""

import pytest

from numverify_django.sandbox.expiring import Expiring
from numverify_django.sandbox.memory import CODE_LIFETIME, TOKEN_LIFETIME


class Clock:
    """A clock that stands until it is moved."""

    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def tokens(clock):
    """An Expiring with one entry, ``token``."""
    tokens = Expiring(TOKEN_LIFETIME, clock)
    tokens.put("token", "meaning")
    return tokens


def test_tokens_live_300_seconds_and_codes_a_minute():
    assert (TOKEN_LIFETIME, CODE_LIFETIME) == (300, 60)


@pytest.mark.parametrize(("age", "meaning"), [(0, "meaning"), (299.9, "meaning"), (300, None), (1e6, None)])
def test_token_is_good_for_300_seconds(clock, tokens, age, meaning):
    clock.now += age

    assert tokens.take("token") == meaning


@pytest.mark.parametrize(("age", "is_kept"), [(299.9, True), (300, False)])
def test_expired_entry_is_not_contained(clock, tokens, age, is_kept):
    clock.now += age

    assert ("token" in tokens) is is_kept


def test_entry_is_given_away_once(tokens):
    tokens.take("token")

    assert tokens.take("token") is None


def test_unknown_key_is_nothing(tokens):
    assert tokens.take("another") is None


@pytest.mark.parametrize(("age", "is_new"), [(299.9, False), (300, True)])
def test_key_is_new_again_when_it_has_expired(clock, tokens, age, is_new):
    clock.now += age

    assert tokens.put("token", "again") is is_new


def test_key_that_is_put_again_lives_from_then_on(clock, tokens):
    clock.now += 200
    tokens.put("other", "other meaning")
    tokens.put("token", "again")
    clock.now += 299.9

    assert (tokens.take("token"), tokens.take("other")) == ("again", "other meaning")


def test_expired_entries_are_forgotten_among_younger_ones(clock, tokens):
    clock.now += 200
    tokens.put("younger", "its meaning")
    clock.now += 200

    assert (tokens.take("token"), tokens.take("younger")) == (None, "its meaning")


def test_clear_forgets_everything(tokens):
    tokens.clear()

    assert tokens.take("token") is None
