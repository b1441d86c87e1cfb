"""Who runs the coroutines of ``flow``: this thread, or an event loop that no thread waits in."""

import asyncio
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, TypeVar

from asgiref.sync import markcoroutinefunction, sync_to_async

from . import transport
from .calls import Steps

try:
    from . import aio
except ModuleNotFoundError:  # the extra ``async`` is not installed: a thread waits for the operator
    aio = None  # type: ignore[assignment]  # a module or none

T = TypeVar("T")
run = transport.run


async def arun(steps: Steps[T]) -> T:
    """Return what the coroutine ``steps`` returns; what it does beside asking the operator is done in a thread."""
    return await (aio.run(steps) if aio else sync_to_async(run)(steps))


class Twofold:
    """A view in two forms, a function and a coroutine function: whoever looks sees the one that fits where they are.

    Django looks from an event loop under ASGI, and from a thread under WSGI.
    """

    def __init__(self, plain: Callable[..., Any], in_loop: Callable[..., Any]) -> None:
        update_wrapper(self, plain)
        self.forms = plain, markcoroutinefunction(update_wrapper(in_loop, plain))

    def __call__(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return self._form(request, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "forms":
            raise AttributeError(name)
        return getattr(self._form, name)

    @property
    def _form(self) -> Callable[..., Any]:
        return self.forms[is_in_loop()]


def is_in_loop() -> bool:
    """Tell whether a task of an event loop runs here; a loop alone may be another's, such as Playwright's."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
