"""Guards for views: a decorator, and a mixin for classes."""

import asyncio
from datetime import timedelta
from functools import partial, wraps

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.utils.decorators import method_decorator

from .session import StepUpRequired


def number_verified_required(max_age=None):
    """Let a request through whose user proved their number at most ``max_age`` (seconds or a timedelta) ago.

    Others raise StepUpRequired: the middleware asks them to log in, or to prove their number and come back. Without
    ``max_age``, or without parentheses, any proof of this session will do. It guards functions, asynchronous ones too,
    and classes. Raises ValueError for an age that is over before it begins.
    """
    if callable(max_age):
        return _guarded(max_age, None)
    if max_age is not None and max_age <= (timedelta() if isinstance(max_age, timedelta) else 0):
        raise ValueError("max_age must be above 0 seconds, or no proof would ever do")
    return partial(_guarded, max_age=max_age)


class NumberVerifiedMixin:
    """The same for a class of views: it stands before View, as Django's LoginRequiredMixin does."""

    max_age = None  # seconds or a timedelta

    def dispatch(self, request, *args, **kwargs):
        """Answer who proved their number lately enough, whatever the method."""
        return number_verified_required(max_age=self.max_age)(super().dispatch)(request, *args, **kwargs)


def _guarded(view, max_age):
    if isinstance(view, type):
        return method_decorator(partial(_guarded, max_age=max_age), name="dispatch")(view)

    async def guarded_later(request, *args, **kwargs):
        await sync_to_async(_check)(request, max_age)
        return await view(request, *args, **kwargs)

    if iscoroutinefunction(view):
        return wraps(view)(guarded_later)

    @wraps(view)
    def guarded(request, *args, **kwargs):
        if _is_asynchronous():  # a class whose handlers are: its dispatch returns what they are awaited for
            return guarded_later(request, *args, **kwargs)
        _check(request, max_age)
        return view(request, *args, **kwargs)

    return guarded


def _is_asynchronous():
    try:
        return bool(asyncio.get_running_loop())
    except RuntimeError:
        return False


def _check(request, max_age):
    if not request.number_verification.is_fresh(max_age):
        raise StepUpRequired(max_age)
