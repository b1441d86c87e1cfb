"""What a site's EXCEPTION_HANDLER of Django REST framework may be."""

from typing import Any

from rest_framework.response import Response
from rest_framework.views import exception_handler

from ...session import StepUpRequired


def handle(exception: Exception, context: dict[str, Any]) -> Response | None:
    """Leave StepUpRequired to the middleware; answer all else as Django REST framework does."""
    return None if isinstance(exception, StepUpRequired) else exception_handler(exception, context)
