"""For ASGI servers: requests share some threads and their database connections, and hold none while they wait.

Imported before Django is set up: nothing here may need a model.
"""

from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from operator import attrgetter
from typing import Any, TypeVar

from asgiref.sync import ThreadSensitiveContext
from django.core.handlers.asgi import get_script_prefix
from django.urls import Resolver404, resolve

from .navigation import is_ours

THREADS = 16

T = TypeVar("T")
Application = Callable[[Any, Any, Any], Awaitable[None]]


class _Thread(ThreadPoolExecutor):
    """One thread, which does one thing at a time; ``ahead`` is how many it has to do, for how many ``requests``."""

    def __init__(self) -> None:
        super().__init__(1, "numverify-shared")
        self.ahead = self.requests = 0

    def submit(self, act: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        self.ahead += 1
        future = super().submit(act, *args, **kwargs)
        future.add_done_callback(self._done)
        return future

    def _done(self, future: Future[Any]) -> None:
        self.ahead -= 1


def in_shared_threads(application: Application, threads: int = THREADS) -> Application:
    """Return the ASGI ``application`` of Django with what is synchronous in it done in so many threads in all.

    Without it Django gives each request a thread of its own until it is answered, with a connection to the database:
    where hundreds of logins wait for an operator, those are hundreds. Wrap what ``get_asgi_application()`` returns. A
    request stays in one thread, so connections may be kept (``CONN_MAX_AGE``); what takes long in a thread keeps the
    other requests of that thread waiting. Our own pages have half of the threads: where hundreds log in at once, the
    others are free for the rest of the site.
    """
    shared = [_Thread() for _ in range(threads)]
    half = shared[: max(threads // 2, 1)]

    async def application_in_shared_threads(scope: Any, receive: Any, send: Any) -> None:
        free = half if _is_ours(scope) else shared
        thread = min(free, key=attrgetter("ahead", "requests"))  # many may come before one does anything
        thread.requests += 1
        try:
            async with ThreadSensitiveContext(executor=thread):
                await application(scope, receive, send)
        finally:
            thread.requests -= 1

    return application_in_shared_threads


def _is_ours(scope: Any) -> bool:
    if scope["type"] != "http":
        return False
    try:
        return is_ours(resolve(scope["path"].removeprefix(get_script_prefix(scope))))
    except Resolver404:
        return False
