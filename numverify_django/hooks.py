"""Callables of the site: what fails in one is told to its developer, and repeats no number."""

import logging
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

from django.conf import settings

from .protocol.exceptions import Misconfigured

logger = logging.getLogger(__name__)

T = TypeVar("T")


def call(name: str, hook: Callable[..., T], *args: Any) -> T:
    """Return what ``hook``, the callable of the setting ``name``, returns; raise Misconfigured where it fails."""
    try:
        return hook(*args)
    except Exception as error:  # it is the site's, and may raise anything
        logger.error("%s failed: %s\n%s", name, type(error).__name__, trace(error))
        raise Misconfigured(f"{name} raised {type(error).__name__}") from None


def trace(error: BaseException) -> str:
    """Return where ``error`` came from (text). What it says may quote a number: only DEBUG shows that."""
    return "".join(traceback.format_exception(error) if settings.DEBUG else traceback.format_tb(error.__traceback__))
