"""Scopes as the dialects spell them: apart by blanks, or joined to their purpose by ``#`` (Telefonica's v0)."""

import re
from typing import NamedTuple

KNOWN = frozenset(
    {
        "openid",
        "number-verification:verify",
        "number-verification:read",
        "number-verification:device-phone-number:read",
        "number-verification-verify-read",
        "number-verification-share-read",
    }
)
PURPOSE = re.compile(r"dpv:[A-Za-z]+")


class Wanted(NamedTuple):
    """What a scope parameter asks for."""

    purposes: tuple[str, ...]
    scopes: frozenset[str]


def parse(text: str | None) -> Wanted:
    """Return what the scope parameter ``text`` asks for, in either spelling."""
    values = [value for joined in (text or "").split() for value in joined.split("#") if value]
    purposes = tuple(value for value in values if value.startswith("dpv:"))
    return Wanted(purposes, frozenset(values) - frozenset(purposes))


def fault_in(text: str | None) -> str | None:
    """Return in a few words why the scope parameter ``text`` is refused, or None."""
    wanted = parse(text)
    if len(wanted.purposes) != 1:
        return "Exactly one dpv: purpose is required in scope."
    if not PURPOSE.fullmatch(wanted.purposes[0]):
        return "The purpose must be dpv: and a name of letters."
    if not wanted.scopes:
        return "The scope names a purpose but nothing to do."
    if wanted.scopes - KNOWN:
        return "The scope names something that this sandbox does not offer."
    return None
