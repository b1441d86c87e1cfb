"""A command about one person, whose number stands in no shell history, process list, log or error."""

import getpass
import sys
from collections.abc import Callable

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ..person import Person, spelled


class PersonCommand(BaseCommand):
    """A command that takes NUMBER."""

    def add_arguments(self, parser: CommandParser) -> None:
        """Add NUMBER."""
        text = "the number as people write it, or - to be asked for it (the way that leaves it in no history)"
        parser.add_argument("number", metavar="NUMBER", help=text)

    def person(self, number: str) -> Person:
        """Return the Person whom ``number`` names; of -, the first line of standard input does."""
        try:
            return Person(spelled(asked() if number == "-" else number))
        except ValueError:
            pass  # its text, or that of what it came from, may quote the number
        raise CommandError("This is no number: write it with + and country code, or as in DEFAULT_REGION.")

    def tell_nothing(self, person: Person) -> None:
        """Say that nothing is found, and why that may be."""
        text = f"Nothing is found of {person.number.masked}. Is it whole, and are the PEPPERS of its time listed?"
        self.stderr.write(text, style_func=str)


def asked() -> str:
    """Return the line that a person types, which is not shown, or that a program writes."""
    return answered(getpass.getpass, "Number (not shown): ") if sys.stdin.isatty() else sys.stdin.readline().strip()


def answered(ask: Callable[[str], str], question: str) -> str:
    """Return what ``ask`` (a callable) returns to ``question``, or raise CommandError where nobody answers."""
    try:
        return ask(question)
    except (EOFError, KeyboardInterrupt) as error:
        raise CommandError("Nothing was changed.") from error
