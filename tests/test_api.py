"""What an application gets from the URLs that show pages to people: JSON, as openapi.yaml says."""

import pytest
from django.contrib.auth import get_user_model
from django.test import Client
from django.urls import URLPattern
from django.utils.translation import override

from numverify_django import pages, urls, uses
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber

from .conftest import HOST, Phone, query_of
from .openapi import PAGES, told
from .test_login import GOOD, OTHER, account, the_attempt
from .test_numbers import ADD, HOME, PASSWORD, remove_url

LOGIN, CALLBACK, FAILED = "/numverify/login/", "/numverify/callback/", "/numverify/failed/"


class App(Phone):
    """A client that keeps cookies and asks for JSON; the operator knows its phone."""

    def __init__(self, sandbox):
        super().__init__(sandbox)
        self.client = Client(SERVER_NAME=HOST, headers={"accept": "application/json"})

    def come_back(self, started):
        """Go to the operator as the answer to a start says, and return the callback's URL on the site."""
        query = self.sandbox.authorize(told(started, 200)["authorization_url"]).partition("?")[2]
        return f"{CALLBACK}?{query}"


@pytest.fixture
def app(db, configure, sandbox):
    """An App in front of a site whose operator is the sandbox."""
    return App(sandbox)


@pytest.fixture
def person(app):
    """An app whose owner logged in by password just now, and has no number."""
    app.user = get_user_model().objects.create_user("somebody", password="secret")
    app.client.force_login(app.user, PASSWORD)
    return app


class TestLogin:
    def test_number_is_proved_and_its_owner_is_logged_in(self, app):
        started = app.start(GOOD, next="/app/")
        answer = told(app.client.get(app.come_back(started)), 200)

        assert answer == {"next": "/app/", "reference": the_attempt().reference_shown}
        assert started.json()["reference"] == the_attempt().reference_shown
        assert app.user_id == str(get_user_model().objects.get().pk)

    def test_form_tells_what_it_would_show(self, app):
        before = told(app.client.get(LOGIN), 200)
        app.log_in(GOOD)
        after = told(app.client.get(LOGIN), 200)

        assert (before["number"], before["share"], before["verified"]) == (None, False, False)
        assert (after["number"], after["verified"]) == ("•••01", True)

    def test_share_is_told(self, configure, app):
        configure(OPERATION="share")
        app.sandbox.set(sim="+34600000001")
        assert told(app.client.get(LOGIN), 200)["share"] is True
        app.log_in()
        assert VerifiedNumber.objects.get().number == "+34600000001"

    def test_form_is_sent_with_the_token_that_it_told(self, app):
        app.client.handler.enforce_csrf_checks = True
        token = told(app.client.get(LOGIN), 200)["csrf_token"]
        refused = told(app.start(GOOD), 403)
        started = app.client.post(LOGIN, {"phone_number": GOOD}, headers={"X-CSRFToken": token})

        assert refused == {"error": "not_open", "reference": None}
        assert told(started, 200)["authorization_url"].startswith(app.sandbox.url)

    @pytest.mark.parametrize(
        ("language", "detail"), [("en", "Use digits only"), ("es", "Escribe solo cifras"), ("de", "Nur Ziffern")]
    )
    def test_number_that_is_none_is_told_in_the_persons_language(self, app, language, detail):
        with override(language):
            answer = told(app.start("six"), 400)
        assert (answer["error"], answer["reference"]) == ("invalid_number", None)
        assert answer["detail"].startswith(detail)

    def test_operator_that_is_unknown_is_no_fault_of_the_number(self, app):
        assert told(app.start(GOOD, operator="other"), 400) == {"error": "unfinished", "reference": None}

    def test_signed_in_person_confirms_their_own_number(self, app):
        app.log_in(GOOD)
        app.client.get(app.come_back(app.start()))
        assert VerificationAttempt.objects.latest("pk").use == "step_up"
        assert VerificationAttempt.objects.latest("pk").outcome == "verified"

    def test_signed_in_person_chooses_which_of_their_numbers_is_confirmed(self, app):
        app.sandbox.set(sim="+34600000001")
        user = account()
        VerifiedNumber.objects.enrol(user, PhoneNumber("+34600000002"), VerifiedNumber.objects.get().operator)
        app.client.force_login(user)
        assert told(app.client.get(LOGIN), 200)["number"] == "•••02"
        last, first = [number["id"] for number in told(app.client.get(HOME), 200)["numbers"]]
        assert told(app.client.get(app.come_back(app.start(own_number=last))), 403)["error"] == "not_confirmed"
        app.client.get(app.come_back(app.start(own_number=first)))

        assert VerificationAttempt.objects.latest("pk").outcome == "verified"
        assert told(app.client.get(LOGIN), 200)["number"] == "•••01"

    def test_number_that_is_not_theirs_is_not_open(self, app):
        app.log_in(GOOD)
        for key in ("0", "another"):
            assert told(app.start(own_number=key), 409) == {"error": "not_open", "reference": None}

    def test_person_who_came_long_ago_shows_first_who_they_are(self, person):
        session = person.client.session
        session["numverify"] = session["numverify"] | {"login_at": 1}
        session.save()
        for answer in (person.client.get(LOGIN), person.start(GOOD)):
            refused = told(answer, 403)
            assert refused.pop("csrf_token")  # to log out with
            assert refused == {"error": "login_required", "reference": None}

    def test_failed_number_is_tried_again_without_being_typed(self, app):
        app.sandbox.set(sim=None)
        reference = told(app.log_in(GOOD), 403)["reference"]
        app.sandbox.set(sim="+34600000001")
        told(app.client.get(app.come_back(app.client.post(LOGIN, {"retry": reference}))), 200)
        assert app.user_id

    def test_number_that_is_not_kept_any_more_is_not_tried(self, app):
        answer = app.client.post(LOGIN, {"retry": "K7Q-4MX2"})
        assert told(answer, 409) == {"error": "not_open", "reference": None}


