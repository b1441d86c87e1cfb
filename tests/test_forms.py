"""The one question a person is asked: what may be typed, and what is said about what may not."""

import html
import time

import pytest

from numverify_django import roster
from numverify_django.forms import PhoneNumberForm
from numverify_django.models import VerificationAttempt

from .conftest import Page, Phone
from .test_login import GOOD, OTHER

MISSING, CHARACTERS = "Enter your mobile number", "Use digits only"
NOT_MOBILE = "Enter the number of a mobile, like 612 34 56 78"
INCOMPLETE = "Enter a mobile number with all its digits, like 612 34 56 78"
ABROAD = "Enter a mobile number that begins with +34, +49 or +55"


def errors_of(response):
    return dict(response.context["form"].errors)


BAD = {
    MISSING: {"blanks": "  "},
    CHARACTERS: {
        "letter O": "6OO OOO OO1",
        "extension": "600000001 ext. 5",
        "extension sign": "600000001#5",
        "context": "600000001;phone-context=+34",
        "tel": "tel:+34600000001",
        "plus inside": "600+000001",
        "plus alone": "+",
        "Arabic digits": "\u0666\u0660\u0660000001",
        "full-width digits": "\uff16\uff10\uff10000001",
        "NUL": "600\x00000001",
        "line feed": "600\n000001",
        "control character at the end": "600000001\x1f",
        "direction mark": "\u200e600000001",
        "markup": "<b>600000001</b>",
    },
    INCOMPLETE: {
        "one digit": "6",
        "one digit too few": "60000000",
        "one digit too many": "6000000011",
        "emergency": "112",
        "no such country": "+999 600000001",
        "marks alone": "( )-.",
    },
    NOT_MOBILE: {
        "fixed line": "+49 30 123456",
        "premium rate": "803 123 456",
        "toll-free": "900 123 456",
        "satellite": "+881 612345678",
    },
    ABROAD: {"Portugal": "+351 912 345 678", "America": "+1 415 555 2671"},
}


@pytest.mark.parametrize(
    ("typed", "words"),
    [pytest.param(typed, words, id=name) for words, kinds in BAD.items() for name, typed in kinds.items()],
)
def test_bad_number_gets_its_own_words_and_costs_nothing(phone, sandbox, typed, words):
    response = phone.start(typed)

    assert response.status_code == 400
    assert errors_of(response) == {"phone_number": [words]}
    assert sandbox.log() == []
    assert not VerificationAttempt.objects.exists()


@pytest.mark.parametrize(
    "typed",
    [
        "600000001",
        "600 000 001",
        " 600-000-001 ",
        "600.000.001",
        "(600) 000/001",
        "600\u00a0000\u00a0001",
        "+34600000001",
        "+34 600 000 001",
        "+34 (600) 000-001",
        "0034 600 000 001",
    ],
)
def test_every_spelling_is_the_same_number(configure, typed):
    form = PhoneNumberForm({"phone_number": typed})

    assert form.is_valid()
    assert form.cleaned_data["phone_number"].e164 == "+34600000001"


def test_number_of_another_country_needs_its_prefix(configure):
    form = PhoneNumberForm({"phone_number": "+49 1512 3456789"})

    assert form.is_valid()
    assert form.cleaned_data["phone_number"].e164 == "+4915123456789"


