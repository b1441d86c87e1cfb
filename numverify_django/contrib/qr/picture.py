"""The QR code as a picture."""

import segno
from django.utils.safestring import SafeString, mark_safe


def svg(text: str) -> SafeString:
    """Return ``text`` as a QR code in inline SVG: dark on white in every theme, as wide as the stylesheet says."""
    code = segno.make(text, error="m", micro=False)  # no reader needs to know the smaller kind
    # Without style attributes, which a Content-Security-Policy refuses. It holds squares, and nothing of the text.
    drawn = code.svg_inline(omitsize=True, dark="#000", light="#fff", border=4, svgclass="numverify-qr", lineclass=None)
    return mark_safe(drawn)  # noqa: S308
