"""One person is found by their number, under whatever pepper; told all, and forgotten, by every model of ours."""

import io
import json
import stat
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connections
from django.test import Client
from django.utils import timezone

from numverify_django import limits, sealing
from numverify_django.contrib.otp.models import CodeDevice, CodeLogin
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import (
    AttemptHour,
    AuditRow,
    VerificationAttempt,
    VerifiedNumber,
    address_digest,
    audits,
    number_columns,
)
from numverify_django.person import SEALED, Person, spelled
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import PhoneNumber

from .conftest import HOST
from .test_pruning import make

NUMBER, SECOND, STRANGER = map(PhoneNumber, ("+34600000001", "+34600000002", "+34600000009"))
SPELLED = ("+34600000001", "600000001", "600 000 001", "600000002", "600000009")
TEXT = "600 000 001"
OLD, NEW = "o" * 32, "n" * 32
OURS = [model for model in apps.get_models() if model.__module__.startswith("numverify_django.")]
RANDOM = {"reference", "correlator", "browser_digest", "state_digest", "token_digest"}  # what may not be empty
IMPERSONAL = {AttemptHour}  # models of ours that are about nobody


def rotate(settings, *peppers):
    settings.NUMVERIFY = settings.NUMVERIFY | {"PEPPERS": list(peppers)}


def rows_of(number, user=None, **columns):
    """Make an attempt, a code and a QR login of ``number``, with something in every column; return them."""
    columns |= {**number_columns(number), "user": user, "address_digest": address_digest("192.0.2.1"), "sealed": "s"}
    now = timezone.now()
    (attempt,) = make(VerificationAttempt, since=now, claimed_at=now, ended_at=now, outcome="verified", **columns)
    (code,) = make(CodeLogin, since=now, ended_at=now, outcome="refused", reason="account_unknown", tries=2, **columns)
    (login,) = make(
        QrLogin,
        **{"since": now, "ended_at": now, "status": "finished", "tries": 1, "browser": "firefox", "system": "linux"},
        **{name: uuid.uuid4() for name in ("session_digest", "phone_digest", "code_digest")},
        **{"sealed_token": "s", "sealed_code": "s", "attempt": attempt},
        **columns,
    )
    return attempt, code, login


@pytest.fixture
def somebody(db, settings):
    """A person with two numbers, who began under the old pepper, and a stranger; return the person's account."""
    rotate(settings, OLD)
    user, other = (get_user_model().objects.create_user(name) for name in ("somebody", "other"))
    record = VerifiedNumber.objects.enrol(user, NUMBER, "sandbox")
    record.note_subscriber("the-subscriber")
    rows_of(NUMBER)  # before the account was made, or it is no more
    rows_of(STRANGER, other)
    VerifiedNumber.objects.enrol(other, STRANGER, "sandbox")
    rotate(settings, NEW, OLD)
    VerifiedNumber.objects.enrol(user, SECOND, "sandbox")
    rows_of(SECOND, user)
    rows_of(None, user)  # a share that failed
    CodeDevice.objects.create(
        user=user, number=record, confirmed=False, browser_digest=uuid.uuid4(), reference="ABCDEFG", token="t"
    )
    return user


NOTHING = "Nothing is found of •••77. Is it whole, and are the PEPPERS of its time listed?"
COUNT = {
    "numverify_django.VerificationAttempt": 3,
    "numverify_django.VerifiedNumber": 2,
    "numverify_otp.CodeDevice": 1,
    "numverify_otp.CodeLogin": 3,
    "numverify_qr.QrLogin": 3,
}
TOLD = ", ".join(f"{label} {COUNT[label]}" for label in (model._meta.label for model in OURS) if label in COUNT)


def strangers():
    """Return the rows of the stranger, as values."""
    return {label: rows for label, rows in Person(STRANGER).export().items() if rows}


