"""The process that prunes the large table while logins go on: it prints what that took, as JSON."""

import json
import resource
import sys
import time

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

    from numverify_django import models, pruning

    settings.NUMVERIFY = settings.NUMVERIFY | {"RETENTION_DAYS": int(sys.argv[1])}
    chores, watch, memory, begun = models.chores(timezone.now()), Watch(), _most_memory(), time.perf_counter()
    with connection.execute_wrapper(watch):
        report = pruning.run(chores, tell=watch.tell)
    seconds, deleted = time.perf_counter() - begun, report.done[pruning.DELETED]
    told = {"seconds": seconds, "longest": max(watch.took), "memory": _most_memory() - memory, "deleted": deleted}
    sys.stdout.write(json.dumps(told))


def _most_memory():
    """Return the most memory that this process has had so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
