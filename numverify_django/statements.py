"""What a login says in SQL, because Django's ORM would need a statement more, or half a millisecond to write it.

``claim`` and ``prove`` change a row and return it. They are PostgreSQL's: ``are_known`` tells where, and everywhere
else the callers do the same by the ORM.
"""

from django.db import connections, router
from django.db.models import BooleanField
from django.db.models.expressions import RawSQL
from django.views.decorators.debug import sensitive_variables

CLAIM = """
    WITH opened AS (
        SELECT id, sealed FROM {attempts}
        WHERE state_digest = %(state_digest)s AND browser_digest = %(browser_digest)s
            AND claimed_at IS NULL AND outcome = %(pending)s AND expires_at > %(now)s
        FOR UPDATE
    )
    UPDATE {attempts} AS attempt SET claimed_at = %(now)s, sealed = ''
    FROM opened WHERE attempt.id = opened.id
    RETURNING attempt.*, opened.sealed AS was_sealed
"""
PROVE = """
    UPDATE {numbers} AS proved SET last_verified_at = %(now)s
    FROM {users} AS account WHERE proved.number = %(number)s AND account.{key} = proved.user_id
    RETURNING {columns}
"""
IS_THERE = "EXISTS (SELECT 1 FROM {table} WHERE {column} = %s)"
PREFIX = "numverify_"  # of the number's columns beside the account's


def are_known(model):
    """Tell whether the database that ``model`` is written to runs these statements."""
    return connections[router.db_for_write(model)].vendor == "postgresql"


@sensitive_variables()
def claim(attempts, **values):
    """Claim and return the pending attempt of ``attempts`` (a manager), or None where there is none to claim.

    ``values`` are ``state_digest``, ``browser_digest``, ``pending`` (the outcome) and ``now``. What was sealed on it is
    its ``was_sealed``.
    """
    model = attempts.model
    sql = CLAIM.format(attempts=_quoted(model, model._meta.db_table))
    return next(iter(attempts.db_manager(router.db_for_write(model)).raw(sql, values)), None)


def can_prove(model, users):
    """Tell whether ``prove`` can be used: ``users`` (a manager) hides nobody, and an account is one row."""
    query = users.all().query
    is_plain = not query.where and not query.combinator and not users.model._meta.parents
    return is_plain and are_known(model)


@sensitive_variables()
def prove(model, users, **values):
    """Date the proof of a number; return its row, a ``model`` with its ``user``, or None where it has none.

    ``values`` are ``number`` (text in E.164) and ``now``.
    """
    own, account = model._meta, users.model._meta
    names = [field.column for field in own.concrete_fields]
    columns = [f"account.{_quoted(model, field.column)}" for field in account.concrete_fields]
    columns += [f"proved.{_quoted(model, name)} AS {PREFIX}{name}" for name in names]
    tables = {"numbers": _quoted(model, own.db_table), "users": _quoted(model, account.db_table)}
    sql = PROVE.format(**tables, key=_quoted(model, account.pk.column), columns=", ".join(columns))
    for user in users.db_manager(router.db_for_write(model)).raw(sql, values):
        found = model.from_db(user._state.db, names, [user.__dict__.pop(PREFIX + name) for name in names])
        found.user = user
        return found
    return None


def is_there(model, **value):
    """Return the condition that there is a row of ``model`` with this value of a column."""
    ((column, value),) = value.items()
    sql = IS_THERE.format(table=_quoted(model, model._meta.db_table), column=_quoted(model, column))
    return RawSQL(sql, [value], BooleanField())  # noqa: S611  (names of our own, quoted)


def _quoted(model, name):
    return connections[router.db_for_write(model)].ops.quote_name(name)
