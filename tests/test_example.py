"""``make demo``, as a newcomer runs it: the site and the operator, three outcomes, the admin, and Ctrl-C."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from .conftest import Browser

ROOT = Path(__file__).parent.parent


def free_port():
    """Return a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Demo:
    """A running ``make demo``, with a database of its own; ``back`` is the path that the operator leads back to."""

    def __init__(self, folder, back=""):
        self.port, self.sandbox_port = free_port(), free_port()
        ports = [f"PORT={self.port}", f"SANDBOX_PORT={self.sandbox_port}", f"VENV={sys.prefix}"]
        environ = {**os.environ, "DATABASE_URL": f"sqlite:///{folder}/demo.sqlite3", "PYTHONUNBUFFERED": "1"}
        environ.pop("DJANGO_SETTINGS_MODULE", None)
        environ |= {"NUMVERIFY_REDIRECT_URI": self.site + back} if back else {}
        self._process = subprocess.Popen(
            ["make", "--no-print-directory", "demo", *ports],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # so that Ctrl-C reaches the whole group, as in a terminal
        )
        self._seen = []  # of what it printed since
        self.welcome = self._read_welcome()

    def _read_welcome(self):
        lines = []
        for line in self._process.stdout:
            lines.append(line)
            if line.startswith("Ctrl-C"):
                return "".join(lines)
        raise AssertionError("".join(lines))

    @property
    def site(self):
        """The site's address."""
        return f"http://127.0.0.1:{self.port}"

    def set(self, **state):
        """Change the sandbox's state."""
        url = f"http://127.0.0.1:{self.sandbox_port}/_sandbox/state"
        requests.post(url, json=state, timeout=5).raise_for_status()

    def read(self, *parts):
        """Return the last of the lines that hold these parts, in this order, once the console shows it."""
        for line in self._process.stdout:
            self._seen.append(line)
            parts = parts[1:] if parts[0] in line else parts
            if not parts:
                return line
        raise AssertionError(self._seen)

    def interrupt(self):
        """Press Ctrl-C; return the exit code and what was printed since the welcome."""
        os.killpg(self._process.pid, signal.SIGINT)
        rest, _ = self._process.communicate(timeout=20)
        return self._process.returncode, "".join(self._seen) + rest


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    yield from run(Demo(tmp_path_factory.mktemp("demo")))


def run(demo):
    """Yield ``demo``, and stop it: it leaves nothing, and logged no code."""
    yield demo
    code, printed = demo.interrupt()
    assert code in (0, -signal.SIGINT), printed  # make itself is interrupted too
    assert "Traceback" not in printed
    for port in (demo.port, demo.sandbox_port):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0
    assert "code=" not in printed
    assert "state=" not in printed


@pytest.fixture
def browser(demo):
    demo.set(sim="unset", fault=None)
    return Browser(demo.site)


def admin_of(demo):
    """Return a browser in which the administrator is logged in."""
    browser = Browser(demo.site)
    answer = browser.post("/admin/login/?next=/admin/", {"username": "admin", "password": "admin"})
    assert answer.url == f"{demo.site}/admin/"
    return browser


def test_welcome_says_what_to_open_and_what_to_type(demo):
    for text in (f"{demo.site}/", f"http://127.0.0.1:{demo.sandbox_port}/", "/numverify/login/", "600 000 001"):
        assert text in demo.welcome


def test_three_outcomes_stand_in_the_admin_with_masked_numbers(demo, browser):
    assert browser.log_in("600 000 001").url == f"{demo.site}/members/"
    assert "We couldn't log you in with this number" in Browser(demo.site).log_in("600 000 002").text
    demo.set(sim=None)
    assert "Turn Wi-Fi off and try again" in Browser(demo.site).log_in("600 000 011").text

    page = admin_of(demo).get("/admin/numverify_django/verificationattempt/").text
    rows = re.findall(
        r'<td class="field-badge">.*?</svg>(\w+)</span></td>.*?<td class="field-masked"><bdi[^>]*>(.*?)</bdi>',
        page,
    )
    assert rows[:3] == [("Unavailable", "•••11"), ("Mismatch", "•••02"), ("Verified", "•••01")]
    assert "60000000" not in page


