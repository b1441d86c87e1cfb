"""The processes of a run: each is started here and ended by its own ID."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE = 30  # seconds for a process to start or to end
TICKS = os.sysconf("SC_CLK_TCK")


class Helper:
    """The operator or the proxy: it answers lines with lines, and ends with its standard input."""

    def __init__(self, module, *args):
        command = [sys.executable, "-m", f"{__package__}.{module}", *map(str, args)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.ports = [int(port) for port in self._process.stdout.readline().split()]

    def tell(self, line):
        """Send ``line`` and wait for its answer."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdout.readline()

    def cpu(self):
        """Return the seconds of CPU that it has used."""
        return _cpu(self._process.pid)

    def stop(self):
        """End it."""
        self._process.stdin.close()
        _end(self._process)
        self._process.stdout.close()


class Gunicorn:
    """A site: ``module`` has its settings, ``environ`` is what they read, ``log`` (a Path) takes what it says.

    Beside its settings there may be a configuration of gunicorn's, gunicorn.py.
    """

    def __init__(self, module, environ, log, *, workers=1, threads=1):
        with socket.create_server(("127.0.0.1", 0), backlog=512) as listener, log.open("ab") as output:
            self.port = listener.getsockname()[1]
            options = [f"--bind=fd://{listener.fileno()}", f"--workers={workers}", f"--threads={threads}"]
            options += ["--worker-class=gthread", "--keep-alive=75", "--graceful-timeout=1", "--log-level=warning"]
            options += [f"--config={file}" for file in _beside(module).glob("gunicorn.py")]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *options, "django.core.wsgi:get_wsgi_application()"],
                cwd=ROOT,
                env=environ | {"DJANGO_SETTINGS_MODULE": module},
                pass_fds=[listener.fileno()],
                stdout=output,
                stderr=output,
            )

    @property
    def workers(self):
        """The IDs of its workers."""
        task = f"/proc/{self._process.pid}/task/{self._process.pid}/children"
        return [int(pid) for pid in Path(task).read_text().split()]

    def cpu(self):
        """Return the seconds of CPU that its workers have used, by themselves and in the kernel."""
        return sum(map(_cpu, self.workers))

    def renew_workers(self):
        """Put new processes in the place of its workers, and return once the old ones are gone."""
        old, until = self.workers, time.monotonic() + PATIENCE
        for pid in old:
            os.kill(pid, signal.SIGTERM)
        while not self.workers or set(self.workers) & set(old):
            if time.monotonic() > until:
                raise TimeoutError("gunicorn did not renew its workers")
            time.sleep(0.02)

    def stop(self):
        """End it."""
        left = self.workers if self._process.poll() is None else []
        self._process.terminate()
        if not _end(self._process):
            for pid in filter(_is_running, left):
                os.kill(pid, signal.SIGKILL)


def _beside(module):
    return ROOT.joinpath(*module.split(".")).parent


def _end(process):
    """Wait for ``process``; return whether it ended by itself."""
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True


def _is_running(pid):
    return Path(f"/proc/{pid}").exists()


def _cpu(pid):
    # proc(5): the name may have blanks and brackets; user and system time are fields 14 and 15
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS
