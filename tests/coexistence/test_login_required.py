"""Django's LoginRequiredMiddleware: every page of ours is reached as it must be, and the rest leads to our login.

Django's own, so that the tests' settings are as good as a site's: with one middleware more.
"""

import pytest
from django.test import Client
from django.urls import get_resolver, reverse

from ..conftest import HOST, Phone
from ..drf.conftest import App, configured  # noqa: F401
from ..otp.conftest import Inbox, query_of
from ..qr.test_journey import Desktop, ScanningPhone, code_of
from ..test_login import GOOD, account

APPS = {"numverify", "numverify_qr", "numverify_otp", "numverify_drf"}
LOGIN = "/numverify/login/"
JSON = {"accept": "application/json"}


@pytest.fixture(autouse=True, params=["after", "before"])
def login_required(request, settings):
    """Every view asks for a login unless it says otherwise, by a middleware after ours or before."""
    *others, ours = settings.MIDDLEWARE
    order = [ours, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    settings.MIDDLEWARE = [*others, *(order if request.param == "after" else reversed(order))]


def routes():
    """Return (name, path, view) of every URL of ours; what a path has of arguments is 1."""
    included = [resolver for resolver in get_resolver().url_patterns if getattr(resolver, "app_name", None) in APPS]
    patterns = [(resolver.app_name, pattern) for resolver in included for pattern in resolver.url_patterns]
    return [
        (f"{app}:{pattern.name}", reverse(f"{app}:{pattern.name}", args=[1] * len(pattern.pattern.converters)), pattern)
        for app, pattern in patterns
    ]


def is_turned_away(response):
    """Tell whether the answer leads to the login page and back."""
    return response.status_code == 302 and "?next=" in response["Location"]


def test_every_page_of_ours_is_reached_by_a_stranger(db, configure):
    """An answer in JSON is our own: the middleware redirects whatever is asked for."""
    assert {name.partition(":")[0] for name, *_ in routes()} == APPS
    for name, path, pattern in routes():
        assert pattern.callback.login_required is False, name
        for method in ("get", "post"):
            assert not is_turned_away(getattr(Client(SERVER_NAME=HOST), method)(path, headers=JSON)), (name, method)


def test_pages_about_numbers_ask_for_a_login_themselves(db, configure):
    for path in ("/numverify/numbers/", "/numverify/numbers/add/"):
        client = Client(SERVER_NAME=HOST)
        assert client.get(path)["Location"] == f"{LOGIN}?next={path}"
        answer = client.get(path, headers=JSON)
        assert (answer.status_code, answer.json()["error"]) == (403, "login_required")


def test_page_of_the_site_leads_to_our_login_and_back(phone):
    turned_away = phone.client.get("/home/")
    assert turned_away["Location"] == f"{LOGIN}?next=/home/"
    field = phone.client.get(turned_away["Location"]).context["form"]["next"]
    response = phone.log_in(GOOD, next=field.value())

    assert response["Location"] == "/home/"
    assert phone.client.get("/home/").status_code == 200


def test_failure_is_told_to_whom_it_happened(phone, sandbox):
    sandbox.set(sim=None)
    page = phone.page(phone.log_in(GOOD))

    assert (page.status_code, phone.user_id) == (200, None)
    assert "Turn Wi-Fi off and try again" in page.content.decode()


def test_step_up_comes_back_to_its_page(phone):
    account()
    assert phone.client.get("/payment/")["Location"] == f"{LOGIN}?next=/payment/"
    phone.log_in(GOOD)
    session = phone.client.session
    session["numverify"] = session["numverify"] | {"proof": session["numverify"]["proof"] | {"at": 0}}
    session.save()
    started = phone.client.get("/payment/")
    assert started["Location"].startswith(phone.sandbox.url)

    assert phone.client.get(phone.come_back(started))["Location"] == "/payment/"
    assert phone.client.get("/payment/").content == b"paid"


def test_desktop_logs_in_by_qr_code(db, configure, sandbox):
    desktop, phone = Desktop(), ScanningPhone(sandbox)
    assert desktop.show().status_code == 200
    page = phone.prove(desktop.address)

    assert desktop.type(code_of(page).replace(" ", ""))["Location"] == "/home/"
    assert desktop.client.get("/home/").status_code == 200


def test_person_logs_in_by_code(db, configure):
    inbox = Inbox()
    configure(site={"CODE_SENDER": inbox})
    account()
    client = Client(SERVER_NAME=HOST)
    query = query_of(client.post("/numverify/code/", {"phone_number": GOOD, "next": "/home/"}))

    assert client.post("/numverify/code/enter/", query | {"code": inbox.code})["Location"] == "/home/"
    assert client.get("/home/").status_code == 200


def test_app_logs_in(db, configured, sandbox):  # noqa: F811
    app = App(sandbox)
    given = app.complete(app.open(app.start()))

    assert app.status(given["reference"])["status"] == "verified"


@pytest.mark.parametrize("login_url", ["/accounts/login/", "numverify:login"])
def test_other_login_page_of_the_site_takes_nothing_from_ours(phone, settings, login_url):
    settings.LOGIN_URL = login_url
    assert is_turned_away(phone.client.get("/home/"))

    assert phone.log_in(GOOD)["Location"] == "/home/"
    assert Phone(phone.sandbox).client.get(LOGIN).status_code == 200
