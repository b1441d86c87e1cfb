"""docs/step-up.rst is executed: its views are guarded, its settings hold, its scripts are told what it says."""

import json
import re
import sys
from types import ModuleType

import pytest
from asgiref.sync import sync_to_async
from django.core.exceptions import ImproperlyConfigured, PermissionDenied, SynchronousOnlyOperation
from django.http import HttpResponse
from django.template import engines
from django.test import Client
from django.urls import include, path
from django.utils.decorators import async_only_middleware
from django.utils.http import MAX_URL_LENGTH
from docutils import nodes
from rest_framework import permissions
from rest_framework.response import Response
from rest_framework.views import APIView

from numverify_django.middleware import step_up
from numverify_django.models import Use
from numverify_django.reverify import PAUSE
from numverify_django.session import StepUpRequired

from .asgi import LoopClient
from .conftest import HOST
from .test_docs import read
from .test_login import GOOD
from .test_middleware import NAVIGATION, is_at_operator
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


class RaisingView(APIView):
    def get(self, request):
        if not request.number_verification.is_fresh(300):
            raise StepUpRequired(300)
        return Response("paid")


class DenyingView(APIView):
    def get(self, request):
        raise PermissionDenied("in its own words")


@async_only_middleware
def guard_in_loop(get_response):
    """Do in a coroutine, before a view is known, what the page does in ``process_view``."""

    async def answer(request):
        known = await request.anumber_verification()
        if request.path == "/loop/" and not known.is_fresh(300):
            return await sync_to_async(step_up)(request)
        return await get_response(request)

    return answer


def listed():
    """Return the lists of permissions that the page names, each as it is written: the text -> the classes."""
    texts = (node.astext() for node in PAGE.findall(nodes.literal) if node.astext().startswith("["))
    names = {name: getattr(permissions, name) for name in ("IsAdminUser", "IsAuthenticated")}
    return {text: eval(text, names | {"NumberVerified": api.NumberVerified}) for text in texts}  # noqa: S307


def paid(request):
    return HttpResponse("paid")


def shown(request):
    """Return the page's template as ``request`` gets it."""
    (text,) = blocks("django")
    return engines["django"].from_string(text).render({}, request)


async def shown_early(request):
    return HttpResponse(shown(request))


async def shown_in_time(request):
    await request.anumber_verification()
    return HttpResponse(shown(request))


views, api, guards = load("views"), load("api"), load("guards")
GUARDED = {"pay": views.pay, "later": views.pay_later, "class": views.Payment.as_view(), "api": api.Payments.as_view()}
urlpatterns = [*(path(f"{name}/", view) for name, view in GUARDED.items())]
urlpatterns += [path("numverify/", include("numverify_django.urls"))]
urlpatterns += [path("early/", shown_early), path("in-time/", shown_in_time)]
urlpatterns += [path("billing/", paid), path("loop/", paid)]
for text, classes in listed().items():
    view = type("Listed", (api.Payments,), {"permission_classes": classes, "get": api.Payments.post})
    urlpatterns += [path(f"listed/{text}/", view.as_view())]
urlpatterns += [path("raising/", RaisingView.as_view()), path("denying/", DenyingView.as_view())]
SAID = "The SIM was checked"
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


@pytest.mark.parametrize(
    ("text", "tells"),
    [
        ("[IsAuthenticated, NumberVerified]", True),
        ("[IsAuthenticated & NumberVerified]", False),
        ("[NumberVerified | IsAdminUser]", False),
    ],
)
def test_permission_decides_beside_others_and_tells_where_to_confirm_from_the_list_alone(phone, text, tells):
    phone.log_in(GOOD)
    assert phone.client.get(f"/listed/{text}/").json() == {"paid": True}
    grow_old(phone, 310)
    answer = phone.client.get(f"/listed/{text}/")

    assert (answer.status_code, "authorization_url" in answer.json()) == (403, tells)


def test_permission_refuses_visitors_for_whom_an_api_has_no_user(db, settings):
    settings.REST_FRAMEWORK = {"UNAUTHENTICATED_USER": None}
    answer = Client(SERVER_NAME=HOST).get("/listed/[NumberVerified | IsAdminUser]/")

    assert (answer.status_code, list(answer.json())) == (403, ["detail"])


