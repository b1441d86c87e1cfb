"""A database that fails where it is told to."""

import itertools

from django.db import OperationalError, connection


def fails_at(statement):
    """Return a wrapper of the database that refuses one statement, counted from 0."""
    count = itertools.count()

    def refuse(execute, sql, params, many, context):
        if next(count) == statement:
            raise OperationalError("the database is gone")
        return execute(sql, params, many, context)

    return connection.execute_wrapper(refuse)