class TestWords:
    def errors(self, typed):
        return PhoneNumberForm({"phone_number": typed}).errors.get("phone_number")

    @pytest.mark.parametrize(
        ("region", "example"), [("ES", "612 34 56 78"), ("DE", "01512 3456789"), ("BR", "(11) 96123-4567")]
    )
    def test_example_is_one_of_the_region(self, configure, region, example):
        configure(site={"DEFAULT_REGION": region})

        assert self.errors("1") == [f"Enter a mobile number with all its digits, like {example}"]
        assert self.errors(example) is None

    def test_example_is_international_without_a_region(self, settings, configure):
        del settings.NUMVERIFY["DEFAULT_REGION"]
        settings.NUMVERIFY = settings.NUMVERIFY

        assert self.errors(GOOD) == ["Enter a mobile number with all its digits, like +34 612 34 56 78"]
        assert self.errors("+34 612 34 56 78") is None

    @pytest.mark.parametrize(
        ("prefixes", "words"),
        [
            (["+55"], "Enter a mobile number that begins with +55"),
            (["+55", "+49"], "Enter a mobile number that begins with +49 or +55"),
        ],
    )
    def test_prefixes_are_those_of_the_site(self, configure, prefixes, words):
        configure(PREFIXES=prefixes)

        assert self.errors(GOOD) == [words]

    def test_prefixes_of_all_operators_are_named_once(self, configure, settings):
        (operator,) = settings.NUMVERIFY["OPERATORS"].values()
        operators = {
            "one": operator | {"PREFIXES": ["+55", "+49"]},
            "two": operator | {"PREFIXES": ["+49", "+351"]},
        }
        settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": operators}

        assert self.errors(GOOD) == ["Enter a mobile number that begins with +351, +49 or +55"]

    def test_operator_without_prefixes_takes_any_mobile_number(self, configure):
        configure("camara-v2")

        assert self.errors("+44 7400 123456") is None


@pytest.mark.parametrize("typed", ["6" * 10_000, "+34" + "6" * 10_000, "-" * 10_000, "+" * 10_000])
def test_endless_number_is_answered_quickly(phone, sandbox, typed):
    started = time.perf_counter()
    response = phone.start(typed)
    seconds = time.perf_counter() - started

    assert response.status_code == 400
    assert errors_of(response).keys() == {"phone_number"}
    assert seconds < 1
    assert sandbox.log() == []


class TestErrorPage:
    @pytest.mark.parametrize("typed", [" 912 345 678", '"><script>alert(1)</script>', "600 & 'more'"])
    def test_input_stays_as_typed_and_escaped(self, phone, typed):
        response = phone.start(typed)

        assert Page(response).field["value"] == typed
        assert f'value="{html.escape(typed)}"' in response.content.decode()
        assert "<script>" not in response.content.decode()

    def test_error_stands_beside_the_field_and_is_announced_with_it(self, phone):
        page = Page(phone.start("912 345 678"))

        assert page.field["aria-invalid"] == "true"
        described_by = page.field["aria-describedby"].split()
        assert described_by
        assert [len(page.find(id=name)) for name in described_by] == [1] * len(described_by)

    def test_summary_takes_focus_and_leads_to_the_field(self, phone):
        response = phone.start("912 345 678")
        page = Page(response)

        (summary,) = page.find(role="alert")
        assert "autofocus" in summary
        assert len(page.find(id=summary["aria-labelledby"])) == 1
        assert len(page.find(href=f"#{page.field['id']}")) == 1
        content = response.content.decode()
        assert content.count(NOT_MOBILE) == 2
        assert "<title>Error: Log in with your phone" in content

    def test_first_visit_has_no_error(self, phone):
        page = Page(phone.client.get("/numverify/login/"))

        assert (page.field["type"], page.field["autocomplete"]) == ("tel", "tel")
        assert "aria-invalid" not in page.field
        assert page.find(role="alert") == []

    def test_next_is_kept(self, phone):
        page = Page(phone.start("1", next="/payment/?to=1&to=2"))

        (hidden,) = page.find(name="next")
        assert hidden["value"] == "/payment/?to=1&to=2"

    def test_manipulated_form_is_an_error_page(self, phone, sandbox):
        response = phone.start(GOOD, operation="steal")

        assert response.status_code == 400
        assert "This form has changed. Open the page again." in response.content.decode()
        assert sandbox.log() == []


