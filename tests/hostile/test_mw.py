"""MW: re-verification by the middleware, and step-up: what fails closed, and what is left alone."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db.models import F
from django.http import HttpResponse
from django.test import override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.i18n import JavaScriptCatalog
from django.views.static import serve
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import api_view
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from numverify_django.contrib.drf.permissions import NumberVerified
from numverify_django.decorators import NumberVerifiedMixin, number_verified_required
from numverify_django.models import VerificationAttempt, VerifiedNumber

from ..conftest import query_of
from ..urls import urlpatterns as pages
from .conftest import AGAIN, HONEST, NUMBER, RecordingClient, Visitor, error_of, make_user, users
from .operator import Reply
from .test_br import OTHER, PASSWORD, account, put_in

pytestmark = pytest.mark.urls(__name__)

HOUR = 3600
NAVIGATION = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "same-origin"}
FETCH = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Sec-Fetch-Site": "same-origin"}
SCRIPTS = {
    "fetch": FETCH,
    "XHR": {"X-Requested-With": "XMLHttpRequest"},
    "HTMX": FETCH | {"HX-Request": "true"},
    "JSON": {"Accept": "application/json"},
}
METHODS = ["get", "head", "options", "post", "put", "patch", "delete"]
UNSAFE = METHODS[3:]
DONE = []  # what the guarded views did


def transfer(request, *args, **kwargs):
    """Do what must not be done without a proof."""
    DONE.append(request.method)
    return HttpResponse("transferred")


guard = number_verified_required(max_age=300)


async def transfer_later(request):
    return transfer(request)


class Plain(View):
    get = head = options = post = put = patch = delete = transfer


def _transfer(self, request):
    return transfer(request)


for method in METHODS:
    setattr(Plain, method, _transfer)


@method_decorator(guard, name="dispatch")
class ByMethod(Plain):
    pass


@guard
class ByClass(Plain):
    pass


class ByMixin(NumberVerifiedMixin, Plain):
    max_age = 300


class ByToken(BaseAuthentication):
    """An API key in a header, of the account called so."""

    def authenticate(self, request):
        name = request.headers.get("Authorization")
        return name and (get_user_model().objects.get(username=name), None)


class Api(APIView):
    renderer_classes = [JSONRenderer]
    permission_classes = [NumberVerified]
    number_max_age = 300


def _transfer_api(self, request):
    return Response(transfer(request).content.decode())


for method in METHODS:
    setattr(Api, method, _transfer_api)


class TokenApi(Api):
    authentication_classes = [ByToken]


class OpenApi(TokenApi):
    permission_classes = []


VERBS = [method.upper() for method in METHODS]
GUARDED = {
    "function": guard(csrf_exempt(transfer)),
    "decorated-after": never_cache(guard(csrf_exempt(transfer))),
    "decorated-before": guard(never_cache(transfer)),
    "async": guard(transfer_later),
    "method": ByMethod.as_view(),
    "class": ByClass.as_view(),
    "mixin": ByMixin.as_view(),
    "api": Api.as_view(),
    "api-token": TokenApi.as_view(),
    "api-function": api_view(VERBS)(guard(lambda request: _transfer_api(None, request))),
}
urlpatterns = [
    *pages,
    *(path(f"{name}/", view) for name, view in GUARDED.items()),
    path("open-api/", OpenApi.as_view()),
    path("jsi18n/", JavaScriptCatalog.as_view()),
    path("static/<path:path>", serve, {"document_root": Path(__file__).parent}),
    path("health/", transfer),
]


@pytest.fixture(autouse=True)
def nothing_done():
    """What one case did is forgotten before the next."""
    DONE.clear()


def grow_old(trial, seconds=2 * HOUR):
    """Let the visitor's proof and all attempts be so much older."""
    session = trial.visitor.client.session
    session["numverify"]["proof"]["at"] -= seconds
    session.save()
    trial.visitor.client.cookies["sessionid"] = session.session_key  # a signed cookie is the session itself
    VerificationAttempt.objects.update(created_at=F("created_at") - timedelta(seconds=seconds))


def log_in_first(trial, **site):
    """Log the visitor in by SIM, with so old a proof; return the account's primary key (text)."""
    trial.configure(site=site)
    trial.log_in()
    grow_old(trial)
    trial.verified()
    return trial.visitor.user_id


