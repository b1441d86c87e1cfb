"""``manage.py numverify_sandbox``: run the sandbox operator until Ctrl-C."""

import signal
import subprocess
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser


class Command(BaseCommand):
    """Start the sandbox operator as a process of its own, which knows nothing of this site's settings."""

    help = "Run an operator to develop against, on this machine only."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Add --port."""
        parser.add_argument("--port", type=int, default=9091, help="the port to listen on (default: 9091)")

    def handle(self, *args: Any, port: int, **options: Any) -> None:
        """Run it, and end with its exit code."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # else the sandbox would outlive us
        command = [sys.executable, "-m", "numverify_django.sandbox", "--port", str(port)]
        with subprocess.Popen(command) as child:  # noqa: S603
            try:
                code = child.wait()
            except KeyboardInterrupt:
                code = 0
            finally:
                child.terminate()
        if code:
            sys.exit(code)