def test_peppers_that_are_set_late_lose_nobody(db, settings, admin_client):
    user = get_user_model().objects.create_user("somebody")
    record = VerifiedNumber.objects.enrol(user, SECOND, "sandbox")
    record.note_subscriber("the-subscriber")
    rows_of(NUMBER)
    rotate(settings, NEW)

    assert Person(NUMBER).count()["numverify_django.VerificationAttempt"] == 1
    assert record.note_subscriber("the-subscriber") is False
    found = admin_client.post("/admin/numverify_django/verificationattempt/search/", {"term": NUMBER.e164}, follow=True)
    assert found.context["cl"].result_count == 1
    Person(NUMBER).forget()
    assert Person(NUMBER).count().total() == 0


class TestForget:
    def test_person_is_gone_from_every_model_and_nobody_else_is(self, somebody):
        before = strangers()
        assert Person(NUMBER).forget() == COUNT

        assert strangers() == before
        assert Person(NUMBER).count().total() == Person(SECOND).count().total() == 0
        assert [audit.objects.filter(user=somebody).count() for audit in audits()] == [0, 0, 0]
        assert CodeDevice.objects.count() == 0
        assert [audit.objects.count() for audit in audits()] == [4, 4, 4]

    def test_login_that_is_under_way_leads_nowhere(self, phone):
        phone.log_in("600 000 001")
        number = VerifiedNumber.objects.get().phone_number
        started = phone.start("600 000 001")
        attempt = VerificationAttempt.objects.latest("pk")
        VerificationAttempt.objects.filter(pk=attempt.pk).update(claimed_at=timezone.now())  # its callback has begun
        Person(number).forget()

        with pytest.raises(exceptions.Expired):
            attempt.succeed(None, number)
        assert phone.client.get(phone.come_back(started)).status_code in (400, 410)
        assert (VerifiedNumber.objects.count(), Person(number).count().total()) == (0, 0)

    @pytest.mark.django_db(transaction=True)
    def test_login_that_is_being_finished_meanwhile_is_forgotten_as_well(self, phone, settings):
        phone.log_in("600 000 001")
        number, person = VerifiedNumber.objects.get().phone_number, []

        def forget():
            try:
                return person[0].forget()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(1) as pool:

            def policy(request, user, attempt):
                person.append(Person(number))
                person.append(pool.submit(forget))
                time.sleep(0.5)  # until it waits for this login's lock
                return True

            settings.NUMVERIFY = settings.NUMVERIFY | {"LOGIN_POLICY": policy}
            assert phone.log_in("600 000 001")["Location"] == "/home/"
            assert person[1].result(10)["numverify_django.VerificationAttempt"] == 2
        assert (VerifiedNumber.objects.count(), Person(number).count().total()) == (0, 0)
        assert set(VerificationAttempt.objects.values_list("user", "number_digest")) == {(None, None)}

    def test_number_that_was_enrolled_while_somebody_typed_yes_is_forgotten(self, phone):
        person = Person(PhoneNumber("+34600000001"))
        phone.log_in("600 000 001")
        person.forget()
        assert (VerifiedNumber.objects.count(), person.count().total()) == (0, 0)

    def test_share_that_is_under_way_ends_as_a_strangers(self, phone, configure):
        configure(OPERATION="share")
        phone.log_in("600 000 001")
        before = phone.user_id
        phone.client = Client(SERVER_NAME=HOST)
        started = phone.start("", operation="share")
        phone.sandbox.set(sim="+34600000001")
        Person(PhoneNumber("+34600000001")).forget()
        phone.client.get(phone.come_back(started))

        assert phone.user_id not in (None, before)

    def test_attempts_keep_what_statistics_need_and_nothing_else(self, somebody):
        found = [rows for rows in Person(NUMBER).records() if issubclass(rows.model, AuditRow)]
        before = [(rows.model, row) for rows in found for row in rows.values()]
        Person(NUMBER).forget()

        for model, row in before:
            now = model.objects.values().get(pk=row["id"])
            lasting = {model._meta.get_field(name).attname for name in model.LASTING}
            assert {name for name in lasting if now[name] != row[name]} == set()
            assert {name for name in set(now) - lasting if now[name]} == RANDOM & set(now)
            assert {name for name in RANDOM & set(now) if now[name] == row[name]} == set()

    def test_deleted_attempts_are_gone(self, somebody):
        assert Person(NUMBER).forget(delete=True) == COUNT
        assert [audit.objects.count() for audit in audits()] == [1, 1, 1]

    def test_number_without_an_account_is_forgotten_too(self, db):
        attempt = rows_of(NUMBER)[0]
        assert Person(NUMBER).forget().total() == 3
        attempt.refresh_from_db()
        assert (attempt.number_shown, attempt.number_digest, attempt.outcome) == ("", None, "verified")

    def test_open_attempt_leads_nowhere_afterwards(self, phone):
        callback = phone.come_back(phone.start(TEXT))
        Person(NUMBER).forget()
        assert phone.client.get(callback).status_code == 400
        assert not VerifiedNumber.objects.exists()

    @pytest.mark.parametrize("delete", [False, True])
    def test_person_may_come_again_as_a_new_one(self, phone, delete):
        phone.log_in(TEXT)
        before = phone.user_id
        Person(NUMBER).forget(delete)
        phone.client.logout()
        assert phone.log_in(TEXT).status_code == 302

        assert phone.user_id not in (None, before)
        assert VerifiedNumber.objects.get().number == NUMBER.e164
        assert Person(NUMBER).count()["numverify_django.VerificationAttempt"] == 1

    def test_proof_in_a_session_ends(self, phone):
        phone.log_in(TEXT)
        assert phone.client.get("/home/").content.decode().startswith("user ")
        Person(NUMBER).forget()
        request = phone.client.get("/home/").wsgi_request
        assert request.user.is_authenticated
        assert not request.number_verification.is_verified