class TestShare:
    @pytest.mark.parametrize(("operation", "buttons"), [("verify", 0), ("share", 1)])
    def test_button_is_there_where_an_operator_shares(self, phone, configure, operation, buttons):
        configure(OPERATION=operation)
        for response in (phone.client.get("/numverify/login/"), phone.start("1")):
            assert len(Page(response).find(name="operation", value="share")) == buttons

    @pytest.mark.parametrize("typed", ["", GOOD, "600 FLOWERS"])
    def test_button_asks_the_operator_whatever_was_typed(self, phone, configure, sandbox, typed):
        configure(OPERATION="share")
        sandbox.set(sim="+34600000007")
        phone.log_in(typed, operation="share")

        attempt = VerificationAttempt.objects.get()
        assert (attempt.operation, attempt.outcome, attempt.number_shown) == ("share", "verified", "•••07")

    def test_typed_number_is_verified_where_an_operator_shares(self, phone, configure):
        configure(OPERATION="share")
        phone.start(GOOD)

        assert VerificationAttempt.objects.get().operation == "verify"


class TestRetry:
    @pytest.fixture
    def reference(self, phone, sandbox):
        """The reference of an attempt of ``phone`` that failed on Wi-Fi and keeps its number."""
        sandbox.set(sim=None)
        phone.log_in(GOOD)
        sandbox.reset()
        return VerificationAttempt.objects.get().reference_shown

    def test_own_reference_needs_no_number(self, phone, reference):
        assert phone.start(retry=reference).status_code == 302
        assert VerificationAttempt.objects.latest("pk").number_shown == "•••01"

    def test_foreign_reference_asks_for_the_number_and_stays_its_owners(self, phone, sandbox, reference):
        stranger = Phone(sandbox)
        stranger.client.get("/numverify/login/")
        assert Page(stranger.start(retry=reference)).field["type"] == "tel"
        assert VerificationAttempt.objects.count() == 1

        assert phone.start(retry=reference).status_code == 302

    def test_typed_number_counts_more_than_a_foreign_reference(self, sandbox, reference):
        assert Phone(sandbox).start(OTHER, retry=reference).status_code == 302
        assert VerificationAttempt.objects.latest("pk").number_shown == "•••02"

    @pytest.mark.parametrize(
        "foreign", ["222-2222", "-", "K7Q-4MX2" * 1000, "\x00", "' OR 1=1 --", "\U0001f4f1", "\u0131\u00df"]
    )
    def test_unknown_reference_asks_for_the_number(self, phone, sandbox, reference, foreign):
        response = phone.start(retry=foreign, next="/payment/")

        page = Page(response)
        assert page.field["type"] == "tel"
        assert [field["value"] for field in page.find(name="next")] == ["/payment/"]
        assert sandbox.log() == []
        assert VerificationAttempt.objects.count() == 1


def test_empty_field_under_the_first_button_is_an_error_also_where_the_operator_shares(phone, configure, sandbox):
    configure(OPERATION="share")
    response = phone.start("", operation="verify")

    assert (response.status_code, errors_of(response)) == (400, {"phone_number": [MISSING]})
    assert not VerificationAttempt.objects.exists()


def test_empty_number_without_a_button_is_shared(phone, configure):
    configure(OPERATION="share")

    assert phone.start("").status_code == 302
    assert VerificationAttempt.objects.get().operation == "share"


@pytest.mark.parametrize("changes_at", range(1, 9))
def test_page_is_shown_while_the_countries_of_the_operators_change(phone, settings, sandbox, monkeypatch, changes_at):
    def operators():
        asked.append(asked)
        return {"movil": operator | {"PREFIXES": ["+34" if len(asked) < changes_at else "+49"]}}

    asked, (operator,) = [], settings.NUMVERIFY["OPERATORS"].values()
    monkeypatch.setattr(roster, "FRESH", 0)  # seconds for which an answer is good
    settings.NUMVERIFY = {"OPERATORS": operators}
    assert phone.client.get("/numverify/login/").status_code == 200
    assert len(asked) > 3
