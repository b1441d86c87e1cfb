"""OPERATORS as a callable: how often it is asked, and what is done with what it returns or raises."""

import logging

import pytest

from numverify_django import conf, roster
from numverify_django.protocol.exceptions import Misconfigured

from .protocol.factories import refused

GOOD = {"PROFILE": "telefonica", "CLIENT_ID": "client", "CLIENT_SECRET": "k0-the-secret-of-the-site"}


class Source:
    """A callable that counts, and a clock that the test moves."""

    def __init__(self, *names):
        self.found = {name: dict(GOOD) for name in names}
        self.error, self.asked, self.now = None, 0, 1000.0
        self.roster = roster.Asked(self, conf.read_operators, clock=lambda: self.now)

    def __call__(self):
        """Return what is found, or raise the error."""
        self.asked += 1
        if self.error:
            raise self.error
        return self.found

    def names(self):
        """Return the names of the operators now."""
        return [operator.name for operator in self.roster()]


def test_it_is_asked_once_in_ten_seconds():
    source = Source("movil")
    assert source.asked == 0
    for now in (1000, 1009.9):
        source.now = now
        assert (source.names(), source.asked) == (["movil"], 1)
    source.now = 1010
    assert (source.names(), source.asked) == (["movil"], 2)
    assert roster.FRESH == 10


def test_operators_that_are_the_same_stay_the_same_values():
    source = Source("movil")
    (before,) = source.roster()
    source.now += roster.FRESH
    assert source.roster()[0] is before
    source.found["movil"]["CLIENT_SECRET"] = "k1-renewed"  # in place: what is returned is the site's
    source.now += roster.FRESH
    assert source.roster()[0].client_secret == "k1-renewed"
    assert source.asked == 3


def test_what_it_no_longer_names_is_gone():
    source = Source("movil", "other")
    assert source.names() == ["movil", "other"]
    del source.found["other"]
    source.now += roster.FRESH
    assert source.names() == ["movil"]


def test_what_it_raises_is_told_without_its_text_and_trusts_nobody(caplog):
    source = Source("movil")
    source.names()
    source.now += roster.FRESH
    source.error = ValueError("the password is hunter2")

    error = refused(Misconfigured, source.roster)
    assert str(error) == "OPERATORS raised ValueError"
    (record,) = caplog.records
    assert (record.levelno, record.name) == (logging.ERROR, "numverify_django.hooks")
    assert "OPERATORS failed: ValueError" in record.getMessage()
    assert "in __call__" in record.getMessage()
    assert "hunter2" not in caplog.text
    assert (error.__cause__, error.__suppress_context__) == (None, False)


def test_what_failed_is_asked_again_a_second_later():
    source = Source("movil")
    source.error = OSError()
    for _ in range(5):
        refused(Misconfigured, source.roster)
    assert source.asked == 1
    source.error, source.now = None, source.now + roster.RETRY
    assert (source.names(), source.asked) == (["movil"], 2)


WRONG = {
    "nothing": (None, "NUMVERIFY['OPERATORS'] names no operator."),
    "no dict": (["movil"], "NUMVERIFY['OPERATORS'] names no operator."),
    "empty": ({}, "NUMVERIFY['OPERATORS'] names no operator."),
    "no client": ({"movil": GOOD | {"CLIENT_ID": ""}}, "NUMVERIFY['OPERATORS']['movil'] has no CLIENT_ID."),
    "misspelled": ({"movil": GOOD | {"PKEC": 1}}, "has an unknown key 'PKEC'. Did you mean 'PKCE'?"),
    "one of two": ({"movil": GOOD, "other": {}}, "NUMVERIFY['OPERATORS']['other']['PROFILE'] is no profile."),
    "mixed up": ({"movil": GOOD, "other": GOOD | {"RESPONSE_ISS": False}}, "Set REDIRECT_URI to its own callback"),
}


@pytest.mark.parametrize(("found", "told"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_as_of_a_dict(found, told):
    source = Source()
    source.found = found
    assert told in str(refused(Misconfigured, source.roster))
    assert "k0-the-secret" not in str(refused(Misconfigured, source.roster))


def test_what_is_wrong_is_read_again_a_second_later():
    source = Source("movil")
    source.found["movil"]["CLIENT_ID"] = ""
    refused(Misconfigured, source.roster)
    source.found["movil"]["CLIENT_ID"] = "client"
    refused(Misconfigured, source.roster)
    source.now += roster.RETRY
    assert (source.names(), source.asked) == (["movil"], 2)


def test_everything_that_is_wrong_is_told():
    source = Source()
    source.found = {"one": GOOD | {"CLIENT_ID": ""}, "two": GOOD | {"TIMEOUT": 0}}
    text = str(refused(Misconfigured, source.roster))
    assert ("['one'] has no CLIENT_ID" in text, "['two']['TIMEOUT'] must be" in text) == (True, True)


def test_what_cannot_be_copied_is_no_crash():
    source = Source()
    source.found = {"movil": GOOD | {"CLIENT_ID": (n for n in "x")}}
    assert str(refused(Misconfigured, source.roster)) == "OPERATORS raised TypeError"


def test_operators_know_the_places_of_the_others():
    source = Source("movil", "other")
    source.found["other"]["ISSUER"] = "https://other.example"
    movil, _ = source.roster()
    assert movil.rivals == {("other.example", 443)}


URI = "https://site.example/numverify/callback/{}/"
OWN = {  # whose it is, REDIRECT_URI, and whether an answer of another cannot come there
    "none": ("movil", None, False),
    "of all": ("movil", "https://site.example/numverify/callback/", False),
    "own": ("movil", URI.format("movil"), True),
    "own, behind a prefix": ("movil", "https://site.example/club/sim/callback/movil/", True),
    "own, in other letters": ("M\u00f3vil 1", URI.format("M%C3%B3vil%201"), True),
    "of another": ("movil", URI.format("other"), False),
    "of one whose name ends like it": ("movil", URI.format("el-movil"), False),
    "without its slash": ("movil", URI.format("movil")[:-1], False),
    "in a query": ("movil", "https://site.example/numverify/callback/?/callback/movil/", False),
}


@pytest.mark.parametrize(("name", "uri", "own"), OWN.values(), ids=OWN)
def test_own_callback_is_known_by_its_end(name, uri, own):
    assert roster.is_own_callback(uri, name) is own


def test_operators_know_whether_they_share_their_callback():
    source = Source("movil", "other", "third")
    assert [operator.shares_callback for operator in source.roster()] == [True, True, True]
    source.found["movil"]["REDIRECT_URI"] = URI.format("movil")
    source.now += roster.FRESH
    assert [operator.shares_callback for operator in source.roster()] == [False, True, True]
    source.found["third"]["REDIRECT_URI"] = URI.format("third")
    source.now += roster.FRESH
    assert [operator.shares_callback for operator in source.roster()] == [False, False, False]
