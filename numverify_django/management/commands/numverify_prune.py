"""``manage.py numverify_prune``: end what nobody finished, delete what is old. To be run daily."""

from django.core.management.base import BaseCommand

from numverify_django.models import VerificationAttempt


class Command(BaseCommand):
    """Prune the audit."""

    help = "End verification attempts that nobody finished, and delete those older than NUMVERIFY['RETENTION_DAYS']."

    def handle(self, *args, **options):
        """Prune, and tell both counts."""
        ended, deleted = VerificationAttempt.objects.prune()
        self.stdout.write(f"Attempts ended: {ended}, deleted: {deleted}.")
