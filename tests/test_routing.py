"""Two operators on sockets: which one is asked, and at which callback it answers."""

import logging
from urllib.parse import urlencode, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache

from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import HOST, NAMES, Phone, query_of
from .drf.test_app import App
from .test_login import the_attempt
from .test_probe import document
from .test_session import grow_old

SPAIN, GERMANY, BRAZIL = "+34 600 000 001", "+49 1512 3456781", "+55 11 91234 5671"
COUNTRIES = ["+34", "+49", "+55"]
UNFINISHED = "The check didn't finish"


class Site:
    """A site with two operators, ``norte`` and ``sur``, whose names are new in each test: nothing is known of them."""

    def __init__(self, settings, sandbox, second):
        number = next(NAMES)
        self.settings, self.sandboxes = settings, {f"norte{number}": sandbox, f"sur{number}": second}
        self.norte, self.sur = self.sandboxes
        self.phone = Phone(sandbox)

    def configure(self, norte=(), sur=(), **site):
        """Set NUMVERIFY, with some keys of each operator and of the site."""
        given = dict(zip(self.sandboxes, (norte, sur), strict=True))
        operators = {name: keys_of(self.sandboxes[name]) | dict(keys) for name, keys in given.items()}
        self.settings.NUMVERIFY = {"OPERATORS": operators, "DEFAULT_REGION": "ES"} | site

    def asked(self):
        """Return which operator spent a code, and which was asked about a number, oldest first."""
        hops = ("token", "verify", "share")
        return {name: [hop for hop in sandbox.hops() if hop in hops] for name, sandbox in self.sandboxes.items()}

    def callback(self, name=""):
        """Return the path of the callback of the operator ``name``, or of all."""
        return f"/numverify/callback/{name}/" if name else "/numverify/callback/"


def keys_of(sandbox):
    """Return what the settings say of a sandbox."""
    credentials = {"CLIENT_ID": "numverify-demo", "CLIENT_SECRET": "numverify-demo-secret"}
    place = {"PROFILE": "telefonica", "ISSUER": sandbox.url, "API_ROOT": f"{sandbox.url}/v1", "ALLOW_LOOPBACK": True}
    return place | credentials | {"PREFIXES": COUNTRIES}


@pytest.fixture
def site(db, settings, sandbox, second):
    cache.clear()
    site = Site(settings, sandbox, second)
    site.configure()
    yield site
    cache.clear()


def operators():
    """Return the names of the operators of all attempts, oldest first."""
    return list(VerificationAttempt.objects.order_by("pk").values_list("operator", flat=True))


# By the number's country, and by name


@pytest.mark.parametrize("number", [SPAIN, GERMANY, BRAZIL])
def test_number_goes_to_the_operator_of_its_country(site, number):
    site.configure({"PREFIXES": ["+34"]}, {"PREFIXES": ["+49", "+55"]})
    site.phone.log_in(number)

    name = site.norte if number == SPAIN else site.sur
    assert site.asked() == {site.norte: [], site.sur: []} | {name: ["token", "verify"]}
    assert (the_attempt().outcome, the_attempt().operator) == ("verified", name)
    assert VerifiedNumber.objects.get().operator == name


def test_number_that_both_serve_goes_to_the_first(site):
    site.phone.log_in(GERMANY)
    assert operators() == [site.norte]


def test_form_chooses_by_name(site):
    site.phone.log_in(GERMANY, operator=site.sur)
    assert operators() == [site.sur]


def test_choice_that_does_not_serve_the_number_is_an_error_of_the_form(site):
    site.configure(sur={"PREFIXES": ["+34"]})
    answer = site.phone.start(GERMANY, operator=site.sur)
    assert (answer.status_code, operators()) == (400, [])


# By a callable


class Route:
    """A ROUTE that records what it was asked, and answers what it is told to."""

    def __init__(self, answer):
        self.answer, self.asked = answer, []

    def __call__(self, request, number, operators):
        self.asked.append((request.method, number and number.e164, [operator.name for operator in operators]))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def test_route_chooses_among_those_that_serve_the_number(site):
    route = Route(site.sur)
    site.configure(ROUTE=route)
    site.phone.log_in(GERMANY)

    assert route.asked == [("POST", "+4915123456781", [site.norte, site.sur])]
    assert operators() == [site.sur]
    assert site.phone.user_id == str(get_user_model().objects.get().pk)


def test_route_without_an_opinion_leaves_it_to_the_order(site):
    site.configure(ROUTE=Route(None))
    site.phone.log_in(GERMANY)
    assert operators() == [site.norte]


