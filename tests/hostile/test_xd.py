"""XD: a desktop that a phone logs in, and whoever stands between the two (RFC 10027)."""

import re
import secrets
from datetime import timedelta

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.core.management import call_command
from django.http import HttpResponse, HttpResponseRedirect
from django.urls import path, resolve
from django.utils import timezone

from numverify_django import conf, session
from numverify_django.contrib.qr import models, picture, views
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber

from ..urls import urlpatterns as pages
from .conftest import HOST, NUMBER, TYPED, RecordingClient, Visitor, make_user, users
from .crossing import CODE, FINISH, FIREFOX, SHOW, STATUS, Crossing
from .operator import Reply

HONEST = ["discovery", "token", "jwks", "verify"]
AGAIN = ["token", "verify"]
OTHER, OTHER_TYPED = "+34600000002", "600 000 002"
PASSWORD = "django.contrib.auth.backends.ModelBackend"
ENDED, NOT_OPEN = "This QR code has ended", "This login is no longer open"
NOT_CONFIRMED = "We couldn't log you in with this number"
NOBODY = {"status": "ended", "text": "This QR code has ended."}


def rotate(request):
    """Give this browser's session a new key, as a site may at any time."""
    request.session.cycle_key()
    return HttpResponse("rotated")


def second_factor(request):
    """Complete the login that waits."""
    return HttpResponseRedirect("/home/") if session.complete_login(request) else HttpResponse("late", status=403)


urlpatterns = [path("rotate/", rotate), path("second/", second_factor), *pages]


@pytest.fixture
def crossing(trial):
    """A Crossing: its invariants are checked with the trial's."""
    return Crossing(trial)


def account(trial, number=NUMBER, name="known", **facts):
    """Make an account that proved ``number`` before; return it."""
    user = make_user(name, **facts)
    VerifiedNumber.objects.enrol(user, PhoneNumber(number), conf.get().operators[0].name)
    trial.users = users()
    return user


def sign_in(trial, visitor, user):
    """Log ``user`` in by another way."""
    visitor.client.force_login(user, PASSWORD)
    trial.others.add(str(user.pk))
    trial.users = users()


def pass_time(**delta):
    """Let time pass for every QR login and attempt."""
    for model in (QrLogin, VerificationAttempt):
        for row in model.objects.all():
            moved = {name: getattr(row, name) - timedelta(**delta) for name in ("created_at", "expires_at")}
            model.objects.filter(pk=row.pk).update(**moved)


def open_still(crossing, calls=HONEST):
    """Expect an attempt that waits for its code, and nobody logged in."""
    crossing.trial.expected.append(("pending", ""))
    crossing.trial.calls = list(calls)


def text_of(response):
    return " ".join(response.content.decode().split())


# The honest way


@pytest.mark.usefixtures("everywhere")
def test_xd_01_desktop_that_asked_is_logged_in(crossing):
    key = crossing.desktop.client.session.session_key
    code = crossing.cross(next="/payment/")
    before = crossing.desktop.client.session.session_key
    response = crossing.type(code)

    assert (response.status_code, response["Location"]) == (302, "/payment/")
    assert crossing.desktop.client.get("/payment/").content == b"paid"
    assert crossing.desktop.client.session.session_key not in (key, before)
    assert crossing.phone.user_id is None
    assert (crossing.row.status, crossing.row.attempt.use) == ("finished", "qr")
    crossing.trial.verified()


# XD-01: another browser's


@pytest.mark.usefixtures("everywhere")
def test_xd_01_code_typed_in_another_browser_logs_in_nobody(crossing):
    code, thief = crossing.cross(), Visitor(crossing.trial.responses)
    answer = crossing.type(code, desktop=thief)

    assert (answer.status_code, answer["Location"], thief.user_id) == (302, "/numverify/login/", None)
    assert thief.client.get(STATUS).json() == NOBODY
    assert thief.client.get(SHOW)["Location"] == "/numverify/login/"
    assert crossing.row.tries == 0
    crossing.type(code)
    crossing.trial.verified()


def test_xd_01_code_of_one_qr_code_is_wrong_at_another(crossing):
    thief = Visitor(crossing.trial.responses)
    crossing.show(desktop=thief)
    accomplice = Visitor(crossing.trial.responses)
    other = crossing.code(crossing.prove(crossing.address(thief), accomplice))
    code = crossing.cross()
    assert code != other  # but one time in a million

    assert crossing.type(other).status_code == 400
    assert crossing.type(code, desktop=thief).status_code == 400
    assert (crossing.desktop.user_id, thief.user_id) == (None, None)
    crossing.type(code)
    crossing.trial.expected.append(("pending", ""))
    crossing.trial.verified([*HONEST, *AGAIN])


def test_xd_01_phone_is_no_place_for_its_own_code(crossing):
    code = crossing.cross()
    assert crossing.type(code, desktop=crossing.phone)["Location"] == "/numverify/login/"
    assert crossing.phone.user_id is None
    open_still(crossing)


def test_xd_01_callback_opened_on_the_desktop_is_foreign(crossing):
    crossing.show()
    callback = crossing.callback(crossing.address())
    assert crossing.desktop.client.get(callback).status_code == 400
    assert crossing.phone.come_back(callback).status_code == 200
    open_still(crossing)


