"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NumverifyConfig(AppConfig):
    """Registers the system checks."""

    name = "numverify_django"
    verbose_name = _("Number verification")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        """Register the checks once the settings are read."""
        from . import checks  # noqa: F401, PLC0415
