"""Permissions for views of Django REST framework."""

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from ...middleware import step_up_facts
from ...session import NumberVerification


class NumberVerified(BasePermission):
    """Lets a request through whose user proved their number in this session, ``number_max_age`` ago at most.

    The view has ``number_max_age`` (seconds or a timedelta), or any proof will do. Others get 403 with
    ``authorization_url``, where a browser leads the person, who comes back to the page that asked: not from within an
    expression of permissions (``&``, ``|``), which has no message.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        """Tell whether the proof is fresh; if not, ``message`` is what the answer says."""
        self.message = step_up_facts(request)
        known: NumberVerification = request.number_verification  # type: ignore[attr-defined]  # by the middleware
        return known.is_fresh(getattr(view, "number_max_age", None))
