"""Permissions for views of Django REST framework."""

from rest_framework.permissions import BasePermission

from ...middleware import step_up_facts


class NumberVerified(BasePermission):
    """Lets a request through whose user proved their number in this session, ``number_max_age`` ago at most.

    The view has ``number_max_age`` (seconds or a timedelta), or any proof will do. Others get 403 with
    ``authorization_url``, where a browser leads the person, who comes back to the page that asked.
    """

    def has_permission(self, request, view):
        """Tell whether the proof is fresh; if not, ``message`` is what the answer says."""
        self.message = step_up_facts(request)
        return request.number_verification.is_fresh(getattr(view, "number_max_age", None))
