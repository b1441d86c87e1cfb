"""docs/step-up.rst is executed: its views are guarded, its settings hold, its scripts are told what it says."""

import json
import re
import sys
from types import ModuleType

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.template import engines
from django.urls import include, path
from docutils import nodes

from numverify_django.models import Use
from numverify_django.reverify import PAUSE

from .conftest import HOST
from .test_docs import read
from .test_login import GOOD
from .test_session import grow_old

PAGE = read("docs/step-up.rst")
TEXT = " ".join(PAGE.astext().split())
pytestmark = pytest.mark.urls(__name__)


def blocks(language):
    """Return the texts of the code blocks in ``language``."""
    return [node.astext() for node in PAGE.findall(nodes.literal_block) if language in node["classes"]]


def snippet(name):
    """Return the Python block whose first line names the file ``name``."""
    (text,) = [text for text in blocks("python") if text.startswith(f"# {name}")]
    return text


def load(name):
    """Return the block as a module."""
    module = ModuleType(f"{__name__}.{name}")
    exec(snippet(f"{name}.py"), module.__dict__)  # noqa: S102
    sys.modules[module.__name__] = module
    return module


views, api = load("views"), load("api")
GUARDED = {"pay": views.pay, "later": views.pay_later, "class": views.Payment.as_view(), "api": api.Payments.as_view()}
urlpatterns = [*(path(f"{name}/", view) for name, view in GUARDED.items())]
urlpatterns += [path("numverify/", include("numverify_django.urls"))]
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Referer": f"http://{HOST}/cart/", "Accept": "*/*"}


@pytest.mark.parametrize("name", GUARDED)
def test_view_is_guarded(phone, name):
    phone.log_in(GOOD)
    assert b"paid" in phone.client.post(f"/{name}/", headers=FETCH).content
    grow_old(phone, 310)
    answer = phone.client.post(f"/{name}/", headers=FETCH)

    (told,) = blocks("json")
    url = json.loads(told)["authorization_url"].replace("%2Fcart%2F", "http%3A%2F%2F127.0.0.1%2Fcart%2F")
    assert (answer.status_code, answer.json()) == (403, json.loads(told) | {"authorization_url": url})
    assert answer.headers.get("authorization_url") == (None if name == "api" else url)


@pytest.mark.parametrize(("age", "shown"), [(0, True), (310, False)])
def test_template_tells(phone, age, shown):
    phone.log_in(GOOD)
    grow_old(phone, age)
    request = phone.client.get("/numverify/login/").wsgi_request
    (text,) = blocks("django")
    assert ("The SIM was checked" in engines["django"].from_string(text).render({}, request)) is shown


def test_template_without_a_request_says_what_is_missing():
    (text,) = blocks("django")
    with pytest.raises(ImproperlyConfigured, match="in TEMPLATES"):
        engines["django"].from_string(text).render({})


def test_setting_is_one(settings):
    names = {"NUMVERIFY": dict(settings.NUMVERIFY)}
    exec(snippet("settings.py"), names)  # noqa: S102
    settings.NUMVERIFY = names["NUMVERIFY"]
    from numverify_django import conf

    assert conf.get().reverify_after == 86_400


def test_page_says_what_the_code_does():
    assert "for ten minutes" in TEXT
    assert PAUSE.total_seconds() == 600
    assert f"such attempts are {Use.REVERIFY.label};" in TEXT
    assert re.findall(r"pip install '([^']+)'", TEXT) == ["numverify-django[drf]"]
