"""The whole way, against the sandbox operator: what a desktop and a phone are shown, and what is left behind."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from html.parser import HTMLParser

import pytest
import requests
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from numverify_django import session
from numverify_django.contrib.qr import models
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber
from numverify_django.signals import number_verification_failed, number_verified

from ..conftest import HOST, Browser, Phone
from ..test_login import account

LOGIN, SHOW, FINISH = "/numverify/login/", "/numverify/qr/", "/numverify/qr/code/"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0"
ANDROID = "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0"
GOOD, OTHER = "600 000 001", "600 000 002"
urlpatterns = [path("numverify/", include("numverify_django.urls"))]


class Desktop:
    """A browser on a desktop."""

    def __init__(self):
        self.client = Client(SERVER_NAME=HOST, headers={"user-agent": FIREFOX})

    def show(self, number=GOOD, **data):
        """Ask for a QR code; return the page with it."""
        typed = {"phone_number": number} if number is not None else {}
        answer = self.client.post(SHOW, {**typed, "operation": "verify", **data})
        return self.client.get(answer["Location"]) if answer.status_code == 302 else answer

    @property
    def address(self):
        """Where the QR code leads."""
        return address_of(self.client.session["numverify"]["browser"])

    def type(self, code):
        """Type ``code``; return the answer."""
        return self.client.post(FINISH, {"code": code})

    @property
    def user_id(self):
        """The primary key (text) of who is logged in, or None."""
        return self.client.session.get("_auth_user_id")


class ScanningPhone(Phone):
    """A phone that scans."""

    def prove(self, address):
        """Say yes and come back; return the page that the person ends on."""
        return self.page(self.client.get(self.come_back(self.client.post(address, {"answer": "yes"}))))


def address_of(browser):
    row = QrLogin.objects.of_browser(browser)
    return f"{SHOW}{session.unsealed(browser, row.sealed_token)['token']}/"


def text_of(page):
    return " ".join(page.content.decode().split())


def code_of(page):
    (code,) = re.findall(r'<bdi dir="ltr" translate="no">([0-9]{3} [0-9]{3})</bdi>', text_of(page))
    return code


class Elements(HTMLParser):
    """The elements of a page: a list of (tag, attributes)."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page.content.decode())

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.fixture
def desktop(db, configure):
    """A desktop in front of a site whose operator is the sandbox."""
    return Desktop()


@pytest.fixture
def scanning(db, configure, sandbox):
    """A phone that scans."""
    return ScanningPhone(sandbox)