def test_route_is_not_asked_where_nothing_is_left_to_choose(site):
    route = Route(ValueError())
    site.configure({"PREFIXES": ["+34"]}, ROUTE=route)
    site.phone.log_in(GERMANY)
    site.phone.log_in(SPAIN, operator=site.norte)

    assert route.asked == []
    assert operators() == [site.sur, site.norte]


def test_route_is_asked_for_whom_a_number_is_shared(site, sandbox, second):
    second.set(sim="+34600000051")
    route = Route(site.sur)
    site.configure({"OPERATION": "share"}, {"OPERATION": "share"}, ROUTE=route)
    site.phone.log_in("")
    site.phone.client.post("/numverify/fill/", {"next": "/filled/"})

    assert [number for _, number, _ in route.asked] == [None, None]
    assert operators() == [site.sur, site.sur]


def test_route_is_asked_for_an_app_and_for_a_desktop(site, sandbox, settings):
    site.configure(ROUTE=Route(site.sur), APP_LOGIN="numverify_django.contrib.drf.logins.token.log_in")
    app = App(sandbox)
    app.complete(app.open(app.start(GERMANY)))
    assert operators() == [site.sur]

    desktop = Phone(sandbox)
    page = desktop.client.post("/numverify/qr/", {"phone_number": SPAIN, "operation": "verify"})
    assert page.status_code == 302
    assert len(site.settings.NUMVERIFY["ROUTE"].asked) == 2


def test_who_proved_a_number_goes_back_to_the_operator_that_vouched_for_it(site):
    site.configure(ROUTE=Route(site.sur))
    site.phone.log_in(SPAIN)
    grow_old(site.phone, 400)
    site.configure(ROUTE=Route(site.norte))
    site.phone.client.get("/payment/")

    assert operators() == [site.sur, site.sur]
    assert site.settings.NUMVERIFY["ROUTE"].asked == []


def test_failed_attempt_is_tried_again_at_the_same_operator(site, second):
    route = Route(site.sur)
    site.configure(ROUTE=route)
    second.set(fault={"endpoint": "authorize", "error": "login_required"})
    failed = site.phone.page(site.phone.log_in(SPAIN))
    route.answer = site.norte
    site.phone.log_in("", retry=failed.context["reference"].replace("-", ""))

    assert operators() == [site.sur, site.sur]
    assert len(route.asked) == 1


MISROUTED = {"unknown": "nowhere", "not a name": 5, "empty": "", "raises": KeyError("the password is hunter2")}


@pytest.mark.parametrize("answer", MISROUTED.values(), ids=MISROUTED)
def test_route_that_fails_is_a_page_and_a_line_for_the_developer(site, caplog, answer):
    site.configure(ROUTE=Route(answer))
    page = site.phone.start(GERMANY)

    assert (page.status_code, operators()) == (503, [])
    assert UNFINISHED in page.content.decode()
    told = [record.getMessage() for record in caplog.records if record.name.startswith("numverify_django")]
    assert told[-1].startswith("numverify_django is misconfigured: ROUTE ")
    assert "15123456781" not in caplog.text
    assert "hunter2" not in caplog.text + page.content.decode()
    assert site.asked() == {site.norte: [], site.sur: []}


def test_route_that_fails_tells_an_application(site):
    site.configure(ROUTE=Route(KeyError()), APP_LOGIN="numverify_django.contrib.drf.logins.token.log_in")
    json = {"Accept": "application/json"}
    answer = site.phone.client.post("/numverify/login/", {"phone_number": GERMANY}, headers=json)
    assert (answer.status_code, answer.json()) == (503, {"error": "unfinished", "reference": None})
    assert App(site.phone.sandbox).start(GERMANY, 503) == {"error": "unfinished", "reference": None}


def test_route_that_names_one_that_does_not_serve_is_refused(site):
    site.configure({"PREFIXES": ["+34"]}, ROUTE=Route(site.norte))
    third = keys_of(site.sandboxes[site.sur]) | {"CLIENT_ID": "mock_sandbox_app_id"}
    numverify = site.settings.NUMVERIFY
    site.settings.NUMVERIFY = numverify | {"OPERATORS": numverify["OPERATORS"] | {"third": third}}
    assert site.phone.start(GERMANY).status_code == 503
    assert operators() == []


# Where they answer


def own(name):
    """Return the keys of an operator with a callback of its own."""
    return {"REDIRECT_URI": f"http://{HOST}/numverify/callback/{name}/"}


@pytest.fixture(params=["one for all", "one each", "one of them has its own"])
def callbacks(request, site):
    """The path of each operator's callback: name -> path."""
    norte = own(site.norte) if request.param != "one for all" else {}
    sur = own(site.sur) if request.param == "one each" else {}
    site.configure({"PREFIXES": ["+34"]} | norte, {"PREFIXES": ["+49", "+55"]} | sur)
    return {site.norte: site.callback(norte and site.norte), site.sur: site.callback(sur and site.sur)}


