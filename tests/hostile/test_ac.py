"""AC: accounts that are unknown, and numbers that a site stored in its own way."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import IntegrityError, OperationalError, transaction
from django.http import Http404
from django.utils import timezone

from numverify_django import conf
from numverify_django.backends import NumberVerificationBackend
from numverify_django.contrib.otp.models import CodeLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import InvalidNumber, PhoneNumber

from .conftest import AGAIN, HONEST, NUMBER, SHARED, Visitor, make_user, users
from .operator import Reply

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
    assert dict(page.headers) == dict(mismatch.headers)
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


# AC-03: another account's number, to be attached to one's own


ADD = "/numverify/numbers/add/"


def attach(trial, meanwhile=lambda: None, **data):
    """Let somebody who is signed in add NUMBER, which is another's by the time they come back; return who did."""
    somebody = make_user("somebody")
    attacker = Visitor(trial.responses)
    attacker.client.force_login(somebody, MODEL)
    callback = attacker.visit_operator(attacker.client.post(ADD, {"phone_number": NUMBER, **data}))
    meanwhile()
    trial.users, trial.others, trial.device = users(), {str(somebody.pk)}, "somebody's"
    attacker.come_back(callback)

    assert attacker.user_id == str(somebody.pk)
    assert not somebody.verified_numbers.exists()
    return somebody


def enrolled(trial):
    """Make an account that proved NUMBER before; return it."""
    owner, now = make_user("owner"), timezone.now()
    VerifiedNumber.objects.create(
        user=owner,
        number=NUMBER,
        operator=conf.get().operators[0].name,
        first_verified_at=now,
        last_verified_at=now,
    )
    return owner


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("data", [{}, {"phone_number": ""}], ids=["verify", "share"])
def test_ac_03_number_of_another_account_stays_there(trial, data):
    trial.configure(**({"OPERATION": "share"} if data else {}))
    owner = enrolled(trial)
    attach(trial, **data)
    assert VerifiedNumber.objects.get().user == owner
    trial.refused("number_taken", calls=SHARED if data else HONEST)


def test_ac_03_number_that_another_was_quicker_to_prove_stays_there(trial):
    owners = []
    attach(trial, meanwhile=lambda: owners.append(enrolled(trial)))
    assert [record.user for record in VerifiedNumber.objects.all()] == owners
    trial.refused("number_taken", calls=HONEST)


def test_ac_03_number_that_the_site_knows_as_anothers_stays_there(trial, settings):
    settings.AUTHENTICATION_BACKENDS = [MODEL, f"{__name__}.ProfileBackend"]
    make_user("owner", last_name=NUMBER)
    trial.is_told_elsewhere = True
    attach(trial)
    assert VerifiedNumber.objects.count() == 0
    trial.refused("number_taken", calls=HONEST)


@pytest.mark.parametrize("answer", [False, None, 1, "yes", "/elsewhere/"], ids=repr)
def test_ac_03_decision_that_is_not_true_moves_nothing(trial, answer):
    trial.configure(site={"NUMBER_TAKEN": lambda request, user, holder, attempt: answer})
    owner = enrolled(trial)
    attach(trial)
    assert VerifiedNumber.objects.get().user == owner
    trial.refused("number_taken", calls=HONEST)


@pytest.mark.parametrize("end", ["another login", "logout"])
def test_ac_03_attempt_of_one_account_adds_to_no_other(trial, end):
    """Somebody begins, and another is signed in to the same browser by the time the callback comes."""
    somebody, another = make_user("somebody"), make_user("another")
    browser = Visitor(trial.responses)
    browser.client.force_login(somebody, MODEL)
    callback = browser.visit_operator(browser.client.post(ADD, {"phone_number": NUMBER}))
    if end == "another login":
        browser.client.force_login(another, MODEL)
    else:
        browser.client.logout()
    trial.users, trial.others = users(), {str(somebody.pk), str(another.pk)}
    browser.come_back(callback)

    assert VerifiedNumber.objects.count() == 0
    trial.expected.append(("pending", ""))  # in a session that is no more
    trial.calls = ["discovery"]


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
    assert trial.expected[0][1] in ("misconfigured", "account_inactive", "number_taken", "policy_refused")


@pytest.mark.parametrize("kind", [exceptions.Replayed, exceptions.StateUnknown, exceptions.TooManyTries])
def test_policy_that_raises_what_ends_no_attempt_ends_it(trial, kind):
    def policy(request, user, attempt):
        raise kind("no", retry_after=5) if kind is exceptions.TooManyTries else kind("no")

    trial.configure(site={"LOGIN_POLICY": policy})
    trial.log_in()
    trial.configure()
    trial.refused("misconfigured", calls=HONEST)


# AC-06 to AC-08: the code by text message beside the SIM


CODE, ENTER = "/numverify/code/", "/numverify/code/enter/"
FORGED = [
    {"fallback": "1"},
    {"method": "sms"},
    {"fallback": "1", "method": "sms", "verified": "true", "code": "000000"},
    {"operation": "code"},
    {"retry": "AAAAAAA", "reference": "AAAAAAA"},
]


