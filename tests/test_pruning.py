"""Pruning: small transactions from the oldest row on, within its time, past what is locked, and nothing is torn."""

import io
import re
import threading
import uuid
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.db.models.signals import post_delete
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from numverify_django import models, pruning
from numverify_django.contrib.otp.models import CodeLogin
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import VerificationAttempt
from numverify_django.pruning import DELETED, ENDED, Chore

LONG_AGO = timezone.now() - timedelta(days=400)
MOMENT = timedelta(milliseconds=1)
ATTEMPT = {"operator": "sandbox", "operation": "verify", "use": "login"}


def make(model, count=1, *, since=LONG_AGO, step=MOMENT, **columns):
    """Make ``count`` rows of ``model`` that began one ``step`` after the other ``since`` then; return them."""
    own = {VerificationAttempt: ATTEMPT}.get(model, {})
    digests = [field.name for field in model._meta.fields if field.name in ("state_digest", "token_digest")]
    connection.ensure_connection()  # Django 6.0.0 asks a closed one how much it takes
    return model.objects.bulk_create(
        model(
            created_at=since + number * step,
            expires_at=since + number * step + timedelta(minutes=5),
            browser_digest=uuid.uuid4(),
            **{name: uuid.uuid4() for name in digests},
            **own | columns,
        )
        for number in range(count)
    )


def everything():
    """Return the Chore that deletes every attempt."""
    return Chore(DELETED, VerificationAttempt.objects.all())


@pytest.mark.django_db
class TestBatches:
    def test_rows_go_oldest_first_and_no_batch_reads_what_those_before_it_deleted(self):
        make(VerificationAttempt, 2 * pruning.BATCH + 1)
        with CaptureQueriesContext(connection) as captured:
            assert list(everything().batches()) == [pruning.BATCH, pruning.BATCH, 1]
        first, *others = [query["sql"] for query in captured if "created_at" in query["sql"]]
        begun = [re.search(r"created_at\S >= .([\d: .-]+)", sql) for sql in others]

        assert ">=" not in first
        assert None not in begun
        assert [match[1] for match in begun] == sorted(match[1] for match in begun)
        assert len({match[1] for match in begun}) == 3
        assert not VerificationAttempt.objects.exists()

    def test_rows_of_one_instant_stay_together_and_end(self):
        make(VerificationAttempt, pruning.BATCH + 2, step=timedelta())
        make(VerificationAttempt, 3, since=LONG_AGO + MOMENT)
        assert list(everything().batches()) == [pruning.BATCH + 2, 3]

    def test_columns_are_written_in_batches_too(self):
        make(VerificationAttempt, pruning.BATCH_WRITTEN + 1)
        chore = Chore(ENDED, VerificationAttempt.objects.filter(outcome="pending"), {"outcome": "abandoned"})
        assert list(chore.batches()) == [pruning.BATCH_WRITTEN, 1]
        assert set(VerificationAttempt.objects.values_list("outcome", flat=True)) == {"abandoned"}

    def test_run_stops_when_its_time_is_up_and_the_next_goes_on(self):
        make(VerificationAttempt, pruning.BATCH + 1)
        assert pruning.run([everything()], seconds=0) == ({DELETED: pruning.BATCH}, False)
        assert pruning.run([everything()]) == ({DELETED: 1}, True)

    def test_listener_of_the_site_hears_of_every_row(self):
        heard, attempts = [], make(VerificationAttempt, 3)

        def hear(instance, **kwargs):
            heard.append(instance.state_digest)

        post_delete.connect(hear, VerificationAttempt)
        try:
            assert list(everything().batches()) == [3]
        finally:
            post_delete.disconnect(hear, VerificationAttempt)
        assert sorted(heard) == sorted(attempt.state_digest for attempt in attempts)