@pytest.mark.parametrize("number", [SPAIN, GERMANY, BRAZIL])
def test_operator_answers_at_its_callback(site, callbacks, number):
    name = site.norte if number == SPAIN else site.sur
    callback = site.phone.come_back(site.phone.start(number))
    site.phone.client.get(callback)

    assert callback.partition("?")[0] == callbacks[name]
    assert (the_attempt().outcome, the_attempt().operator) == ("verified", name)
    assert site.asked() == {site.norte: [], site.sur: []} | {name: ["token", "verify"]}


@pytest.mark.parametrize("number", [SPAIN, GERMANY])
def test_answer_at_the_callback_of_another_is_refused_and_costs_nothing(site, callbacks, number):
    name = site.norte if number == SPAIN else site.sur
    other = site.sur if number == SPAIN else site.norte
    query = site.phone.come_back(site.phone.start(number)).partition("?")[2]
    page = site.phone.page(site.phone.client.get(f"{site.callback(other)}?{query}"))

    assert UNFINISHED in page.content.decode()
    assert (the_attempt().operator, the_attempt().reason) == (name, "issuer_mismatch")
    assert site.asked() == {site.norte: [], site.sur: []}
    assert site.phone.user_id is None
    right = site.phone.client.get(f"{callbacks[name]}?{query}")
    assert (right.status_code, site.phone.user_id) == (410, None)


@pytest.mark.parametrize("says_whose", [True, False], ids=["iss", "no iss"])
@pytest.mark.parametrize("number", [SPAIN, GERMANY])
def test_answer_of_another_operator_is_refused_either_way(site, callbacks, number, says_whose):
    """The mix-up attack: the browser is led from one operator to another, whose code the first is to get."""
    name = site.norte if number == SPAIN else site.sur
    other = site.sur if number == SPAIN else site.norte
    asked = query_of(site.phone.start(number)["Location"]) | {"redirect_uri": f"http://{HOST}{callbacks[other]}"}
    sandbox = site.sandboxes[other]
    answer = query_of(sandbox.authorize(f"{sandbox.url}/authorize?{urlencode(asked)}"))
    assert (answer["iss"], answer["state"], "code" in answer) == (sandbox.url, asked["state"], True)
    told = answer if says_whose else {key: value for key, value in answer.items() if key != "iss"}
    site.phone.page(site.phone.client.get(f"{callbacks[other]}?{urlencode(told)}"))

    assert (the_attempt().operator, the_attempt().reason) == (name, "issuer_mismatch")
    assert site.asked() == {site.norte: [], site.sur: []}
    assert site.phone.user_id is None


SILENT, SENDING = {"RESPONSE_ISS": False}, {"RESPONSE_ISS": True}


def own_answer(site, number):
    """Begin a login; return the answer of the operator that is asked, without iss."""
    callback = site.phone.come_back(site.phone.start(number))
    return {name: value for name, value in query_of(callback).items() if name != "iss"}


@pytest.fixture
def unannounced(site):
    """Operators whose documents do not say that they send iss."""
    for sandbox in site.sandboxes.values():
        document(sandbox, authorization_response_iss_parameter_supported=...)


@pytest.mark.usefixtures("unannounced")
@pytest.mark.parametrize("number", [SPAIN, GERMANY])
def test_operator_that_may_be_taken_for_another_is_not_asked(site, caplog, number):
    site.configure({"PREFIXES": ["+34"]}, {"PREFIXES": ["+49"]})
    page = site.phone.page(site.phone.start(number))

    assert UNFINISHED in page.content.decode()
    assert the_attempt().reason == "misconfigured"
    assert {hop for sandbox in site.sandboxes.values() for hop in sandbox.hops()} == {"discovery"}
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "shares its callback with another" in record.getMessage()


@pytest.mark.usefixtures("unannounced")
@pytest.mark.parametrize("number", [SPAIN, GERMANY])
def test_operators_that_send_no_iss_have_a_callback_each(site, number):
    site.configure({"PREFIXES": ["+34"]} | own(site.norte), {"PREFIXES": ["+49"]} | own(site.sur))
    name = site.norte if number == SPAIN else site.sur
    site.phone.client.get(f"{site.callback(name)}?{urlencode(own_answer(site, number))}")

    assert (the_attempt().outcome, the_attempt().operator) == ("verified", name)
    assert site.asked() == {site.norte: [], site.sur: []} | {name: ["token", "verify"]}


