"""The system check."""

from django.core.checks import Error, Tags, register
from django.urls import NoReverseMatch, reverse


@register(Tags.security)
def check_urls(app_configs, **kwargs):
    """Report URLs that are not included: desktops would not be offered a QR code."""
    try:
        reverse("numverify_qr:show")
    except NoReverseMatch:
        hint = "Add path('numverify/qr/', include('numverify_django.contrib.qr.urls')) to the URLconf."
        return [Error("The URLs of numverify_django.contrib.qr are not included.", hint=hint, id="numverify.E040")]
    return []