@pytest.mark.parametrize(
    "next_url", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)"]
)
def test_xd_01_next_of_another_site_is_not_followed(crossing, next_url):
    assert crossing.type(crossing.cross(next=next_url))["Location"] == "/home/"
    crossing.trial.verified()


# XD-02: what looks at a link before a person does


BOTS = [
    {"user-agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"},
    {"user-agent": "WhatsApp/2.23.20.0", "accept": "text/html"},
    {"sec-purpose": "prefetch;prerender", "sec-fetch-mode": "navigate"},
    {"purpose": "prefetch"},
    {"sec-fetch-dest": "image", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "cross-site", "referer": "https://evil.example/"},
]


@pytest.mark.usefixtures("everywhere")
def test_xd_02_looking_does_nothing(crossing):
    crossing.show()
    address, before = crossing.address(), str(QrLogin.objects.values().get())
    for headers in BOTS:
        for method in ("get", "head"):
            visitor = RecordingClient(crossing.trial.responses)
            assert getattr(visitor, method)(address, headers=headers).status_code == 200
            assert "sessionid" not in visitor.cookies
    for method in ("put", "patch", "delete", "options"):
        getattr(crossing.phone.client, method)(address)

    assert str(QrLogin.objects.values().get()) == before
    assert crossing.status() == "waiting"
    crossing.trial.nothing()


@pytest.mark.parametrize("query", ["?answer=yes", "?answer=no", "?code=1", "?next=//evil.example"])
def test_xd_02_answer_in_the_address_is_none(crossing, query):
    crossing.show()
    page = crossing.phone.client.get(crossing.address() + query)
    assert (page.status_code, crossing.row.status) == (200, "shown")
    assert "evil" not in text_of(page)
    crossing.trial.nothing()


@pytest.mark.parametrize("answer", ["yes", "no"])
@pytest.mark.parametrize("origin", ["http://evil.example", "null", None])
def test_xd_02_answer_without_the_csrf_token_does_nothing(crossing, answer, origin):
    crossing.show()
    strict = RecordingClient(crossing.trial.responses, enforce_csrf_checks=True)
    address, headers = crossing.address(), {"origin": origin} if origin else {}
    strict.get(address)
    page = strict.post(address, {"answer": answer}, headers=headers)

    assert (page.status_code, crossing.row.status) == (403, "shown")
    crossing.trial.nothing()


@pytest.mark.parametrize("answer", ["", "YES", "true", "1", "maybe"])
def test_xd_02_only_yes_is_yes(crossing, answer):
    crossing.show()
    crossing.answer(crossing.address(), answer)
    assert crossing.row.status == "shown"
    crossing.trial.nothing()


def test_xd_02_every_form_of_the_desktop_needs_the_csrf_token(crossing):
    strict = Visitor(crossing.trial.responses)
    strict.client.handler.enforce_csrf_checks = True
    assert strict.client.post(SHOW, {"phone_number": TYPED}).status_code == 403
    assert strict.client.post(SHOW, {"renew": "yes"}).status_code == 403
    assert strict.client.post(FINISH, {"code": "000000"}).status_code == 403
    assert not QrLogin.objects.exists()
    crossing.trial.nothing()


def test_xd_02_get_of_the_code_is_not_allowed(crossing):
    code = crossing.cross()
    assert crossing.desktop.client.get(FINISH, {"code": code}).status_code == 405
    open_still(crossing)


# XD-03: a QR code that is sent to somebody


@pytest.mark.usefixtures("everywhere")
def test_xd_03_relayed_qr_code_logs_in_nobody_without_the_code(crossing):
    """The desktop is the attacker's, and the victim does everything that the page on the phone asks for, but one."""
    crossing.show()
    address = crossing.address()
    page = crossing.prove(address)
    crossing.code(page)

    for look in (SHOW, STATUS, address, f"{address}?device=phone"):
        assert not CODE.search(text_of(crossing.desktop.client.get(look)))
    assert crossing.desktop.client.get(address).status_code == 410
    assert crossing.desktop.client.get("/home/").content == b"user None"
    pass_time(minutes=10)
    call_command("numverify_prune")
    assert crossing.row.status == "expired"
    crossing.trial.expected.append(("abandoned", "expired"))
    crossing.trial.calls = HONEST
    crossing.trial.check_page = lambda: None  # nobody came to see it


def test_xd_03_phone_is_told_who_asks_in_words_of_ours(crossing):
    evil = "Mozilla/5.0 (Your Bank; press Yes <b>now</b>) Firefox/1 Windows NT"
    crossing.show()
    QrLogin.objects.all().delete()
    crossing.desktop.client.post(SHOW, {"phone_number": TYPED, "operation": "verify"}, headers={"user-agent": evil})
    page = text_of(crossing.phone.client.get(crossing.address()))

    assert "<strong>Firefox</strong> on <strong>Windows</strong> asks to log in to 127.0.0.1." in page
    assert "less than a minute ago" in page
    assert "Your Bank" not in page
    pass_time(minutes=2)
    assert "about 2 minutes ago" in text_of(crossing.phone.client.get(crossing.address()))
    crossing.trial.nothing()