class TestExport:
    def test_every_field_of_every_model_is_told(self, somebody):
        told = Person(NUMBER).export()
        assert {label: len(rows) for label, rows in told.items() if rows} == COUNT
        assert set(told) == {model._meta.label for model in set(OURS) - IMPERSONAL}
        for model in set(OURS) - IMPERSONAL:
            for row in told[model._meta.label]:
                stored = model.objects.values().get(pk=row["id"])
                sealed = {name: SEALED for name in stored if name.startswith("sealed") and stored[name]}
                assert row == stored | sealed

    def test_model_of_ours_is_about_somebody_or_known_not_to_be(self, db):
        user = get_user_model().objects.create_user("somebody")
        VerifiedNumber.objects.enrol(user, NUMBER, "sandbox")
        assert set(OURS) - {rows.model for rows in Person(NUMBER).records()} == IMPERSONAL

    def test_what_is_sealed_is_named_so(self):
        texts = {
            field.name for model in OURS for field in model._meta.fields if field.get_internal_type() == "TextField"
        }
        assert texts == {"sealed", "sealed_token", "sealed_code"}


def test_lasting_fields_exist():
    for model in OURS:
        if issubclass(model, AuditRow):
            assert model.LASTING - {field.name for field in model._meta.concrete_fields} == set()


