"""Which of the two databases is meant, and is asked for everything."""

from contextlib import contextmanager

from django.db import connections

NAMES = ("small", "large")
_chosen = ["small"]


@contextmanager
def using(name):
    """Mean the database called ``name`` wherever the default one is meant."""
    _chosen.append(name)
    connections["default"] = connections[name]
    try:
        yield
    finally:
        _chosen.pop()
        connections["default"] = connections[_chosen[-1]]


def key(key, prefix, version):
    """Return the key of a cache that the two sites do not share."""
    return f"{_chosen[-1]}:{prefix}:{version}:{key}"
