"""A user model without e-mail and with a UUID key: the suites about logging in and about attempts, once more."""

import subprocess
import sys
from pathlib import Path

SUITES = ["tests/test_login.py", "tests/test_callback.py", "tests/test_models.py", "tests/otp/test_codes.py"]


def test_suites_pass_with_a_user_model_of_the_site():
    command = [sys.executable, "-m", "pytest", "--ds", "tests.settings_members", "-q", "-p", "no:cacheprovider"]
    shown = {"capture_output": True, "text": True}
    run = subprocess.run([*command, *SUITES], cwd=Path(__file__).parent.parent, timeout=240, check=False, **shown)

    assert run.returncode == 0, run.stdout
    assert " passed" in run.stdout
    assert " skipped" not in run.stdout
