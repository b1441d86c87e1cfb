"""The attempt is the single-use state store: of several callers exactly one wins, on every database."""

import hmac
import threading
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from numverify_django import conf, models
from numverify_django.models import OPEN_MAX, Opened, VerificationAttempt, VerifiedNumber
from numverify_django.protocol import exceptions
from numverify_django.protocol.phone import PhoneNumber

OPENED = Opened(
    redirect_uri="https://site.example/callback/",
    fingerprint="f",
    next_url="/next/",
    nonce="the-nonce",
    verifier="the-verifier",
    number="+34600000001",
)


def open_attempt(state="state", browser="browser", **facts):
    operator = conf.get().operators[0]
    given = {"operator": operator, "operation": "verify", "use": "login", "opened": OPENED} | facts
    return VerificationAttempt.objects.open(state=state, browser=browser, **given)


def in_threads(count, act):
    """Call ``act`` in ``count`` threads that start together; return what each returned or raised."""
    barrier, results = threading.Barrier(count), []

    def run():
        barrier.wait()
        try:
            results.append(act())
        except exceptions.NumberVerifyError as error:
            results.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


@pytest.mark.django_db
class TestClaim:
    def test_claim_opens_what_was_sealed(self):
        opened = open_attempt()
        attempt, values = VerificationAttempt.objects.claim("state", "browser")

        assert attempt.pk == opened.pk
        assert values == OPENED

    def test_row_holds_no_secret_before_the_claim_and_nothing_after(self):
        open_attempt()
        row = str(VerificationAttempt.objects.values().get())
        assert not any(secret in row for secret in ("600000001", "the-nonce", "the-verifier", "/next/", "'state'"))

        VerificationAttempt.objects.claim("state", "browser")
        assert VerificationAttempt.objects.get().sealed == ""

    def test_foreign_browser_changes_nothing(self):
        open_attempt()
        before = VerificationAttempt.objects.values().get()
        with pytest.raises(exceptions.ForeignBrowser):
            VerificationAttempt.objects.claim("state", "another")

        assert VerificationAttempt.objects.values().get() == before

    def test_unknown_state_is_unknown(self):
        with pytest.raises(exceptions.StateUnknown):
            VerificationAttempt.objects.claim("state", "browser")

    def test_second_claim_is_a_replay(self):
        open_attempt()
        VerificationAttempt.objects.claim("state", "browser")
        with pytest.raises(exceptions.Replayed):
            VerificationAttempt.objects.claim("state", "browser")

    def test_late_claim_ends_the_attempt_as_expired(self):
        attempt = open_attempt()
        VerificationAttempt.objects.update(expires_at=timezone.now())
        with pytest.raises(exceptions.Expired):
            VerificationAttempt.objects.claim("state", "browser")

        attempt.refresh_from_db()
        assert (attempt.outcome, attempt.reason, attempt.sealed) == ("abandoned", "expired", "")

    def test_terminal_outcome_is_given_once(self):
        attempt = open_attempt()
        attempt.fail(exceptions.NumberMismatch())
        attempt.fail(exceptions.OperatorTimeout())
        with pytest.raises(exceptions.Expired):
            attempt.succeed(None, PhoneNumber("+34600000001"))

        attempt.refresh_from_db()
        assert (attempt.outcome, attempt.reason) == ("mismatch", "number_mismatch")


@pytest.mark.django_db(transaction=True)
def test_one_of_ten_racing_claims_wins():
    open_attempt()
    results = in_threads(10, lambda: VerificationAttempt.objects.claim("state", "browser"))
    losers = [result for result in results if isinstance(result, exceptions.Replayed)]

    assert len(results) == 10
    assert len(losers) == 9


@pytest.mark.django_db(transaction=True)
def test_claim_and_reaper_have_one_winner():
    attempt = open_attempt()
    long_ago = timezone.now() - timedelta(hours=1)
    VerificationAttempt.objects.update(expires_at=long_ago)
    in_threads(2, lambda: VerificationAttempt.objects.claim("state", "browser"))
    ended, _ = VerificationAttempt.objects.prune()

    attempt.refresh_from_db()
    assert (ended, attempt.outcome, attempt.reason) == (0, "abandoned", "expired")


