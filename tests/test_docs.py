"""The pages of docs/ say what the code says."""

import doctest
import inspect
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest
from django.conf import global_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string
from docutils import nodes
from docutils.core import publish_doctree
from docutils.parsers.rst import Directive, directives

from numverify_django import checks, conf, connections, limits, transport
from numverify_django.contrib.drf import checks as drf_checks
from numverify_django.contrib.otp import checks as otp_checks
from numverify_django.contrib.qr import checks as qr_checks
from numverify_django.protocol import conversation

ROOT = Path(__file__).parent.parent
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("docs/**/*.rst"), *ROOT.glob("*.rst")])
# What is written like a setting and is none.
NOT_SETTINGS = {
    "POST",
    "GET",
    "HEAD",
    "UPDATE",
    "DELETE",
    "DENY",
    "PORT",
    "PYTHON",
    "VENV",
    "ARGS",
    "INSTALLED_APPS",
    "SITE",
    "REST_FRAMEWORK",
    "EXCEPTION_HANDLER",
}
NOT_SETTINGS |= {"CONN_MAX_AGE", "ATOMIC_REQUESTS"}  # of a database
NOT_SETTINGS |= {
    "OIDC_DRF_AUTH_BACKEND",
    "MFA_REAUTHENTICATION_REQUIRED",
    "ACCOUNT_REAUTHENTICATION_REQUIRED",
    "OTP_LOGIN_URL",
}  # of other packages
NOT_SETTINGS |= {"ROOT_URLCONF", "SECURE_CSP", "SITE_ID", "SCRIPT_NAME", "FORWARDED_ALLOW_IPS"}  # Django's, servers'
NOT_SETTINGS |= {"USERNAME_FIELD"}  # of a user model


class Sphinx(Directive):
    """What Sphinx alone knows: its builder looks at that."""

    has_content, optional_arguments = True, 1
    option_spec = dict.fromkeys(["caption", "hidden", "glob", "members", "no-value"], directives.unchanged)

    def run(self):
        """Leave it out."""
        return []


for name in ("toctree", "doctest", "module", "method"):
    directives.register_directive(name, Sphinx)
for name in ("class", "method", "function", "exception", "data", "attribute"):
    directives.register_directive(f"auto{name}", Sphinx)


def read(page):
    """Return the page as a document; docutils has nothing to complain about."""
    path = ROOT / page
    return publish_doctree(
        path.read_text(), source_path=str(path), settings_overrides={"report_level": 1, "halt_level": 2}
    )


def blocks(page, language):
    """Return the texts of the code blocks of ``page``, a document, in ``language``."""
    return [node.astext() for node in page.findall(nodes.literal_block) if language in node["classes"]]


def snippets(page, name):
    """Return the Python blocks of ``page`` whose first line names the file ``name``, and may say more after a comma."""
    return [text for text in blocks(page, "python") if re.match(rf"# {re.escape(name)}(,|$)", text, re.MULTILINE)]


def table(page, *header):
    """Return the rows, as texts, of each table of ``page`` with this header."""
    found = []
    for node in page.findall(nodes.table):
        rows = [[entry.astext() for entry in row.findall(nodes.entry)] for row in node.findall(nodes.row)]
        if rows[0] == list(header):
            found.append(rows[1:])
    assert found, header
    return found


def threat_model():
    """Return the text of the threat model."""
    return " ".join(read("docs/threat-model.rst").astext().split())


@pytest.mark.parametrize("page", PAGES)
def test_settings_that_are_named_exist(page):
    literals = {node.astext() for node in read(page).findall(nodes.literal)}
    known = {"NUMVERIFY", "OPERATORS", "PROFILE", *conf.SITE_KEYS, *conf.OPERATOR_KEYS, *dir(global_settings)}
    named = {text for text in literals if re.fullmatch("[A-Z][A-Z_]{3,}", text)}
    assert named - known - NOT_SETTINGS == set()


@pytest.mark.parametrize("page", PAGES)
def test_checks_that_are_named_exist(page):
    raised = "".join(map(inspect.getsource, (checks, conf, drf_checks, otp_checks, qr_checks)))
    assert [name for name in re.findall(r"[EW]0\d\d\b", read(page).astext()) if name not in raised] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_and_mentions_lead_to_files(page):
    document = read(page)
    links = [node.get("refuri", "") for node in document.findall(nodes.reference)]
    files = [ROOT.joinpath(page).parent / link for link in links if link and "://" not in link]
    files += [ROOT / name for name in re.findall(r"\bdocs/[\w/-]+\.rst", document.astext())]
    assert [path for path in files if not path.is_file()] == []


def test_contents_have_every_page_once():
    index = ROOT.joinpath("docs/index.rst").read_text()
    entries = re.findall(r"^   ([\w/*\[\]-]+)$", index, re.MULTILINE)
    names = [page.removeprefix("docs/").removesuffix(".rst") for page in PAGES if page.startswith("docs/")]
    found = {name: sum(fnmatch(name, entry) for entry in entries) for name in names if name != "index"}
    assert found == dict.fromkeys(found, 1)


EXAMPLES = [page for page in PAGES if ">>> " in ROOT.joinpath(page).read_text()]


@pytest.mark.parametrize("page", EXAMPLES)
def test_examples_say_what_the_page_shows(page):
    failed, tried = doctest.testfile(str(ROOT / page), module_relative=False, encoding="utf-8")
    assert (failed, tried > 0) == (0, True)


def test_architecture_names_what_there_is():
    literals = {node.astext() for node in read("docs/architecture.rst").findall(nodes.literal)}
    named = {text for text in literals if re.fullmatch(r"[a-z_]+(\.\w+)+", text)}
    assert len(named) > 10
    assert [text for text in named if not is_there(f"numverify_django.{text}")] == []


def is_there(path):
    """Tell whether the dotted ``path`` leads to a module, or to what is in one."""
    try:
        return bool(import_string(path) or True)
    except ImproperlyConfigured:  # it is, and says what it wants
        return True
    except ImportError:
        return False


def test_figures_of_the_threat_model_are_those_of_the_code():
    text = threat_model()
    body, received = transport.BODY_MAX // 1024, transport.RECEIVED_MAX // 1024
    head = connections.HEAD_MAX // 1024
    assert f"{head} KiB of head, {body} KiB of body, {received} KiB in all" in text
    assert (limits.FAULTS_TO_OPEN, f"after five faults it is not asked for {limits.OPEN} seconds" in text) == (5, True)
    assert (conversation.COOL_DOWN, "one refetch in a minute" in text) == (60, True)
    assert (conversation.STALE, "serve for an hour at most" in text) == (3600, True)


def test_threat_model_names_every_group_of_cases():
    groups = {path.stem.removeprefix("test_").upper() for path in ROOT.glob("tests/hostile/test_??.py")}
    assert set(re.findall(r"\b[A-Z]{2}\b", threat_model())) & (groups | {"XD", "MW", "CB"}) == groups
