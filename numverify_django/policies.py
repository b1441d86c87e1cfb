"""Where the site's Content-Security-Policies let a form lead (form-action), as far as its settings say."""

import re
from collections.abc import Container, Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import NoReverseMatch, get_script_prefix, reverse

SELF = "'self'"
ELSEWHERE = "the operators' origins"  # which nobody knows yet
# A source is a scheme, a place or both; what is asked for within a place does not matter.
SOURCE = re.compile(r"(?:(https?):(?://)?)?([^/]*)(?:/.*)?")


def form_sources(middleware: Container[str]) -> Iterator[list[str]]:
    """Yield the sources of each policy that has some for forms; ``middleware`` has the dotted paths of the site's."""
    for policy in _policies(middleware):
        told = policy.get("form-action")
        told = [told] if isinstance(told, str) else told
        if told and isinstance(told, list | tuple | set):
            yield " ".join(map(str, told)).lower().split()


def _policies(middleware: Container[str]) -> Iterator[Mapping[str, Any]]:
    """Yield what Django (6.0) and django-csp (4.0) send as the policy of the login page: a dict of directives."""
    if "django.middleware.csp.ContentSecurityPolicyMiddleware" in middleware:
        yield getattr(settings, "SECURE_CSP", None) or {}
    configured = getattr(settings, "CONTENT_SECURITY_POLICY", None) or {}
    if "csp.middleware.CSPMiddleware" in middleware and not _has_login(configured.get("EXCLUDE_URL_PREFIXES") or ()):
        yield configured.get("DIRECTIVES") or {}


def _has_login(prefixes: Iterable[str]) -> bool:
    """Tell whether the login page is at a path, from the site's own on, that begins with one of ``prefixes``."""
    try:
        path = reverse("numverify:login")
    except NoReverseMatch:  # E023 says so
        return False
    return f"/{path.removeprefix(get_script_prefix())}".startswith(tuple(prefixes))


def lacking(sources: list[str], goals: list[str]) -> list[str]:
    """Return those of ``goals`` to which no source leads: each is SELF, ELSEWHERE or an origin (https://host)."""
    return [goal for goal in goals if not any(_leads(source, goal) for source in sources)]


def _leads(source: str, goal: str) -> bool:
    if goal == ELSEWHERE:
        return not source.startswith("'")
    scheme, place = SOURCE.fullmatch(source).groups("")  # type: ignore[union-attr]  # it matches any text
    target = urlsplit(goal)
    names = [SELF, *(host.removeprefix(".") for host in settings.ALLOWED_HOSTS)] if goal == SELF else [target.netloc]
    names += [f"{name}:443" for name in names]  # a source may say the port that goes without saying
    is_scheme = scheme in {"", "http", target.scheme or "https"}  # http lets https too
    return is_scheme and any(fnmatchcase(name, place or "*") for name in names)
