"""Django's test client with the handlers of ASGI: requests are answered in one event loop, as under uvicorn.

What is synchronous runs in the thread that asks, which has the test's database connection.
"""

import asyncio
import functools
import os

from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import ThreadSensitiveContext
from django.test import Client
from django.test.client import ClientHandler

from numverify_django import aio

from .carriers import Loop


@functools.cache
def loop():
    """Return the Loop of all clients, which lasts as long as the tests."""
    return Loop()


def forget():
    """Begin anew: nothing that was connected, or trusted, before is used again."""
    loop().stop()
    loop.cache_clear()
    aio._tls_context.cache_clear()


os.register_at_fork(after_in_child=loop.cache_clear)  # whose thread is its parent's alone


class LoopHandler(ClientHandler):
    """The handler of a LoopClient."""

    def load_middleware(self, is_async=False):
        """Load it as under ASGI."""
        super().load_middleware(is_async=True)

    def get_response(self, request):
        """Return the answer to ``request``."""
        executor = CurrentThreadExecutor(None)
        future = asyncio.run_coroutine_threadsafe(self._answered(request, executor), loop().loop)
        executor.run_until_future(future)
        return future.result()

    async def _answered(self, request, executor):
        async with ThreadSensitiveContext(executor=executor):
            return await self.get_response_async(request)


class LoopClient(Client):
    """A client whose requests are answered in the loop."""

    def __init__(self, enforce_csrf_checks=False, **options):
        super().__init__(enforce_csrf_checks, **options)
        self.handler = LoopHandler(enforce_csrf_checks)
