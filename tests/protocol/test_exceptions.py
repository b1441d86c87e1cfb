"""The exception tree is the vocabulary: its codes and outcomes are those of the public interface."""

import re

import pytest

from numverify_django.protocol import exceptions
from numverify_django.protocol.exceptions import leaves

REASONS = {
    "mismatch": {"number_mismatch"},
    "unavailable": {
        "not_on_mobile_network",
        "consent_required",
        "cannot_determine",
        "not_covered",
        "access_denied",
        "operator_unavailable",
        "operator_timeout",
        "operator_busy",
    },
    "refused": {
        "account_unknown",
        "account_inactive",
        "staff_refused",
        "operator_not_bound",
        "policy_refused",
        "user_mismatch",
        "number_taken",
        "code_failed",
    },
    "error": {
        "callback_invalid",
        "issuer_mismatch",
        "operator_changed",
        "token_refused",
        "token_invalid",
        "id_token_invalid",
        "permission_denied",
        "response_invalid",
        "response_too_large",
        "redirect_refused",
        "misconfigured",
    },
    "abandoned": {"expired", "cancelled"},
    "": {"state_unknown", "foreign_browser", "replayed", "too_many_tries", "budget_spent"},
}


@pytest.mark.parametrize(("outcome", "codes"), REASONS.items())
def test_outcome_has_exactly_its_reasons(outcome, codes):
    assert {leaf.code for leaf in leaves() if leaf.outcome == outcome} == codes


def test_no_outcome_is_unknown():
    assert {leaf.outcome for leaf in leaves()} == set(REASONS)


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.code)
def test_code_is_the_name_of_its_class(leaf):
    assert leaf.code == re.sub(r"(?<!^)(?=[A-Z])", "_", leaf.__name__).lower()


@pytest.mark.parametrize("leaf", list(leaves()), ids=lambda leaf: leaf.code)
def test_reason_explains_itself_in_one_sentence(leaf):
    assert str(leaf()) == leaf.__doc__
    assert re.fullmatch(r"[A-Z][^\n]*\.", leaf.__doc__)


def test_limit_says_how_long_it_lasts():
    assert exceptions.TooManyTries(retry_after=12.5).retry_after == 12.5


def test_message_of_ours_replaces_the_general_one():
    assert str(exceptions.TokenInvalid("no usable access_token")) == "no usable access_token"
