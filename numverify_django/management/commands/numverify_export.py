"""``manage.py numverify_export NUMBER``: all that is stored of one person, as JSON."""

import json
import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder

from ..person import PersonCommand


class Command(PersonCommand):
    """Tell what is stored of a person: for the right of access."""

    help = "Write all that is stored of a person as JSON: every field of every row."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add NUMBER and --output."""
        super().add_arguments(parser)
        parser.add_argument("--output", metavar="FILE", help="a new file, which its owner alone can read")

    def handle(self, *args: Any, number: str, output: str | None, **options: Any) -> None:
        """Write it to standard output, or to a new file."""
        person = self.person(number)
        if not person.count().total():
            self.tell_nothing(person)
        text = json.dumps(person.export(), cls=DjangoJSONEncoder, indent=2, ensure_ascii=False)
        if output is None:
            self.stdout.write(text)
            return
        try:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CommandError(f"{output} cannot be made: {error.strerror}.") from error
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(f"{text}\n")
