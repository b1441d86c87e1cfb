"""``manage.py numverify_forget NUMBER``: erase one person's numbers, and what says that attempts were theirs."""

from collections import Counter
from typing import Any

from django.core.management.base import CommandError, CommandParser

from ..person import PersonCommand, answered


class Command(PersonCommand):
    """Forget a person: for the right to erasure."""

    help = "Erase a person's numbers, and anonymise their verification attempts, codes and QR logins."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add NUMBER, --delete and --no-input."""
        super().add_arguments(parser)
        parser.add_argument("--delete", action="store_true", help="delete the attempts too, which statistics then lack")
        parser.add_argument("--no-input", "--noinput", action="store_false", dest="interactive", help="do not ask")

    def handle(self, *args: Any, number: str, delete: bool, interactive: bool, **options: Any) -> None:
        """Ask, do it, and tell how many rows of each model it was."""
        person = self.person(number)
        count, masked = person.count(), person.number.masked
        if not count.total():
            self.tell_nothing(person)
            return
        self.stdout.write(f"{masked} and all that is its account's: {told(count)}.")
        if interactive:
            confirm("Delete all of it" if delete else "Erase the numbers, and anonymise the rest")
        self.stdout.write(f"Forgotten: {told(person.forget(delete))}.")


def told(count: Counter[str]) -> str:
    """Return the Counter ``count`` in words."""
    return ", ".join(f"{label} {rows}" for label, rows in count.items() if rows)


def confirm(what: str) -> None:
    """Raise CommandError unless a person types yes."""
    if answered(input, f"{what}? Type 'yes': ") != "yes":
        raise CommandError("Nothing was changed.")
