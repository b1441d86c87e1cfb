"""Guards for views."""

from functools import wraps

from asgiref.sync import iscoroutinefunction, sync_to_async

from .session import StepUpRequired


def number_verified_required(view=None, *, max_age=None):
    """Let a request through whose user proved their number at most ``max_age`` (seconds or a timedelta) ago.

    Others raise StepUpRequired: the middleware asks them to log in, or to prove their number and come back.
    """

    def check(request):
        if not request.number_verification.is_fresh(max_age):
            raise StepUpRequired(max_age)

    def decorate(view):
        if iscoroutinefunction(view):

            @wraps(view)
            async def guarded(request, *args, **kwargs):
                await sync_to_async(check)(request)
                return await view(request, *args, **kwargs)
        else:

            @wraps(view)
            def guarded(request, *args, **kwargs):
                check(request)
                return view(request, *args, **kwargs)

        return guarded

    return decorate if view is None else decorate(view)
