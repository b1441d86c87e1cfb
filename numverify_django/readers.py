"""What a value in NUMVERIFY may be: each reader returns it, or raises ValueError with what it must be.

The value itself may be a secret: no message repeats one.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit

from django.utils.functional import Promise
from django.utils.module_loading import import_string

from .protocol.phone import REGIONS

LIMIT_MAX = 10_000_000
PREFIX = re.compile(r"\+[1-9][0-9]{0,14}")
PURPOSE = re.compile(r"dpv:[A-Za-z]+")
URL = re.compile(r"https?://[^/\s#]+/[^\s#]*", re.ASCII | re.IGNORECASE)
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")  # RFC 6749 3.3

T = TypeVar("T")
Reader = Callable[[Any], T]
Limit = tuple[int, int] | None  # how many in how many seconds
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def one_of(*choices: str) -> Reader[str]:
    """Return a reader that accepts ``choices``."""

    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError(f"must be {' or '.join(map(repr, choices))}")
        return value

    return read


def instance_of(kind: type[T], words: str) -> Reader[T]:
    """Return a reader that accepts values of exactly ``kind``, described by ``words``."""

    def read(value: Any) -> T:
        if type(value) is not kind:
            raise ValueError(f"must be {words}")
        return value

    return read


text = instance_of(str, "a string")
flag = instance_of(bool, "True or False")


def optional(reader: Reader[T]) -> Reader[T | None]:
    """Return a reader that accepts None, the default, as well as what ``reader`` accepts."""
    return lambda value: None if value is None else reader(value)


def positive(most: float) -> Reader[float]:
    """Return a reader that accepts a number above zero and at most ``most``."""

    def read(value: Any) -> Any:
        if type(value) not in (int, float) or not 0 < value <= most:
            raise ValueError(f"must be a number above 0 and at most {most}")
        return value

    return read


def texts(value: Any) -> tuple[str, ...]:
    """Accept a list of strings; return a tuple."""
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of strings")
    return tuple(value)


def peppers(value: Any) -> tuple[str, ...]:
    """Accept at least one secret of 32 characters or more."""
    if not texts(value) or min(map(len, value)) < 32:
        raise ValueError("must be a list of secrets of at least 32 characters each, newest first")
    return tuple(value)


def networks(value: Any) -> tuple[Network, ...]:
    """Accept a list of addresses or networks in CIDR form."""
    try:
        return tuple(ipaddress.ip_network(item, strict=False) for item in texts(value))
    except ValueError as error:
        raise ValueError('must be a list of addresses or networks such as "10.0.0.0/8"') from error


def prefixes(value: Any) -> tuple[str, ...]:
    """Accept a list of country prefixes such as "+34"."""
    if not all(PREFIX.fullmatch(item) for item in texts(value)):
        raise ValueError('must be a list of prefixes such as "+34"')
    return tuple(value)


def scopes(value: Any) -> tuple[str, ...]:
    """Accept a list of scope values that name exactly one purpose (CAMARA: one ``dpv:`` purpose)."""
    fine = all(SCOPE.fullmatch(item) for item in texts(value))
    if not fine or " ".join(value).count("dpv:") != 1:
        raise ValueError(
            "must be a list of scope values without blanks, with one purpose such as 'dpv:ServiceProvision'"
        )
    return tuple(value)


def purpose(value: Any) -> str:
    """Accept one ``dpv:`` purpose."""
    found = text(value)
    if not PURPOSE.fullmatch(found):
        raise ValueError("must be one purpose such as 'dpv:ServiceProvision'")
    return found


def url(value: Any) -> str:
    """Accept an absolute http or https URL without a fragment (RFC 6749 3.1.2)."""
    found = text(value)
    if not URL.fullmatch(found) or not _has_host(found):
        raise ValueError("must be an absolute URL without a fragment")
    return found


def _has_host(found: str) -> bool:
    try:
        return bool(urlsplit(found).hostname)
    except ValueError:  # half an IPv6 address
        return False


def url_or_name(value: Any) -> str | Promise:
    """Accept a URL or the name of one, lazy or not; a check resolves it once there is a URLconf."""
    found = value if isinstance(value, Promise) else text(value)
    if isinstance(found, str) and "/" in found and not found.startswith(("/", "http://", "https://")):
        raise ValueError("must be a path that begins with /, a URL, or the name of one")
    return found


def callable_or_path(value: Any) -> Callable[..., Any]:
    """Accept a callable or the dotted path to one."""
    found: object = import_string(value) if isinstance(value, str) else value
    if not callable(found):
        raise ValueError("must be a callable or the dotted path to one")
    return found


def decision(value: Any) -> Callable[..., Any] | Literal["refuse"]:
    """Accept "refuse", or what decides instead: a callable or the dotted path to one."""
    return value if value == "refuse" else callable_or_path(value)


def limits(defaults: Mapping[str, Limit]) -> Reader[Mapping[str, Limit]]:
    """Return a reader that accepts a dict of limits, [count, seconds] or None each, and merges it over ``defaults``."""

    def read(value: Any) -> Mapping[str, Limit]:
        wrong = [] if isinstance(value, dict) else ["it"]
        wrong = wrong or [name for name in value if name not in defaults or not _is_limit(value[name])]
        if wrong:
            known = ", ".join(defaults)
            raise ValueError(f"must be a dict of [count, seconds] or None, for any of {known}: {wrong[0]} is not")
        return MappingProxyType({**defaults, **{name: limit and tuple(limit) for name, limit in value.items()}})

    return read


def _is_limit(value: Any) -> bool:
    if value is None:
        return True
    is_pair = isinstance(value, list | tuple) and len(value) == 2
    return is_pair and all(type(number) is int and 0 < number <= LIMIT_MAX for number in value)


def region(value: Any) -> str:
    """Accept an ISO 3166-1 country code such as "ES"."""
    found = text(value)
    if found not in REGIONS:
        raise ValueError('must be a country code of ISO 3166-1 such as "ES"')
    return found
