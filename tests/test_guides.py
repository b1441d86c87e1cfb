"""The guides are executed: what they add to the README's site makes one site, which runs with the sandbox."""

import json
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests

from . import test_docs
from .conftest import Browser
from .test_docs import ROOT, read
from .test_example import free_port

PAGES = [
    "README.rst",
    *(f"docs/{name}.rst" for name in ("hooks", "forms", "codes", "qr", "admin", "reference/sandbox")),
]
DOCUMENTS = [read(page) for page in PAGES]
URLS_OF_THE_TEST = """
from django.http import HttpResponse
from django.template import engines
from riverside import views

def form(request):
    return HttpResponse(engines["django"].from_string({form!r}).render({{}}, request))

urlpatterns += [path("", views.members), path("pay/", views.pay), path("join/", views.join), path("form/", form)]
"""


def blocks(language):
    """Return the texts of the code blocks in ``language``, of all pages."""
    return [text for document in DOCUMENTS for text in test_docs.blocks(document, language)]


def snippets(name):
    """Return the Python blocks whose first line names the file ``name``, of all pages."""
    return [text for text in blocks("python") if re.match(rf"# {re.escape(name)}\b", text)]


def settings_for(what):
    """Return the block of settings whose first line goes on with ``what``."""
    (text,) = [text for text in snippets("settings.py") if text.startswith(f"# settings.py, {what}")]
    return text


def typed():
    """Return what a reader types: the console blocks' lines after the prompt."""
    return [line.removeprefix("$ ") for text in blocks("console") for line in text.splitlines()]


def run(command, cwd=ROOT, **environ):
    """Run a command line as a reader does who activated this environment; return what it printed."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path, **environ}
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    done = subprocess.run(
        shlex.split(command), cwd=cwd, env=environ, capture_output=True, text=True, timeout=120, check=False
    )
    printed = done.stdout + done.stderr
    assert done.returncode == 0 or "SystemCheckError" in printed, printed
    return printed


CREDENTIALS = {"OPERATOR_CLIENT_ID": "id", "OPERATOR_CLIENT_SECRET": "secret"}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A new project to which the README's settings, those with codes and QR codes, and all URLs were added."""
    folder = tmp_path_factory.mktemp("project")
    run("django-admin startproject riverside .", folder)
    package = folder / "riverside"
    settings = [text for text in snippets("settings.py") if re.match(r"# settings.py(\n|, with (QR )?codes)", text)]
    add(package / "settings.py", *settings, 'INSTALLED_APPS += ["riverside"]')  # for its admin.py
    add(package / "urls.py", *snippets("urls.py"), URLS_OF_THE_TEST.format(form=blocks("django")[0]))
    for name in ("views.py", "members.py", "sms.py", "admin.py"):
        add(package / name, *snippets(name))
    return folder


def add(path, *texts):
    with path.open("a") as file:
        file.writelines(f"\n{text}\n" for text in texts)


# Commands


def test_every_command_is_one_that_a_test_runs():
    assert [line.split(" -H")[0] for line in typed()] == [
        "make demo",  # test_example.py
        "pip install numverify-django",
        "python manage.py migrate",
        "python manage.py check --deploy",
        "make test",  # test_readme.py
        "pip install 'numverify-django[otp]'",
        "pip install 'numverify-django[qr]'",
        "pip install 'numverify-django[sandbox]'",
        "python manage.py numverify_sandbox",
        "curl http://127.0.0.1:9091/_sandbox/state",
    ]


@pytest.mark.parametrize("command", [line for line in typed() if line.startswith("pip install")])
def test_pip_knows_the_distribution(command):
    assert "Requirement already satisfied: numverify-django" in run(command, PIP_NO_INDEX="1")


def test_curl_changes_the_state(sandbox):
    command = next(line for line in typed() if line.startswith("curl "))
    _, url, _, header, _, body = shlex.split(command)
    name, _, value = header.partition(": ")
    answer = requests.post(url.replace("http://127.0.0.1:9091", sandbox.url), body, headers={name: value}, timeout=5)

    assert (answer.status_code, answer.json()) == (200, json.loads(body))


# The site


def test_site_passes_its_checks_and_migrates(project):
    assert "no issues" in run("python manage.py check", project, **CREDENTIALS)
    deploy = run("python manage.py check --deploy", project, **CREDENTIALS)
    assert "numverify.W001" in deploy
    assert "numverify.E" not in deploy  # a new project of Django 6.1 has errors of its own there
    migrated = run("python manage.py migrate", project, **CREDENTIALS)
    assert "numverify_django.0001_initial... OK" in migrated
    assert "numverify_otp.0001_initial... OK" in migrated
    assert "numverify_qr.0001_initial... OK" in migrated
    assert "Rows ended: 0, erased: 0, deleted: 0." in run("python manage.py numverify_prune", project, **CREDENTIALS)


def shell(project, script):
    """Run ``script`` in the project's shell; return what it printed."""
    return run(f"python manage.py shell --verbosity 0 --command {shlex.quote(script)}", project, **CREDENTIALS).strip()


def test_policy_refuses_on_sundays_alone(project):
    script = """
from datetime import datetime
from numverify_django.models import VerificationAttempt
from riverside.members import no_logins_on_sunday
days = [VerificationAttempt(created_at=datetime(2026, 11, day)) for day in (21, 22, 23)]
print([no_logins_on_sunday(None, None, day) for day in days])
"""
    assert shell(project, script) == "[True, False, True]"


