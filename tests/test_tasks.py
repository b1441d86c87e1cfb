"""Pruning as a task, where Django has tasks; where it has none, a message that says what to do instead."""

import importlib

import django
import pytest
from django.core.exceptions import ImproperlyConfigured

from numverify_django import models

from .test_pruning import make

HAS_TASKS = django.VERSION >= (6, 0)


@pytest.mark.skipif(not HAS_TASKS, reason="this Django has no tasks")
@pytest.mark.django_db(transaction=True)
def test_task_prunes_what_the_command_prunes(settings):
    settings.TASKS = {"default": {"BACKEND": "django.tasks.backends.immediate.ImmediateBackend"}}
    tasks = importlib.import_module("numverify_django.tasks")
    for audit in models.audits():
        make(audit, 2)
    make(models.VerificationAttempt, outcome="failed", sealed="for another try")
    result = tasks.prune.enqueue(seconds=60)

    assert result.return_value == {"ended": 6, "erased": 1, "deleted": 7, "is_complete": True}
    assert not any(audit.objects.exists() for audit in models.audits())


@pytest.mark.skipif(HAS_TASKS, reason="this Django has tasks")
def test_older_django_imports_it_and_says_what_to_run_instead():
    tasks = importlib.import_module("numverify_django.tasks")  # as Celery does with every app's
    with pytest.raises(ImproperlyConfigured, match=r"needs Django 6\.0: run manage\.py numverify_prune"):
        tasks.prune  # noqa: B018
    assert not hasattr(tasks, "another")