def proof(trial):
    return trial.visitor.client.session["numverify"]["proof"]


def is_denied(trial):
    """Tell whether the guarded page is denied, in a way that starts nothing."""
    return trial.visitor.client.get("/payment/", headers=FETCH).status_code == 403


def go(trial, url):
    """Open ``url``, be sent to the operator, and come back; return the page that the person ends on."""
    callback = trial.visitor.visit_operator(trial.visitor.client.get(url, headers=NAVIGATION))
    trial.callbacks.append(callback)
    return trial.come_back(callback)


# MW-01: the re-verification proves something else, or nothing


def say_no(trial):
    trial.operator.verify = lambda operator, received: Reply({"devicePhoneNumberVerified": False})


def say_false_as_text(trial):
    trial.operator.verify = lambda operator, received: Reply({"devicePhoneNumberVerified": "false"})


def change_the_sim(trial):
    put_in(trial, OTHER)


ENDS = {say_no: "number_mismatch", say_false_as_text: "response_invalid", change_the_sim: "number_mismatch"}


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("act", "reason"), ENDS.items())
def test_mw_01_step_up_that_proves_nothing_is_denied(trial, act, reason):
    user_id, before = log_in_first(trial), proof(trial)
    act(trial)
    go(trial, "/payment/")

    assert (is_denied(trial), proof(trial), trial.visitor.user_id) == (True, before, user_id)
    trial.responses.pop()
    trial.device = "on the way to the payment"  # where its page leads back to
    trial.refused(reason, calls=[*HONEST, *AGAIN])


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize(("act", "reason"), ENDS.items())
def test_mw_01_silent_check_that_proves_nothing_extends_nothing(trial, act, reason):
    user_id, before = log_in_first(trial, REVERIFY_AFTER=HOUR), proof(trial)
    act(trial)
    page = go(trial, "/home/")

    assert page.content.decode() == f"user {user_id}"
    assert (is_denied(trial), proof(trial), trial.visitor.user_id) == (True, before, user_id)
    trial.refused(reason, calls=[*HONEST, *AGAIN])
    trial.is_silent = True


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("url", ["/payment/", "/home/"])
def test_mw_01_account_that_changed_meanwhile_is_not_confirmed(trial, url):
    log_in_first(trial, REVERIFY_AFTER=HOUR)
    callback = trial.visitor.visit_operator(trial.visitor.client.get(url, headers=NAVIGATION))
    trial.callbacks.append(callback)
    somebody = make_user("somebody")
    trial.visitor.client.force_login(somebody, PASSWORD)
    trial.users, trial.others, trial.is_silent = users(), {str(somebody.pk)}, True
    trial.come_back(callback)

    assert trial.visitor.user_id == str(somebody.pk)
    assert not somebody.verified_numbers.exists()
    trial.expected.append(("pending", ""))  # in a session that is no more
    trial.calls = HONEST


@pytest.mark.usefixtures("everywhere")
def test_mw_01_number_of_another_account_confirms_nobody(trial):
    owner, somebody = account(trial, NUMBER), make_user("somebody")
    other = Visitor(trial.responses)
    other.client.force_login(somebody, PASSWORD)
    trial.users, trial.others = users(), {str(somebody.pk)}
    other.come_back(other.visit_operator(other.start(next="/payment/")))

    assert other.client.get("/payment/", headers=FETCH).status_code == 403
    assert VerifiedNumber.objects.get().user == owner
    trial.responses.pop()
    trial.device = "somebody's"
    trial.refused("user_mismatch", calls=HONEST)


# MW-02: the operator is down


def answer_503(operator, received):
    return Reply({}, 503)


@pytest.mark.usefixtures("everywhere")
def test_mw_02_step_up_fails_closed(trial):
    user_id, before = log_in_first(trial), proof(trial)
    trial.operator.token = answer_503
    page = go(trial, "/payment/")

    assert "You are still logged in" in page.content.decode()
    assert (is_denied(trial), proof(trial), trial.visitor.user_id) == (True, before, user_id)
    trial.responses.pop()
    trial.device = "on the way to the payment"
    trial.refused("operator_unavailable", calls=[*HONEST, "token"])