@pytest.mark.django_db
class TestTidy:
    def test_dead_workers_attempt_is_abandoned_by_the_next_start(self):
        attempt = open_attempt()
        VerificationAttempt.objects.claim("state", "browser")
        VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
        VerificationAttempt.objects.tidy("browser")

        attempt.refresh_from_db()
        assert (attempt.outcome, attempt.reason) == ("abandoned", "expired")

    def test_other_browsers_are_left_alone(self):
        attempt = open_attempt()
        VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
        VerificationAttempt.objects.tidy("another")

        attempt.refresh_from_db()
        assert attempt.outcome == "pending"

    def test_oldest_of_too_many_open_attempts_is_cancelled(self):
        attempts = [open_attempt(state=f"state {n}") for n in range(OPEN_MAX + 1)]
        VerificationAttempt.objects.tidy("browser")

        cancelled = VerificationAttempt.objects.get(reason="cancelled")
        assert cancelled.pk == attempts[0].pk


@pytest.mark.django_db
class TestPrune:
    def test_old_rows_are_deleted_and_kept_numbers_erased(self, settings):
        settings.NUMVERIFY = settings.NUMVERIFY | {"RETENTION_DAYS": 30}
        old, kept = open_attempt(state="old"), open_attempt(state="kept")
        kept.fail(exceptions.OperatorTimeout(), kept="sealed number")
        past = timezone.now() - timedelta(days=31)
        VerificationAttempt.objects.filter(pk=old.pk).update(created_at=past, expires_at=past)
        VerificationAttempt.objects.filter(pk=kept.pk).update(expires_at=timezone.now() - timedelta(minutes=2))

        assert VerificationAttempt.objects.prune() == (1, 1)
        assert not VerificationAttempt.objects.filter(pk=old.pk).exists()
        kept.refresh_from_db()
        assert kept.sealed == ""

    def test_deleting_an_account_keeps_the_audit_without_it(self):
        user = get_user_model().objects.create_user("somebody")
        attempt = open_attempt(user=user)
        now = timezone.now()
        VerifiedNumber.objects.create(
            user=user, number="+34600000001", operator="o", first_verified_at=now, last_verified_at=now
        )
        user.delete()

        attempt.refresh_from_db()
        assert attempt.user is None
        assert not VerifiedNumber.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "spelled", ["0034600000001", "34600000001", "+34 600000001", "+0600000001", "+346", "", "+34a"]
)
def test_number_in_another_spelling_gets_into_no_row(spelled):
    user, now = get_user_model().objects.create_user("somebody"), timezone.now()
    facts = {"user": user, "operator": "o", "first_verified_at": now, "last_verified_at": now}
    with pytest.raises(ValueError, match=r"E\.164"):
        VerifiedNumber.objects.create(number=spelled, **facts)
    with pytest.raises(IntegrityError), transaction.atomic():
        VerifiedNumber.objects.bulk_create([VerifiedNumber(number=spelled, **facts)])
    VerifiedNumber.objects.enrol(user, PhoneNumber("+34600000001"), "o")
    with pytest.raises(IntegrityError), transaction.atomic():
        VerifiedNumber.objects.update(number=spelled)


@pytest.mark.django_db
class TestNumbers:
    def test_digest_is_keyed_by_the_newest_pepper(self, settings):
        peppers = ["n" * 32, "o" * 32]
        settings.NUMVERIFY = settings.NUMVERIFY | {"PEPPERS": peppers}

        keyed = hmac.digest(b"n" * 32, b"+34600000001", "sha256")[:16]
        assert open_attempt().number_digest == uuid.UUID(bytes=keyed, version=4)

    def test_number_is_masked_unless_the_site_wants_it_whole(self, settings):
        assert open_attempt().number_shown == "•••01"
        settings.NUMVERIFY = settings.NUMVERIFY | {"STORE_NUMBER": "full"}
        assert open_attempt(state="another").number_shown == "+34600000001"


@pytest.mark.django_db
def test_migrations_make_the_models_as_they_are():
    call_command("makemigrations", "numverify_django", check=True, dry_run=True, verbosity=0)


def test_address_is_kept_under_the_newest_pepper(settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"PEPPERS": ["n" * 32]}
    newest = models.address_digest("192.0.2.1")
    settings.NUMVERIFY = settings.NUMVERIFY | {"PEPPERS": ["n" * 32, "o" * 32]}
    assert (models.address_digest("192.0.2.1"), models.address_digest(None)) == (newest, None)
