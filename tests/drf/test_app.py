"""A login that an app begins and ends, against the sandbox operator on a socket."""

from urllib.parse import urlencode

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.utils.translation import override
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import JWTAuthentication

from numverify_django import uses
from numverify_django.contrib.drf import journey
from numverify_django.models import Use, VerificationAttempt
from numverify_django.protocol.exceptions import PolicyRefused

from ..conftest import HOST, Phone, query_of
from ..openapi import APPS
from ..test_api import failures
from ..test_login import GOOD, account, the_attempt
from ..test_signals import listen  # noqa: F401
from .conftest import NOT_OPEN, PATH, App


class Members(APIView):
    """A page of the site's own API."""

    authentication_classes = [TokenAuthentication, JWTAuthentication, SessionAuthentication]
    permission_classes = [IsAuthenticated]
    throttle_classes = []
    versioning_class = None

    def get(self, request):
        """Tell who asks."""
        return Response({"user": request.user.pk})


def member(app, **headers):
    """Return the key of whom the site's API knows by ``headers`` and by the app's cookies, or None."""
    cookies = "; ".join(f"{name}={morsel.value}" for name, morsel in app.client.cookies.items())
    request = APIRequestFactory().get("/", headers=headers | {"cookie": cookies})
    request.session = app.client.session
    user_id = app.client.session.get("_auth_user_id")
    request.user = get_user_model().objects.get(pk=user_id) if user_id else None
    return Members.as_view()(request).data.get("user")


class TestLogin:
    def test_token(self, app):
        given = app.complete(app.open(app.start()))
        assert app.client.cookies == {}
        assert given == {"token": given["token"], "reference": the_attempt().reference_shown}
        assert member(app, authorization=f"Token {given['token']}") == get_user_model().objects.get().pk

    def test_simplejwt(self, app, configured):
        configured("simplejwt.log_in")
        given = app.complete(app.open(app.start()))
        assert given.keys() == {"access", "refresh", "reference"}
        assert member(app, authorization=f"Bearer {given['access']}") == get_user_model().objects.get().pk
        assert member(app, authorization=f"Bearer {given['refresh']}") is None

    def test_session(self, app, configured):
        configured("session.log_in")
        given = app.complete(app.open(app.start()))
        assert given.keys() == {"csrf_token", "reference"}
        assert member(app) == get_user_model().objects.get().pk
        told = app.client.get("/numverify/login/", headers={"accept": "application/json"}).json()
        assert (told["number"], told["verified"]) == ("•••01", True)

    def test_session_has_a_new_key_and_the_token_that_posts_need(self, app, configured):
        configured("session.log_in")
        app.client.handler.enforce_csrf_checks = True
        app.client.get("/numverify/login/")
        session = app.client.session
        session["planted"] = True
        session.save()
        given = app.complete(app.open(app.start()))
        assert app.client.session.session_key != session.session_key
        sent = {"path": "/numverify/login/", "headers": {"accept": "application/json"}}
        assert app.client.post(**sent).status_code == 403
        sent["headers"]["X-CSRFToken"] = given["csrf_token"]
        assert app.client.post(**sent).json()["authorization_url"]

    def test_hook_of_the_site(self, app, configured):
        seen = []

        def log_in(request, user, attempt):
            seen.append((user, attempt))
            return {"nickname": "Rower"}

        configured(log_in)
        assert app.complete(app.open(app.start()))["nickname"] == "Rower"
        assert seen == [(get_user_model().objects.get(), the_attempt())]

    def test_audit_tells_that_it_was_an_app(self, app, listen):  # noqa: F811
        heard = []

        def note(signal, sender, request, user, attempt):
            heard.append((user, attempt.use))

        listen("number_verified", note)
        app.complete(app.open(app.start()))
        assert (the_attempt().use, the_attempt().outcome) == ("app", "verified")
        assert heard == [(get_user_model().objects.get(), "app")]

    def test_share(self, app, configured):
        configured(OPERATION="share")
        app.sandbox.set(sim="+34600000001")
        app.complete(app.open(app.start("")))
        assert the_attempt().operation == "share"

    def test_app_link_is_where_the_operator_leads_to(self, app, configured):
        link = "http://127.0.0.1/app/done/"
        configured(APP_REDIRECT_URI=link)
        started = app.start()
        assert query_of(started["authorization_url"])["redirect_uri"] == link
        assert app.sandbox.authorize(app.start()["authorization_url"]).startswith(f"{link}?")
        app.complete(app.open(started))  # the operator compares it with the token request's

    def test_person_in_a_browser_is_not_led_there(self, db, configured, sandbox):
        configured(APP_REDIRECT_URI="http://127.0.0.1/app/done/")
        Phone(sandbox).log_in(GOOD)

    def test_known_account_is_found(self, app):
        user = account()
        app.complete(app.open(app.start()))
        assert the_attempt().user == user


