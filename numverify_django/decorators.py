"""Guards for views: a decorator, and a mixin for classes."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial, wraps
from typing import Any, TypeVar, overload

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest, HttpResponseBase
from django.utils.cache import add_never_cache_headers
from django.utils.decorators import method_decorator

from .session import Age, NumberVerificationRequest, StepUpRequired

Answer = TypeVar("Answer", bound=HttpResponseBase)
Guarded = TypeVar("Guarded", bound=Callable[..., Any])  # a function, a coroutine function or a class


@overload
def number_verified_required(max_age: Guarded) -> Guarded: ...
@overload
def number_verified_required(max_age: Age | None = None) -> Callable[[Guarded], Guarded]: ...
def number_verified_required(max_age: Any = None) -> Any:
    """Let a request through whose user proved their number at most ``max_age`` (seconds or a timedelta) ago.

    Others raise StepUpRequired: the middleware asks them to log in, or to prove their number and come back. Without
    ``max_age``, or without parentheses, any proof of this session will do; less than 60 seconds counts as 60.
    It guards functions, asynchronous ones too, and classes; what they answer is kept in no cache. Raises ValueError for
    an age that is over before it begins, and ImproperlyConfigured for a view of Django REST framework, which has a
    permission: whose token it takes is not known before.
    """
    if callable(max_age):
        return _guarded(max_age, None)
    if max_age is not None and max_age <= (timedelta() if isinstance(max_age, timedelta) else 0):
        raise ValueError("max_age must be above 0 seconds, or no proof would ever do")
    return partial(_guarded, max_age=max_age)


class NumberVerifiedMixin:
    """The same for a class of views: it stands before View, as Django's LoginRequiredMixin does."""

    max_age: Age | None = None  # seconds or a timedelta

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer who proved their number lately enough, whatever the method."""
        view: Callable[..., HttpResponseBase] = super().dispatch  # type: ignore[misc]  # View's
        return number_verified_required(max_age=self.max_age)(view)(request, *args, **kwargs)


def _guarded(view: Any, max_age: Age | None) -> Any:
    owner = _owner(view)
    if hasattr(owner, "authentication_classes"):
        raise ImproperlyConfigured("guard this view with numverify_django.contrib.drf.permissions.NumberVerified")
    if isinstance(view, type):
        return method_decorator(partial(_guarded, max_age=max_age), name="dispatch")(view)
    if iscoroutinefunction(view) or getattr(owner, "view_is_async", False):

        @wraps(view)
        async def guarded(request: NumberVerificationRequest, *args: Any, **kwargs: Any) -> Any:
            await sync_to_async(_check)(request, max_age)
            return _uncached(await view(request, *args, **kwargs))
    else:

        @wraps(view)
        def guarded(request: NumberVerificationRequest, *args: Any, **kwargs: Any) -> Any:
            _check(request, max_age)
            return _uncached(view(request, *args, **kwargs))

    return guarded


def _owner(view: Any) -> Any:
    """Return the class that ``view`` is, or is made of, or whose method it is; None for a plain function."""
    if isinstance(view, type):
        return view
    made_of = getattr(view, "cls", None) or getattr(view, "view_class", None)
    return made_of or getattr(getattr(view, "func", view), "__self__", None)  # method_decorator wraps in a partial


def _check(request: NumberVerificationRequest, max_age: Age | None) -> None:
    if not request.number_verification.is_fresh(max_age):
        raise StepUpRequired(max_age)


def _uncached(response: Answer) -> Answer:
    add_never_cache_headers(response)
    return response