class TestLoginPage:
    def test_desktop_is_offered_a_qr_code_first(self, desktop):
        page = desktop.client.get(LOGIN, {"next": "/payment/"})
        text = text_of(page)

        assert text.index("Show QR code") < text.index("I'm on my phone: log in here")
        assert 'action="/numverify/qr/"' in text
        assert "Use this phone's number" not in text
        assert 'href="/numverify/login/?next=%2Fpayment%2F&amp;device=phone"' in text
        assert "Turn Wi-Fi and VPN off first." not in text

    def test_phone_gets_the_page_of_a_phone(self, desktop):
        page = desktop.client.get(LOGIN, headers={"user-agent": ANDROID})
        assert "Show QR code" not in text_of(page)
        assert 'action="/numverify/login/"' in text_of(page)

    def test_person_corrects_the_guess(self, desktop):
        page = desktop.client.get(LOGIN, {"device": "phone"})
        assert "Show QR code" not in text_of(page)

    def test_other_way_stays_in_view(self, desktop, configure):
        configure(site={"FALLBACK_URL": "/password/"})
        pages = [desktop.client.get(LOGIN, {"next": "/payment/"}), desktop.show(next="/payment/")]
        assert all('href="/password/?next=%2Fpayment%2F"' in text_of(page) for page in pages)

    @pytest.mark.parametrize(
        ("typed", "told"),
        [("", "Enter your mobile number"), ("12", "with all its digits"), ("+33 6 12 34 56 78", "that begins with")],
    )
    def test_wrong_number_is_told_on_the_page_of_a_desktop(self, desktop, typed, told):
        page = desktop.show(typed)
        assert page.status_code == 400
        assert told in text_of(page)
        assert "Show QR code" in text_of(page)
        assert not QrLogin.objects.exists()

    def test_desktop_that_must_confirm_its_number_is_offered_a_qr_code_too(self, desktop, sandbox):
        desktop.client.force_login(account(), "django.contrib.auth.backends.ModelBackend")
        asked = desktop.client.get("/payment/")
        page = text_of(desktop.client.get(asked["Location"]))

        assert asked["Location"] == "/numverify/login/?next=%2Fpayment%2F&confirm=yes"
        assert ("Show QR code" in page, 'name="phone_number"' in page) == (True, False)
        assert "Scan with your phone" in text_of(desktop.show(None, next="/payment/"))
        assert sandbox.hops() == []

    def test_desktop_chooses_which_number_of_the_account_its_phone_confirms(self, desktop):
        user = account()
        desktop.client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        first = VerifiedNumber.objects.get()
        VerifiedNumber.objects.enrol(user, PhoneNumber("+34600000002"), first.operator)
        assert "own_number" in text_of(desktop.client.get(LOGIN, {"confirm": "yes"}))
        desktop.show(None, own_number=first.pk)

        assert QrLogin.objects.get().number_shown == "•••01"

    def test_desktop_whose_number_went_to_somebody_else_meanwhile_comes_back_to_the_choice(self, desktop, scanning):
        user, other = account(), get_user_model().objects.create_user("other")
        desktop.client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        first = VerifiedNumber.objects.get()
        for number in ("+34600000011", "+34600000021"):
            VerifiedNumber.objects.enrol(user, PhoneNumber(number), first.operator)
        desktop.show(None, own_number=first.pk)
        code = code_of(scanning.prove(desktop.address))
        VerifiedNumber.objects.filter(pk=first.pk).update(user=other)
        desktop.type(code)
        page = text_of(desktop.client.get(SHOW))

        assert "another number than the one we checked" in page
        assert "confirm=yes" in page

    def test_desktop_is_told_that_the_number_will_log_in(self, desktop):
        user = get_user_model().objects.create_user("somebody")
        desktop.client.force_login(user, "django.contrib.auth.backends.ModelBackend")
        assert "You can then log in to your account with its number." in text_of(desktop.client.get(LOGIN))

    @pytest.mark.urls(__name__)
    def test_site_without_its_urls_has_the_page_of_a_phone_and_an_error(self, desktop):
        assert "Show QR code" not in text_of(desktop.client.get(LOGIN))
        assert "numverify.E050" in [found.id for found in run_checks()]

    def test_site_with_its_urls_has_no_error(self, desktop):
        assert "numverify.E050" not in [found.id for found in run_checks()]


