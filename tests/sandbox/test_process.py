"""The process: how it starts, where it listens, how it ends, and what it is made of."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

ROOT = Path(__file__).resolve().parents[2]
MODULE = ("-m", "numverify_django.sandbox")
COMMAND = ("manage.py", "numverify_sandbox")
SITE = {
    "cwd": ROOT / "example_project",
    "env": os.environ | {"DATABASE_URL": "sqlite:///:memory:", "DJANGO_SETTINGS_MODULE": "settings"},
}
URL = re.compile(r"Sandbox operator: (http://127\.0\.0\.1:[0-9]+)\n")
WITHOUT = """
import runpy, sys

class Absent:
    def find_spec(self, name, *_):
        if name == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
runpy.run_module("numverify_django.sandbox", run_name="__main__")
"""
LISTENING = "0A"  # in /proc/net/tcp


def run(*arguments, **options):
    """Return how a command ended by itself, with what it said."""
    options = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 10} | options
    return subprocess.run([sys.executable, *arguments], check=False, **options)


@contextmanager
def started(*arguments, **options):
    """Start a command, which does not outlive the test."""
    options = {"cwd": ROOT} | options
    # A session of its own: whatever the test leaves behind can be ended, the command's children included
    process = subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@contextmanager
def running(*arguments, **options):
    """Start a command that serves, and give it with its URL as soon as it has told it."""
    with started(*arguments, **options) as process:
        yield process, URL.fullmatch(process.stdout.readline())[1]


def ended(process):
    """Return a process's exit code and what else it said, once it has ended."""
    out, err = process.communicate(timeout=5)
    return process.returncode, out, err


def is_open(port):
    """Tell whether somebody takes connections on ``port``."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(url):
    """Tell whether somebody serves ``url``."""
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(f"{url}/jwks", timeout=5).status_code == 200
        except requests.ConnectionError:
            return False


def listeners(port):
    """Return the local addresses, in the kernel's hexadecimal, that anybody listens at on ``port``."""
    lines = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
    addresses = [line[1].split(":") for line in lines if line[3] == LISTENING]
    return [address for address, hexadecimal in addresses if int(hexadecimal, 16) == port]


