"""What NUMVERIFY["CODE_SENDER"] may be: a callable of a PhoneNumber, whose ``e164`` has all of it, and a text."""

import sys

from ...protocol.phone import PhoneNumber


def console(number: PhoneNumber, text: str) -> None:
    """Write the message to the console, for a machine of one's own: whoever reads it can log in."""
    sys.stdout.write(f"Text message to {number.masked}:\n{text}\n")
    sys.stdout.flush()
