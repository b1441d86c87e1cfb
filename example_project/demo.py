"""Run the example site and the sandbox operator together, until Ctrl-C: ``make demo``."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import django
from django.contrib.auth import get_user_model
from django.core.management import call_command

HERE = Path(__file__).resolve().parent
HOST = "127.0.0.1"
GRACE = 5  # seconds between asking a process to end and ending it
ACCOUNTS = {"admin": True, "demo": False}  # whose password is the name -> may enter the admin
WELCOME = """
Riverside Sports Club   http://{host}:{port}/
Sandbox operator        http://{host}:{sandbox_port}/   choose the SIM behind this browser and the next answer
Admin                   http://{host}:{port}/admin/   admin, password admin

Log in with the phone:  http://{host}:{port}/numverify/login/
    +34 600 000 001     a number that ends in 1 logs in
    +34 600 000 002     one that ends in 2 does not
    Use this phone's number, and Join: choose a number in the operator's console first
Log in on a desktop:    the same page offers a QR code; a private window plays the phone
Log in by password:     http://{host}:{port}/accounts/login/   demo, password demo
Log in by a code:       http://{host}:{port}/numverify/code/   a number that logged in before; the message comes here

Ctrl-C stops both.
"""


class Stop:
    """Whether somebody asked us to stop, by Ctrl-C, a signal or by closing the terminal.

    A flag, not an exception: nothing is interrupted between the start of a process and the note that it runs.
    """

    asked = False

    def __init__(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.ask)

    def ask(self, number, frame):
        self.asked = True


def main():
    stop = Stop()
    ports = read_ports()
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "settings",
        "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        "NUMVERIFY_SANDBOX_PORT": str(ports["sandbox_port"]),
    }
    prepare_site()
    children = {}
    try:
        for name, command in commands(**ports).items():
            children[name] = start(command)
        return watch(children, ports, stop)
    finally:
        end(children.values())


def read_ports():
    """Return both ports from the command line, or exit with a line that names the make variable to set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="8000")
    parser.add_argument("--sandbox-port", default="9091")
    typed = vars(parser.parse_args())
    if typed["port"] == typed["sandbox_port"]:
        sys.exit(f"The site and the sandbox cannot share port {typed['port']}: set PORT or SANDBOX_PORT.")
    return {name: free_port(name.upper(), text) for name, text in typed.items()}


def free_port(variable, text):
    """Return the port that ``text`` names, or exit unless it can be listened on."""
    if not text.isdecimal() or not 0 < int(text) < 2**16:
        sys.exit(f"{variable} is {text!r}, which is no port: set it to a number from 1 to 65535.")
    try:
        with socket.socket() as probe:
            # As the servers do: a port that an ended server left in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((HOST, int(text)))
    except OSError as error:
        sys.exit(f"Port {text} cannot be used ({error.strerror}): set {variable} to another one.")
    return int(text)


def prepare_site():
    """Bring the database up to date, with an administrator and a member who has a password."""
    django.setup()
    call_command("migrate", verbosity=0)
    users = get_user_model().objects
    for name, is_staff in ACCOUNTS.items():
        if not users.filter(username=name).exists():
            users.create_user(name, password=name, is_staff=is_staff, is_superuser=is_staff)


def commands(port, sandbox_port):
    """Return what to run, by name."""
    return {
        "sandbox": [sys.executable, "-m", "numverify_django.sandbox", "--port", str(sandbox_port)],
        "site": [sys.executable, str(HERE / "manage.py"), "runserver", "--noreload", f"{HOST}:{port}"],
    }


def start(command):
    """Return the running process; Ctrl-C, which reaches every process of a terminal, is left to us."""
    ignore = partial(signal.signal, signal.SIGINT, signal.SIG_IGN)
    return subprocess.Popen(command, cwd=HERE.parent, stdin=subprocess.DEVNULL, preexec_fn=ignore)  # noqa: PLW1509, S603


def watch(children, ports, stop):
    """Welcome the newcomer once both listen. Return 0 when asked to stop, 1 when a process ended by itself."""
    welcomed = False
    while not stop.asked:
        ended = [name for name, child in children.items() if child.poll() is not None]
        # A signal to the whole group ends the processes too: then none of them did anything wrong.
        if ended and not stop.asked:
            say(f"The {ended[0]} ended with exit code {children[ended[0]].returncode}, so the demo ends too.\n")
            return 1
        if not welcomed and all(listens(port) for port in ports.values()):
            say(WELCOME.format(host=HOST, **ports))
            welcomed = True
        time.sleep(0.1)
    return 0


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def end(children):
    """End the processes, gently first."""
    for child in children:
        child.terminate()
    deadline = time.monotonic() + GRACE
    for child in children:
        try:
            child.wait(max(0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