failures = pytest.mark.parametrize(
    ("state", "number", "reason", "group", "status"),
    [
        ({}, OTHER, "number_mismatch", "not_confirmed", 403),
        ({"sim": None}, GOOD, "not_on_mobile_network", "not_on_mobile_network", 403),
        ({"fault": {"endpoint": "verify", "status": 503}}, GOOD, "operator_unavailable", "unfinished", 503),
    ],
)


class TestRefusal:
    @failures
    def test_callback_tells_the_group_and_never_the_reason(self, app, state, number, reason, group, status):
        app.sandbox.set(**state)
        answer = told(app.log_in(number), status)

        assert the_attempt().reason == reason
        assert answer == {"error": group, "reference": the_attempt().reference_shown}
        again = told(app.client.get(FAILED, {"reference": answer["reference"]}), 200)
        assert again.pop("csrf_token")
        assert again == answer | {"retry": group != "not_confirmed"}

    def test_account_that_is_unknown_is_told_as_another_number_is(self, configure, app):
        configure(site={"UNKNOWN_NUMBER": "deny"})
        answers = [told(app.log_in(number), 403) for number in (GOOD, OTHER)]
        assert [row.reason for row in VerificationAttempt.objects.order_by("pk")] == [
            "account_unknown",
            "number_mismatch",
        ]
        for answer in answers:
            assert len(answer.pop("reference")) == 8
        assert answers == [{"error": "not_confirmed"}] * 2

    def test_operator_that_cannot_be_asked(self, app, caplog):
        app.sandbox.set(fault={"endpoint": "discovery", "status": 503, "times": None})
        answer = told(app.start(GOOD), 503)
        assert [record.name for record in caplog.records if record.name == "django.request"] == []  # mails ADMINS
        assert answer == {"error": "unfinished", "reference": the_attempt().reference_shown}

    def test_too_many(self, configure, app):
        configure(site={"RATE_LIMITS": {"number_address": [1, 600]}})
        app.start(GOOD)
        response = app.start(GOOD)
        assert told(response, 429) == {"error": "too_many", "reference": None}
        assert 1 <= int(response["Retry-After"]) <= 600

    def test_site_without_operators(self, settings, app):
        settings.NUMVERIFY = {"OPERATORS": {}}
        assert told(app.start(GOOD), 503) == {"error": "unfinished", "reference": None}

    @pytest.mark.parametrize("query", ["", "?state=x&code=y", "?error=login_required"])
    def test_callback_of_nobody(self, app, query):
        assert told(app.client.get(f"{CALLBACK}{query}"), 400) == {"error": "not_open", "reference": None}

    def test_callback_of_another_browser_spends_nothing(self, app):
        callback = app.come_back(app.start(GOOD))
        told(App(app.sandbox).client.get(callback), 400)
        told(app.client.get(callback), 200)

    def test_callback_that_comes_twice(self, app):
        callback = app.come_back(app.start(GOOD))
        told(app.client.get(callback), 200)
        assert told(app.client.get(callback), 409) == {"error": "not_open", "reference": None}
        app.client.logout()
        told(app.client.get(callback), 400)

    def test_attempt_that_is_too_late(self, app):
        callback = app.come_back(app.start(GOOD))
        VerificationAttempt.objects.update(expires_at="2026-01-01T00:00:00Z")
        answer = told(app.client.get(callback), 410)
        assert answer == {"error": "not_open", "reference": the_attempt().reference_shown}

    def test_confirmation_that_another_tab_made_needless(self, app):
        """A page would show where the person came from; an application must know."""
        app.log_in(GOOD)
        state = query_of(told(app.start(), 200)["authorization_url"])["state"]
        app.start()
        app.log_in()
        answer = told(app.client.get(CALLBACK, {"state": state, "code": "x"}), 403)
        assert answer == {"error": "not_open", "reference": answer["reference"]}

    @pytest.mark.parametrize(
        ("error", "group"), [("access_denied", "stopped"), ("consent_required", "consent_required")]
    )
    def test_person_who_says_no_at_the_operator(self, app, error, group):
        state = query_of(told(app.start(GOOD), 200)["authorization_url"])["state"]
        answer = told(app.client.get(CALLBACK, {"state": state, "error": error, "iss": app.sandbox.url}), 403)
        assert answer == {"error": group, "reference": the_attempt().reference_shown}

    def test_failure_of_somebody_else_is_not_there(self, app):
        app.sandbox.set(sim=None)
        reference = told(app.log_in(GOOD), 403)["reference"]
        assert told(App(app.sandbox).client.get(FAILED, {"reference": reference}), 404)["error"] == "not_open"