def test_xd_03_victim_makes_no_account_by_saying_yes(crossing):
    crossing.cross()
    assert not VerifiedNumber.objects.exists()
    assert users() == crossing.trial.users
    open_still(crossing)


def test_xd_03_proof_of_a_known_number_is_not_dated_by_a_stranger(crossing):
    user = account(crossing.trial)
    before = VerifiedNumber.objects.get(user=user).last_verified_at
    crossing.cross()
    assert VerifiedNumber.objects.get(user=user).last_verified_at == before
    open_still(crossing)


def test_xd_03_second_phone_neither_reads_the_code_nor_takes_over(crossing):
    crossing.show()
    address, thief = crossing.address(), Visitor(crossing.trial.responses)
    callback = crossing.callback(address)
    assert thief.client.get(address).status_code == 410
    assert [crossing.answer(address, answer, thief).status_code for answer in ("yes", "no")] == [410, 410]
    crossing.code(crossing.phone.come_back(callback))

    assert thief.client.get(address).status_code == 410
    assert crossing.row.status == "proved"
    open_still(crossing)


# XD-04: guessing


@pytest.mark.usefixtures("everywhere")
def test_xd_04_third_wrong_code_ends_it(crossing):
    code = crossing.cross()
    wrong = [f"{(int(code.replace(' ', '')) + n) % 10**6:06}" for n in (1, 2, 3)]
    answers = [crossing.type(guess) for guess in wrong]

    assert [answer.status_code for answer in answers] == [400, 400, 410]
    assert "That code isn&#x27;t right. 2 tries left." in text_of(answers[0])
    assert "That code isn&#x27;t right. 1 try left." in text_of(answers[1])
    assert crossing.row.status == "code_failed"
    last = crossing.type(code)
    assert (last.status_code, crossing.desktop.user_id) == (200, None)
    assert "Too many tries with the code. Nobody was logged in." in text_of(last)
    crossing.trial.responses.append(answers[2])
    crossing.trial.device = "wrong codes"
    crossing.trial.refused("code_failed", calls=HONEST)


@pytest.mark.parametrize(
    "typed", ["", " ", "12345", "1234567", "abcdef", "12345x", "\u0661" * 6, "\uff11" * 6, "1-2-3"]
)
def test_xd_04_what_is_no_code_costs_no_try(crossing, typed):
    code = crossing.cross()
    answer = crossing.type(typed)
    assert (answer.status_code, crossing.row.tries) == (400, 0)
    assert "The code must be 6 digits" in text_of(answer)
    crossing.type(code)
    crossing.trial.verified()


@pytest.mark.parametrize("typed", ["{0}{1}", "{0} {1}", " {0}  {1} ", "{0}\u00a0{1}", "{0}\t{1}\r\n"], ids=repr)
def test_xd_04_blanks_are_no_part_of_the_code(crossing, typed):
    code = crossing.cross()
    assert crossing.type(typed.format(*code.split())).status_code == 302
    crossing.trial.verified()


@pytest.mark.parametrize("typed", ["\x00" * 6, "123\x00456", "1" * 100_000, "\u202e123456", "None", "0x1234"], ids=len)
def test_xd_04_nonsense_is_a_form_error(crossing, typed):
    crossing.cross()
    assert crossing.type(typed).status_code == 400
    assert crossing.row.tries == 0
    open_still(crossing)


def test_xd_04_code_before_there_is_one_costs_no_try(crossing):
    crossing.show()
    page = crossing.type("000000")
    assert (page.status_code, crossing.row.tries) == (400, 0)
    assert "There is no code yet." in text_of(page)
    crossing.trial.nothing()


def test_xd_04_new_qr_code_has_a_new_code_and_its_own_tries(crossing):
    first = crossing.cross()
    crossing.type("000000" if first != "000 000" else "111111")
    renewed = crossing.desktop.client.post(SHOW, {"renew": "yes"}, headers={"user-agent": FIREFOX})
    crossing.desktop.client.get(renewed["Location"])
    second = crossing.code(crossing.prove(crossing.address()))
    if first != second:
        assert crossing.type(first).status_code == 400
    assert crossing.type(second).status_code == 302
    crossing.trial.expected.append(("abandoned", "cancelled"))
    crossing.trial.verified([*HONEST, *AGAIN])


def test_xd_04_digest_of_a_code_needs_the_servers_key_and_its_qr_code(crossing, settings):
    crossing.show()
    row, key = crossing.row, settings.SECRET_KEY
    first = row.digest_of("123456")
    settings.SECRET_KEY = "another" * 8
    assert row.digest_of("123456") != first
    settings.SECRET_KEY, row.token_digest = key, first
    assert row.digest_of("123456") != first
    crossing.trial.nothing()


# XD-06: too late


