"""PhoneNumber: what people type becomes E.164, or is refused before anything is asked of an operator."""

import hashlib
import pickle
import re
import string

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from numverify_django.protocol.phone import InvalidNumber, PhoneNumber

PATTERN = re.compile(r"^\+[1-9][0-9]{4,14}$")


def refusal(text, region=None):
    """Return the code of the InvalidNumber that ``text`` raises."""
    with pytest.raises(InvalidNumber) as raised:
        PhoneNumber.parse(text, region)
    return raised.value.code


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        ("+34600000001", None, "+34600000001"),
        ("+34 600 000 001", None, "+34600000001"),
        ("+34-600-00-00-01", "DE", "+34600000001"),
        ("0034600000001", "ES", "+34600000001"),
        ("600 000 001", "ES", "+34600000001"),
        ("(600) 00.00.01", "ES", "+34600000001"),
        ("600\u00a0000\u2011001", "ES", "+34600000001"),
        (" 600000001 ", "ES", "+34600000001"),
        ("+49 151 23456789", None, "+4915123456789"),
        ("0151 23456789", "DE", "+4915123456789"),
        ("0151/23456789", "DE", "+4915123456789"),
        ("+55 11 91234-5678", None, "+5511912345678"),
        ("(11) 91234-5678", "BR", "+5511912345678"),
        ("+1 415 555 2671", None, "+14155552671"),
        ("011 34 600000001", "US", "+34600000001"),
    ],
)
def test_spelling_is_read_as_e164(text, region, expected):
    assert PhoneNumber.parse(text, region).e164 == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("600 FLOWER", id="vanity letters"),
        pytest.param("+1 800 FLOWERS", id="international vanity letters"),
        pytest.param("Call +34600000001 now", id="words around it"),
        pytest.param("+34600000001 ext. 5", id="extension in words"),
        pytest.param("+34600000001x5", id="extension by x"),
        pytest.param("+34600000001#5", id="extension by hash"),
        pytest.param("+34600000001;ext=5", id="extension parameter"),
        pytest.param("600000001;phone-context=+34", id="phone context"),
        pytest.param("tel:+34600000001", id="URI"),
        pytest.param("++34600000001", id="two pluses"),
        pytest.param("+34+600000001", id="plus in the middle"),
        pytest.param("600000001+", id="plus at the end"),
        pytest.param("\uff0b34600000001", id="full-width plus"),
        pytest.param("+34\uff16\uff10\uff10000001", id="full-width digits"),
        pytest.param("+34\u0666\u0660\u0660000001", id="Arabic-Indic digits"),
        pytest.param("+34\u096c00000001", id="Devanagari digit"),
        pytest.param("+34600000\u00b9001", id="superscript digit"),
        pytest.param("+34600\x00000001", id="NUL"),
        pytest.param("+34600000001\n", id="line feed at the end"),
        pytest.param("\t+34600000001", id="tab at the beginning"),
        pytest.param("\x1f+34600000001", id="separator that str.strip takes for a blank"),
        pytest.param("+34600\r\n000001", id="line break inside"),
        pytest.param("+34600\u202e000001", id="bidirectional override"),
        pytest.param("+34600\u200b000001", id="zero-width space"),
        pytest.param("+34600000001,+34600000002", id="two numbers"),
        pytest.param("*#06#", id="service code"),
        pytest.param("+34*600000001", id="asterisk"),
        pytest.param("", id="nothing"),
        pytest.param("+", id="plus alone"),
        pytest.param("   ", id="blanks alone"),
        pytest.param("6" * 41, id="one digit over the limit"),
    ],
)
def test_foreign_characters_are_refused(text):
    assert refusal(text, "ES") == "characters"


@pytest.mark.parametrize(
    "text", ["6" * 10_000, "+34" + " " * 10_000 + "600000001", "(" * 1_000_000], ids=["digits", "blanks", "brackets"]
)
def test_long_text_is_refused_before_it_is_parsed(text, monkeypatch):
    parsed = []
    monkeypatch.setattr(phonenumbers, "parse", lambda *args: parsed.append(args))
    assert refusal(text, "ES") == "characters"
    assert parsed == []


