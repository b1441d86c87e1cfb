"""``numverify_prune`` as a task of Django's (6.0 and newer): ``prune.enqueue()``."""

from typing import Any, NoReturn

from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone

from . import models, pruning, rollup

try:
    from django.tasks import task
except ImportError:  # Celery and others import this module in every project: only who wants the task is told

    def __getattr__(name: str) -> NoReturn:
        if name == "prune":
            raise ImproperlyConfigured("numverify_django.tasks.prune needs Django 6.0: run manage.py numverify_prune.")
        raise AttributeError(name)

else:

    @task
    def prune(seconds: float | None = None) -> dict[str, Any]:
        """Prune every audit, for ``seconds`` at most; return what was done, and whether nothing is left."""
        now = timezone.now()
        rollup.prune(now)  # before its rows are gone
        done, is_complete = pruning.run(models.chores(now), seconds)
        verbs = (pruning.ENDED, pruning.ERASED, pruning.DELETED)
        return {verb: done[verb] for verb in verbs} | {"is_complete": is_complete}
