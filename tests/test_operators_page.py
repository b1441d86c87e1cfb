"""docs/operators.rst is executed: its settings hold, its callables are asked, its table is read."""

import io
import re
import sys
from types import ModuleType
from urllib.parse import urlsplit

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, models
from django.urls import reverse
from docutils import nodes

from numverify_django import conf, roster, routing
from numverify_django.management.commands.numverify_probe import Command
from numverify_django.protocol.phone import PhoneNumber

from .conftest import HOST
from .test_docs import ROOT, read
from .test_login import the_attempt
from .test_routing import GERMANY, SPAIN, keys_of, site  # noqa: F401

PAGE = read("docs/operators.rst")
TEXT = " ".join(PAGE.astext().split())


class Row(models.Model):
    """What the page's example keeps of an operator."""

    name = models.CharField(max_length=64)
    profile = models.CharField(max_length=64)
    client_id = models.CharField(max_length=64)
    client_secret = models.CharField(max_length=64)
    prefixes = models.CharField(max_length=64)
    is_enabled = models.BooleanField()

    class Meta:
        app_label = "riverside"

    def __str__(self):
        return self.name


def snippet(name):
    """Return the Python block whose first line is this comment."""
    blocks = [node.astext() for node in PAGE.findall(nodes.literal_block) if "python" in node["classes"]]
    (text,) = [text for text in blocks if text.partition("\n")[0] == f"# {name}"]
    return text


@pytest.fixture
def riverside(monkeypatch):
    """The package of the page, whose modules are its blocks."""
    models_of_it = ModuleType("riverside.models")
    models_of_it.MobileOperator = Row
    monkeypatch.setitem(sys.modules, "riverside", ModuleType("riverside"))
    sys.modules["riverside"].__path__ = []
    monkeypatch.setitem(sys.modules, "riverside.models", models_of_it)
    for name in ("routes", "operators", "forms"):
        module = ModuleType(f"riverside.{name}")
        module.__package__ = "riverside"
        monkeypatch.setitem(sys.modules, module.__name__, module)
        setattr(sys.modules["riverside"], name, module)
        exec(snippet(f"riverside/{name}.py"), module.__dict__)  # noqa: S102
    return sys.modules["riverside"]


def configure(settings, *names):
    """Set NUMVERIFY as these blocks of settings.py say, one after the other."""
    found = {"NUMVERIFY": {"OPERATORS": {}}}
    for name in names:
        exec(snippet(name), found)  # noqa: S102
    settings.NUMVERIFY = found["NUMVERIFY"]


FIRST, ROUTED = "settings.py", "settings.py, with a route"
OWN, KEPT = "settings.py, with callbacks of their own", "settings.py, with operators in a database"


@pytest.mark.usefixtures("riverside")
@pytest.mark.parametrize("more", [(), (ROUTED,), (OWN,), (KEPT,), (ROUTED, OWN)])
def test_settings_are_right(settings, more):
    configure(settings, FIRST, *more)
    assert conf.problems() == []


NUMBERS = {"+34600000001": "movistar", "+34610000001": "vivo", "+5511912345671": "vivo"}


@pytest.mark.usefixtures("riverside")
@pytest.mark.parametrize(("number", "name"), NUMBERS.items())
def test_route_chooses(settings, rf, number, name):
    configure(settings, FIRST, ROUTED)
    assert routing.choose(rf.post("/"), PhoneNumber(number)).name == name
    assert routing.choose(rf.post("/"), PhoneNumber(number), "vivo").name == "vivo"


def test_callbacks_are_those_of_the_routes(settings):
    configure(settings, FIRST, OWN)
    for one in conf.get().operators:
        assert urlsplit(one.redirect_uri).path == reverse("numverify:operator_callback", args=[one.name])
        assert one.shares_callback is False


@pytest.mark.django_db(transaction=True)
def test_operators_of_the_database_are_those_of_the_site(settings, riverside):
    with connection.schema_editor() as editor:
        editor.create_model(Row)
    try:
        facts = {"profile": "telefonica", "client_id": "id", "client_secret": "secret", "prefixes": "+34 +49"}
        Row.objects.create(name="movistar", is_enabled=True, **facts)
        Row.objects.create(name="former", is_enabled=False, **facts)
        configure(settings, FIRST, KEPT)
        (operator,) = conf.get().operators
        assert (operator.name, operator.prefixes) == ("movistar", ("+34", "+49"))
        riverside.forms.check_operators(riverside.operators.operators())
        Row.objects.update(client_secret="")
        with pytest.raises(ValidationError, match=r"'movistar'\] has no CLIENT_SECRET"):
            riverside.forms.check_operators(riverside.operators.operators())
    finally:
        with connection.schema_editor() as editor:
            editor.delete_model(Row)


@pytest.mark.parametrize("number", [SPAIN, GERMANY])
def test_each_answers_at_its_own_callback(site, number):  # noqa: F811
    own = {"NUMVERIFY": site.settings.NUMVERIFY}
    exec(snippet(OWN).replace("https://riverside.example", f"http://{HOST}"), own)  # noqa: S102
    site.settings.NUMVERIFY = dict(own["NUMVERIFY"])
    callback = site.phone.come_back(site.phone.start(number, operator=site.sur))
    site.phone.client.get(callback)
    assert callback.startswith(f"/numverify/callback/{site.sur}/?")
    assert (the_attempt().outcome, the_attempt().operator) == ("verified", site.sur)


def test_figures_are_those_of_the_code():
    assert (roster.FRESH, "at most once in ten seconds" in TEXT, "ten seconds later" in TEXT) == (10, True, True)
    assert (roster.RETRY, "asked again a second later" in TEXT) == (1, True)


# numverify_probe


def printed():
    """Return what the page shows of a run: the lines after the command."""
    (block,) = [node.astext() for node in PAGE.findall(nodes.literal_block) if "console" in node["classes"]]
    command, *lines = block.splitlines()
    assert command == f"$ python manage.py numverify_probe sandbox --redirect-uri {URI}"
    return lines


def test_probe_prints_what_the_page_shows(settings, sandbox):
    settings.NUMVERIFY = {"OPERATORS": {"sandbox": keys_of(sandbox) | {"CLIENT_SECRET": "wrong", "PKCE": False}}}
    out = io.StringIO()
    with pytest.raises(CommandError) as raised:
        call_command("numverify_probe", "sandbox", "--redirect-uri", URI, stdout=out)
    told = [*out.getvalue().splitlines(), f"CommandError: {raised.value}"]
    assert [shown(line, sandbox) for line in told] == [shown(line, sandbox) for line in printed()]


URI = f"http://{HOST}:8000/numverify/callback/"


def shown(line, sandbox):
    """Return ``line`` without what differs from run to run."""
    return re.sub(r"[+-]\d s from ours", "", line.replace(sandbox.url, "http://127.0.0.1:9091"))


def test_page_names_the_option():
    parser = Command().create_parser("manage.py", "numverify_probe")
    assert "--redirect-uri" in parser.format_help()
    assert "``--redirect-uri``" in (ROOT / "docs/operators.rst").read_text()
