"""``manage.py numverify_probe OPERATOR``: what is right and what is wrong with an operator, before somebody logs in."""

import difflib
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.urls import NoReverseMatch, reverse

from numverify_django import conf, readers
from numverify_django.probe import asking, rows
from numverify_django.protocol.exceptions import Misconfigured
from numverify_django.protocol.profiles import Operator

HELP = """
Say what is right and what is wrong in the settings of one operator, by asking it. It is asked, once each: its discovery
document; its keys; a TLS handshake with each of its hosts; one authorization request for each operation that it may be
asked, as of a login, but without a number and not followed; and one token request with a made-up code, which it must
refuse. Nothing is paid for, nobody is logged in, and nothing is written. Exits with 1 where something is wrong.
"""


class Command(BaseCommand):
    """Probe one operator."""

    help = " ".join(HELP.split())

    def add_arguments(self, parser: CommandParser) -> None:
        """Add OPERATOR and --redirect-uri."""
        parser.add_argument("operator", metavar="OPERATOR", help="its name in NUMVERIFY['OPERATORS']")
        text = "the callback that it knows, where REDIRECT_URI is not set (default: of the first of ALLOWED_HOSTS)"
        parser.add_argument("--redirect-uri", metavar="URL", help=text)

    def handle(self, *args: Any, operator: str, redirect_uri: str | None, **options: Any) -> None:
        """Print the table."""
        given = redirect_uri if redirect_uri is None else whole(redirect_uri)
        asked = configured(operator)
        path = callback_path()
        uri = given or asked.redirect_uri or guessed(path)
        table = rows.table(asking.ask(asked, uri))
        width = max(len(row.what) for row in table)
        for row in table:
            self.stdout.write(f"{row.verdict:7}  {row.what:{width}}  {row.told}")
            if row.remedy:
                self.stdout.write(f"{'':{width + 9}}  -> {row.remedy}")
        wrong = sum(row.verdict == rows.WRONG for row in table)
        if wrong:
            raise CommandError(f"{wrong} of {len(table)} are wrong.")


def whole(redirect_uri: str) -> str:
    """Return it, or raise CommandError where REDIRECT_URI could not be set to it."""
    try:
        return readers.url(redirect_uri)
    except ValueError as error:
        raise CommandError(f"--redirect-uri {error}.") from None


def configured(name: str) -> Operator:
    """Return the operator called ``name``, or raise CommandError."""
    try:
        operators = {operator.name: operator for operator in conf.get().operators}
    except Misconfigured as error:
        raise CommandError(str(error)) from None
    if name in operators:
        return operators[name]
    meant = difflib.get_close_matches(name, operators, n=1)
    hint = f"Did you mean {meant[0]}?" if meant else f"There are: {', '.join(operators)}."
    raise CommandError(f"There is no operator of this name. {hint}")


def callback_path() -> str:
    """Return the path of the callback of all, or raise CommandError."""
    try:
        return reverse("numverify:callback")
    except NoReverseMatch:
        raise CommandError("The URLs of numverify_django are not included: see numverify.E023.") from None


def guessed(path: str) -> str:
    """Return the URL of ``path`` on this site, or raise CommandError where nothing tells its host."""
    hosts = [host for host in settings.ALLOWED_HOSTS if not host.startswith((".", "*"))]
    if not hosts:
        raise CommandError("Neither REDIRECT_URI nor ALLOWED_HOSTS says where the callback is: give --redirect-uri.")
    return f"https://{hosts[0]}{path}"