@pytest.mark.usefixtures("everywhere")
def test_mw_02_silent_check_is_tried_once_in_ten_minutes(trial):
    user_id = log_in_first(trial, REVERIFY_AFTER=HOUR)
    trial.operator.token = answer_503
    go(trial, "/home/")

    for _ in range(5):
        answer = trial.visitor.client.get("/home/", headers=NAVIGATION)
        assert answer.content.decode() == f"user {user_id}"
    trial.refused("operator_unavailable", calls=[*HONEST, "token"])
    trial.is_silent = True


def test_mw_02_circuit_that_is_open_costs_a_page_nothing(trial):
    user_id = log_in_first(trial, REVERIFY_AFTER=HOUR)
    trial.operator.token = answer_503
    strangers = [Visitor(trial.responses) for _ in range(5)]
    for number, stranger in enumerate(strangers):
        stranger.client.defaults["REMOTE_ADDR"] = f"198.51.100.{number}"
        stranger.come_back(stranger.visit_operator(stranger.start()))
        trial.refused("operator_unavailable")
    answer = trial.visitor.client.get("/home/", headers=NAVIGATION)

    assert answer.content.decode() == f"user {user_id}"
    assert trial.visitor.client.get("/payment/", headers=NAVIGATION).status_code == 503
    trial.calls = [*HONEST, *["token"] * 5]
    trial.is_silent = True
    cache.clear()  # the circuit is the case's own


# MW-03: what is no navigation of a person


@pytest.mark.parametrize("name", ["function", "method", "class", "mixin", "async", "api"])
@pytest.mark.parametrize("method", UNSAFE)
def test_mw_03_unsafe_request_is_stopped_and_not_repeated(trial, name, method):
    log_in_first(trial)
    asked = getattr(trial.visitor.client, method)(f"/{name}/", headers=NAVIGATION)

    assert (asked.status_code, DONE) == ((403 if name == "api" else 302), [])
    assert "state=" not in asked.headers.get("Location", "") + asked.content.decode()
    trial.calls = HONEST


@pytest.mark.parametrize("url", ["/function/", "/api/", "/home/"])
@pytest.mark.parametrize("kind", SCRIPTS)
@pytest.mark.parametrize("method", ["get", *UNSAFE])
def test_mw_03_script_gets_a_403_without_secrets(trial, url, kind, method):
    log_in_first(trial, REVERIFY_AFTER=HOUR)
    answer = getattr(trial.visitor.client, method)(url, headers=SCRIPTS[kind])

    assert (answer.status_code, DONE) == (403, [])
    assert answer.json() == {"error": "step_up_required", "authorization_url": LOGIN}
    trial.calls = HONEST


LOGIN = "/numverify/login/?next=%2Fhome%2F&confirm=yes"


# MW-09: all methods of every kind of view


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("who", ["nobody", "an old proof"])
def test_mw_09_every_method_is_guarded(trial, name, method, who):
    if who == "nobody":
        trial.nothing()
    else:
        log_in_first(trial)
        trial.calls = HONEST
    for headers in (NAVIGATION | {"Sec-Fetch-Site": "cross-site"}, FETCH):
        answer = getattr(trial.visitor.client, method)(f"/{name}/", headers=headers)
        assert answer.status_code in (302, 403)
    assert DONE == []


@pytest.mark.parametrize("name", GUARDED)
@pytest.mark.parametrize("method", METHODS)
def test_mw_09_every_method_is_let_through(trial, name, method):
    trial.log_in()
    headers = {"Authorization": get_user_model().objects.exclude(username="bystander").get().username}
    answer = getattr(trial.visitor.client, method)(f"/{name}/", headers=headers)

    assert (answer.status_code, DONE) == (200, [method.upper()])
    trial.verified()


@pytest.mark.parametrize(
    "act",
    [
        lambda: guard(api_view(VERBS)(lambda request: None)),
        lambda: guard(OpenApi),
        lambda: guard(OpenApi.as_view()),
        lambda: method_decorator(guard, name="dispatch")(type("Decorated", (OpenApi,), {})).as_view()(None),
        lambda: type("Mixed", (NumberVerifiedMixin, OpenApi), {}).as_view()(None),
    ],
)
def test_mw_09_view_that_takes_tokens_is_guarded_by_the_permission_alone(trial, act):
    with pytest.raises(ImproperlyConfigured, match=r"permissions\.NumberVerified"):
        act()
    trial.nothing()


