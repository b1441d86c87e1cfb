"""The process that prunes the large table as the command does, while logins go on; it prints JSON."""

import json
import resource
import sys
import time
from datetime import timedelta

import django


class Watch:
    """How long each transaction takes, in seconds: from its first statement until after its commit."""

    def __init__(self):
        self.took, self._begun = [], None

    def __call__(self, execute, sql, params, many, context):
        """Execute a statement, as a wrapper of a connection."""
        if self._begun is None and context["connection"].in_atomic_block:
            self._begun = time.perf_counter()
        return execute(sql, params, many, context)

    def tell(self, count):
        """Note that the transaction is over."""
        self.took.append(time.perf_counter() - self._begun)
        self._begun = None


def main():
    """Delete what is older than so many days."""
    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.utils import timezone

    from numverify_django import models, pruning, rollup

    settings.NUMVERIFY = settings.NUMVERIFY | {"RETENTION_DAYS": int(sys.argv[1])}
    now, watch, memory = timezone.now(), Watch(), _most_memory()
    models.AttemptHour.objects.filter(began_at__gt=now - timedelta(days=1)).delete()  # as a daily run finds it
    began = time.perf_counter()
    rollup.prune(now)
    counted = time.perf_counter()
    with connection.execute_wrapper(watch):
        report = pruning.run(models.chores(now), tell=watch.tell)
    told = {"counting": counted - began, "seconds": time.perf_counter() - counted, "longest": max(watch.took)}
    told |= {"memory": _most_memory() - memory, "deleted": report.done[pruning.DELETED]}
    sys.stdout.write(json.dumps(told))


def _most_memory():
    """Return the most memory that this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