class TestNumbers:
    def test_stranger_has_none(self, app):
        for answer in (
            app.client.get(HOME),
            app.client.get(ADD),
            app.start(GOOD, ADD),
            app.client.post(f"{HOME}1/remove/"),
        ):
            assert told(answer, 403) == {"error": "login_required", "reference": None}

    def test_number_is_added(self, person):
        told(person.client.get(person.come_back(person.start(GOOD, ADD))), 200)
        listed = told(person.client.get(HOME), 200)
        (number,) = listed["numbers"]
        assert (listed["added"], told(person.client.get(HOME), 200)["added"]) == ("01", None)
        record = VerifiedNumber.objects.get(user=person.user)
        assert (number["id"], number["number"], number["operator"]) == (record.pk, "•••01", record.operator)
        assert number["last_verified_at"] == f"{record.last_verified_at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"

    def test_number_of_another_account_is_not_added(self, person):
        account()
        answer = told(person.client.get(person.come_back(person.start(GOOD, ADD))), 403)
        assert answer["error"] == "number_taken"

    def test_number_is_removed(self, person):
        person.client.get(person.come_back(person.start(GOOD, ADD)))
        url = remove_url()
        assert told(person.client.get(url), 200)["is_last_way"] is False
        assert told(person.client.post(url), 200) == {"next": HOME}
        listed = told(person.client.get(HOME), 200)
        assert (listed["numbers"], listed["removed"]) == ([], "01")
        assert told(person.client.get(url), 404) == {"error": "not_found", "reference": None}
        assert told(person.client.post(url), 409) == {"error": "not_removed", "reference": None}

    def test_last_way_in_is_not_removed(self, app):
        app.log_in(GOOD)
        assert told(app.client.get(remove_url()), 200)["is_last_way"] is True
        assert told(app.client.post(remove_url()), 409)["error"] == "not_removed"
        assert VerifiedNumber.objects.exists()

    def test_who_must_show_again_who_they_are_is_logged_out(self, person):
        answer = told(person.client.post("/numverify/login-again/", {"next": HOME}), 200)
        assert answer == {"next": f"{LOGIN}?next={HOME}"}
        assert person.user_id is None