class TestPages:
    def test_desktop_shows_a_picture_a_field_and_the_warning(self, desktop):
        page = desktop.show()
        elements = Elements(page).found
        fields = [attrs for tag, attrs in elements if tag == "input" and attrs.get("name") == "code"]

        assert [attrs["aria-label"] for _, attrs in elements if attrs.get("role") == "img"] == [
            "QR code to open on your phone"
        ]
        assert [(field["inputmode"], field["autocomplete"]) for field in fields] == [("numeric", "off")]
        assert "Never type in a code that someone sent or read to you." in text_of(page)
        assert re.search(r"Works until \d+:\d+", text_of(page))
        assert [attrs["role"] for _, attrs in elements if attrs.get("role") == "status"] == ["status"]
        assert len(page.content) < 8000

    def test_pages_carry_no_inline_style_or_script(self, desktop, scanning):
        pages = [desktop.client.get(LOGIN), desktop.show()]
        pages.append(scanning.client.get(desktop.address))
        pages.append(scanning.prove(desktop.address))
        for page in pages:
            assert not [attrs for _, attrs in Elements(page).found if "style" in attrs]
            assert not [attrs for tag, attrs in Elements(page).found if tag == "script" and "src" not in attrs]

    def test_reload_shows_the_same_qr_code(self, desktop):
        first = desktop.show()
        assert "<path" in text_of(first)
        assert re.findall("<svg.*?</svg>", text_of(first)) == re.findall(
            "<svg.*?</svg>", text_of(desktop.client.get(SHOW))
        )

    def test_reload_of_the_phone_shows_the_same_code(self, desktop, scanning):
        desktop.show()
        code = code_of(scanning.prove(desktop.address))
        assert code_of(scanning.client.get(desktop.address)) == code

    def test_phone_on_wifi_comes_back_to_the_qr_code(self, desktop, scanning, sandbox):
        desktop.show()
        sandbox.set(sim=None)
        page = scanning.prove(desktop.address)
        assert "Turn Wi-Fi off and try again" in text_of(page)
        assert f'href="{desktop.address}"' in text_of(page)
        assert "Not logged in yet" in text_of(page)

        sandbox.set(sim="+34600000001")
        assert desktop.type(code_of(scanning.prove(desktop.address))).status_code == 302

    def test_new_qr_code_needs_no_number(self, desktop):
        desktop.show(next="/payment/")
        before = desktop.address
        QrLogin.objects.update(expires_at=timezone.now())
        ended = desktop.client.get(SHOW)
        assert "New QR code" in text_of(ended)
        desktop.client.post(SHOW, {"renew": "yes"})
        assert desktop.address != before

    def test_new_qr_code_long_after_needs_the_number(self, desktop):
        desktop.show()
        QrLogin.objects.update(created_at=timezone.now() - models.RENEWABLE)
        assert desktop.client.post(SHOW, {"renew": "yes"})["Location"] == LOGIN

    def test_interstitial_of_the_phone(self, desktop, scanning, configure):
        configure(site={"REDIRECT_MODE": "interstitial"})
        desktop.show()
        page = scanning.client.post(desktop.address, {"answer": "yes"})
        assert "Checking your SIM" in text_of(page)

    def test_who_is_not_logged_in_yet_is_told_so_by_the_desktop(self, desktop):
        assert desktop.client.get(SHOW)["Location"] == LOGIN
        assert desktop.type("123456")["Location"] == LOGIN


class TestRecords:
    def test_rows_say_who_and_when(self, desktop, scanning):
        desktop.show()
        desktop.type(code_of(scanning.prove(desktop.address)))
        user, row, attempt = get_user_model().objects.get(), QrLogin.objects.get(), VerificationAttempt.objects.get()

        assert (row.status, row.user, row.attempt, row.browser, row.system) == (
            "finished",
            user,
            attempt,
            "firefox",
            "windows",
        )
        assert (attempt.outcome, attempt.use, attempt.user) == ("verified", "qr", user)
        assert attempt.ended_at <= timezone.now()
        assert row.created_at < row.ended_at <= attempt.ended_at
        assert (row.sealed, row.sealed_token, row.sealed_code, row.code_digest) == ("", "", "", None)

    def test_proof_is_the_desktops(self, desktop, scanning):
        desktop.show(next="/payment/")
        desktop.type(code_of(scanning.prove(desktop.address)))
        assert desktop.client.get("/payment/").content == b"paid"
        assert "proof" not in scanning.client.session["numverify"]

    def test_listeners_hear_of_the_desktop(self, desktop, scanning):
        heard = []

        def hear(sender, request, user, attempt, **kwargs):
            heard.append((request.path, user.pk, attempt.use))

        number_verified.connect(hear)
        try:
            desktop.show()
            desktop.type(code_of(scanning.prove(desktop.address)))
        finally:
            number_verified.disconnect(hear)
        assert heard == [(FINISH, get_user_model().objects.get().pk, "qr")]

    def test_listeners_hear_why_not(self, desktop, scanning):
        heard = []

        def hear(sender, request, attempt, reason, **kwargs):
            heard.append(reason)

        number_verification_failed.connect(hear)
        try:
            desktop.show()
            code = code_of(scanning.prove(desktop.address)).replace(" ", "")
            for n in (1, 2, 3):
                desktop.type(f"{(int(code) + n) % 10**6:06}")
        finally:
            number_verification_failed.disconnect(hear)
        assert heard == ["code_failed"]

    def test_admin_shows_it_to_read(self, desktop, scanning):
        desktop.show()
        scanning.prove(desktop.address)
        admin = Client(SERVER_NAME=HOST)
        admin.force_login(get_user_model().objects.create_superuser("root"))
        row = QrLogin.objects.get()
        listed = admin.get("/admin/numverify_qr/qrlogin/")
        found = admin.get(f"/admin/numverify_qr/qrlogin/{row.pk}/change/")

        assert (listed.status_code, found.status_code) == (200, 200)
        assert "Firefox" in text_of(found)
        assert admin.get("/admin/numverify_qr/qrlogin/add/").status_code == 403
        assert admin.post(f"/admin/numverify_qr/qrlogin/{row.pk}/delete/").status_code == 403

    def test_pruning_ends_and_erases_and_deletes(self, desktop, scanning, configure, capsys):
        desktop.show()
        scanning.prove(desktop.address)
        QrLogin.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
        call_command("numverify_prune")
        row = QrLogin.objects.get()
        assert (row.status, row.sealed, row.sealed_code, row.code_digest) == ("expired", "", "", None)

        QrLogin.objects.update(created_at=timezone.now() - models.RENEWABLE - timedelta(seconds=1))
        call_command("numverify_prune")
        assert QrLogin.objects.get().sealed_token == ""
        QrLogin.objects.update(created_at=timezone.now() - timedelta(days=91))
        call_command("numverify_prune")
        assert not QrLogin.objects.exists()

    def test_deleted_account_leaves_the_row(self, desktop, scanning):
        desktop.show()
        desktop.type(code_of(scanning.prove(desktop.address)))
        get_user_model().objects.all().delete()
        assert QrLogin.objects.get().user is None


