"""The Django app."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class NumverifyConfig(AppConfig):
    """Registers the system checks, hides what Django would show in its exception reports, and learns how logins end."""

    name = "numverify_django"
    verbose_name = _("Number verification")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Do all that once the settings are read."""
        from django.contrib.auth.signals import user_logged_in  # noqa: PLC0415

        from . import checks, conf, session, signals  # noqa: F401, PLC0415

        conf.conceal_peppers()
        user_logged_in.connect(session.on_login, dispatch_uid="numverify_django")
        signals.number_verification_failed.connect(session.on_failure, dispatch_uid="numverify_django")
