"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NumverifyDrfConfig(AppConfig):
    """Gives the proof that an app began its meaning."""

    name = "numverify_django.contrib.drf"
    label = "numverify_drf"
    verbose_name = _("Number verification in apps")

    def ready(self) -> None:
        """Register it, and the system checks."""
        from ... import uses  # noqa: PLC0415
        from ...models import Use  # noqa: PLC0415
        from . import checks, journey  # noqa: F401, PLC0415

        uses.register(Use.APP, journey.LogInApp())
