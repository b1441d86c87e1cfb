"""``{% load numverify %}``: what the SIM proved, for templates."""

from django import template
from django.core.exceptions import ImproperlyConfigured

from ..session import Age, NumberVerification

register = template.Library()


@register.simple_tag(takes_context=True)
def number_verified(context: template.Context, max_age: Age | None = None) -> bool:
    """Tell whether the user's number was proved in this session, at most ``max_age`` (seconds or a timedelta) ago.

    To be used with ``as``: ``{% number_verified max_age=300 as may_pay %}``, then ``{% if may_pay %}``.
    """
    if "request" not in context:
        raise ImproperlyConfigured("number_verified needs django.template.context_processors.request in TEMPLATES")
    known: NumberVerification = context["request"].number_verification
    return known.is_fresh(max_age)