def test_xd_06_qr_code_lives_three_minutes_at_most(crossing):
    crossing.show()
    assert crossing.row.expires_at - crossing.row.created_at <= timedelta(minutes=3)
    address = crossing.address()
    pass_time(minutes=3)

    pages = [crossing.phone.client.get(address), *(crossing.answer(address, answer) for answer in ("yes", "no"))]
    assert [page.status_code for page in pages] == [410, 410, 410]
    assert len({re.sub("csrf.*?>", "", text_of(page)) for page in pages}) == 1
    assert (crossing.status(), crossing.type("123456").status_code) == ("ended", 200)
    assert ENDED in text_of(crossing.desktop.client.get(SHOW))
    crossing.trial.nothing()


def test_xd_06_callback_after_the_lifetime_costs_nothing(crossing):
    crossing.show()
    callback = crossing.callback(crossing.address())
    QrLogin.objects.update(expires_at=timezone.now())
    page = crossing.phone.come_back(callback)

    assert (page.status_code, "This QR code has ended" in text_of(page)) == (410, True)
    crossing.trial.device = "phone"
    crossing.trial.refused("expired", calls=["discovery"])


def test_xd_06_code_after_its_time_logs_in_nobody(crossing):
    code = crossing.cross()
    QrLogin.objects.update(expires_at=timezone.now())
    answer = crossing.type(code)
    assert ENDED in text_of(answer)
    assert crossing.phone.client.get(crossing.address()).status_code == 410
    open_still(crossing)


def test_xd_06_late_phone_leaves_a_minute_for_the_code(crossing):
    crossing.show()
    callback = crossing.callback(crossing.address())
    QrLogin.objects.update(expires_at=timezone.now() + timedelta(seconds=2))
    crossing.code(crossing.phone.come_back(callback))
    left = crossing.row.expires_at - timezone.now()
    assert timedelta(seconds=50) < left <= models.CODE_LIFETIME
    open_still(crossing)


def test_xd_06_qr_code_that_was_replaced_is_over(crossing):
    crossing.show()
    address = crossing.address()
    crossing.show()
    assert crossing.phone.client.get(address).status_code == 410
    assert crossing.answer(address).status_code == 410
    assert list(QrLogin.objects.order_by("pk").values_list("status", flat=True)) == ["cancelled", "shown"]
    crossing.trial.nothing()


# XD-08: the desktop's session is another meanwhile


def log_in_by_password(crossing):
    sign_in(crossing.trial, crossing.desktop, make_user("somebody"))


def log_out(crossing):
    crossing.desktop.client.logout()


def rotate_key(crossing):
    crossing.desktop.client.get("/rotate/")


CHANGES = {"password": log_in_by_password, "logout": log_out, "rotation": rotate_key}


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_xd_08_code_after_the_session_changed_is_dead(crossing, change):
    code = crossing.cross()
    change(crossing)
    before = crossing.desktop.user_id
    answer = crossing.type(code)

    assert answer.status_code in (200, 302)
    assert crossing.desktop.user_id == before
    assert crossing.status() == "ended"
    if change is log_out:  # nothing is known of the browser that asked any more
        open_still(crossing)
    else:
        assert crossing.row.status == "cancelled"
        crossing.trial.expected.append(("abandoned", "cancelled"))
        crossing.trial.calls = HONEST
    leave(crossing)


def leave(crossing):
    """Log the desktop out, so that the trial's own invariants hold."""
    crossing.desktop.client.logout()
    crossing.trial.users = users()


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_xd_08_phone_proves_nothing_for_a_session_that_changed(crossing, change):
    crossing.show()
    address = crossing.address()
    callback = crossing.callback(address)
    change(crossing)
    crossing.status()  # what the desktop's page asks now and then
    page = crossing.phone.come_back(callback)

    if change is log_out:
        crossing.code(page)
        open_still(crossing)
    else:
        assert NOT_OPEN in text_of(page)
        crossing.trial.expected.append(("abandoned", "cancelled"))
        crossing.trial.calls = ["discovery"]
    leave(crossing)


def test_xd_08_desktop_that_logs_in_by_its_own_sim_is_logged_in_once(crossing):
    code = crossing.cross()
    crossing.desktop.come_back(crossing.desktop.visit_operator(crossing.desktop.start()))
    before = crossing.desktop.user_id
    crossing.type(code)
    assert crossing.desktop.user_id == before
    crossing.trial.expected.append(("abandoned", "cancelled"))
    crossing.trial.verified([*HONEST, *AGAIN])


def test_xd_08_account_deactivated_meanwhile_is_refused_on_the_desktop(crossing):
    user = account(crossing.trial)
    code = crossing.cross()
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    page = crossing.type(code)

    assert (NOT_CONFIRMED in text_of(page), crossing.row.status) == (True, "refused")
    get_user_model().objects.filter(pk=user.pk).update(is_active=True)
    crossing.trial.device = "desktop"
    crossing.trial.refused("account_inactive", calls=HONEST)


# XD-09: the phone's own session


@pytest.mark.usefixtures("everywhere")
def test_xd_09_phone_is_not_logged_in(crossing):
    code = crossing.cross()
    crossing.type(code)
    page = crossing.phone.client.get("/home/")
    assert page.content == b"user None"
    assert not crossing.phone.client.session["numverify"].keys() & {"proof", "held", "filled"}
    crossing.trial.verified()


