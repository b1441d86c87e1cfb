"""Under ASGI: the same logins in an event loop, where no thread waits for the operator."""

import asyncio
import threading
import time

import pytest
from asgiref.sync import ThreadSensitiveContext, iscoroutinefunction, sync_to_async
from django.contrib.auth import get_user_model
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.views import View

from numverify_django import aio, running
from numverify_django.asgi import in_shared_threads
from numverify_django.calls import Call, Deadline
from numverify_django.models import VerificationAttempt
from numverify_django.protocol.messages import Request
from numverify_django.views import LoginView

from .asgi import LoopClient, loop
from .carriers import Loop
from .conftest import HOST, Phone
from .test_api import failures
from .test_login import GOOD
from .test_transport import answering, http, listen  # noqa: F401

LONG = 5  # seconds; no test waits for it


async def known(request):
    """Tell what the SIM proved, in the loop itself: whatever is not read by then cannot be."""
    proof = await request.anumber_verification()
    number = proof.number and proof.number.masked
    return JsonResponse({"verified": proof.is_verified, "number": number, "filled": proof.filled and proof.filled.e164})


urlpatterns = [path("known/", known), path("", include("tests.urls"))]
pytestmark = pytest.mark.urls(__name__)


class Waits:
    """A middleware that knows nothing of event loops."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        return self.get_response(request)


class LoopPhone(Phone):
    """A phone in front of a site under ASGI."""

    def __init__(self, sandbox):
        super().__init__(sandbox)
        self.client = LoopClient(SERVER_NAME=HOST)


@pytest.fixture
def phone(db, configure, sandbox):
    return LoopPhone(sandbox)


class TestLogin:
    def test_goes_through_the_loop(self, phone, monkeypatch):
        asked = []
        send = aio.send

        async def noting(call):
            asked.append((call.request.hop, threading.current_thread() is loop()._thread))
            return await send(call)

        monkeypatch.setattr(aio, "send", noting)
        phone.log_in(GOOD)
        assert phone.user_id == str(get_user_model().objects.get().pk)
        assert {hop for hop, _ in asked} >= {"token", "verify"}
        assert {is_there for _, is_there in asked} == {True}

    def test_middleware_stands_in_the_loop_as_it_is(self, settings, caplog):
        """Django puts what cannot into a thread, and says so."""
        other = f"{__name__}.Waits"
        settings.MIDDLEWARE = [other, *settings.MIDDLEWARE]
        settings.DEBUG = True
        with caplog.at_level("DEBUG", "django.request"):
            ASGIHandler()

        assert [text for text in caplog.messages if " adapted " in text] == [
            f"Asynchronous handler adapted for middleware {other}."
        ]

    @failures
    def test_failure_is_the_same(self, phone, sandbox, state, number, reason, group, status):
        sandbox.set(**state)
        phone.log_in(number)
        assert VerificationAttempt.objects.get().reason == reason

    def test_thread_waits_where_the_extra_is_not_installed(self, phone, monkeypatch):
        monkeypatch.setattr(running, "aio", None)
        phone.log_in(GOOD)
        assert VerificationAttempt.objects.get().outcome == "verified"

    def test_number_is_known_in_the_loop(self, phone, sandbox):
        nothing = {"verified": False, "number": None, "filled": None}
        assert phone.client.get("/known/").json() == nothing
        phone.log_in(GOOD)
        assert phone.client.get("/known/").json() == {"verified": True, "number": "•••01", "filled": None}

    def test_browser_that_leaves_meanwhile_stops_nothing(self, listen):  # noqa: F811
        """Django cancels the view then; what the operator was asked is recorded all the same."""
        server, ended = listen(slow), []

        async def steps():
            ended.append((await Call(Request("verify", "POST", server.url, body=b"x"), Deadline(LONG))).body)

        async def leave():
            task = asyncio.ensure_future(aio.run(steps()))
            while not server.requests:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        carrier = Loop()
        carrier.do(leave())
        carrier.stop()
        assert ended == [b"late"]


def slow(server, connection):
    while server.read(connection):
        time.sleep(0.2)
        connection.sendall(http(b"late"))


class TestView:
    def test_is_what_fits(self):
        view = LoginView.as_view()

        async def look():
            return iscoroutinefunction(view)

        assert (iscoroutinefunction(view), asyncio.run(look())) == (False, True)

    def test_marks_are_the_same_in_both(self):
        view = LoginView.as_view()

        async def look():
            return marks(view)

        assert marks(view) == asyncio.run(look()) == (True, True, False, LoginView)

    def test_dispatch_of_a_site_is_not_passed_by(self, rf):
        class Closed(View):
            def dispatch(self, request, *args, **kwargs):
                return HttpResponse("closed")

        class ClosedLoginView(Closed, LoginView):
            pass

        view = ClosedLoginView.as_view()

        async def look():
            return iscoroutinefunction(view)

        assert asyncio.run(look()) is False
        assert view(rf.get("/")).content == b"closed"


def marks(view):
    return "other" in view._non_atomic_requests, view.csrf_exempt, view.login_required, view.view_class


class TestSharedThreads:
    def run(self, count, requests, path="/home/", **scope):
        """Return the threads that did the synchronous part of so many requests at once."""
        seen, all_are_there = [], threading.Event()

        def work():
            seen.append(threading.get_ident())
            assert all_are_there.wait(LONG)

        async def application(scope, receive, send):
            async with ThreadSensitiveContext():  # as Django has it
                await asyncio.sleep(0)  # in which it reads the body, and others come
                await sync_to_async(work)()

        async def ask():
            shared = in_shared_threads(application, count)
            asyncio.get_running_loop().call_later(0.1, all_are_there.set)
            await asyncio.gather(*(shared({"type": "http", "path": path} | scope, None, None) for _ in range(requests)))

        asyncio.run(ask())
        return seen

    def test_are_as_many_as_was_said(self):
        assert len(set(self.run(3, 9))) == 3

    def test_request_takes_a_thread_that_is_idle(self):
        assert len(set(self.run(8, 4))) == 4

    @pytest.mark.parametrize("page", ["login/", "callback/", "app/start/", "qr/"])
    def test_our_pages_leave_half_to_the_others(self, page):
        assert len(set(self.run(6, 9, f"/numverify/{page}"))) == 3

    def test_our_pages_are_known_under_a_prefix(self):
        assert len(set(self.run(6, 9, "/club/numverify/login/", root_path="/club"))) == 3
        assert len(set(self.run(6, 9, "/club/home/", root_path="/club"))) == 6

    def test_our_pages_are_known_under_the_prefix_of_the_settings(self, settings):
        settings.FORCE_SCRIPT_NAME = "/club"
        assert len(set(self.run(6, 9, "/club/numverify/login/"))) == 3

    def test_one_thread_is_everybody_s(self):
        assert len(set(self.run(1, 3, "/numverify/login/"))) == 1

    @pytest.mark.parametrize("path", ["/nothing/", "", "\x00", "\ud800"])
    def test_path_that_leads_nowhere_is_the_site_s(self, path):
        assert len(set(self.run(4, 9, path))) == 4

    def test_what_is_no_request_has_no_path(self):
        assert len(set(self.run(4, 9, type="lifespan"))) == 4