@pytest.fixture
def taken_port():
    """A port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def free_port():
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return port


def test_module_prints_its_url_and_serves_there(free_port):
    with running(*MODULE, "--port", str(free_port)) as (_, url):
        assert url == f"http://127.0.0.1:{free_port}"
        assert answers(url)


def test_default_port_is_9091():
    help_text = run(*MODULE, "--help").stdout

    assert "(default: 9091)" in " ".join(help_text.split())


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's table of sockets is Linux's")
def test_sandbox_listens_on_127_0_0_1_alone(sandbox):
    assert listeners(urlsplit(sandbox.url).port) == ["0100007F"]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is not an address of this machine")
def test_another_address_of_this_machine_is_refused(sandbox):
    with socket.socket() as connection:
        connection.settimeout(5)
        with pytest.raises(ConnectionRefusedError):
            connection.connect(("127.0.0.2", urlsplit(sandbox.url).port))


@pytest.mark.parametrize("port", ["ninety", "", "65536", "-1"])
def test_wrong_port_exits_2_with_words(port):
    result = run(*MODULE, f"--port={port}")

    assert (result.returncode, result.stdout) == (2, "")
    assert f"argument --port: invalid port value: '{port}'" in result.stderr


@pytest.mark.parametrize("command", [MODULE, COMMAND], ids=["module", "command"])
def test_taken_port_exits_1_with_words(taken_port, command):
    result = run(*command, "--port", str(taken_port), **(SITE if command is COMMAND else {}))

    assert (result.returncode, result.stdout) == (1, "")
    assert f"Port {taken_port} is in use by another program." in result.stderr
    assert "Traceback" not in result.stderr


def test_sigint_ends_it_with_0_and_no_words():
    with running(*MODULE, "--port", "0") as (process, url), requests.Session() as session:
        session.trust_env = False
        session.get(f"{url}/jwks", timeout=5)  # and the connection stays open
        process.send_signal(signal.SIGINT)

        assert ended(process) == (0, "", "")


def test_sigint_while_it_starts_ends_it_alike(free_port):
    with started(*MODULE, "--port", str(free_port)) as process:
        while process.poll() is None and not is_open(free_port):  # before the keys are made and the URL is told
            time.sleep(0.001)
        process.send_signal(signal.SIGINT)

        code, _, words = ended(process)
        assert (code, words) == (0, "")


def test_command_runs_the_sandbox_as_a_child_and_ends_it_on_sigterm():
    with running(*COMMAND, "--port", "0", **SITE) as (process, url):
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert (len(children), answers(url)) == (1, True)
        process.send_signal(signal.SIGTERM)

        assert ended(process) == (0, "", "")
        assert not answers(url)


def test_command_ends_on_ctrl_c_in_a_terminal():
    with running(*COMMAND, "--port", "0", **SITE) as (process, url):
        assert answers(url)
        os.killpg(process.pid, signal.SIGINT)

        assert ended(process) == (0, "", "")
        assert not answers(url)


def test_command_ends_its_child_on_a_sigint_that_it_alone_gets():
    with running(*COMMAND, "--port", "0", **SITE) as (process, url):
        assert answers(url)
        process.send_signal(signal.SIGINT)

        assert ended(process) == (0, "", "")
        assert not answers(url)


def test_sandbox_imports_nothing_else_of_the_package_and_no_django():
    code = "import numverify_django.sandbox.__main__, sys; print(*sorted(sys.modules))"
    result = run("-W", "error", "-c", code)

    modules = result.stdout.split()
    assert "numverify_django.sandbox.app" in modules, result.stderr
    assert [name for name in modules if name.partition(".")[0] in ("django", "jwt", "requests", "phonenumbers")] == []
    assert {name for name in modules if name.startswith("numverify_django")} == {
        "numverify_django",
        *(name for name in modules if f"{name}.".startswith("numverify_django.sandbox.")),
    }


@pytest.mark.parametrize("package", ["flask", "authlib", "joserfc"])
def test_missing_package_is_told_with_the_extra_that_brings_it(package):
    result = run("-c", WITHOUT, package)

    words = f"The sandbox needs {package}: pip install 'numverify-django[sandbox]'\n"
    assert (result.returncode, result.stderr) == (1, words)


def test_two_requests_go_over_one_connection(sandbox):
    with closing(http.client.HTTPConnection(urlsplit(sandbox.url).netloc, timeout=5)) as connection:
        connection.connect()
        connection.auto_open = False  # or it would quietly connect again
        for _ in range(2):
            connection.request("GET", "/jwks")
            assert connection.getresponse().read().startswith(b'{"keys":')

    assert len({entry["connection"] for entry in sandbox.log()}) == 1


@pytest.mark.parametrize("path", ["/token", "/v1/number-verification/verify", "/_sandbox/state", "/"])
def test_body_of_2_megabytes_is_refused(sandbox, site, path):
    response = site.post(path, data=b"x" * 2_000_000)

    assert response.status_code == 413
    assert sandbox.log() == []


@pytest.mark.parametrize("length", ["-1", "ten", "1e3", "99999999999999999999"])
def test_wrong_content_length_is_refused(site, length):
    assert site.post("/token", headers={"Content-Length": length}).status_code == 413


def test_body_of_900_kilobytes_is_read_to_its_end(sandbox, site):
    headers = {"Content-Type": "application/json"}
    first = site.post("/v1/number-verification/verify", data=b" " * 900_000, headers=headers)
    second = site.get("/jwks")

    assert (first.status_code, second.status_code) == (401, 200)
    assert len({entry["connection"] for entry in sandbox.log()}) == 1
