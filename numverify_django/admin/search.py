"""Finding a number without writing it down: its digests wait in the session, under a key that means nothing."""

import re
import secrets
import time
import uuid
from typing import NamedTuple

from django.apps import apps
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ..models import REFERENCE_ALPHABET, AuditRow, VerificationAttempt, known_digests
from ..person import spelled
from ..protocol.phone import PhoneNumber

KEY = "numverify_found"
KEPT = 5  # searches that a session remembers
LIFETIME = 3600  # seconds
# What stands before it has no digits: a number that was typed wrongly is no reference, whatever its end looks like.
SPELLED = re.compile(rf"\D*?\b([{REFERENCE_ALPHABET}]{{3}})[ -]?([{REFERENCE_ALPHABET}]{{4}})\W*")


class Found(NamedTuple):
    """A number that was searched for: its keyed digests, newest pepper first, and its last digits."""

    digests: list[uuid.UUID]
    shown: str


@sensitive_variables()
def number_in(term: str) -> PhoneNumber | None:
    """Return the PhoneNumber that ``term`` spells, or None."""
    try:
        return spelled(term)
    except ValueError:
        return None


def reference_in(term: str) -> str | None:
    """Return the reference that ``term`` spells, in whatever way people quote it, or None: digits alone are none."""
    found = SPELLED.fullmatch(term.upper())
    plain = found and found[1] + found[2]
    return plain if plain and not plain.isdecimal() else None


def model_of(reference: str, admin_site: AdminSite) -> type[AuditRow]:
    """Return the audit in ``admin_site`` that has ``reference``: people quote that of a code or a QR login as well."""
    others = {model for model in apps.get_models() if issubclass(model, AuditRow)} - {VerificationAttempt}
    shown = filter(admin_site.is_registered, others)
    return next((model for model in shown if model.objects.filter(reference=reference).exists()), VerificationAttempt)


@sensitive_variables()
def remember(request: HttpRequest, number: PhoneNumber) -> str:
    """Return the key under which this session, and nobody else, finds ``number`` for a while."""
    key = secrets.token_urlsafe(9)
    found = {"digests": [digest.hex for digest in known_digests(number)], "shown": number.masked, "at": time.time()}
    kept = [*request.session.get(KEY, {}).items(), (key, found)]
    request.session[KEY] = dict(kept[-KEPT:])
    return key


def recall(request: HttpRequest, key: str) -> Found | None:
    """Return what was Found under ``key``, or None: it was long ago, or another session's."""
    found = request.session.get(KEY, {}).get(key)
    if found is None or time.time() - found["at"] > LIFETIME:
        return None
    return Found([uuid.UUID(digest) for digest in found["digests"]], found["shown"])