def test_policy_is_set_by_its_path(project):
    line = "NUMVERIFY" + settings_for("with your hooks").partition("NUMVERIFY")[2]
    script = f"""
from django.conf import settings
NUMVERIFY = settings.NUMVERIFY
{line}
from numverify_django import conf
conf._load.cache_clear()
print(conf.problems(), conf.get().login_policy.__name__)
"""
    assert shell(project, script) == "[] no_logins_on_sunday"


@pytest.fixture(scope="module")
def provider():
    """A provider of text messages: its address, and a queue of the messages that it was given."""
    given = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            given.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/", given
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def site(project, provider):
    """The project with the sandbox for its operator, both running; the site's address and the sandbox's."""
    port, sandbox_port = free_port(), free_port()
    package = project / "riverside"
    sandbox_settings = settings_for("on your machine").replace("9091", str(sandbox_port))
    hooks = settings_for("with your hooks").partition("NUMVERIFY")[0]  # no login would depend on the day of the week
    add(package / "settings.py", sandbox_settings, hooks)
    run("python manage.py migrate", project, **CREDENTIALS)
    environ = {**os.environ, **CREDENTIALS, "SMS_URL": provider[0]}
    environ.pop("DJANGO_SETTINGS_MODULE", None)
    manage = [sys.executable, "manage.py"]
    started = [
        subprocess.Popen([*manage, "numverify_sandbox", "--port", str(sandbox_port)], cwd=project, env=environ),
        subprocess.Popen([*manage, "runserver", "--noreload", f"127.0.0.1:{port}"], cwd=project, env=environ),
    ]
    urls = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{sandbox_port}"
    for url in urls:
        wait_for(url)
    yield urls
    for process in started:
        process.terminate()
        process.wait(timeout=10)


def wait_for(url):
    for _ in range(300):  # half a minute and more: a machine may be busy
        try:
            return requests.get(url, timeout=5)
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError(f"nothing answers at {url}")


def test_snippets_make_a_site_that_logs_in_steps_up_and_fills_a_form(site):
    url, sandbox = site
    browser = Browser(url)
    assert browser.log_in("600 000 001").text == "Your number: •••01"
    assert browser.get("/pay/").text == "The SIM was checked in the last five minutes."

    requests.post(f"{sandbox}/_sandbox/state", json={"sim": "+34600000051"}, timeout=5).raise_for_status()
    stranger = Browser(url)
    assert stranger.get("/join/").text == "Press the button first."
    assert 'action="/numverify/fill/"' in stranger.get("/form/").text
    assert stranger.post("/numverify/fill/", {"next": "/join/"}, page="/form/").text == "Join with +34600000051"


def test_code_logs_in_who_logged_in_by_sim_before(site, provider):
    url = site[0]
    requests.post(f"{site[1]}/_sandbox/state", json={"sim": "unset"}, timeout=5).raise_for_status()
    Browser(url).log_in("600 000 071")
    browser = Browser(url)
    assert 'href="/numverify/code/?next=' in browser.get("/numverify/login/").text
    page = browser.post("/numverify/code/", {"phone_number": "600 000 071"})
    message = provider[1].get(timeout=10)
    reference = re.search(r'name="reference" value="(\w+)"', page.text)[1]
    code, _, rest = message["text"].partition(" ")

    assert message["to"] == "+34600000071"
    assert rest.endswith(f"Never share it.\n\n@127.0.0.1 #{code}")
    entered = browser.post("/numverify/code/enter/", {"code": code, "reference": reference}, page="/numverify/code/")
    assert entered.text == "No SIM was checked."


def test_snippets_make_a_login_page_that_offers_a_desktop_a_qr_code(site):
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"
    browser = Browser(site[0])
    browser._http.headers["User-Agent"] = agent
    assert "Show QR code" in browser.get("/numverify/login/").text
    page = browser.post("/numverify/qr/", {"phone_number": "600 000 071", "operation": "verify"}, "/numverify/login/")
    assert "Scan with your phone" in page.text
    assert "Show QR code" not in Browser(site[0]).get("/numverify/login/").text


def test_backend_of_the_site_made_the_account(site, project):
    requests.post(f"{site[1]}/_sandbox/state", json={"sim": "unset"}, timeout=5).raise_for_status()
    Browser(site[0]).log_in("600 000 061")
    script = "from django.contrib.auth.models import User; print({user.first_name for user in User.objects.all()})"
    assert shell(project, script) == "{'New member'}"


def test_page_of_an_account_shows_its_number_and_its_attempts(site, project):
    browser = Browser(site[0])
    requests.post(f"{site[1]}/_sandbox/state", json={"sim": "unset"}, timeout=5).raise_for_status()
    Browser(site[0]).log_in("600 000 081")
    script = """
from django.contrib.auth.models import User
User.objects.create_superuser("root", password="root")
print(User.objects.get(verified_numbers__number="+34600000081").pk)
"""
    path = f"/admin/auth/user/{shell(project, script)}/change/"
    page = browser.post(f"/admin/login/?next={path}", {"username": "root", "password": "root"}).text
    assert page.count("•••81</bdi></p>") == 2
