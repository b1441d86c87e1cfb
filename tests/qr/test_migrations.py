"""The app's tables are those of its models; ``make lint`` asks the example, which has not this app."""

import pytest
from django.core.management import call_command


@pytest.mark.django_db
def test_no_migration_is_forgotten():
    call_command("makemigrations", "numverify_qr", "numverify_django", check=True, dry_run=True, verbosity=0)
