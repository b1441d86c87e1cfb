"""What a login says in SQL, because Django's ORM would need a statement more, or half a millisecond to write it.

``claim`` and ``prove`` change a row and return it. They are PostgreSQL's: ``are_known`` tells where, and everywhere
else the callers do the same by the ORM. The others run on every database. No signal of the ORM is sent on PostgreSQL.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import chain
from typing import Any, NamedTuple, TypeVar
from uuid import UUID

from django.db import connections, router
from django.db.models import Manager, Model
from django.views.decorators.debug import sensitive_variables

CLAIM = """
    WITH opened AS (
        SELECT id, sealed FROM {attempts}
        WHERE state_digest = %s AND browser_digest = %s AND claimed_at IS NULL AND outcome = %s AND expires_at > %s
        FOR UPDATE
    )
    UPDATE {attempts} AS attempt SET claimed_at = %s, sealed = ''
    FROM opened WHERE attempt.id = opened.id
    RETURNING {columns}, opened.sealed
"""
PROVE = """
    UPDATE {numbers} AS proved SET last_verified_at = %s
    FROM {users} AS account WHERE proved.number = %s AND account.{key} = proved.user_id
    RETURNING {columns}
"""
INSERT = "INSERT INTO {table} ({columns}) SELECT {values} WHERE {conditions} RETURNING {key}"
NTH = "SELECT {key} FROM {table} WHERE {conditions} ORDER BY {moment} DESC LIMIT 1 OFFSET %s"
CHANGE = "UPDATE {table} SET {columns} WHERE {conditions}"
IS_THERE = "EXISTS (SELECT 1 FROM {table} WHERE {column} = %s)"

Row = TypeVar("Row", bound=Model)
Columns = Mapping[str, Sequence[Any]]  # field -> values
Condition = tuple[str, list[Any]]  # SQL, and the values that it takes
Shape = tuple[str, tuple[tuple[str, int], ...]]  # of a Nth: its moment; field and number of values, 0 for no value


def are_known(model: type[Model]) -> bool:
    """Tell whether the database that ``model`` is written to runs ``claim`` and ``prove``."""
    return connections[router.db_for_write(model)].vendor == "postgresql"


@sensitive_variables()
def claim(model: type[Row], state_digest: UUID, browser_digest: UUID, pending: str, now: datetime) -> Row | None:
    """Claim and return the pending attempt of these digests, or None where there is none to claim.

    ``pending`` is the outcome that says so. What was sealed on the attempt is its ``was_sealed``.
    """
    alias, sql = _written(_claim, model)
    row = _row(alias, sql, [state_digest, browser_digest, pending, now, now])
    if row is None:
        return None
    *columns, was_sealed = row
    found = _read(model, alias, columns)
    found.was_sealed = was_sealed  # type: ignore[attr-defined]  # which the attempts have
    return found


def can_prove(model: type[Model], users: Manager[Any]) -> bool:
    """Tell whether ``prove`` can be used: ``users`` (a manager) hides nobody, and an account is one row."""
    query = users.all().query
    is_plain = not query.where and not query.combinator and not users.model._meta.parents
    return is_plain and are_known(model)


@sensitive_variables()
def prove(model: type[Row], users: Manager[Any], number: str, now: datetime) -> Row | None:
    """Date the proof of ``number`` (text in E.164); return its row, a ``model`` with its ``user``, or None."""
    alias, sql = _written(_prove, model, users.model)
    row = _row(alias, sql, [now, number])
    if row is None:
        return None
    count = len(model._meta.concrete_fields)
    found = _read(model, alias, row[:count])
    found.user = _read(users.model, alias, row[count:])  # type: ignore[attr-defined]  # which the numbers have
    return found


class Nth(NamedTuple):
    """The row that is the ``nth`` newest by ``moment`` (a field) ``since`` then.

    ``columns`` is which rows count: field -> list of values, of which each row has one; [None] is a row without one.
    """

    nth: int
    moment: str
    since: datetime
    columns: Columns

    @property
    def shape(self) -> Shape:
        """What its SQL depends on."""
        return self.moment, tuple((name, 0 if found == [None] else len(found)) for name, found in self.columns.items())

    def values(self, alias: str, model: type[Model]) -> list[Any]:
        """Return the values that its SQL takes."""
        counted = {name: among for name, among in self.columns.items() if among != [None]}
        return [*_prepared(alias, model, {self.moment: [self.since]} | counted), self.nth - 1]


@sensitive_variables()
def insert(row: Model, *unless: Nth) -> bool:
    """Store ``row``, a new object, unless there is one of ``unless`` (each a Nth); tell whether.

    Elsewhere than on PostgreSQL those are statements of their own.
    """
    model = type(row)
    if not are_known(model):
        if any(newest(model, which) is not None for which in unless):
            return False
        row.save(force_insert=True)
        return True
    alias, sql = _written(_insert, model, tuple(which.shape for which in unless))
    columns = {field.name: [getattr(row, field.attname)] for field in model._meta.concrete_fields[1:]}
    values = [_prepared(alias, model, columns), *(which.values(alias, model) for which in unless)]
    stored = _row(alias, sql, list(chain.from_iterable(values)))
    if stored is None:
        return False
    (row.pk,) = stored
    row._state.adding, row._state.db = False, alias
    return True


@sensitive_variables()
def newest(model: type[Model], which: Nth) -> Any:
    """Return the key of the row that is ``which`` (a Nth), or None."""
    alias, sql = _written(_nth, model, which.shape)
    row = _row(alias, sql, which.values(alias, model))
    return row and row[0]


@sensitive_variables()
def change(row: Model, columns: Mapping[str, Any], *conditions: Condition) -> bool:
    """Write ``columns`` (field -> value) to the stored ``row`` where each condition (SQL, values) holds; tell whether.

    The object in memory is left as it is.
    """
    model = type(row)
    alias, sql = _written(_change, model, tuple(columns), tuple(condition for condition, _ in conditions))
    values = _prepared(alias, model, {name: [value] for name, value in columns.items()})
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, [*values, row.pk, *(value for _, more in conditions for value in more)])
        return bool(cursor.rowcount)


def is_there(model: type[Model], **value: Any) -> Condition:
    """Return the condition that there is a row of ``model`` with this value of a column."""
    ((column, value),) = value.items()
    names = {"table": model._meta.db_table, "column": column}
    return IS_THERE.format(**_all_quoted(router.db_for_write(model), names)), [value]


def _written(write: Callable[..., str], model: type[Model], *shape: Any) -> tuple[str, str]:
    """Return the database that ``model`` is written to, and what ``write`` wrote for it once in this ``shape``."""
    alias = router.db_for_write(model)
    return alias, write(alias, model, *shape)


@cache
def _claim(alias: str, model: type[Model]) -> str:
    columns = _columns(alias, model, "attempt")
    return CLAIM.format(attempts=_quoted(alias, model._meta.db_table), columns=columns)


@cache
def _prove(alias: str, model: type[Model], user_model: type[Model]) -> str:
    account = user_model._meta
    columns = f"{_columns(alias, model, 'proved')}, {_columns(alias, user_model, 'account')}"
    names = {"numbers": model._meta.db_table, "users": account.db_table, "key": account.pk.column}
    return PROVE.format(**_all_quoted(alias, names), columns=columns)


@cache
def _insert(alias: str, model: type[Model], unless: Iterable[Shape]) -> str:
    fields = model._meta.concrete_fields[1:]
    return INSERT.format(
        table=_quoted(alias, model._meta.db_table),
        columns=", ".join(_quoted(alias, field.column) for field in fields),
        values=", ".join(["%s"] * len(fields)),
        conditions=" AND ".join(f"NOT EXISTS ({_nth(alias, model, shape)})" for shape in unless) or "TRUE",
        key=_quoted(alias, model._meta.pk.column),
    )


@cache
def _nth(alias: str, model: type[Model], shape: Shape) -> str:
    moment, columns = shape
    conditions = [f"{_quoted(alias, moment)} > %s"]
    for name, count in columns:
        shown = f"IN ({', '.join(['%s'] * count)})" if count else "IS NULL"
        conditions.append(f"{_quoted(alias, name)} {shown}")
    names = {"key": model._meta.pk.column, "table": model._meta.db_table, "moment": moment}
    return NTH.format(**_all_quoted(alias, names), conditions=" AND ".join(conditions))


@cache
def _change(alias: str, model: type[Model], names: Iterable[str], conditions: Iterable[str]) -> str:
    fields = [model._meta.get_field(name) for name in names]
    columns = ", ".join(f"{_quoted(alias, field.column)} = %s" for field in fields)  # type: ignore[union-attr]  # of no relation
    is_it = f"{_quoted(alias, model._meta.pk.column)} = %s"
    table = _quoted(alias, model._meta.db_table)
    return CHANGE.format(table=table, columns=columns, conditions=" AND ".join([is_it, *conditions]))


def _columns(alias: str, model: type[Model], table: str) -> str:
    return ", ".join(f"{table}.{_quoted(alias, field.column)}" for field in model._meta.concrete_fields)


def _row(alias: str, sql: str, values: Sequence[Any]) -> Sequence[Any] | None:
    """Return the first row that ``sql`` finds, or None."""
    with connections[alias].cursor() as cursor:
        cursor.execute(sql, values)
        row: Sequence[Any] | None = cursor.fetchone()
        return row


def _prepared(alias: str, model: type[Model], columns: Columns) -> list[Any]:
    """Return all values of ``columns`` (field -> list) as the database takes them."""
    connection = connections[alias]
    return [
        model._meta.get_field(name).get_db_prep_save(value, connection)  # type: ignore[union-attr]  # it is no relation's
        for name, values in columns.items()
        for value in values
    ]


def _read(model: type[Row], alias: str, values: Sequence[Any]) -> Row:
    """Return the ``model`` that has these columns, as the database gave them."""
    names, converters = _reading(alias, model)
    read, connection = list(values), connections[alias]
    for position, column, convert in converters:
        read[position] = convert(read[position], column, connection)
    return model.from_db(alias, names, read)


@cache
def _reading(alias: str, model: type[Model]) -> tuple[list[str], list[tuple[int, Any, Callable[..., Any]]]]:
    """Return the names of the columns of ``model``; and what converts them, with where and which column it is."""
    fields, connection = model._meta.concrete_fields, connections[alias]
    converters = [
        (position, field.cached_col, convert)
        for position, field in enumerate(fields)
        for convert in field.get_db_converters(connection)
    ]
    return [field.attname for field in fields], converters


def _all_quoted(alias: str, names: Mapping[str, str | None]) -> dict[str, str]:
    return {key: _quoted(alias, name) for key, name in names.items()}


def _quoted(alias: str, name: str | None) -> str:
    return connections[alias].ops.quote_name(name)  # type: ignore[arg-type]  # the stubs know of columns without one
