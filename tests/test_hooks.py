"""A callable of the site that fails: what is raised in its place, and what is told to whom."""

import traceback

import pytest

from numverify_django import hooks
from numverify_django.protocol.exceptions import Misconfigured

from .protocol.factories import refused


def broken(number):
    raise ValueError(f"nobody has {number}")


def test_what_it_returns_is_returned():
    assert hooks.call("ROUTE", divmod, 7, 2) == (3, 1)


@pytest.mark.parametrize("debug", [True, False])
def test_what_it_raises_is_misconfigured_and_quotes_nothing(settings, caplog, debug):
    settings.DEBUG = debug
    error = refused(Misconfigured, hooks.call, "ROUTE", broken, "+34600000001")
    assert str(error) == "ROUTE raised ValueError"
    assert "+34600000001" not in "".join(traceback.format_exception(error))
    assert "in broken" in caplog.text
    assert ("nobody has +34600000001" in caplog.text) is debug
