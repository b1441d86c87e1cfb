"""Every reason in a real browser: its page, its row, and nothing in the console."""

import pytest

from numverify_django.models import VerificationAttempt
from numverify_django.pages import group_of
from numverify_django.protocol.exceptions import leaves

from .pages import CONFIRMING, FAILED
from .reasons import REASONS

CODES = {kind.code: kind for kind in leaves()}


@pytest.mark.parametrize("reason", REASONS)
def test_reason_has_its_page_and_its_row(phone, reason):
    REASONS[reason](phone)
    headings = FAILED | CONFIRMING if reason == "user_mismatch" else FAILED

    assert phone.heading == headings[group_of(reason)]
    row = VerificationAttempt.objects.latest("pk")
    if CODES[reason].outcome:
        assert (row.outcome, row.reason) == (CODES[reason].outcome, reason)
    if phone.path == "/numverify/failed/":
        assert f"Reference {row.reference_shown}." in phone.page.locator("main").inner_text()


def test_every_reason_is_here():
    # An attempt is cancelled in favour of another one, whose page the person sees; a code fails in two browsers.
    assert set(REASONS) == set(CODES) - {"cancelled", "code_failed"}