class TestOnlyTheAppThatBegan:
    def test_another_app_ends_nothing(self, app):
        response, other = app.open(app.start()), App(app.sandbox)
        assert other.complete(response, 400) == NOT_OPEN
        assert "token" not in app.sandbox.hops()
        app.complete(response)

    def test_browser_ends_nothing(self, app):
        """The operator's answer came to the site because no app took the link."""
        response, stranger = app.open(app.start()), Client(SERVER_NAME=HOST)
        assert stranger.get(f"/numverify/callback/?{response}").status_code == 400
        app.complete(response)

    def test_app_ends_nothing_that_a_browser_began(self, app):
        phone = Phone(app.sandbox)
        callback = phone.come_back(phone.start(GOOD))
        assert app.complete(callback.partition("?")[2], 400) == NOT_OPEN
        assert phone.client.get(callback).status_code == 302

    def test_challenge_is_no_verifier(self, app):
        response = app.open(app.start())
        assert app.complete(response, 400, code_verifier=journey.challenge_of(app.verifier)) == NOT_OPEN

    def test_answer_is_taken_once(self, app):
        response = app.open(app.start())
        app.complete(response)
        assert app.complete(response, 410) == NOT_OPEN

    def test_status_is_the_apps_own(self, app):
        reference = app.start()["reference"]
        assert App(app.sandbox).status(reference, 404) == {"error": "not_found", "reference": None}
        assert app.status(reference)["status"] == "pending"


class TestRefusal:
    @failures
    def test_group_is_told_and_never_the_reason(self, app, state, number, reason, group, status):
        app.sandbox.set(**state)
        told = app.complete(app.open(app.start(number)), status)
        assert told == {"error": group, "reference": the_attempt().reference_shown}
        assert the_attempt().reason == reason
        assert app.status(told["reference"]) == told | {"status": "failed"}

    def test_status_of_who_is_in(self, app):
        app.complete(app.open(app.start()))
        told = app.status(the_attempt().reference)
        assert told == {"status": "verified", "error": None, "reference": the_attempt().reference_shown}

    def test_answer_that_is_too_late(self, app):
        response = app.open(app.start())
        VerificationAttempt.objects.update(expires_at="2026-01-01T00:00:00Z")
        assert app.complete(response, 410) == NOT_OPEN
        assert the_attempt().reason == "expired"

    def test_status_of_a_login_that_nobody_finished(self, app):
        reference = app.start()["reference"]
        assert app.status(reference)["status"] == "pending"
        VerificationAttempt.objects.update(expires_at="2026-01-01T00:00:00Z")
        assert app.status(reference) == {"status": "failed", "error": "not_open", "reference": reference}

    @pytest.mark.parametrize(
        "response", ["code=x", "state=", "state=x&state=y", "state=x&code=y", "&".join(["a=1"] * 1500)]
    )
    def test_answer_of_nobody(self, app, response):
        assert app.complete(response, 400) == NOT_OPEN

    def test_site_without_app_login_sends_nobody_to_the_operator(self, app, configured):
        configured(None)
        assert app.start(status=503) == {"error": "unfinished", "reference": None}
        assert not VerificationAttempt.objects.exists()

    def test_app_that_is_not_installed_costs_nothing(self, app, monkeypatch):
        """Only its routes are there."""
        monkeypatch.delitem(uses.TABLE, Use.APP)
        assert app.complete(app.open(app.start()), 503)["error"] == "unfinished"
        assert "token" not in app.sandbox.hops()

    @pytest.mark.parametrize("error", [RuntimeError, PolicyRefused])
    def test_hook_that_fails_gives_nothing(self, app, configured, error):
        def log_in(request, user, attempt):
            raise error

        configured(log_in)
        told = app.complete(app.open(app.start()), 503)
        assert told == {"error": "unfinished", "reference": the_attempt().reference_shown}
        assert the_attempt().outcome == "verified"

    @pytest.mark.parametrize(("answer", "reason"), [("/second-factor/", "policy_refused"), (False, "policy_refused")])
    def test_policy_that_wants_a_page_refuses_an_app(self, app, configured, answer, reason):
        configured(site={"LOGIN_POLICY": lambda request, user, attempt: answer})
        assert app.complete(app.open(app.start()), 403)["error"] == "not_confirmed"
        assert the_attempt().reason == reason
        assert not get_user_model().objects.exists()

    def test_too_many(self, app, configured):
        configured(site={"RATE_LIMITS": {"number_address": [1, 600]}})
        app.start()
        assert app.start(status=429) == {"error": "too_many", "reference": None}

    def test_number_that_is_none(self, app):
        answer = {"error": "invalid_number", "reference": None, "detail": "Use digits only"}
        assert app.start("six", 400) == answer
        with override("de"):
            assert app.start("six", 400)["detail"] == "Nur Ziffern verwenden"

    def test_operator_that_cannot_be_asked(self, app):
        app.sandbox.set(fault={"endpoint": "discovery", "status": 503, "times": None})
        assert app.start(status=503) == {"error": "unfinished", "reference": the_attempt().reference_shown}

    @pytest.mark.parametrize("challenge", ["", "short", "x" * 44, "=" * 43, None])
    def test_challenge_of_another_form(self, app, challenge):
        assert "code_challenge" in app.post("start", 400, code_challenge=challenge, phone_number=GOOD)

    @pytest.mark.parametrize("verifier", ["", "x" * 42, "x" * 129, "é" * 43, None])
    def test_verifier_of_another_form(self, app, verifier):
        told = app.complete("state=x", 400, code_verifier=verifier)
        assert told.keys() == {"code_verifier"}

    @pytest.mark.parametrize("path", ["start", "complete", "status"])
    def test_form_of_another_site_is_refused(self, app, path):
        form = urlencode({"code_challenge": journey.challenge_of(app.verifier), "phone_number": GOOD})
        for kind in ("application/x-www-form-urlencoded", "text/plain"):
            APPS.told(app.client.post(f"{PATH}{path}/", form, content_type=kind), 415)
        assert not VerificationAttempt.objects.exists()
