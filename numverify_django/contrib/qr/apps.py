"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NumverifyQrConfig(AppConfig):
    """Gives the desktop its login page, and the proof on the phone its meaning."""

    name = "numverify_django.contrib.qr"
    label = "numverify_qr"
    verbose_name = _("Number verification by QR code")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register both, and the system check."""
        from ... import pages, uses  # noqa: PLC0415
        from ...models import Use  # noqa: PLC0415
        from . import checks, journey, views  # noqa: F401, PLC0415

        uses.register(Use.QR, journey.LogInDesktop())
        pages.LOGIN_PAGES.append(views.login_template)
