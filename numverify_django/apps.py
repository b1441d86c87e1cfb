"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NumverifyConfig(AppConfig):
    """Registers the system checks, and hides what Django would show in its exception reports."""

    name = "numverify_django"
    verbose_name = _("Number verification")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self):
        """Do both once the settings are read."""
        from . import checks, conf  # noqa: F401, PLC0415

        conf.conceal_peppers()
