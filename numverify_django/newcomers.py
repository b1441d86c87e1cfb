"""What a user model needs for the accounts of unknown numbers, beside what ``create_user`` and its defaults give them.

It is read off the model, and nothing is made, nor asked but the site's own validators: checks run before there is a
database.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import AutoField, F, Field, UniqueConstraint

USERNAME = "f" * 32  # stands for a random one
NUMBERS = ("phone", "telefon", "mobil", "movil", "celular", "msisdn")  # in the names of fields that hold one
ITS_OWN = object()  # a value that no other account has, as far as can be told


def lacking(model: type[AbstractBaseUser]) -> list[str]:
    """Return the fields that need another value than what each new account has.

    Those of which only one account may have it are told together: "one with another".
    """
    fields = [field for field in model._meta.concrete_fields if _lacks_value(field, model)]
    sets = [names for names, counts_null in _uniques(model) if _are_met_once(names, model, counts_null)]
    return list(dict.fromkeys([*(field.name for field in fields), *map(" with ".join, sets)]))


def takes_random(field: "Field[Any, Any]") -> bool:
    """Tell whether a random username can be stored in ``field``."""
    try:
        field.to_python(USERNAME)
    except ValidationError:
        return False
    return not field.is_relation and (field.max_length or len(USERNAME)) >= len(USERNAME)


def is_for_random(field: "Field[Any, Any]") -> bool:
    """Tell whether ``field`` is for a random username: its validators take it, and it is not called a number's."""
    try:
        field.run_validators(field.to_python(USERNAME))
    except ValidationError:
        return False
    except Exception:  # of a validator of the site's, which may ask a table that is not there yet: no check stops there
        return True
    return not any(name in field.name.lower() for name in NUMBERS)


def _lacks_value(field: "Field[Any, Any]", model: type[AbstractBaseUser]) -> bool:
    value = _value(field, model)
    return (value is None and not field.null) or (field.unique and value not in (ITS_OWN, None))


def _value(field: "Field[Any, Any]", model: type[AbstractBaseUser]) -> Any:
    """Return what ``field`` is in each new account, or ITS_OWN."""
    is_made = isinstance(field, AutoField) or getattr(field.remote_field, "parent_link", False) or field.generated
    is_dated = getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False)
    is_username = field.name == model.USERNAME_FIELD  # type: ignore[attr-defined]  # the stubs leave it to subclasses
    if is_username or is_made or is_dated or field.has_db_default():
        return ITS_OWN
    if field.has_default():
        return ITS_OWN if callable(field.default) else field.default
    return "" if field.empty_strings_allowed and not field.null else None


def _uniques(model: type[AbstractBaseUser]) -> Iterator[tuple[Sequence[str], bool]]:
    """Yield the names of fields that are unique together, and whether NULL in one of them counts.

    What a condition leaves out only a database can tell.
    """
    for part in (model, *model._meta.get_parent_list()):
        for together in part._meta.unique_together:
            yield together, False
        for constraint in part._meta.constraints:
            if isinstance(constraint, UniqueConstraint) and constraint.condition is None:
                yield constraint.fields or _named(constraint.expressions), constraint.nulls_distinct is False


def _named(expressions: Sequence[Any]) -> list[str]:
    """Return the names of the fields that stand in ``expressions``."""
    parts = [part for one in expressions for part in ([one] if isinstance(one, F) else one.flatten())]
    return [part.name for part in parts if isinstance(part, F)]  # type: ignore[attr-defined]  # not in the stubs


def _are_met_once(names: Sequence[str], model: type[AbstractBaseUser], counts_null: bool) -> bool:
    """Tell whether all new accounts have the same in the fields of these ``names``."""
    try:
        fields: list[Any] = [model._meta.get_field(name.partition("__")[0]) for name in names]
    except FieldDoesNotExist:  # pk, which is each account's own
        return False
    values = [_value(field, model) for field in fields]
    return ITS_OWN not in values and (counts_null or None not in values)
