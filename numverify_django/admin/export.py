"""The audit as CSV: row by row, masked, harmless to a spreadsheet, and on record."""

import csv
from collections.abc import Iterator, Mapping
from typing import Any

from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from ..models import VerificationAttempt
from .columns import mask
from .drawing import HOPS

CHUNK = 2000  # rows that are read at a time
COLUMNS = ["reference", "correlator", "created_at", "claimed_at", "ended_at", "outcome", "reason", "operator"]
COLUMNS += ["operation", "use", "user_id"]
DANGEROUS = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the beginning of a formula


class _Line:
    """A file that returns what is written to it."""

    def write(self, text: str) -> str:
        return text


def lines(attempts: QuerySet[VerificationAttempt]) -> Iterator[str]:
    """Yield the lines of a CSV file with ``attempts`` (a queryset), which is read in chunks as they are sent."""
    write = csv.writer(_Line()).writerow
    yield write([*COLUMNS, "number", *(f"{hop}_ms" for hop in HOPS)])
    for row in attempts.values(*COLUMNS, "number_shown", "timings").iterator(chunk_size=CHUNK):
        yield write([_cell(value) for value in _values(row)])


def _values(row: Mapping[str, Any]) -> list[Any]:
    return [*(row[name] for name in COLUMNS), mask(row["number_shown"]), *map(row["timings"].get, HOPS)]


def _cell(value: Any) -> str:
    """Return ``value`` as the text of a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = value.isoformat() if hasattr(value, "isoformat") else str(value)
    return f"'{text}" if text.startswith(DANGEROUS) else text


def record(user: AbstractBaseUser, count: int, filters: str) -> None:
    """Put on record that ``user`` exported ``count`` attempts; ``filters`` (text) holds no number."""
    LogEntry.objects.create(
        user_id=user.pk,
        content_type=ContentType.objects.get_for_model(VerificationAttempt),
        object_repr=_("CSV export, attempts: %(count)d") % {"count": count},
        action_flag=ADDITION,
        change_message=filters,
    )


def recorded(most: int) -> QuerySet[LogEntry]:
    """Return the last exports, ``most`` of them at most, newest first."""
    kind = ContentType.objects.get_for_model(VerificationAttempt)
    exports = LogEntry.objects.filter(content_type=kind, object_id=None, action_flag=ADDITION)
    return exports.select_related("user").order_by("-pk")[:most]
