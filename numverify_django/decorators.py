"""Guards for views."""

from datetime import timedelta
from functools import partial, wraps

from asgiref.sync import iscoroutinefunction, sync_to_async

from .session import StepUpRequired


def number_verified_required(max_age=None):
    """Let a request through whose user proved their number at most ``max_age`` (seconds or a timedelta) ago.

    Others raise StepUpRequired: the middleware asks them to log in, or to prove their number and come back. Without
    ``max_age``, or without parentheses, any proof of this session will do. Raises ValueError for one that is over
    before it begins.
    """
    if callable(max_age):
        return _guarded(max_age, None)
    if max_age is not None and max_age <= (timedelta() if isinstance(max_age, timedelta) else 0):
        raise ValueError("max_age must be above 0 seconds, or no proof would ever do")
    return partial(_guarded, max_age=max_age)


def _guarded(view, max_age):
    if iscoroutinefunction(view):

        @wraps(view)
        async def guarded(request, *args, **kwargs):
            await sync_to_async(_check)(request, max_age)
            return await view(request, *args, **kwargs)
    else:

        @wraps(view)
        def guarded(request, *args, **kwargs):
            _check(request, max_age)
            return view(request, *args, **kwargs)

    return guarded


def _check(request, max_age):
    if not request.number_verification.is_fresh(max_age):
        raise StepUpRequired(max_age)
