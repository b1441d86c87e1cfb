"""AC: accounts that are unknown, and numbers that a site stored in its own way."""

import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import IntegrityError, OperationalError, transaction
from django.http import Http404
from django.utils import timezone

from numverify_django import conf
from numverify_django.backends import NumberVerificationBackend
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import InvalidNumber, PhoneNumber

from .conftest import AGAIN, HONEST, NUMBER, SHARED, Visitor, make_user, users

DENY = {"UNKNOWN_NUMBER": "deny"}
MODEL = "django.contrib.auth.backends.ModelBackend"
SPELLINGS = [
    "0034600000001",
    "34600000001",
    "600000001",
    "+34 600 000 001",
    " +34600000001",
    "+34600000001 ",
    "+34-600000001",
]


class ProfileBackend(NumberVerificationBackend):
    """A site's own, which keeps numbers as people typed them in ``last_name``."""

    def filter_users_by_claims(self, claims):
        """Return the users whose stored text means the number."""
        model = get_user_model()
        found = [
            user.pk for user in model.objects.exclude(last_name="") if meant(user.last_name) == claims["phone_number"]
        ]
        return model.objects.filter(pk__in=found)


def meant(text):
    """Return the number (text) that somebody typed, or None."""
    try:
        return PhoneNumber.parse(text.strip(), "ES").e164
    except InvalidNumber:
        return None


def text_of(page):
    """Return a failed page without its reference and token."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"|<bdi.*?</bdi>', "", page.content.decode())
    return re.sub(r'value="\w{3}-\w{4}"', "", text)


def somebody(trial, name="somebody", **facts):
    """Make an account; return it."""
    user = make_user(name, **facts)
    trial.users = users()
    trial.is_told_elsewhere = bool(facts) or name != "somebody"
    return user


# AC-02: unknown numbers where no account is made


@pytest.mark.usefixtures("everywhere")
def test_ac_02_unknown_number_is_as_a_mismatch(trial):
    trial.configure(site=DENY)
    page = trial.log_in()
    other = Visitor([])
    mismatch = other.come_back(other.visit_operator(other.start("600 000 009")))
    last = VerificationAttempt.objects.latest("pk")

    assert (last.reason, text_of(page)) == ("number_mismatch", text_of(mismatch))
    assert page.status_code == mismatch.status_code
    assert set(page.headers.items()) ^ set(mismatch.headers.items()) <= {
        ("Expires", page["Expires"]),
        ("Expires", mismatch["Expires"]),
    }
    assert "We couldn't log you in with this number" in page.content.decode()
    last.delete()
    trial.configure()
    trial.refused("account_unknown", calls=[*HONEST, *AGAIN])


def test_ac_02_unknown_shared_number_makes_no_account(trial):
    trial.configure(OPERATION="share", site=DENY)
    trial.log_in(number="")
    assert not VerifiedNumber.objects.exists()
    trial.configure()
    trial.refused("account_unknown", calls=SHARED)


@pytest.mark.parametrize(
    "facts", [{"username": NUMBER}, {"last_name": NUMBER}, {"email": f"{NUMBER}@site.example"}], ids=str
)
def test_ac_02_number_typed_into_a_profile_is_unknown(trial, facts):
    somebody(trial, **({"name": facts["username"]} if "username" in facts else facts))
    trial.configure(site=DENY)
    trial.log_in()
    trial.configure()
    trial.refused("account_unknown", calls=HONEST)


def test_ac_02_number_of_a_deleted_account_is_unknown(trial):
    user = somebody(trial)
    VerifiedNumber.objects.enrol(user, PhoneNumber(NUMBER), conf.get().operators[0].name)
    user.delete()
    trial.users = users()
    trial.configure(site=DENY)
    trial.log_in()
    trial.configure()
    trial.refused("account_unknown", calls=HONEST)


def test_ac_02_number_of_another_account_that_resembles_is_unknown(trial):
    user = somebody(trial)
    for number in ("+346000000011", "+3460000000", "+44600000001", "+34600000002"):
        VerifiedNumber.objects.enrol(user, PhoneNumber(number), conf.get().operators[0].name)
    trial.configure(site=DENY)
    trial.log_in()
    trial.configure()
    trial.refused("account_unknown", calls=HONEST)


def test_ac_02_policy_is_not_asked_about_nobody(trial):
    asked = []
    trial.configure(site=DENY | {"LOGIN_POLICY": lambda *facts: asked.append(facts) or True})
    trial.log_in()
    assert asked == []
    trial.configure()
    trial.refused("account_unknown", calls=HONEST)


@pytest.mark.parametrize("value", ["DENY", "no", None, False, "", "create "], ids=repr)
def test_ac_02_setting_that_is_neither_creates_nobody(settings, value):
    settings.NUMVERIFY = settings.NUMVERIFY | {"UNKNOWN_NUMBER": value}
    assert [problem.code for problem in conf.problems()] == ["E003"]


def test_ac_02_known_number_still_logs_in(trial):
    user = somebody(trial)
    VerifiedNumber.objects.enrol(user, PhoneNumber(NUMBER), conf.get().operators[0].name)
    trial.configure(site=DENY)
    trial.log_in()
    assert trial.visitor.user_id == str(user.pk)
    trial.verified()


# AC-04: numbers stored in another spelling


@pytest.mark.parametrize("stored", SPELLINGS, ids=repr)
def test_ac_04_row_holds_no_number_but_in_one_spelling(trial, stored):
    user, now = somebody(trial), timezone.now()
    dates = {"first_verified_at": now, "last_verified_at": now, "operator": conf.get().operators[0].name}
    trial.nothing()
    with pytest.raises((IntegrityError, ValueError)), transaction.atomic():
        VerifiedNumber.objects.create(user=user, number=stored, **dates)
    assert not VerifiedNumber.objects.exists()


@pytest.mark.parametrize("stored", SPELLINGS, ids=repr)
def test_ac_04_number_is_enrolled_in_one_spelling_alone(trial, stored):
    user = somebody(trial)
    with pytest.raises(ValueError, match="not a number"):
        VerifiedNumber.objects.enrol(user, PhoneNumber(stored), "sandbox")
    number = PhoneNumber.parse(stored.strip(), "ES")
    VerifiedNumber.objects.enrol(user, number, conf.get().operators[0].name)
    trial.log_in()

    assert (trial.visitor.user_id, get_user_model().objects.count()) == (str(user.pk), 2)
    assert list(VerifiedNumber.objects.values_list("number", flat=True)) == [NUMBER]
    trial.verified()


@pytest.mark.parametrize("stored", SPELLINGS, ids=repr)
def test_ac_04_number_in_the_user_table_is_matched_once(trial, settings, stored):
    settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.ProfileBackend"]
    user = somebody(trial, last_name=stored)
    trial.log_in()
    again = Visitor(trial.responses)
    again.come_back(again.visit_operator(again.start("0034 600 000 001")))

    assert (trial.visitor.user_id, again.user_id) == (str(user.pk), str(user.pk))
    assert get_user_model().objects.count() == 2
    assert list(VerifiedNumber.objects.values_list("user", "number")) == [(user.pk, NUMBER)]
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


def test_ac_04_number_of_two_accounts_in_two_spellings_is_refused(trial, settings):
    settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.ProfileBackend"]
    for name, stored in (("first", SPELLINGS[0]), ("second", SPELLINGS[3])):
        somebody(trial, name, last_name=stored)
    trial.log_in()

    assert (get_user_model().objects.count(), VerifiedNumber.objects.count()) == (3, 0)
    settings.AUTHENTICATION_BACKENDS = [MODEL, "numverify_django.backends.NumberVerificationBackend"]
    trial.refused("number_taken", calls=HONEST)


def test_ac_04_account_found_by_profile_does_not_take_a_number_of_another(trial, settings):
    settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.ProfileBackend"]
    owner, liar = somebody(trial), somebody(trial, "liar", last_name="0034600000001")
    VerifiedNumber.objects.enrol(owner, PhoneNumber(NUMBER), conf.get().operators[0].name)
    trial.log_in()

    assert list(VerifiedNumber.objects.values_list("user", flat=True)) == [owner.pk]
    assert not liar.verified_numbers.exists()
    settings.AUTHENTICATION_BACKENDS = [MODEL, "numverify_django.backends.NumberVerificationBackend"]
    trial.refused("number_taken", calls=HONEST)


@pytest.mark.parametrize("typed", ["600000001", "0034600000001", "+34 600 000 001"])
def test_ac_04_every_spelling_that_is_typed_is_one_account(trial, typed):
    trial.log_in()
    other = Visitor(trial.responses)
    other.come_back(other.visit_operator(other.start(typed)))

    assert other.user_id == trial.visitor.user_id
    assert get_user_model().objects.count() == 2
    trial.operator.secrets.append(typed)
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


@pytest.mark.parametrize("told", ["0034600000001", "34600000001", "600000001", "+34 600 000 001", "tel:+34600000001"])
def test_ac_04_operator_that_spells_a_number_otherwise_makes_no_account(trial, told):
    trial.configure(OPERATION="share")
    trial.operator.sim = told
    trial.log_in(number="")
    trial.refused("response_invalid", calls=SHARED)


# Hooks of the site that break, or answer what is no answer


class BrokenBackend(NumberVerificationBackend):
    """A site's own, one of whose hooks is ``broken``: (its name, what it does)."""

    broken = None

    def __getattribute__(self, name):
        hook, act = type(self).broken
        return act if name == hook else super().__getattribute__(name)