def test_xd_09_login_on_the_phone_stays_who_it_is(crossing):
    user = account(crossing.trial, OTHER, "owner of the phone")
    sign_in(crossing.trial, crossing.phone, user)
    crossing.phone_user = str(user.pk)
    key = crossing.phone.client.session.session_key
    crossing.type(crossing.cross())

    assert crossing.phone.client.session.session_key == key
    assert crossing.phone.client.get("/home/").content.decode() == f"user {user.pk}"
    assert crossing.desktop.user_id not in (None, str(user.pk))
    crossing.trial.verified()


def test_xd_09_failure_on_a_phone_that_is_logged_in_is_about_the_desktop(crossing):
    user = account(crossing.trial, OTHER, "owner of the phone")
    sign_in(crossing.trial, crossing.phone, user)
    crossing.phone_user, crossing.trial.operator.sim = str(user.pk), OTHER
    crossing.show()
    page = crossing.prove(crossing.address())

    assert NOT_CONFIRMED in text_of(page)
    assert "still logged in" not in text_of(page)
    crossing.trial.device = "phone"
    crossing.trial.refused("number_mismatch", calls=HONEST)


def test_xd_09_done_page_tells_who_is_logged_in(crossing):
    crossing.show()
    address = crossing.address()
    crossing.type(crossing.code(crossing.prove(address)))
    page = crossing.phone.client.get(address)
    assert (page.status_code, "This phone is not logged in." in text_of(page)) == (200, True)
    crossing.trial.verified()


def test_xd_09_browser_that_asked_cannot_answer_for_itself(crossing):
    crossing.show()
    address = crossing.address()
    assert crossing.desktop.client.get(address)["Location"] == SHOW
    assert [crossing.answer(address, answer, crossing.desktop).status_code for answer in ("yes", "no")] == [410, 410]
    assert crossing.row.status == "shown"
    crossing.trial.nothing()


# XD-10: another number


def test_xd_10_another_number_than_typed_is_a_mismatch(crossing):
    crossing.trial.operator.sim = OTHER
    crossing.show()
    address = crossing.address()
    page = crossing.prove(address)

    assert NOT_CONFIRMED in text_of(page)
    assert not CODE.search(text_of(page))
    assert crossing.type("123456").status_code == 400
    assert f'href="{address}">Try again' in text_of(page)
    crossing.trial.responses.append(page)
    crossing.trial.device = "phone"
    crossing.trial.refused("number_mismatch", calls=HONEST)


def test_xd_10_operator_is_asked_for_the_number_of_the_desktop(crossing):
    crossing.type(crossing.cross())
    (asked,) = [received for received in crossing.trial.operator.received if received.hop == "verify"]
    assert asked.json == {"phoneNumber": NUMBER}
    crossing.trial.verified()


def test_xd_10_second_sim_may_be_tried_while_time_lasts(crossing):
    crossing.trial.operator.sim = OTHER
    crossing.show()
    address = crossing.address()
    crossing.prove(address)
    crossing.trial.operator.sim = NUMBER
    crossing.type(crossing.code(crossing.prove(address)))
    crossing.trial.expected.append(("mismatch", "number_mismatch"))
    crossing.trial.verified([*HONEST, *AGAIN])


def test_xd_10_number_posted_by_the_phone_is_not_read(crossing):
    crossing.show()
    started = crossing.phone.client.post(crossing.address(), {"answer": "yes", "phone_number": OTHER_TYPED})
    crossing.trial.operator.sim = OTHER
    callback = crossing.phone.visit_operator(started)
    crossing.trial.callbacks.append(callback)
    crossing.phone.come_back(callback)
    crossing.trial.device = "phone"
    crossing.trial.refused("number_mismatch", calls=HONEST)


def test_xd_10_share_is_no_number_typed(crossing):
    crossing.trial.configure(OPERATION="share")
    for form in ({"operation": "share"}, {"operation": "share", "phone_number": TYPED}, {}):
        assert crossing.desktop.client.post(SHOW, form).status_code in (200, 400)
    assert not QrLogin.objects.exists()
    crossing.trial.nothing()


def test_xd_10_retry_of_the_phones_failure_starts_no_login_of_the_phone(crossing):
    crossing.trial.operator.verify = lambda *asked: Reply({}, status=503)
    crossing.show()
    page = crossing.prove(crossing.address())
    (reference,) = VerificationAttempt.objects.values_list("reference", flat=True)

    assert 'name="retry"' not in text_of(page)
    assert crossing.phone.client.post("/numverify/login/", {"retry": reference}).status_code == 200
    assert VerificationAttempt.objects.count() == 1
    crossing.trial.responses.append(page)
    crossing.trial.device = "phone"
    crossing.trial.refused("operator_unavailable", calls=HONEST)


# XD-13: no