def test_number_for_a_form(configure, app):
    configure(OPERATION="share")
    app.sandbox.set(sim="+34600000001")
    started = app.client.post("/numverify/fill/", {"next": "/join/"})
    assert told(app.client.get(app.come_back(started)), 200)["next"] == "/join/"
    assert app.user_id is None
    assert the_attempt().use == "fill"


def test_operator_that_shares_nothing_fills_nothing(app):
    assert told(app.client.post("/numverify/fill/"), 400) == {"error": "unfinished", "reference": None}


@pytest.mark.parametrize(
    ("accept", "is_json"),
    [
        ("application/json", True),
        ("application/json, text/plain, */*", True),
        ("application/*", True),
        ("application/json;q=0.9, text/html;q=0.8", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False),
        ("text/html, application/json;q=0.9", False),
        ("application/json;q=0", False),
        ("*/*", False),
        ("", False),
        ("text/plain", False),
        ("text/html;a*=foo''bar", False),
        ("application/json;a*=idna''%ff", False),
        ("application/json;" + "x" * 20_000, False),
        ("application/json" + ",a/b" * 20_000, False),
    ],
)
def test_json_is_for_who_prefers_it(app, accept, is_json):
    kind = app.client.get(LOGIN, headers={"accept": accept})["Content-Type"]
    assert kind.partition(";")[0] == ("application/json" if is_json else "text/html")


def test_callback_of_a_header_that_cannot_be_read_logs_in(phone):
    callback = phone.come_back(phone.start(GOOD))
    assert phone.client.get(callback, headers={"accept": "application/json;a*=idna''%ff"}).status_code == 302
    assert phone.user_id


def test_pages_of_the_site_and_of_other_apps_stay_pages(app):
    """Of two kinds that are both welcome the site gives its own; only our URLs speak JSON."""
    both = {"accept": "application/json, text/html;q=0.9"}
    app.log_in(GOOD)
    VerificationAttempt.objects.all().delete()
    session = app.client.session
    session["numverify"] |= {"proof": session["numverify"]["proof"] | {"at": 1}}
    session.save()
    answer = app.client.get("/payment/", headers=both)
    assert (answer.status_code, answer["Location"].startswith(app.sandbox.url)) == (302, True)
    shown = app.client.get("/numverify/qr/", headers=both)
    assert shown["Content-Type"].startswith("text/html")


def test_https_needs_the_origin(app):
    """Browsers send it; another client must."""
    app.client.handler.enforce_csrf_checks = True
    token = told(app.client.get(LOGIN, secure=True), 200)["csrf_token"]
    sent = {"path": LOGIN, "data": {"phone_number": "six"}, "secure": True}
    assert told(app.client.post(**sent, headers={"X-CSRFToken": token}), 403)["error"] == "not_open"
    told(app.client.post(**sent, headers={"X-CSRFToken": token, "origin": f"https://{HOST}"}), 400)


@pytest.mark.parametrize("path", [LOGIN, HOME, ADD])
def test_site_whose_settings_are_wrong(settings, person, path):
    settings.NUMVERIFY = {"OPERATORS": {}}
    assert told(person.client.get(path), 503) == {"error": "unfinished", "reference": None}


def test_document_names_every_url_that_answers_json():
    pages_alone = {"again/"}
    paths = {
        pattern.pattern._route.replace("<int:pk>", "{id}").replace("<path:operator>", "{operator}")
        for pattern in urls.urlpatterns
    }
    assert all(isinstance(pattern, URLPattern) for pattern in urls.urlpatterns)
    assert {path.lstrip("/") for path in PAGES.content["paths"]} == paths - pages_alone


def test_document_says_that_some_names_are_no_operators(app):
    """One with a line break fits no URL, and the answer is Django's."""
    answer = app.client.get(f"{CALLBACK}a%0Ab/")
    said = PAGES.content["paths"]["/callback/{operator}/"]["get"]["responses"]["404"]["content"]

    assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (404, *said)


def test_document_names_every_error():
    said = set(PAGES.content["components"]["schemas"]["Refusal"]["properties"]["error"]["enum"])
    groups = {*pages.GROUPS.values(), pages.UNFINISHED}
    groups |= {uses.TABLE["link"].group_of(reason) for reason in pages.GROUPS}
    assert said == groups | {"invalid_number", "login_required", "not_found", "not_removed"}