@pytest.mark.parametrize(
    ("text", "region"),
    [
        pytest.param("+34 6 1", None, id="too short"),
        pytest.param("+34 600 000 001 000", None, id="too long"),
        pytest.param("+340600000001", None, id="national zero that Spain does not have"),
        pytest.param("+5215512345678", None, id="Mexico's abolished 1"),
        pytest.param("+999 99991000", None, id="no such country"),
        pytest.param("600000001", None, id="national without a region"),
        pytest.param("600000001", "XX", id="no such region"),
        pytest.param("()", "ES", id="no digit at all"),
        pytest.param("112", "ES", id="emergency number"),
    ],
)
def test_impossible_number_is_refused(text, region):
    assert refusal(text, region) == "impossible"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("+34912345678", id="fixed line"),
        pytest.param("+39 06 1234 5678", id="fixed line with an Italian zero"),
        pytest.param("+34803123456", id="premium rate"),
        pytest.param("+34900123456", id="toll free"),
        pytest.param("+34902123456", id="shared cost"),
        pytest.param("+34704123456", id="personal number"),
        pytest.param("+881612345678", id="satellite"),
        pytest.param("+8835100123456", id="international network"),
        pytest.param("+80012345678", id="international toll free"),
        pytest.param("+34500000000", id="unassigned"),
        pytest.param("+44 56 1234 5678", id="voice over IP"),
        pytest.param("+44 7640 123456", id="pager"),
    ],
)
def test_number_that_no_sim_has_is_refused(text):
    assert refusal(text) == "not_mobile"


def test_refusal_does_not_repeat_what_was_typed():
    with pytest.raises(InvalidNumber) as raised:
        PhoneNumber.parse("+34912345678")
    assert str(raised.value) == "not a mobile number: not_mobile"


def test_italian_number_with_and_without_zero_stay_two_numbers():
    assert PhoneNumber.parse("+393123456789").e164 == "+393123456789"
    assert refusal("+3903123456789") == "not_mobile"


@pytest.mark.parametrize("text", ["+12345", "+123456789012345"], ids=["five digits", "fifteen digits"])
def test_pattern_of_the_specification_is_kept_at_its_ends(text):
    assert PhoneNumber(text).e164 == text


@pytest.mark.parametrize(
    "value",
    [
        "+1234",
        "+1234567890123456",
        "34600000001",
        "+04600000001",
        "+34 600000001",
        "+34600000001\n",
        "+3460000000\u0661",
        "",
        None,
        34600000001,
        b"+34600000001",
        ["+34600000001"],
    ],
)
def test_value_outside_the_pattern_is_refused(value):
    with pytest.raises(ValueError, match=r"^not a number in E\.164$"):
        PhoneNumber(value)


def test_hash_is_lower_case_hex_over_the_plus():
    expected = "d867b6540ac8db72d860d67d3d612a1621adcf3277573e9299be1153b6d0de15"
    assert PhoneNumber("+447700900000").sha256 == expected


def test_hash_of_a_spanish_number_is_that_of_its_e164():
    assert PhoneNumber.parse("666 111 222", "ES").sha256 == hashlib.sha256(b"+34666111222").hexdigest()


def test_tel_uri_is_the_e164_behind_its_scheme():
    assert PhoneNumber("+34600000001").tel_uri == "tel:+34600000001"


@pytest.mark.parametrize(
    "show",
    [repr, str, "{}".format, "{!r}".format, lambda number: f"{number}", ascii],
)
def test_number_shows_its_last_two_digits_at_most(show):
    shown = show(PhoneNumber("+34600123489"))
    assert "".join(filter(str.isdigit, shown.replace("\\u2022", ""))) == "89"


def test_masked_number_keeps_two_digits():
    assert PhoneNumber("+34600123489").masked == "•••89"


def test_equal_numbers_are_one_key():
    assert len({PhoneNumber("+34600000001"), PhoneNumber.parse("600000001", "ES")}) == 1


def test_number_is_immutable():
    number = PhoneNumber("+34600000001")
    with pytest.raises(AttributeError):
        number.e164 = "+34600000002"


def test_number_survives_pickling():
    assert pickle.loads(pickle.dumps(PhoneNumber("+34600000001"))) == PhoneNumber("+34600000001")  # noqa: S301


TYPED = st.text("+0123456789()./- " + string.ascii_letters, max_size=45)
DIALLED = st.from_regex(r"\+?[0-9() -]{4,20}", fullmatch=True)


@given(st.one_of(st.text(), TYPED, DIALLED), st.sampled_from([None, "ES", "DE", "BR", "US", "IT", "XX"]))
@example("+" + "9" * 39, None)
@example("\ud800", "ES")
def test_any_text_is_a_number_in_the_pattern_or_invalid(text, region):
    try:
        found = PhoneNumber.parse(text, region).e164
    except InvalidNumber as error:
        found = error.code
    assert found in {"characters", "impossible", "not_mobile"} or PATTERN.match(found)