OPENED = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.mark.parametrize(("headers", "raised"), [({}, 302), (OPENED, 302), (FETCH, 403)], ids=["old", "page", "script"])
def test_api_that_knows_nobody_beside_a_proof_refuses_like_a_visitor(phone, settings, monkeypatch, headers, raised):
    """Its classes find nobody in a session that has a proof, and REST framework has no user for that."""
    settings.REST_FRAMEWORK = {
        "UNAUTHENTICATED_USER": None,
        "EXCEPTION_HANDLER": "numverify_django.contrib.drf.handlers.handle",
    }
    monkeypatch.setattr(APIView, "authentication_classes", [])
    phone.log_in(GOOD)
    grow_old(phone, 310)

    asked = phone.client.get("/raising/", headers=headers)
    assert asked.status_code == raised
    assert raised == 403 or asked["Location"] == "/numverify/login/?next=/raising/"
    assert phone.client.get("/listed/[NumberVerified | IsAdminUser]/", headers=headers).status_code == 403


@pytest.fixture(params=[Client, LoopClient])
def old(request, phone, settings):
    """A phone whose proof is older than 300 seconds, before a site with the page's settings, under WSGI and ASGI."""
    (setting,) = [text for text in blocks("python") if text.startswith("# REST_FRAMEWORK")]
    exec(setting, names := {})  # noqa: S102
    settings.REST_FRAMEWORK = names["REST_FRAMEWORK"]
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{guards.__name__}.GuardedFolder", f"{__name__}.guard_in_loop"]
    phone.client = request.param(SERVER_NAME=HOST)
    phone.log_in(GOOD)
    grow_old(phone, 310)
    return phone


@pytest.mark.parametrize("here", ["/billing/", "/loop/", "/raising/"])
def test_what_a_middleware_returns_and_an_api_raises_leads_to_the_operator_and_back(old, here):
    told = old.client.get(here, headers=FETCH)
    assert (told.status_code, told.json()["authorization_url"]) == (403, told["authorization_url"])
    started = old.client.get(here, headers=NAVIGATION)
    assert is_at_operator(started, old.sandbox)
    assert "no-store" in started["Cache-Control"]
    assert old.client.get(old.come_back(started))["Location"] == here
    assert b"paid" in old.client.get(here, headers=FETCH).content


def test_middleware_shows_why_nobody_can_be_asked(old, settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"RATE_LIMITS": {"session": [1, 3600]}}
    for here in ("/billing/", "/loop/"):
        assert old.client.get(here, headers=NAVIGATION).status_code == 429


def test_api_refuses_all_else_in_its_own_words(old):
    answer = old.client.get("/denying/", headers=FETCH)
    assert (answer.status_code, answer.json()) == (403, {"detail": "in its own words"})


def test_api_that_leaves_nothing_to_the_middleware_makes_a_403_of_its_own(phone):
    phone.log_in(GOOD)
    grow_old(phone, 310)
    answer = phone.client.get("/raising/", headers=FETCH)
    assert (answer.status_code, list(answer.json())) == (403, ["detail"])


@pytest.mark.parametrize(("age", "is_shown"), [(0, True), (310, False)])
def test_template_tells(phone, age, is_shown):
    phone.log_in(GOOD)
    grow_old(phone, age)
    request = phone.client.get("/numverify/login/").wsgi_request
    assert (SAID in shown(request)) is is_shown
    assert (SAID in phone.client.get("/in-time/").content.decode()) is is_shown


def test_template_of_an_asynchronous_view_cannot_wait_for_the_database(phone):
    phone.client = LoopClient(SERVER_NAME=HOST)
    phone.log_in(GOOD)
    assert SAID in phone.client.get("/in-time/").content.decode()
    with pytest.raises(SynchronousOnlyOperation):
        phone.client.get("/early/")


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
    assert f"longer than {MAX_URL_LENGTH:,} characters" in TEXT
    assert "for ten minutes" in TEXT
    assert PAUSE.total_seconds() == 600
    assert f"such attempts are {Use.REVERIFY.label};" in TEXT
    assert re.findall(r"pip install '([^']+)'", TEXT) == ["numverify-django[drf]"]