def test_xd_13_no_is_first_and_ends_it(crossing):
    crossing.show()
    address = crossing.address()
    page = text_of(crossing.phone.client.get(address))
    assert page.index("No, that's not me") < page.index("Yes, it's me")
    assert re.findall(r'<button class="([\w-]+)" name="answer" value="(\w+)"', page) == [
        ("numverify-second", "no"),
        ("numverify-second", "yes"),
    ]
    said = crossing.answer(address, "no")

    assert "You said no" in text_of(said)
    assert (crossing.row.status, crossing.status()) == ("declined", "declined")
    assert "The phone said no. Nobody was logged in." in text_of(crossing.desktop.client.get(SHOW))
    assert crossing.answer(address).status_code == 410
    crossing.trial.nothing()


def test_xd_13_no_after_the_proof_makes_the_code_worthless(crossing):
    code = crossing.cross()
    said = crossing.answer(crossing.address(), "no")
    crossing.type(code)

    assert crossing.desktop.user_id is None
    assert crossing.row.status == "declined"
    crossing.trial.responses.append(said)
    crossing.trial.expected.append(("unavailable", "access_denied"))
    crossing.trial.calls = HONEST
    crossing.trial.check_page = lambda: None  # the page is no failure's: the person said so


def test_xd_13_no_while_the_operator_is_asked_costs_nothing(crossing):
    crossing.show()
    address = crossing.address()
    callback = crossing.callback(address)
    crossing.answer(address, "no")
    page = crossing.phone.client.get(callback)

    assert page.status_code == 410
    crossing.trial.expected.append(("unavailable", "access_denied"))
    crossing.trial.calls = ["discovery"]
    crossing.trial.check_page = lambda: None


# XD-14: somebody is logged in on the desktop


def test_xd_14_number_of_another_account_is_refused(crossing):
    user = account(crossing.trial, OTHER, "a")
    account(crossing.trial, NUMBER, "b")
    sign_in(crossing.trial, crossing.desktop, user)
    page = crossing.type(crossing.cross())

    assert crossing.desktop.user_id == str(user.pk)
    assert "We couldn't confirm it's you" in text_of(page)
    assert not crossing.desktop.client.session["numverify"].get("proof")
    crossing.trial.check_nobody_is_logged_in = lambda: None
    crossing.trial.device = "desktop"
    crossing.trial.refused("user_mismatch", calls=HONEST)


def test_xd_14_unknown_number_is_not_given_to_who_is_logged_in(crossing):
    user = make_user("a")
    sign_in(crossing.trial, crossing.desktop, user)
    crossing.type(crossing.cross())

    assert not VerifiedNumber.objects.exists()
    assert crossing.desktop.user_id == str(user.pk)
    crossing.trial.check_nobody_is_logged_in = lambda: None
    crossing.trial.device = "desktop"
    crossing.trial.refused("user_mismatch", calls=HONEST)


def test_xd_14_own_number_confirms_who_is_logged_in(crossing):
    user = account(crossing.trial, is_staff=True)
    sign_in(crossing.trial, crossing.desktop, user)
    before = crossing.desktop.client.session.session_key
    assert crossing.type(crossing.cross(number="", next="/payment/"))["Location"] == "/payment/"

    assert crossing.desktop.client.session.session_key != before
    assert crossing.desktop.client.get("/payment/").content == b"paid"
    get_user_model().objects.update(is_staff=False)
    crossing.trial.verified()


def test_xd_14_staff_is_refused_on_the_desktop(crossing):
    account(crossing.trial, is_staff=True)
    page = crossing.type(crossing.cross())
    assert NOT_CONFIRMED in text_of(page)
    crossing.trial.users = users()
    get_user_model().objects.update(is_staff=False)
    crossing.trial.device = "desktop"
    crossing.trial.refused("staff_refused", calls=HONEST)


def test_xd_14_unknown_number_is_refused_with_the_same_page(crossing):
    crossing.trial.configure(site={"UNKNOWN_NUMBER": "deny"})
    page = crossing.type(crossing.cross())
    assert NOT_CONFIRMED in text_of(page)
    crossing.trial.configure()
    crossing.trial.device = "desktop"
    crossing.trial.refused("account_unknown", calls=HONEST)


@pytest.mark.urls(__name__)
def test_xd_14_policy_sees_the_desktop_and_may_send_it_elsewhere_first(crossing):
    seen = []

    def policy(request, user, attempt):
        seen.append(request.session.session_key)
        return "/second/"

    crossing.trial.configure(site={"LOGIN_POLICY": policy})
    code = crossing.cross(next="/home/")
    key = crossing.desktop.client.session.session_key
    response = crossing.type(code)

    assert (response["Location"], seen) == ("/second/?next=%2Fhome%2F", [key])
    assert crossing.desktop.user_id is None
    assert crossing.desktop.client.get("/second/")["Location"] == "/home/"
    crossing.trial.configure()
    crossing.trial.verified()


# XD-15: polling


@pytest.mark.usefixtures("everywhere")
def test_xd_15_every_stranger_gets_the_same_answer(crossing):
    crossing.show()
    strangers = [Visitor(crossing.trial.responses), crossing.phone, Visitor(crossing.trial.responses)]
    crossing.show(desktop=strangers[2])
    QrLogin.objects.filter(pk=crossing.row.pk).update(expires_at=timezone.now())
    crossing.address(strangers[2])
    answers = [stranger.client.get(STATUS) for stranger in strangers]

    assert [answer.json() for answer in answers] == [NOBODY] * 3
    assert {answer.status_code for answer in answers} == {200}
    assert crossing.desktop.client.get(STATUS).json().keys() == NOBODY.keys()
    crossing.trial.nothing()


