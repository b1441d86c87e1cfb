"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class CodesConfig(AppConfig):
    """Registers the system checks."""

    name = "numverify_django.contrib.otp"
    label = "numverify_otp"
    verbose_name = _("Codes by text message")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Do so once the settings are read."""
        from . import checks  # noqa: F401, PLC0415