@pytest.mark.usefixtures("unannounced")
@pytest.mark.parametrize("number", [SPAIN, GERMANY])
def test_operators_that_share_a_callback_must_send_the_iss_that_the_settings_promise(site, number):
    site.configure({"PREFIXES": ["+34"]} | SENDING, {"PREFIXES": ["+49"]} | SENDING)
    site.phone.page(site.phone.client.get(f"{site.callback()}?{urlencode(own_answer(site, number))}"))
    assert the_attempt().reason == "issuer_mismatch"
    assert site.asked() == {site.norte: [], site.sur: []}

    site.phone.log_in(number)
    assert VerificationAttempt.objects.latest("pk").outcome == "verified"


@pytest.mark.parametrize(("norte", "sur"), [(SILENT, {}), ({}, SILENT), (SILENT, SILENT)])
def test_settings_that_mix_up_operators_begin_nothing(site, caplog, norte, sur):
    site.configure(norte, sur)
    page = site.phone.start(SPAIN)

    assert (page.status_code, operators()) == (503, [])
    assert UNFINISHED in page.content.decode()
    assert "with another operator and sends no iss" in caplog.text
    assert [sandbox.hops() for sandbox in site.sandboxes.values()] == [[], []]


def test_desktop_and_phone_meet_where_the_operator_has_its_own_callback(site):
    site.configure(own(site.norte))
    desktop = Phone(site.phone.sandbox)
    page = desktop.client.post("/numverify/qr/", {"phone_number": SPAIN, "operation": "verify"}, follow=True)
    path = urlsplit(page.context["phone_url"]).path
    callback = site.phone.come_back(site.phone.client.post(path, {"answer": "yes"}))
    site.phone.client.get(callback)

    assert callback.startswith(site.callback(site.norte))
    assert the_attempt().use == "qr"
    assert site.asked()[site.norte] == ["token", "verify"]


def test_answer_at_the_callback_of_all_is_refused_where_the_operator_has_its_own(site):
    site.configure(own(site.norte), own(site.sur))
    query = site.phone.come_back(site.phone.start(SPAIN)).partition("?")[2]
    site.phone.page(site.phone.client.get(f"{site.callback()}?{query}"))

    assert the_attempt().reason == "issuer_mismatch"
    assert site.asked() == {site.norte: [], site.sur: []}


def test_answer_is_told_to_an_application_at_its_own_callback(site):
    site.configure(own(site.norte))
    json = {"Accept": "application/json"}
    callback = site.phone.come_back(site.phone.start(SPAIN))
    answer = site.phone.client.get(callback, headers=json)
    assert (answer.status_code, answer.json()["next"]) == (200, "/home/")


@pytest.mark.parametrize("name", ["nobody", "a/b", "%2e%2e", "x" * 3000])
def test_callback_of_nobody_is_a_page(site, name):
    page = site.phone.client.get(f"/numverify/callback/{name}/?state=x&code=y")
    assert page.status_code == 400
    assert "is no longer open" in page.content.decode()
    assert operators() == []


def test_name_of_any_letters_has_a_callback(site, sandbox):
    name = f"Móvil 1/{site.norte}"
    uri = f"http://{HOST}/numverify/callback/M%C3%B3vil%201/{site.norte}/"
    site.settings.NUMVERIFY = {"OPERATORS": {name: keys_of(sandbox) | {"REDIRECT_URI": uri}}, "DEFAULT_REGION": "ES"}
    site.phone.log_in(SPAIN)
    assert (the_attempt().outcome, the_attempt().operator) == ("verified", name)

    query = site.phone.come_back(site.phone.start(SPAIN)).partition("?")[2]
    site.phone.page(site.phone.client.get(f"{site.callback()}?{query}"))
    assert VerificationAttempt.objects.latest("pk").reason == "issuer_mismatch"


def test_site_behind_a_prefix_knows_its_callbacks(site, sandbox):
    uri = f"http://{HOST}/below/numverify/callback/{site.norte}/"
    site.configure({"REDIRECT_URI": uri})
    started = site.phone.start(SPAIN)
    query = sandbox.authorize(started["Location"]).partition("?")[2]
    site.phone.client.get(f"{site.callback()}?{query}")
    assert the_attempt().reason == "issuer_mismatch"

    started = site.phone.start(SPAIN)
    assert query_of(started["Location"])["redirect_uri"] == uri
    query = sandbox.authorize(started["Location"]).partition("?")[2]
    site.phone.client.get(f"{site.callback(site.norte)}?{query}")
    assert [row.outcome for row in VerificationAttempt.objects.order_by("pk")] == ["error", "verified"]


def test_log_of_a_route_is_an_error(site, caplog):
    site.configure(ROUTE=Route(KeyError()))
    site.phone.start(GERMANY)
    levels = {record.levelno for record in caplog.records if record.name == "numverify_django.hooks"}
    assert levels == {logging.ERROR}