@pytest.mark.django_db(transaction=True)
class TestBesideOthers:
    def test_qr_login_outlives_its_attempt(self):
        (attempt,) = make(VerificationAttempt)
        (login,) = make(QrLogin, since=timezone.now(), attempt=attempt)
        assert VerificationAttempt.objects.prune() == (1, 1)

        login.refresh_from_db()
        assert (login.attempt, login.status) == (None, "shown")

    def test_all_audits_are_pruned_those_that_refer_to_others_first(self, capsys):
        (attempt,) = make(VerificationAttempt)
        make(QrLogin, attempt=attempt)
        make(CodeLogin)
        with CaptureQueriesContext(connection) as captured:
            call_command("numverify_prune")
        deleted = [re.search(r"\w+", query["sql"][12:])[0] for query in captured if query["sql"].startswith("DELETE")]

        assert capsys.readouterr().out == "Rows ended: 3, erased: 0, deleted: 3.\n"
        assert deleted[-1] == VerificationAttempt._meta.db_table
        assert not any(audit.objects.exists() for audit in models.audits())

    def test_row_that_somebody_has_locked_is_left_for_the_next_run(self):
        if not connection.features.has_select_for_update_skip_locked:
            pytest.skip("this database waits for locks")
        locked, _ = make(VerificationAttempt, 2)
        held, release = threading.Event(), threading.Event()

        def hold():
            with transaction.atomic():
                VerificationAttempt.objects.select_for_update().get(state_digest=locked.state_digest)
                held.set()
                release.wait(10)
            connection.close()

        other = threading.Thread(target=hold)
        other.start()
        held.wait(10)
        try:
            assert VerificationAttempt.objects.prune() == (1, 1)
        finally:
            release.set()
            other.join()
        assert VerificationAttempt.objects.prune() == (1, 1)


@pytest.mark.django_db
@pytest.mark.parametrize("audit", models.audits())
def test_what_is_unfinished_is_found_by_an_index(audit):
    if connection.vendor != "postgresql":
        pytest.skip("the indexes have a condition on PostgreSQL and SQLite alone, and SQLite does not tell")
    for chore in audit.objects.late(timezone.now()):
        with connection.cursor() as cursor:
            for way in ("seqscan", "bitmapscan", "sort"):  # small tables are read otherwise
                cursor.execute(f"SET LOCAL enable_{way} = off")
        if chore.by == "created_at":
            assert re.search(
                "using numverify_(otp_|qr_)?(unfinished|outcome)", chore.rows.order_by("created_at").explain()
            )


class Terminal(io.StringIO):
    """What a person looks at."""

    def isatty(self):
        """Say so."""
        return True


@pytest.mark.django_db
class TestCommand:
    def test_dry_run_says_what_would_be_and_changes_nothing(self, capsys):
        make(VerificationAttempt, 2)
        make(VerificationAttempt, since=timezone.now() - timedelta(hours=1))
        make(CodeLogin, outcome="sent", since=timezone.now())
        before = [list(audit.objects.order_by("pk").values()) for audit in models.audits()]
        call_command("numverify_prune", "--dry-run")

        lines = capsys.readouterr().out.splitlines()
        assert [line for line in lines if ": 0 would be" not in line] == [
            "numverify_django.VerificationAttempt: 3 would be ended.",
            "numverify_django.VerificationAttempt: 2 would be deleted.",
        ]
        assert {line.rpartition(" ")[2] for line in lines} == {"ended.", "erased.", "deleted."}
        assert [list(audit.objects.order_by("pk").values()) for audit in models.audits()] == before

    def test_time_that_is_up_is_told(self, capsys):
        make(VerificationAttempt, 2, outcome="verified")
        call_command("numverify_prune", "--seconds", "0.000001")
        assert capsys.readouterr().out == "Rows ended: 0, erased: 0, deleted: 2. Time is up: the next run goes on.\n"

    @pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
    def test_budget_is_a_number_of_seconds(self, seconds):
        with pytest.raises(CommandError, match="must be a number of seconds above 0"):
            call_command("numverify_prune", f"--seconds={seconds}")

    def test_bar_is_for_a_terminal_alone(self, capsys):
        make(VerificationAttempt, 2, outcome="verified")
        terminal = Terminal()
        call_command("numverify_prune", stderr=terminal)
        assert terminal.getvalue().split("\r")[1] == f"[{'#' * 40}] 100% "
        assert terminal.getvalue().endswith(f"\r{' ' * 48}\r")

        call_command("numverify_prune", verbosity=0)
        assert capsys.readouterr() == ("Rows ended: 0, erased: 0, deleted: 2.\n", "")
