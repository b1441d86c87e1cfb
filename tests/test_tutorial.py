"""docs/tutorial.rst is done from an empty folder: its console blocks are typed, its files written, its login made.

What is installed is the wheel of this checkout, as the first release would be; what it depends on comes from where pip
finds it. Two ports alone are others than the page's.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from docutils import nodes

from .conftest import Browser
from .test_docs import ROOT, read
from .test_example import free_port
from .test_guides import add, wait_for

PAGE = read("docs/tutorial.rst")
SERVERS = ("numverify_sandbox", "runserver")
PORTS = {"8000": str(free_port()), "9091": str(free_port())}


def steps():
    """Return the page's blocks in their order, each with its language."""
    texts = [(node["classes"][-1], node.astext()) for node in PAGE.findall(nodes.literal_block)]
    return [(language, elsewhere(text)) for language, text in texts]


def elsewhere(text):
    """Return ``text`` with ports that are free on this machine."""
    return re.sub(r"\b(8000|9091)\b", lambda found: PORTS[found[0]], text)


def is_server(line):
    """Tell whether the command runs until Ctrl-C."""
    return any(f"manage.py {name}" in line for name in SERVERS)


class Terminal:
    """A shell: what is typed in it holds for what comes after."""

    def __init__(self, folder, environ):
        self._place = {"cwd": folder, "env": environ, "text": True}
        self._typed = []

    def type(self, block):
        """Type the lines of ``block``; return what they printed, and the process of the last where it is a server."""
        lines = [line.removeprefix("$ ") for line in block.splitlines() if line.startswith("$ ")]
        server = lines.pop() if is_server(lines[-1]) else None
        printed = self._run(lines)
        self._typed += lines
        return printed, server and self._start(server)

    def _run(self, lines):
        script = "\n".join([*self._again(), "echo DONE BEFORE", *lines])
        bash = {"input": script, "capture_output": True, "timeout": 400}
        done = subprocess.run(["bash", "-eu"], check=False, **bash, **self._place)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("DONE BEFORE\n")[2]

    def _start(self, line):
        script = "\n".join([*self._again(), f"exec {line} > {line.split()[2]}.log 2>&1"])
        return subprocess.Popen(["bash", "-euc", script], **self._place)

    def _again(self):
        """Return what was typed before and is of the shell alone."""
        return [line for line in self._typed if re.match(r"cd |\. |export ", line)]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """All of the page but its browser: the folder, and what the commands printed beside what the page shows."""
    folder = tmp_path_factory.mktemp("tutorial")
    release(folder)
    first, second = (Terminal(place, environ(folder)) for place in (folder, folder / "riverside"))
    seen, started = [], []
    try:
        for language, text in steps():
            if language != "console":
                add(folder / "riverside" / text.splitlines()[0].removeprefix("# "), text)
                continue
            # Who activates the environment once more has opened the second terminal.
            terminal = second if text.startswith("$ . venv") else first
            printed, server = terminal.type(text)
            seen.append((printed, [line for line in text.splitlines() if not line.startswith("$ ")]))
            started += [server] if server else []
        for port in PORTS.values():
            wait_for(f"http://127.0.0.1:{port}/")
        yield folder, seen
    finally:
        for process in started:
            process.terminate()
            process.wait(timeout=10)


def environ(folder):
    """Return the environment of somebody who has Python, and pip, which finds the release that is to come in folder."""
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG") or name.startswith("PIP_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    links = f"{kept.pop('PIP_FIND_LINKS', '')} {folder / 'release'}".strip()
    # What is imported is compiled then: the rest of Django takes seconds.
    pip = {"PIP_FIND_LINKS": links, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_COMPILE": "0"}
    return kept | pip | {"PATH": path, "PYTHONUNBUFFERED": "1"}


def release(folder):
    """Build the wheel of this checkout into ``folder``, and leave nothing in the checkout."""
    source = folder / "source"
    shutil.copytree(ROOT / "numverify_django", source / "numverify_django")
    for name in ("setup.cfg", "pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "release", source]
    subprocess.run(command, check=True, timeout=200)


def site(path=""):
    return f"http://127.0.0.1:{PORTS['8000']}{path}"


def choose(**state):
    """Choose the SIM in the sandbox."""
    requests.post(f"http://127.0.0.1:{PORTS['9091']}/_sandbox/state", json=state, timeout=5).raise_for_status()


def says(text):
    """Return ``text`` if the page says it."""
    assert text in " ".join(PAGE.astext().split())
    return text


def test_commands_print_what_the_page_shows(done):
    _, seen = done
    shown = [line for _, lines in seen for line in lines]
    assert len(shown) == 2
    assert [line for printed, lines in seen for line in lines if line not in printed.splitlines()] == []


def test_environment_has_the_package_of_this_checkout_and_no_other(done):
    folder, _ = done
    (package,) = folder.glob("riverside/venv/lib/*/site-packages/numverify_django")
    ours = ROOT / "numverify_django"
    names = {path.relative_to(ours) for path in ours.rglob("*.py")}
    assert {path.relative_to(package) for path in package.rglob("*.py")} == names
    assert [name for name in names if (package / name).read_bytes() != (ours / name).read_bytes()] == []


def test_number_of_the_page_logs_in_and_pays(done):
    browser = Browser(site())
    page = browser.get("/")
    assert "Log in with your phone" in page.text
    says("press Log in")
    assert browser.log_in(says("600 000 001")).text == says("Your number: •••01")
    assert "sessionid" in browser._http.cookies
    assert browser.get("/pay/").text == "The SIM was checked in the last five minutes."


def test_others_read_what_the_page_says(done):
    assert says("We couldn't log you in with this number") in Browser(site()).log_in(says("600 000 002")).text
    console = requests.get(f"http://127.0.0.1:{PORTS['9091']}/", timeout=5).text
    assert says("Phone on Wi-Fi") in console
    assert says("By the last digit of the number that is asked about") in console
    choose(sim=None)
    assert "Turn Wi-Fi off and try again" in Browser(site()).log_in("600 000 011").text
    choose(sim="unset")


def test_admin_has_each_try_with_its_reason(done):
    Browser(site()).log_in("600 000 021")
    Browser(site()).log_in("600 000 022")
    browser = Browser(site())
    browser.post("/admin/login/?next=/admin/", {"username": says("admin"), "password": says("tutorial")})
    page = browser.get("/admin/numverify_django/verificationattempt/").text
    assert says("Verification attempts").lower() in page.lower()
    rows = re.findall(r"</svg>(\w+)</span></td>.*?<bdi[^>]*>(.*?)</bdi>", page)
    assert rows[:2] == [("Mismatch", "•••22"), ("Verified", "•••21")]