class Inbox:
    """A sender that keeps what it is to send; settings are part of exception reports, so its repr holds none of it."""

    def __init__(self):
        self.messages = []

    def __call__(self, number, text):
        self.messages.append((number.e164, text))

    def __len__(self):
        return len(self.messages)

    @property
    def code(self):
        """The code of the last message."""
        return self.messages[-1][1][:6]


def with_codes(trial, **site):
    """Let the site of ``trial`` send codes to an account that has NUMBER; return the inbox and the account."""
    inbox, user = Inbox(), somebody(trial)
    VerifiedNumber.objects.enrol(user, PhoneNumber(NUMBER), conf.get().operators[0].name)
    trial.configure(site={"CODE_SENDER": inbox, "FALLBACK_URL": "numverify_otp:ask"} | site)
    return inbox, user


def ask(visitor, number="600 000 001", **data):
    """Post the number on the page of codes; return the reference of the page that follows."""
    answer = visitor.client.post(CODE, {"phone_number": number, **data})
    return re.search(r"reference=(\w+)", answer["Location"])[1] if answer.status_code == 302 else None


def enter(visitor, reference, code, **data):
    return visitor.client.post(ENTER, {"reference": reference, "code": code, **data})


def by_code(trial, inbox):
    """Log in by code in a browser of its own; return it."""
    visitor = Visitor(trial.responses)
    enter(visitor, ask(visitor), inbox.code)
    trial.users = users()
    trial.operator.secrets.append(inbox.code)
    return visitor


@pytest.mark.parametrize("forged", FORGED, ids=str)
@pytest.mark.parametrize("path", [CODE, ENTER, "/numverify/login/", "/numverify/callback/", "/numverify/failed/"])
def test_ac_06_forged_parameters_log_nobody_in(trial, path, forged):
    inbox, _ = with_codes(trial)
    for send in (trial.visitor.client.post, trial.visitor.client.get):
        assert send(path, forged).status_code in (200, 400, 404, 405)
    assert (len(inbox), CodeLogin.objects.count()) == (0, 0)
    trial.nothing()


@pytest.mark.parametrize("forged", FORGED, ids=str)
def test_ac_06_forged_parameters_of_a_login_by_sim_change_nothing(trial, forged):
    inbox, _ = with_codes(trial)
    callback = trial.begin(**{key: value for key, value in forged.items() if key not in ("operation", "retry")})
    trial.come_back(callback)
    assert len(inbox) == 0
    trial.verified()


def test_ac_06_finish_without_a_code_that_was_asked_for_is_refused(trial):
    inbox, _ = with_codes(trial)
    victim = Visitor([])
    reference = ask(victim)
    pages = [enter(trial.visitor, name, inbox.code) for name in (reference, "", "AAAAAAA", reference.lower())]
    assert {page.status_code for page in pages} == {400}
    assert len({text_of(page) for page in pages}) == 1
    assert (CodeLogin.objects.get().outcome, CodeLogin.objects.get().tries) == ("sent", 0)
    trial.operator.secrets.append(inbox.code)
    trial.nothing()


@pytest.mark.usefixtures("everywhere")
def test_ac_06_code_of_a_stranger_is_not_the_victims(trial):
    inbox, _ = with_codes(trial)
    victim = Visitor([])
    ask(victim)
    own = ask(trial.visitor, "600 000 009")
    assert enter(trial.visitor, own, inbox.code).status_code == 400
    assert sorted(CodeLogin.objects.values_list("outcome", "reason")) == [("refused", "account_unknown"), ("sent", "")]
    trial.operator.secrets.append(inbox.code)
    # The form shows what was typed wrongly, and nothing else does.
    trial.responses = [page for page in trial.responses if page.status_code != 400]
    trial.nothing()


def test_ac_06_every_code_cannot_be_tried(trial):
    inbox, _ = with_codes(trial)
    reference = ask(trial.visitor)
    wrong = f"{(int(inbox.code) + 1) % 10**6:06}"
    for _ in range(5):
        enter(trial.visitor, reference, wrong)
    assert enter(trial.visitor, reference, inbox.code).status_code == 400
    assert CodeLogin.objects.get().outcome == "limited"
    trial.nothing()


def deny(operator, received):
    """Stop the login at the operator, as whoever wants the weaker way can."""
    answer = urlencode({"error": "access_denied", "state": received.query["state"], "iss": operator.url})
    return Reply(status=302, headers={"Location": f"{received.query['redirect_uri']}?{answer}"})


@pytest.mark.usefixtures("everywhere")
def test_ac_07_downgraded_login_is_on_record_as_one_by_code(trial):
    inbox, user = with_codes(trial)
    trial.operator.authorize = deny
    page = trial.log_in()
    assert f'href="{CODE}?next=' in page.content.decode()
    visitor = by_code(trial, inbox)

    assert visitor.user_id == str(user.pk)
    assert not visitor.client.get("/home/").wsgi_request.number_verification.is_verified
    assert list(CodeLogin.objects.values_list("outcome", "user")) == [("logged_in", user.pk)]
    assert "OneTimeCodeBackend" in visitor.client.session["_auth_user_backend"]
    trial.responses.append(page)
    trial.refused("access_denied", calls=["discovery"])