def test_xd_15_status_follows_the_phone(crossing):
    crossing.show()
    address = crossing.address()
    told = [crossing.status()]
    callback = crossing.callback(address)
    told.append(crossing.status())
    code = crossing.code(crossing.phone.come_back(callback))
    told.append(crossing.status())
    crossing.type(code)

    assert told == ["waiting", "opened", "code"]
    crossing.trial.verified()


def test_xd_15_polls_are_limited_and_cost_the_desktop_nothing_else(crossing, monkeypatch):
    monkeypatch.setattr(views, "POLLS", (3, 60))
    code = crossing.cross()
    answers = [crossing.desktop.client.get(STATUS) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert (answers[4].json().keys(), answers[4]["Retry-After"]) == (NOBODY.keys(), "60")
    assert crossing.type(code).status_code == 302
    crossing.trial.verified()


def test_xd_15_poll_without_a_session_makes_none(crossing):
    stranger = RecordingClient(crossing.trial.responses)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "add", lambda *args: pytest.fail("a stranger is counted"))
        answer = stranger.get(STATUS)
    assert (answer.json(), answer.cookies) == (NOBODY, {})
    assert stranger.head(STATUS).status_code == 200
    assert stranger.post(STATUS).status_code == 405
    crossing.trial.nothing()


# XD-16: floods


def test_xd_16_qr_codes_of_one_browser_are_limited(crossing):
    crossing.trial.configure(site={"RATE_LIMITS": {"session": [2, 600]}})
    pages = [crossing.show(number=f"600 000 00{n}") for n in (1, 3, 5)]
    crossing.trial.operator.secrets += ["600000003", "600 000 003", "600000005", "600 000 005"]
    assert [page.status_code for page in pages] == [200, 200, 429]
    assert pages[2]["Retry-After"] == "600"
    renewed = crossing.desktop.client.post(SHOW, {"renew": "yes"})
    assert renewed.status_code == 429
    crossing.trial.nothing()


def test_xd_16_qr_codes_of_one_number_are_limited_in_all_browsers(crossing):
    crossing.trial.configure(site={"RATE_LIMITS": {"number_address": [2, 600]}})
    pages = [crossing.show(desktop=Visitor(crossing.trial.responses)) for _ in range(3)]
    assert [page.status_code for page in pages] == [200, 200, 429]
    crossing.trial.configure()
    crossing.trial.nothing()


def test_xd_16_address_is_limited_where_the_site_says_so(crossing):
    crossing.trial.configure(site={"RATE_LIMITS": {"address": [1, 600]}})
    pages = [crossing.show(desktop=Visitor(crossing.trial.responses)) for _ in range(2)]
    assert [page.status_code for page in pages] == [200, 429]
    crossing.trial.configure()
    crossing.trial.nothing()


def test_xd_16_operator_hears_nothing_before_the_phone_says_yes(crossing):
    for _ in range(5):
        crossing.show()
        crossing.phone.client.get(crossing.address())
        crossing.status()
    assert crossing.trial.operator.received == []
    crossing.trial.nothing()


def test_xd_16_phone_over_its_limit_is_led_back_to_the_qr_code(crossing):
    crossing.trial.configure(site={"RATE_LIMITS": {"session": [1, 600]}})
    crossing.show()
    address = crossing.address()
    crossing.answer(address)
    page = crossing.answer(address)

    assert (page.status_code, f'href="{address}">Try again' in text_of(page)) == (429, True)
    crossing.trial.configure()
    crossing.trial.expected.append(("pending", ""))
    crossing.trial.calls = ["discovery"]


def test_xd_16_dead_operator_is_told_before_there_is_a_qr_code(crossing):
    for _ in range(5):
        crossing.trial.operator.discovery = lambda *asked: Reply({}, status=503)
        crossing.desktop.start()
    before = QrLogin.objects.count()
    page = crossing.show()
    assert (page.status_code, QrLogin.objects.count(), before) == (503, 0, 0)
    for row in VerificationAttempt.objects.all():
        crossing.trial.expected.append((row.outcome, row.reason))
    crossing.trial.calls = ["discovery"] * 5
    cache.clear()


def test_xd_16_second_yes_makes_the_first_attempt_worthless(crossing):
    crossing.show()
    address = crossing.address()
    first, second = crossing.callback(address), crossing.callback(address)
    assert crossing.phone.client.get(first)["Location"] == address
    crossing.type(crossing.code(crossing.phone.come_back(second)))
    crossing.trial.expected.append(("abandoned", "cancelled"))
    crossing.trial.verified(HONEST)


