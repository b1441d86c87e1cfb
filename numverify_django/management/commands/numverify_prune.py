"""``manage.py numverify_prune``: end what nobody finished, delete what is old. To be run daily."""

from django.apps import apps
from django.core.management.base import BaseCommand

from numverify_django.models import AuditRow


class Command(BaseCommand):
    """Prune every audit: that of verifications, and those of apps in ``contrib``."""

    help = "End verification attempts that nobody finished, and delete those older than NUMVERIFY['RETENTION_DAYS']."

    def handle(self, *args, **options):
        """Prune, and tell both counts."""
        audits = [model.objects for model in apps.get_models() if issubclass(model, AuditRow)]
        ended, deleted = map(sum, zip(*(audit.prune() for audit in audits), strict=True))
        self.stdout.write(f"Attempts ended: {ended}, deleted: {deleted}.")
