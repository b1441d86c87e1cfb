"""A site whose REST_FRAMEWORK is odd: the suites about apps, once more."""

import subprocess
import sys
from pathlib import Path

SUITES = ["tests/drf/test_app.py", "tests/drf/test_hostile.py"]


def test_suites_pass_whatever_rest_framework_is_set_to():
    command = [sys.executable, "-m", "pytest", "--ds", "tests.drf.settings_odd", "-q", "-p", "no:cacheprovider"]
    run = subprocess.run(
        [*command, *SUITES],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )

    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
    assert " skipped" not in run.stdout
