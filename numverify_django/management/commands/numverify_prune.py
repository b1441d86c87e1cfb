"""``manage.py numverify_prune``: end what nobody finished, delete what is old. To be run daily."""

import argparse
import math
from collections.abc import Iterable
from typing import Any, Self

from django.core.management.base import BaseCommand, CommandParser, OutputWrapper
from django.utils import timezone

from numverify_django import models, pruning, rollup
from numverify_django.pruning import DELETED, ENDED, ERASED, Chore

WIDTH = 40  # of the bar


class Command(BaseCommand):
    """Prune every audit: that of verifications, and those of apps in ``contrib``."""

    help = "End verification attempts that nobody finished, and delete those older than NUMVERIFY['RETENTION_DAYS']."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --seconds and --dry-run."""
        parser.add_argument("--seconds", type=duration, help="stop after so many; the next run goes on")
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be ended and deleted, change nothing"
        )

    def handle(self, *args: Any, seconds: float | None, dry_run: bool, verbosity: int, **options: Any) -> None:
        """Prune, and tell what was done; a verbosity of 0 tells nothing."""
        now = timezone.now()
        chores = models.chores(now)
        if dry_run:
            return self._tell(chores)
        rollup.prune(now)  # before its rows are gone
        with Bar(self.stderr, chores if verbosity else []) as bar:
            done, is_complete = pruning.run(chores, seconds, bar.advance)
        if verbosity:
            rest = "" if is_complete else " Time is up: the next run goes on."
            self.stdout.write(f"Rows ended: {done[ENDED]}, erased: {done[ERASED]}, deleted: {done[DELETED]}.{rest}")

    def _tell(self, chores: Iterable[Chore]) -> None:
        for chore in chores:
            self.stdout.write(f"{chore.rows.model._meta.label}: {chore.rows.count()} would be {chore.verb}.")


def duration(text: str) -> float:
    """Return the seconds above 0 that ``text`` says, or raise ArgumentTypeError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


class Bar:
    """How far ``chores`` are, on a terminal; no cron job mails it."""

    def __init__(self, stream: OutputWrapper, chores: Iterable[Chore]) -> None:
        self._stream = stream
        self._total = sum(chore.rows.count() for chore in chores) if stream.isatty() else 0
        self._done = 0

    def __enter__(self) -> Self:
        """Return the bar."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wipe it."""
        self._write("")

    def advance(self, count: int) -> None:
        """Show that ``count`` more rows are done."""
        self._done += count
        part = min(1, self._done / (self._total or 1))
        self._write(f"[{'#' * round(part * WIDTH):{WIDTH}}] {part:4.0%}")

    def _write(self, text: str) -> None:
        if self._total:
            self._stream.write(f"\r{text:{WIDTH + 8}}\r", style_func=str, ending="")
            self._stream.flush()