def give(answer):
    return lambda *args: answer


def throw(error):
    def act(*args):
        raise error

    return act


NONSENSE = {
    "none": give(None),
    "text": give("root"),
    "visitor": give(AnonymousUser()),
    "permission denied": throw(PermissionDenied(NUMBER)),
    "not found": throw(Http404(NUMBER)),
    "suspicious": throw(SuspiciousOperation(NUMBER)),
    "database": throw(OperationalError(NUMBER)),
    "value": throw(ValueError(NUMBER)),
}


@pytest.mark.parametrize("act", NONSENSE.values(), ids=NONSENSE)
@pytest.mark.parametrize("hook", ["filter_users_by_claims", "create_user"])
def test_hook_that_breaks_or_answers_nonsense_logs_nobody_in(trial, settings, monkeypatch, hook, act):
    monkeypatch.setattr(BrokenBackend, "broken", (hook, act))
    settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.BrokenBackend"]
    trial.log_in()
    assert not VerifiedNumber.objects.exists()

    settings.AUTHENTICATION_BACKENDS = [MODEL, "numverify_django.backends.NumberVerificationBackend"]
    trial.refused(VerificationAttempt.objects.get().reason, calls=HONEST)
    assert trial.expected[0][1] in ("misconfigured", "account_inactive", "number_taken")


@pytest.mark.parametrize("kind", [exceptions.Replayed, exceptions.StateUnknown, exceptions.TooManyTries])
def test_policy_that_raises_what_ends_no_attempt_ends_it(trial, kind):
    def policy(request, user, attempt):
        raise kind("no", retry_after=5) if kind is exceptions.TooManyTries else kind("no")

    trial.configure(site={"LOGIN_POLICY": policy})
    trial.log_in()
    trial.configure()
    trial.refused("misconfigured", calls=HONEST)