@pytest.mark.django_db
class TestCommands:
    @pytest.fixture(autouse=True)
    def _somebody(self, somebody):
        """There is one."""

    def test_number_is_asked_for_and_stands_in_no_output(self, monkeypatch, capsys, caplog):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TEXT}\nyes\n"))
        call_command("numverify_forget", "-")
        said = capsys.readouterr()

        assert said.out.startswith(
            f"•••01 and all that is its account's: {TOLD}.\nErase the numbers, and anonymise the"
        )
        assert said.out.endswith(f"Forgotten: {TOLD}.\n")
        assert [text for text in SPELLED if text in said.out + said.err + caplog.text] == []
        assert Person(NUMBER).count().total() == 0

    @pytest.mark.parametrize("answer", ["no\n", "y\n", ""])
    def test_nothing_is_done_without_a_yes(self, monkeypatch, answer):
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{TEXT}\n{answer}"))
        with pytest.raises(CommandError, match=r"^Nothing was changed\.$"):
            call_command("numverify_forget", "-")
        assert Person(NUMBER).count() == COUNT

    def test_script_need_not_answer(self, capsys):
        call_command("numverify_forget", NUMBER.e164, "--no-input", "--delete")
        assert [audit.objects.count() for audit in audits()] == [1, 1, 1]

    def test_unknown_number_is_told_and_nothing_is_asked(self, capsys):
        call_command("numverify_forget", "600 000 077")
        assert capsys.readouterr() == ("", f"{NOTHING}\n")

    @pytest.mark.parametrize("command", ["numverify_forget", "numverify_export"])
    @pytest.mark.parametrize("typed", ["600 000 001 0000", "+34 600 000 001 000 000", "0600000001x", "nobody"])
    def test_what_is_no_number_is_not_repeated(self, monkeypatch, command, typed):
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(CommandError) as raised:
            call_command(command, "-")
        assert (raised.value.__cause__, raised.value.__context__) == (None, None)
        assert typed not in str(raised.value)

    def test_export_is_json(self, capsys):
        call_command("numverify_export", TEXT)
        told = json.loads(capsys.readouterr().out)
        assert {label: len(rows) for label, rows in told.items() if rows} == COUNT
        assert [row["number"] for row in told["numverify_django.VerifiedNumber"]] == [NUMBER.e164, SECOND.e164]

    def test_export_goes_into_a_new_file_of_its_owner(self, tmp_path, capsys):
        path = tmp_path / "person.json"
        call_command("numverify_export", TEXT, output=str(path))
        call_command("numverify_export", TEXT)

        assert json.loads(path.read_text()) == json.loads(capsys.readouterr().out)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(CommandError, match="cannot be made: File exists"):
            call_command("numverify_export", TEXT, output=str(path))


class TestPeppers:
    """What was written under an older pepper is found as long as that is listed."""

    def test_number_is_found_in_the_admin(self, somebody, client):
        client.force_login(get_user_model().objects.create_superuser("root"))
        path = "/admin/numverify_django/verificationattempt/"
        page = client.post(f"{path}search/", {"term": TEXT}, follow=True).content.decode()
        references = VerificationAttempt.objects.filter(number_digest=sealing.digest(NUMBER.e164, OLD))

        assert [row.reference_shown in page for row in references] == [True]

    def test_row_is_not_found_once_its_pepper_is_gone(self, somebody, settings):
        rotate(settings, NEW)
        assert Person(NUMBER).count()["numverify_django.VerificationAttempt"] == 2  # by the account

    @pytest.mark.parametrize("audit", audits())
    def test_limits_count_on(self, somebody, settings, audit):
        rotate(settings, NEW, OLD)
        settings.NUMVERIFY |= {"RATE_LIMITS": {"number_address": [1, 600], "address": None, "code_number": None}}
        limits.check_tries(audit.objects, NUMBER, "browser", "192.0.2.2")
        with pytest.raises(exceptions.TooManyTries, match="number_address"):
            limits.check_tries(audit.objects, NUMBER, "browser", "192.0.2.1")
        settings.NUMVERIFY |= {"RATE_LIMITS": {"number_address": None, "code_number": [1, 600]}}
        with pytest.raises(exceptions.TooManyTries, match="code_number"):
            limits.check_code(audit.objects, NUMBER, "browser", "192.0.2.2")
        settings.NUMVERIFY |= {"RATE_LIMITS": {"address": [4, 600]}}
        with pytest.raises(exceptions.TooManyTries, match="address"):
            limits.check_tries(audit.objects, None, "browser", "192.0.2.1")

    def test_subscriber_is_the_same_under_the_new_pepper(self, somebody, settings):
        record = VerifiedNumber.objects.get(number=NUMBER.e164)
        assert not record.note_subscriber("the-subscriber")
        rotate(settings, NEW)
        assert not record.note_subscriber("the-subscriber")
        assert record.note_subscriber("another")


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["600 000 001", "+34 600-000-001", "0034600000001", NUMBER.e164])
def test_number_is_read_as_people_write_it(text):
    assert spelled(text) == NUMBER


def test_number_that_is_no_mobile_is_read_in_full():
    assert spelled("+34 910 000 001").e164 == "+34910000001"
