"""docs/custom-user.rst makes a site of its own; the code of docs/existing-accounts.rst runs here."""

import shlex
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.utils import timezone

from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import HOST
from .test_docs import ROOT, blocks, read, snippets
from .test_guides import CREDENTIALS, add, run
from .test_login import GOOD, account

CUSTOM, EXISTING = read("docs/custom-user.rst"), read("docs/existing-accounts.rst")
OURS = "numverify_django.backends.NumberVerificationBackend"
# Types a number on the project's site and comes back from the sandbox at URL; prints the accounts.
LOG_IN = """
from types import SimpleNamespace
import requests
from django.conf import settings
from django.contrib.auth import get_user_model
from tests.conftest import Phone
def authorize(url):
    return requests.get(url, allow_redirects=False, timeout=10).headers["Location"]
settings.ALLOWED_HOSTS = ["{host}"]
settings.NUMVERIFY["OPERATORS"]["telefonica"] |= {{"ISSUER": "{url}", "API_ROOT": "{url}/v1", **{client}}}
Phone(SimpleNamespace(authorize=authorize)).log_in("600 000 001")
print([(member.club, member.email, member.verified_numbers.get().number) for member in get_user_model().objects.all()])
"""


def manage(project, *arguments):
    """Run manage.py; return what it printed."""
    command = f"python manage.py {' '.join(map(shlex.quote, arguments))}"
    return run(command, project, PYTHONPATH=str(ROOT), **CREDENTIALS).strip()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A new project with the README's settings and URLs, and then what the page adds."""
    folder, readme = tmp_path_factory.mktemp("project"), read("README.rst")
    run("django-admin startproject riverside .", folder)
    package = folder / "riverside"
    add(package / "urls.py", *snippets(readme, "urls.py"))
    add(package / "settings.py", *snippets(readme, "settings.py"), *snippets(CUSTOM, "settings.py"))
    for name in ("models.py", "members.py"):
        add(package / name, *snippets(CUSTOM, name))
    manage(folder, "makemigrations", "riverside")
    manage(folder, "migrate")
    return folder


def test_number_gets_the_account_that_the_page_makes(project, sandbox):
    client = {name.upper(): sandbox.client()[name] for name in ("client_id", "client_secret")}
    script = LOG_IN.format(host=HOST, url=sandbox.url, client=client)
    printed = manage(project, "shell", "--verbosity", "0", "--command", script)
    assert printed == "[('Riverside', None, '+34600000001')]"


def test_checks_miss_nothing_and_warn_where_the_backend_is_ours(project):
    assert "no issues" in manage(project, "check")
    settings = project / "riverside" / "settings.py"
    theirs = settings.read_text()
    settings.write_text(
        theirs.replace("riverside.members.MemberBackend", "numverify_django.backends.NumberVerificationBackend")
    )
    warned = manage(project, "check")
    settings.write_text(theirs)
    assert "numverify.W010" in warned
    assert "numverify.W010" in CUSTOM.astext()


# Accounts that there are


@pytest.fixture
def denied(phone, settings):
    """A phone in front of a site with the page's settings."""
    names = {"NUMVERIFY": dict(settings.NUMVERIFY)}
    exec(snippets(EXISTING, "settings.py")[0], names)  # noqa: S102
    settings.NUMVERIFY = names["NUMVERIFY"]
    return phone


def reason():
    return VerificationAttempt.objects.latest("pk").reason


def test_unknown_number_gets_no_second_account(denied):
    denied.log_in(GOOD)
    assert (denied.user_id, reason(), get_user_model().objects.count()) == (None, "account_unknown", 0)


def test_numbers_are_enrolled_but_for_those_that_cannot_be(denied, settings):
    (operator,) = settings.NUMVERIFY["OPERATORS"].values()
    settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": {"telefonica": operator}}
    names = {}
    exec(snippets(EXISTING, "enrol.py")[0], names)  # noqa: S102
    users = [get_user_model().objects.create(username=name) for name in ("first", "second", "third")]
    rows = zip(users, ("600 000 001", "+34600000001", "900 123 456"), strict=True)

    assert names["enrol"](rows) == users[1:]
    denied.log_in(GOOD)
    assert denied.user_id == str(users[0].pk)


FIELDS = {
    "phone=": "last_name=",
    "phone_checked_at__": "date_joined__",
}  # of the tests' user model


@pytest.fixture
def backend(denied, settings):
    """The page's backend, in the place of ours."""
    (text,) = snippets(EXISTING, "backends.py")
    for theirs, ours in FIELDS.items():
        assert theirs in text
        text = text.replace(theirs, ours)
    names = {"__name__": __name__}
    exec(text, names)  # noqa: S102
    globals()["Backend"] = names["Backend"]
    settings.AUTHENTICATION_BACKENDS = [f"{__name__}.Backend"]
    return denied


def member(name, days):
    """Make an account whose number was checked so many ``days`` ago."""
    checked = timezone.now() - timedelta(days=days)
    return get_user_model().objects.create(username=name, last_name="+34600000001", date_joined=checked)


@pytest.mark.parametrize("days", [10, 100])
def test_number_that_was_checked_lately_logs_in(backend, days):
    user = member("member", days)
    backend.log_in(GOOD)
    assert backend.user_id == (str(user.pk) if days == 10 else None)
    assert [record.user for record in VerifiedNumber.objects.all()] == ([user] if days == 10 else [])


def test_number_of_two_accounts_logs_in_neither(backend):
    members = [member(name, 10) for name in ("one", "two")]
    backend.log_in(GOOD)
    assert (len(members), backend.user_id, reason()) == (2, None, "number_taken")
    assert "number_taken" in EXISTING.astext()


def test_proved_number_goes_before_the_field(backend):
    user = account()
    member("another", 10)
    backend.log_in(GOOD)
    assert backend.user_id == str(user.pk)


@pytest.mark.parametrize(
    ("page", "files"), [(EXISTING, ["settings", "enrol", "backends"]), (CUSTOM, ["models", "members", "settings"])]
)
def test_pages_have_no_code_but_what_runs_here(page, files):
    assert [text.splitlines()[0] for text in blocks(page, "python")] == [f"# {name}.py" for name in files]
