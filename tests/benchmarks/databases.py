"""A database for each site, made for one run and dropped after it; and what it left in Redis."""

import os
from contextlib import contextmanager

import psycopg
import redis
from psycopg import sql

SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
CACHE = "redis://127.0.0.1:6379"


@contextmanager
def made(sites):
    """Make a database for each name of ``sites``; the value is a dict of their names there."""
    names = {site: f"numverify_bench_{os.getpid()}_{site}" for site in sites}
    try:
        for name in names.values():
            _execute("CREATE DATABASE {}", name)
        yield names
    finally:
        for name in names.values():
            _execute("DROP DATABASE IF EXISTS {} WITH (FORCE)", name)
            _forget_keys(name)


def server_versions():
    """Return what PostgreSQL and Redis say they are."""
    with psycopg.connect(SERVER) as connection, redis.Redis.from_url(CACHE) as cache:
        (postgresql,) = connection.execute("SHOW server_version").fetchone()
        return {"PostgreSQL": postgresql.split()[0], "Redis": cache.info("server")["redis_version"]}


def _execute(statement, name):
    with psycopg.connect(SERVER, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


def _forget_keys(prefix):
    with redis.Redis.from_url(CACHE) as cache:
        for key in cache.scan_iter(f"{prefix}:*", count=1000):
            cache.delete(key)
