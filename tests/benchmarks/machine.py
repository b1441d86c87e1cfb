"""What the figures were measured on."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path

from . import databases

PACKAGES = [
    *("Django", "mozilla-django-oidc", "django-allauth", "requests", "urllib3", "PyJWT", "cryptography", "gunicorn"),
    *("psycopg", "redis"),
]


def describe():
    """Return the machine and how busy it is now, and the versions: three sentences."""
    found = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found[1] if found else platform.machine()
    versions = {platform.python_implementation(): platform.python_version(), **databases.server_versions()}
    versions |= {name: metadata.version(name) for name in PACKAGES}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    busy = f"The load average was {os.getloadavg()[0]:.1f} before."
    return f"{os.cpu_count()} cores of {model}, {platform.system()}. {busy} {told}."
