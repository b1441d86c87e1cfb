"""What is stored of one person: found by a number, then told or erased."""

import re
import uuid
from collections import Counter
from functools import reduce
from operator import or_
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.db import router, transaction
from django.db.models import F, Field, Model, Q, QuerySet
from django.views.decorators.debug import sensitive_variables

from . import conf
from .models import AuditRow, Outcome, VerificationAttempt, VerifiedNumber, audits, ending, known_digests
from .protocol.exceptions import Cancelled, Misconfigured
from .protocol.phone import InvalidNumber, PhoneNumber

CHUNK = 500  # rows that are anonymised by one statement
SEALED = "sealed: what is in it opens with a secret that its browser has, and the site has not"


class Person:
    """Who has ``number`` (a PhoneNumber): the account it logs in to, with all its numbers, or the number alone."""

    def __init__(self, number: PhoneNumber) -> None:
        self.number = number
        self._find()

    @sensitive_variables()
    def _find(self) -> None:
        self._users = list(VerifiedNumber.objects.filter(number=self.number.e164).values_list("user", flat=True))
        self.numbers = VerifiedNumber.objects.filter(user__in=self._users)
        known = {self.number, *(record.phone_number for record in self.numbers)}
        self._digests = [digest for one in known for digest in known_digests(one)]

    def records(self) -> list[QuerySet[Any]]:
        """Return a queryset for each model of this package that is about people: the rows about them, of any pepper."""
        models = [model for model in apps.get_models() if model.__module__.startswith(f"{__package__}.")]
        return [rows for rows in map(self._of, models) if not rows.query.is_empty()]

    def _of(self, model: type[Model]) -> QuerySet[Any]:
        accounts = [field.name for field in model._meta.fields if field.related_model is get_user_model()]
        about = [Q(**{f"{name}__in": self._users}) for name in accounts]
        if issubclass(model, AuditRow):
            about.append(Q(number_digest__in=self._digests))
        return model._default_manager.filter(reduce(or_, about)) if about else model._default_manager.none()

    def count(self) -> Counter[str]:
        """Return how many rows there are, by the label of their model."""
        return Counter({rows.model._meta.label: rows.count() for rows in self.records()})

    def export(self) -> dict[str, list[dict[str, Any]]]:
        """Return all there is, by the label of its model: a dict for each row, of every field."""
        return {rows.model._meta.label: [_told(row) for row in rows.order_by("pk")] for rows in self.records()}

    def forget(self, delete: bool = False) -> Counter[str]:
        """Erase their numbers and codes, and anonymise what audits say of them; or ``delete`` that too.

        Returns how many rows it was, by the label of their model.
        """
        with transaction.atomic(using=router.db_for_write(VerifiedNumber)):
            self._lock()
            found = self.count()
            pending = self._of(VerificationAttempt).filter(outcome=Outcome.PENDING)
            pending.update(**ending(Cancelled()))  # or the callback that is under way would write it all again
            for audit in audits():
                rows = self._of(audit)
                rows.delete() if delete else _anonymise(rows)
            self.numbers.delete()
        return found

    def _lock(self) -> None:
        """Let logins by their numbers end first, and find what those wrote; a login locks its number first as well."""
        VerifiedNumber.objects.filter(number=self.number.e164).update(number=F("number"))  # SQLite locks by no reading
        self._find()
        list(self.numbers.select_for_update().order_by("pk").values_list("pk"))


@sensitive_variables()
def spelled(text: str) -> PhoneNumber:
    """Return the PhoneNumber that ``text`` spells, or raise ValueError."""
    try:
        return PhoneNumber.parse(text, conf.get().default_region)
    except (InvalidNumber, Misconfigured):
        return PhoneNumber(re.sub(r"[\s().-]", "", text))  # a share may have told one that is no mobile's


def _told(row: Model) -> dict[str, Any]:
    return {field.attname: _value(row, field) for field in row._meta.concrete_fields}


def _value(row: Model, field: "Field[Any, Any]") -> Any:
    value = field.value_from_object(row)
    return SEALED if value and field.name.startswith("sealed") else value


def _anonymise(rows: QuerySet[Any]) -> None:
    """Leave of ``rows`` (of an AuditRow) what tells of nobody; their digests become random, each row's another."""
    fields = [field for field in rows.model._meta.concrete_fields if field.name not in rows.model.LASTING]
    locked = list(rows.select_for_update())
    for row in locked:
        for field in fields:
            setattr(row, field.attname, _nothing(field))
    if locked:
        type(locked[0]).objects.bulk_update(locked, [field.name for field in fields], batch_size=CHUNK)


def _nothing(field: "Field[Any, Any]") -> Any:
    """Return what stands in ``field`` of a row that is nobody's."""
    if field.null:
        return None
    if field.get_internal_type() == "UUIDField":
        return uuid.uuid4()
    return field.get_default()