def test_member_adds_a_number_and_removes_the_one_before(demo, browser):
    assert 'href="/numverify/numbers/"' in browser.log_in("600 000 081").text
    added = browser.post("/numverify/numbers/add/", {"phone_number": "600 000 091"})
    assert 'Number ending <bdi dir="ltr">91</bdi> added.' in added.text
    first = re.findall(r'href="(/numverify/numbers/\d+/remove/)"', added.text)[-1]
    assert 'Number ending <bdi dir="ltr">81</bdi> removed.' in browser.post(first, {}).text


def test_page_of_a_member_shows_the_numbers_and_the_last_attempts(demo, browser):
    browser.log_in("600 000 071")
    admin = admin_of(demo)
    attempts = admin.get("/admin/numverify_django/verificationattempt/").text
    member = re.search(r'<td class="field-user nowrap">(\w+)</td>', attempts)[1]
    listed = admin.get(f"/admin/auth/user/?q={member}").text
    page = admin.get(re.search(r'href="(/admin/auth/user/\d+/change/)', listed)[1]).text

    assert re.findall(r'<td class="field-masked">\s*<p><bdi dir="ltr">(.*?)</bdi></p>', page) == ["•••71", "•••71"]
    assert "Last verification attempts" in page


def test_password_user_proves_the_number_and_comes_back(demo, browser):
    at = "/accounts/login/?next=/members/fee/"
    confirm = browser.post(at, {"username": "demo", "password": "demo", "next": "/members/fee/"})
    assert "Confirm it's you" in confirm.text
    fee = browser.post("/numverify/login/", {"phone_number": "600 000 021", "next": "/members/fee/"})

    assert fee.url == f"{demo.site}/members/fee/"
    assert "Pay 45.00 €" in fee.text


def test_form_is_filled_by_share_and_the_new_member_logs_in(demo, browser):
    demo.set(sim="+34600000031")
    join = browser.post("/numverify/fill/", {"next": "/join/"}, page="/join/")
    assert (join.url, "•••31" in join.text) == (f"{demo.site}/join/", True)
    assert browser.post("/join/", {"name": "Ana"}).url == f"{demo.site}/join/thanks/"

    assert "Hello, Ana" in browser.log_in("600 000 031").text


def test_number_of_another_member_cannot_join(demo, browser):
    demo.set(sim="+34600000041")
    Browser(demo.site).log_in("600 000 041")
    browser.post("/numverify/fill/", {"next": "/join/"}, page="/join/")

    assert "belongs to a member already" in browser.post("/join/", {"name": "Eve"}).text


def test_member_gets_a_code_on_the_console_where_the_sim_cannot_be_checked(demo, browser):
    browser.log_in("600 000 051")
    other = Browser(demo.site)
    assert 'href="/numverify/code/?next=/members/"' in other.get("/accounts/login/?next=/members/").text
    enter = other.post("/numverify/code/", {"phone_number": "600 000 051", "next": "/members/"})
    reference = re.search(r'name="reference" value="(\w+)"', enter.text)[1]
    code = demo.read("Text message to •••51:", " is your ").partition(" ")[0]
    members = other.post(
        "/numverify/code/enter/", {"code": code, "reference": reference, "next": "/members/"}, page="/"
    )

    assert (members.url, "no SIM has been checked" in members.text) == (f"{demo.site}/members/", True)
    page = admin_of(demo).get("/admin/numverify_otp/codelogin/").text
    assert re.findall(
        r'<td class="field-outcome">(.*?)</td>.*?<td class="field-masked"><bdi[^>]*>(.*?)</bdi>', page
    ) == [("Logged in", "•••51")]


@pytest.mark.parametrize(
    ("ports", "told"),
    [
        (["PORT=0"], "PORT is '0', which is no port"),
        (["PORT=8000", "SANDBOX_PORT=8000"], "cannot share port 8000"),
    ],
)
def test_wrong_port_is_told_in_a_line(ports, told):
    command = ["make", "--no-print-directory", "demo", f"VENV={sys.prefix}", *ports]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode != 0
    assert told in run.stderr
    assert "Traceback" not in run.stderr


def test_taken_port_names_the_variable_to_set(demo):
    command = ["make", "--no-print-directory", "demo", f"VENV={sys.prefix}", f"PORT={demo.port}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)

    assert run.returncode != 0
    assert f"Port {demo.port} cannot be used" in run.stderr
    assert "set PORT to another one" in run.stderr
