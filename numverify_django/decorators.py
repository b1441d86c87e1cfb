"""Guards for views: a decorator, and a mixin for classes."""

from datetime import timedelta
from functools import partial, wraps

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator

from .session import StepUpRequired


def number_verified_required(max_age=None):
    """Let a request through whose user proved their number at most ``max_age`` (seconds or a timedelta) ago.

    Others raise StepUpRequired: the middleware asks them to log in, or to prove their number and come back. Without
    ``max_age``, or without parentheses, any proof of this session will do. It guards functions, asynchronous ones too,
    and classes; what they answer is kept in no cache. Raises ValueError for an age that is over before it begins, and
    ImproperlyConfigured for a view of Django REST framework, which has a permission: whose token it takes is not known
    before.
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
    owner = _owner(view)
    if hasattr(owner, "authentication_classes"):
        raise ImproperlyConfigured("guard this view with numverify_django.contrib.drf.permissions.NumberVerified")
    if isinstance(view, type):
        return method_decorator(partial(_guarded, max_age=max_age), name="dispatch")(view)
    if iscoroutinefunction(view) or getattr(owner, "view_is_async", False):

        @wraps(view)
        async def guarded(request, *args, **kwargs):
            await sync_to_async(_check)(request, max_age)
            return _uncached(await view(request, *args, **kwargs))
    else:

        @wraps(view)
        def guarded(request, *args, **kwargs):
            _check(request, max_age)
            return _uncached(view(request, *args, **kwargs))

    return guarded


def _owner(view):
    """Return the class that ``view`` is, or is made of, or whose method it is; None for a plain function."""
    if isinstance(view, type):
        return view
    made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return made_of or getattr(getattr(view, "func", view), "__self__", None)  # method_decorator wraps in a partial


def _check(request, max_age):
    if not request.number_verification.is_fresh(max_age):
        raise StepUpRequired(max_age)


def _uncached(response):
    add_never_cache_headers(response)
    return response