class TestMany:
    @pytest.fixture(params=[False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
    def site(self, request, transactional_db, configure, live_server, monkeypatch):
        """The URL of a live site."""
        monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", request.param)
        return live_server.url

    def show(self, site):
        """Return a desktop that shows a QR code, the phone, and where the code leads."""
        desktop, phone = Browser(site), Browser(site)
        desktop.post(SHOW, {"phone_number": GOOD, "operation": "verify"}, page=LOGIN)
        (stored,) = QrLogin.objects.all()
        key = desktop._http.cookies["sessionid"]
        browser = Session.objects.get(pk=key).get_decoded()["numverify"]["browser"]
        assert stored.status == "shown"
        return desktop, phone, address_of(browser)

    def test_one_of_ten_right_codes_at_once_logs_in(self, site):
        desktop, phone, address = self.show(site)
        page = phone.post(address, {"answer": "yes"})
        code = re.findall(r'translate="no">([0-9 ]{7})<', page.text)[0]
        desktop.get(SHOW)
        form = {"code": code, "csrfmiddlewaretoken": desktop._http.cookies["csrftoken"]}

        def type_it(_):
            own = requests.Session()
            own.trust_env = False
            own.cookies.update(desktop._http.cookies)
            return own.post(site + FINISH, form, headers={"Origin": site}, allow_redirects=False, timeout=30)

        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(type_it, range(10)))

        led = [answer.headers.get("Location") for answer in answers]
        assert led.count("/home/") == 1
        assert get_user_model().objects.count() == 1
        assert list(QrLogin.objects.values_list("status", flat=True)) == ["finished"]
        assert list(VerificationAttempt.objects.values_list("outcome", flat=True)) == ["verified"]

    def test_three_of_ten_wrong_codes_at_once_are_tried(self, site):
        desktop, phone, address = self.show(site)
        page = phone.post(address, {"answer": "yes"})
        code = int(re.findall(r'translate="no">([0-9 ]{7})<', page.text)[0].replace(" ", ""))
        desktop.get(SHOW)

        def type_wrong(n):
            form = {"code": f"{(code + n) % 10**6:06}", "csrfmiddlewaretoken": desktop._http.cookies["csrftoken"]}
            cookies = dict(desktop._http.cookies)
            return requests.post(site + FINISH, form, headers={"Origin": site}, cookies=cookies, timeout=30)

        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(type_wrong, range(1, 11)))

        assert {answer.status_code for answer in answers} <= {200, 400, 410}
        assert list(QrLogin.objects.values_list("status", "tries")) == [("code_failed", 3)]
        assert not get_user_model().objects.exists()