def test_ac_07_guarded_page_is_not_opened_by_a_code(trial):
    inbox, _ = with_codes(trial)
    visitor = by_code(trial, inbox)
    page = visitor.client.get("/payment/", headers={"Sec-Fetch-Site": "cross-site"}, follow=True)

    assert "Confirm it" in page.content.decode()
    assert CODE not in page.content.decode()
    assert visitor.client.get(CODE).status_code == 200
    assert visitor.client.post(CODE, {"phone_number": NUMBER}).status_code == 409
    assert len(inbox) == 1
    trial.nothing()


def test_ac_07_step_up_by_sim_after_a_code_is_verified(trial):
    inbox, user = with_codes(trial)
    visitor = by_code(trial, inbox)
    trial.visitor = visitor
    trial.users = users()
    callback = visitor.visit_operator(visitor.client.get("/payment/"))
    visitor.come_back(callback)

    assert visitor.client.get("/home/").wsgi_request.number_verification.is_verified
    assert VerificationAttempt.objects.get().user == user
    trial.verified()


@pytest.mark.parametrize("answer", [False, "/second/factor/", None], ids=repr)
def test_ac_07_site_may_forbid_codes(trial, answer):
    inbox, _ = with_codes(trial, LOGIN_POLICY=lambda request, user, attempt: attempt.operation != "code" or answer)
    reference = ask(trial.visitor)
    assert enter(trial.visitor, reference, inbox.code).status_code == 403
    assert CodeLogin.objects.get().reason == "policy_refused"
    trial.operator.secrets.append(inbox.code)
    trial.nothing()


def test_ac_07_site_without_a_sender_has_no_codes(trial):
    with_codes(trial, CODE_SENDER=None)
    assert ask(trial.visitor) is None
    assert (trial.responses[-1].status_code, CodeLogin.objects.count()) == (503, 0)
    trial.nothing()


@pytest.mark.parametrize(
    "number", ["+44 7400 123456", "+1 202 555 0101", "806 123 456", "+882 16 000 0000", "905 123 456"]
)
def test_ac_08_number_of_another_country_is_not_sent_to(trial, number):
    inbox, user = with_codes(trial)
    if number.startswith("+44"):
        VerifiedNumber.objects.enrol(user, PhoneNumber("+447400123456"), conf.get().operators[0].name)
    ask(trial.visitor, number)
    assert (trial.responses[-1].status_code, len(inbox), CodeLogin.objects.count()) == (400, 0, 0)
    trial.nothing()


@pytest.mark.parametrize("limit", ["number_address", "session", "address", "site"])
def test_ac_08_limits_are_kept_before_the_sender_is_called(trial, limit):
    inbox, _ = with_codes(trial, RATE_LIMITS={limit: [3, 600]})
    shared = trial.visitor
    for _ in range(6):
        visitor = shared if limit == "session" else Visitor(trial.responses)
        ask(visitor)
        CodeLogin.objects.update(created_at=timezone.now() - timedelta(seconds=60))
    assert [answer.status_code for answer in trial.responses] == [302] * 3 + [429] * 3
    assert all(int(answer["Retry-After"]) > 0 for answer in trial.responses[3:])
    assert (len(inbox), CodeLogin.objects.count()) == (3, 3)
    trial.nothing()


def test_ac_08_numbers_without_an_account_are_not_sent_to_and_are_limited(trial):
    inbox, _ = with_codes(trial)
    for last in range(100, 125):
        ask(trial.visitor, f"600 000 {last}")
    assert [answer.status_code for answer in trial.responses] == [302] * 20 + [429] * 5
    assert len(inbox) == 0
    trial.nothing()


def test_ac_08_button_that_is_pressed_again_and_again_sends_one_message(trial):
    inbox, _ = with_codes(trial)
    reference = ask(trial.visitor)
    for _ in range(10):
        trial.visitor.client.post(CODE, {"retry": reference})
        ask(trial.visitor)
    assert (len(inbox), CodeLogin.objects.count()) == (1, 1)
    trial.nothing()


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(
    "error", [RuntimeError(NUMBER), SystemError("600 000 001"), OperationalError(NUMBER)], ids=repr
)
def test_ac_08_sender_that_fails_tells_nobody(trial, error):
    _, user = with_codes(trial, CODE_SENDER=throw(error))
    other = Visitor([])
    pages = [who.client.get(ENTER, {"reference": ask(who, number)}) for who, number in known_and_unknown(trial, other)]

    assert len({re.sub(r'(reference|retry)" value="\w+"', "", text_of(page)) for page in pages}) == 1
    assert list(CodeLogin.objects.values_list("outcome", "user")) == [("failed", None), ("refused", None)]
    assert user.pk
    trial.nothing()


def known_and_unknown(trial, other):
    return (trial.visitor, "600 000 001"), (other, "600 000 009")