@pytest.mark.parametrize("method", METHODS)
def test_mw_09_proof_of_a_session_is_none_for_the_key_of_another_account(trial, method):
    trial.log_in()
    answer = getattr(trial.visitor.client, method)("/api-token/", headers={"Authorization": "bystander"})

    assert (answer.status_code, DONE) == (403, [])
    trial.verified()


# MW-11: what is none of ours


def test_mw_11_visitor_is_untouched(trial):
    trial.configure(site={"REVERIFY_AFTER": HOUR})
    for headers in (NAVIGATION, *SCRIPTS.values()):
        assert trial.visitor.client.get("/home/", headers=headers).content == b"user None"
    trial.nothing()


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        ("/static/tokens.py", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "style"}),
        ("/jsi18n/", {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"}),
        ("/health/", {"User-Agent": "probe"}),
        ("/open-api/", {"Authorization": "bystander", "Accept": "application/json"}),
    ],
)
@pytest.mark.parametrize("has_session", [True, False])
def test_mw_11_what_no_person_opens_is_untouched(trial, url, headers, has_session):
    log_in_first(trial, REVERIFY_AFTER=HOUR)
    is_of_the_session = has_session and "Sec-Fetch-Dest" in headers
    client = trial.visitor.client if is_of_the_session else RecordingClient(trial.responses)
    answer = client.get(url, headers=headers)

    assert answer.status_code == 200
    if answer.streaming:
        assert b"".join(answer)
        trial.responses.remove(answer)  # it can be read once
    trial.calls = HONEST


# MW-12: a middleware that is missing, or stands in a wrong place


MIDDLEWARE = "numverify_django.middleware.NumberVerificationMiddleware"
AUTHENTICATION = "django.contrib.auth.middleware.AuthenticationMiddleware"


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda listed: [part for part in listed if part != MIDDLEWARE], "numverify.E021"),
        (lambda listed: [MIDDLEWARE, *(part for part in listed if part != MIDDLEWARE)], "numverify.E022"),
        (lambda listed: [part for part in listed if part != AUTHENTICATION], "numverify.E022"),
    ],
)
def test_mw_12_wrong_order_is_an_error_of_the_checks(trial, settings, change, found):
    with override_settings(MIDDLEWARE=change(settings.MIDDLEWARE)):
        assert found in {message.id for message in run_checks(databases=[])}
    trial.nothing()


# MW-13: a desktop on Wi-Fi


@pytest.mark.usefixtures("everywhere")
def test_mw_13_wifi_is_one_silent_failure_and_no_loop(trial):
    user_id = log_in_first(trial, REVERIFY_AFTER=HOUR)
    callback = trial.visitor.visit_operator(trial.visitor.client.get("/home/", headers=NAVIGATION))
    page = trial.come_back(error_of(callback, "login_required", iss=trial.operator.url))
    assert page.content.decode() == f"user {user_id}"

    for _ in range(5):
        assert trial.visitor.client.get("/home/", headers=NAVIGATION).content.decode() == f"user {user_id}"
    trial.refused("not_on_mobile_network", calls=HONEST)
    trial.is_silent = True


# MW-14: back to a form


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("name", ["function", "method", "class", "mixin"])  # Django has no async ones in transactions
def test_mw_14_form_is_shown_again_and_not_sent(trial, name):
    log_in_first(trial)
    asked = trial.visitor.client.post(f"/{name}/", {"to": "somebody"}, headers=NAVIGATION)
    page = trial.visitor.client.get(asked["Location"])
    assert "Confirm it&#x27;s you" in page.content.decode() or "Confirm it's you" in page.content.decode()
    page = trial.log_in(number="", next=query_of(asked["Location"])["next"])

    assert "Your form has not been sent yet." in page.content.decode()
    assert DONE == []
    assert trial.visitor.client.get(f"/{name}/", headers=NAVIGATION).content == b"transferred"
    assert DONE == ["GET"]
    trial.verified([*HONEST, *AGAIN])