def test_xd_16_yes_again_while_the_operator_answers_is_not_what_proved_it(crossing, monkeypatch):
    crossing.show()
    address, randbelow = crossing.address(), secrets.randbelow
    callback = crossing.callback(address)

    def press_again(limit):  # at the last moment: the code is being made
        monkeypatch.setattr(secrets, "randbelow", randbelow)
        crossing.trial.callbacks.append(crossing.phone.visit_operator(crossing.answer(address)))
        return randbelow(limit)

    monkeypatch.setattr(secrets, "randbelow", press_again)
    crossing.type(crossing.code(crossing.phone.come_back(callback)))
    second = crossing.trial.callbacks.pop()
    assert crossing.phone.client.get(second)["Location"] == address

    crossing.trial.verified()
    crossing.trial.expected.append(("abandoned", "cancelled"))


# XD-17: what the QR code says


def test_xd_17_qr_code_is_an_address_of_this_site_and_nothing_else(crossing):
    page = crossing.desktop.client.post(
        SHOW, {"phone_number": TYPED, "operation": "verify"}, headers={"user-agent": FIREFOX}, secure=True
    )
    page = crossing.desktop.client.get(page["Location"], secure=True)
    address = crossing.address()
    token = address.removeprefix(SHOW).removesuffix("/")

    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", token)  # 256 bits
    assert str(picture.svg(f"https://{HOST}{address}")) in page.content.decode()
    assert not any(char in address for char in "?#&=%")
    assert "600" not in token or NUMBER[1:] not in token
    crossing.trial.nothing()


def test_xd_17_page_of_the_desktop_has_the_token_in_no_text(crossing):
    page = crossing.show()
    assert crossing.address().removeprefix(SHOW).strip("/") not in page.content.decode()
    assert "style=" not in page.content.decode()
    crossing.trial.nothing()


def test_xd_17_tokens_are_never_the_same(crossing):
    seen = set()
    for _ in range(10):
        crossing.show()
        seen.add(crossing.address())
    assert len(seen) == 10
    crossing.trial.nothing()


def test_xd_17_host_of_the_operators_redirect_uri_wins(crossing):
    crossing.trial.configure(REDIRECT_URI="https://site.example/numverify/callback/")
    page = crossing.show()
    assert str(picture.svg(f"https://site.example{crossing.address()}")) in page.content.decode()
    crossing.trial.configure()
    crossing.trial.nothing()


def test_xd_17_site_that_takes_any_host_shows_none(crossing, settings):
    settings.ALLOWED_HOSTS = ["*"]
    page = crossing.show()
    assert (page.status_code, QrLogin.objects.count()) == (503, 0)
    settings.ALLOWED_HOSTS = [HOST]
    crossing.trial.nothing()


def test_xd_17_plain_http_shows_none(crossing, settings):
    settings.ALLOWED_HOSTS = [HOST, "site.example"]
    page = crossing.desktop.client.post(
        SHOW, {"phone_number": TYPED, "operation": "verify"}, headers={"host": "site.example"}
    )
    assert (page.status_code, QrLogin.objects.count()) == (503, 0)
    crossing.trial.nothing()


# XD-18: the token in logs


def test_xd_18_views_are_marked_as_all_of_ours(crossing):
    """Whoever is not logged in reaches them, and a missing CSRF token is answered with our page, which logs no path."""
    marked = [resolve(path).func for path in (SHOW, FINISH, STATUS, f"{SHOW}token/")]
    assert [(view.login_required, view.csrf_exempt) for view in marked] == [(False, True)] * 4
    crossing.trial.nothing()


@pytest.mark.usefixtures("everywhere")
def test_xd_18_token_is_useless_after_the_login(crossing):
    crossing.show()
    address = crossing.address()
    code = crossing.code(crossing.prove(address))
    crossing.type(code)
    thief = Visitor(crossing.trial.responses)

    assert thief.client.get(address).status_code == 410
    assert [crossing.answer(address, answer, thief).status_code for answer in ("yes", "no")] == [410, 410]
    assert [crossing.answer(address, answer).status_code for answer in ("yes", "no")] == [410, 410]
    assert thief.client.post(FINISH, {"code": code})["Location"] == "/numverify/login/"
    assert (thief.user_id, crossing.row.status) == (None, "finished")
    crossing.trial.verified()


@pytest.mark.parametrize("token", ["x", "a" * 43, "a" * 2000, "code", "status", "-", "_" * 43])
def test_xd_18_unknown_token_is_as_one_that_ended(crossing, token):
    crossing.show()
    ended = crossing.address()
    crossing.answer(ended, "no")
    pages = [crossing.phone.client.get(path) for path in (ended, f"{SHOW}{token}/")]
    if token not in ("code", "status"):
        assert {page.status_code for page in pages} == {410}
        assert text_of(pages[0]) == text_of(pages[1])
    crossing.trial.nothing()


def test_xd_18_token_is_kept_out_of_djangos_own_log(crossing):
    crossing.trial.configure(site={"RATE_LIMITS": {"session": [1, 600]}})
    crossing.show()
    address = crossing.address()
    crossing.answer(address)
    for _ in range(2):
        crossing.answer(address)
    crossing.phone.client.put(address)
    Visitor(crossing.trial.responses).client.get(address)
    RecordingClient(crossing.trial.responses, enforce_csrf_checks=True).post(address, {"answer": "yes"})
    crossing.trial.configure()
    crossing.trial.expected.append(("pending", ""))
    crossing.trial.calls = ["discovery"]
