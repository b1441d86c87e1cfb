"""The system check."""

from collections.abc import Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, register
from django.urls import NoReverseMatch, reverse


@register(Tags.security)
def check_urls(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """Report URLs that are not included, where the core's are: desktops would not be offered a QR code."""
    if _has("numverify:login") and not _has("numverify_qr:show"):
        hint = "Add path('numverify/qr/', include('numverify_django.contrib.qr.urls')) to the URLconf."
        return [Error("The URLs of numverify_django.contrib.qr are not included.", hint=hint, id="numverify.E050")]
    return []


def _has(name: str) -> bool:
    try:
        return bool(reverse(name))
    except NoReverseMatch:
        return False
