"""BR: the browser, its session and cookies, and what other sites make it do."""

import html
import re
from datetime import timedelta
from importlib import import_module
from urllib.parse import urlencode, urljoin, urlsplit

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model, login
from django.core.cache import cache
from django.core.checks import run_checks
from django.db import connections
from django.http import HttpResponse, HttpResponseRedirect
from django.test import Client
from django.urls import path
from django.utils import timezone

from numverify_django import conf, session
from numverify_django.decorators import number_verified_required
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber

from ..conftest import Page
from ..urls import urlpatterns as pages
from .conftest import (
    AGAIN,
    HONEST,
    HOST,
    NUMBER,
    SHARED,
    TYPED,
    RecordingClient,
    Visitor,
    error_of,
    make_user,
    newcomer,
    params_of,
    users,
)
from .operator import Reply

LOGIN, CALLBACK, FILL, FAILED = (f"/numverify/{name}/" for name in ("login", "callback", "fill", "failed"))
OTHER, OTHER_TYPED = "+34600000002", "600 000 002"
NOT_OPEN, NOT_CONFIRMED = "This login is no longer open", "We couldn't log you in with this number"
CSRF = "django.middleware.csrf.CsrfViewMiddleware"
PASSWORD = "django.contrib.auth.backends.ModelBackend"


@number_verified_required(max_age=300)
def guarded(request, anything):
    return HttpResponse("paid")


def second_factor(request):
    """Complete the login that waits."""
    user = session.complete_login(request)
    return HttpResponseRedirect("/home/") if user else HttpResponse("Too late", status=403)


def log_victim_in(request):
    """Log in somebody else in this browser, by another way."""
    login(request, get_user_model().objects.get(username="victim"), PASSWORD)
    return HttpResponse("in")


urlpatterns = [
    path("second/", second_factor),
    path("victim/", log_victim_in),
    *pages,
    path("<path:anything>/payment/", guarded),
]


def account(trial, number=OTHER, **facts):
    """Make an account that proved ``number`` before; return it."""
    user = make_user("known", **facts)
    VerifiedNumber.objects.enrol(user, PhoneNumber(number), conf.get().operators[0].name)
    trial.users = users()
    return user


def put_in(trial, number):
    """Put the SIM with ``number`` into the phone; it is as secret as the other."""
    trial.operator.sim = number
    digits = number.removeprefix("+34")
    trial.operator.secrets += [digits, f"{digits[:3]} {digits[3:6]} {digits[6:]}"]


def strict(trial):
    """Give the visitor a browser whose forms are checked; return its token."""
    trial.visitor.client = RecordingClient(trial.responses, enforce_csrf_checks=True)
    trial.visitor.client.get(LOGIN)
    return trial.visitor.client.cookies["csrftoken"].value


def age_proof(visitor, seconds=1000):
    """Make what the visitor proved older."""
    stored = visitor.client.session
    stored["numverify"]["proof"]["at"] -= seconds
    stored.save()


# BR-01: starting by opening a page

FORM = {"phone_number": "600 000 009", "operation": "verify", "next": "/home/"}
IMAGE = {"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image", "Sec-Fetch-Site": "cross-site"}
PREFETCH = {"Sec-Purpose": "prefetch;prerender", "Purpose": "prefetch", "X-Moz": "prefetch"}
FRAME = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
OPENERS = {"link": {}, "image": IMAGE, "prefetch": PREFETCH, "frame": FRAME, "crawler": {"User-Agent": "Googlebot/2.1"}}


@pytest.mark.usefixtures("everywhere")
def test_br_01_opening_the_login_page_starts_nothing(trial):
    for name, headers in OPENERS.items():
        for method in ("get", "head"):
            response = getattr(trial.visitor.client, method)(LOGIN, FORM, headers=headers)
            assert (response.status_code, "Location" in response) == (200, False), name
            assert "sessionid" not in response.cookies, name
    trial.nothing()


@pytest.mark.parametrize("method", ["get", "head", "options", "put", "patch", "delete", "trace"])
def test_br_01_no_other_method_fills_a_form(trial, method):
    trial.configure(OPERATION="share")
    for headers in OPENERS.values():
        response = trial.visitor.client.generic(method.upper(), f"{FILL}?next=/filled/", headers=headers)
        assert response.status_code == 405
    trial.nothing()


@pytest.mark.parametrize("name", ["Sec-Purpose", "Purpose"])
def test_br_01_prefetch_of_the_callback_spends_nothing(trial, name):
    callback = trial.begin()
    answer = trial.visitor.client.get(callback, headers={name: "prefetch;prerender"})
    assert (answer.status_code, trial.operator.hops) == (400, ["discovery"])

    trial.come_back(callback)
    trial.verified()


REPEATED = ["phone_number", "next", "operation", "operator", "retry"]


@pytest.mark.parametrize("name", REPEATED)
def test_form_with_a_field_twice_starts_nothing(trial, name):
    trial.configure(OPERATION="share")
    for values in (["", ""], ["600 000 009", "600 000 001"]):
        assert trial.visitor.client.post(LOGIN, FORM | {name: values}).status_code == 400
    assert trial.visitor.client.post(FILL, {"next": ["/filled/", "/home/"]}).status_code == 400
    trial.nothing()


def test_br_01_link_of_another_site_starts_no_step_up(trial):
    trial.log_in()
    age_proof(trial.visitor)
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    answer = trial.visitor.client.get("/payment/", headers=headers)

    assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?next=%2Fpayment%2F&confirm=yes")
    trial.verified()


@pytest.mark.parametrize("method", ["options", "put", "patch", "delete", "trace", "propfind"])
def test_br_01_no_other_method_starts_a_login(trial, method):
    body = {"data": urlencode(FORM), "content_type": "application/x-www-form-urlencoded"}
    assert trial.visitor.client.generic(method.upper(), LOGIN, **body).status_code == 405
    trial.nothing()


def test_br_01_get_that_calls_itself_a_post_starts_nothing(trial):
    body = {"data": urlencode(FORM), "content_type": "application/x-www-form-urlencoded"}
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        query = urlencode({"_method": "POST", "method": "POST", **FORM})
        response = trial.visitor.client.generic("GET", f"{LOGIN}?{query}", headers={name: "POST"}, **body)
        assert response.status_code == 200
    trial.nothing()


def test_br_01_link_that_tries_again_starts_nothing(trial):
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    reference = VerificationAttempt.objects.get().reference_shown
    for method in ("get", "head"):
        assert getattr(trial.visitor.client, method)(LOGIN, {"retry": reference}).status_code == 200

    trial.responses.append(page)  # what the person ended on
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_br_01_subrequest_of_a_guarded_page_starts_no_step_up(trial):
    trial.log_in()
    age_proof(trial.visitor)
    cors = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    for headers in (IMAGE, PREFETCH, FRAME, cors):
        assert trial.visitor.client.get("/payment/", headers=headers).status_code == 403
    for method in ("head", "options", "post", "put", "delete"):
        answer = getattr(trial.visitor.client, method)("/payment/")
        back = "/payment/" if method in ("head", "options") else "/numverify/again/?next=%2Fpayment%2F"
        query = urlencode({"next": back, "confirm": "yes"})
        assert (answer.status_code, answer["Location"]) == (302, f"{LOGIN}?{query}")
    trial.verified()


# BR-02: forged forms


def expect_forged(response):
    """The page of a form that did not come from us."""
    assert response.status_code == 403
    assert NOT_OPEN in response.content.decode()
    assert "sessionid" not in response.cookies


@pytest.mark.usefixtures("everywhere")
def test_br_02_forged_start_is_refused(trial):
    token = strict(trial)
    expect_forged(trial.visitor.client.post(LOGIN, FORM))
    for origin in ("https://evil.example", "null"):
        headers = {"Origin": origin}
        expect_forged(trial.visitor.client.post(LOGIN, FORM | {"csrfmiddlewaretoken": token}, headers=headers))
    trial.nothing()


ORIGINS = [
    "http://127.0.0.1:8001",
    "https://127.0.0.1",
    "http://sub.127.0.0.1",
    "http://127.0.0.1.evil.example",
    "http://127.0.0.1@evil.example",
    "http://127.0.0.1/",
    "http://localhost",
    "file://",
    "http://[::1",
    "\u202e",
    "",
]
TOKENS = [{}, {"csrfmiddlewaretoken": ""}, {"csrfmiddlewaretoken": "x" * 64}, {"csrfmiddlewaretoken": "x" * 100_000}]


@pytest.mark.parametrize("without", [[], [CSRF]], ids=["with middleware", "without"])
@pytest.mark.parametrize("where", [LOGIN, FILL])
def test_br_02_no_form_of_another_origin_is_accepted(trial, settings, where, without):
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if name not in without]
    trial.configure(OPERATION="share")
    own = {"csrfmiddlewaretoken": strict(trial)}
    stranger = RecordingClient(trial.responses, enforce_csrf_checks=True)
    stranger.get(LOGIN)
    foreign = {"csrfmiddlewaretoken": stranger.cookies["csrftoken"].value}

    for origin in filter(None, ORIGINS):
        expect_forged(trial.visitor.client.post(where, FORM | own, headers={"Origin": origin}))
    for token in (*TOKENS, foreign):
        expect_forged(trial.visitor.client.post(where, FORM | token))
    trial.nothing()


def test_br_02_token_elsewhere_than_in_the_form_is_none(trial):
    token = strict(trial)
    client = trial.visitor.client

    expect_forged(client.post(f"{LOGIN}?csrfmiddlewaretoken={token}", FORM))
    body = urlencode(FORM | {"csrfmiddlewaretoken": token})
    for kind in ("text/plain", "application/json", "application/octet-stream", "application/xml"):
        expect_forged(client.post(LOGIN, body, content_type=kind))
    expect_forged(client.post(LOGIN, FORM | {"csrfmiddlewaretoken": token[::-1]}))
    del client.cookies["csrftoken"]
    expect_forged(client.post(LOGIN, FORM | {"csrfmiddlewaretoken": token}))
    trial.nothing()


@pytest.mark.parametrize("referer", [None, "https://evil.example/", "http://127.0.0.1/", "https://127.0.0.1.evil/", ""])
def test_br_02_form_over_https_needs_a_referer_of_ours(trial, referer):
    token = strict(trial)
    headers = {} if referer is None else {"Referer": referer}
    expect_forged(trial.visitor.client.post(LOGIN, FORM | {"csrfmiddlewaretoken": token}, headers=headers, secure=True))
    trial.nothing()


def test_br_02_forged_retry_spends_no_kept_number(trial):
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    cookies = trial.visitor.client.cookies
    strict(trial)
    trial.visitor.client.cookies = cookies
    reference = VerificationAttempt.objects.get().reference_shown
    expect_forged(trial.visitor.client.post(LOGIN, {"retry": reference}, headers={"Origin": "https://evil.example"}))

    trial.responses.append(page)
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_br_02_own_form_is_accepted(trial):
    token = strict(trial)
    trial.log_in(csrfmiddlewaretoken=token)
    trial.verified()


# BR-03: planted sessions


def plant(trial):
    """Let an attacker get a session, and the visitor's browser use it; return the attacker and the session's key."""
    attacker = Visitor(trial.responses)
    attacker.client.session.save()
    key = attacker.client.cookies["sessionid"].value
    trial.visitor.client.cookies["sessionid"] = key
    return attacker, key


def is_alive(key):
    """Tell whether the server still knows the session called ``key``."""
    return import_module(django_settings.SESSION_ENGINE).SessionStore().exists(key)


@pytest.mark.usefixtures("everywhere")
def test_br_03_planted_session_is_dead_after_the_login(trial):
    attacker, key = plant(trial)
    callback = trial.begin()
    key = trial.visitor.client.cookies["sessionid"].value  # as the attacker may have taken it in the middle
    attacker.client.cookies["sessionid"] = key
    trial.come_back(callback)

    assert trial.visitor.client.cookies["sessionid"].value != key
    assert not is_alive(key)
    assert attacker.client.get("/home/").content == b"user None"
    assert attacker.client.get("/payment/").status_code == 302
    trial.verified()


@pytest.mark.parametrize("key", ["a" * 32, "abcdefghijklmnopqrstuvwxyz012345", "x", "' OR 1=1 --", "../../etc/passwd"])
def test_br_03_key_of_the_attackers_choice_is_not_adopted(trial, key):
    trial.visitor.client.cookies["sessionid"] = key
    callback = trial.begin()
    assert trial.visitor.client.cookies["sessionid"].value != key
    trial.come_back(callback)

    assert not is_alive(key)
    trial.verified()


def test_br_03_session_that_was_stolen_before_a_step_up_is_dead_after_it(trial):
    trial.log_in()
    age_proof(trial.visitor)
    thief = Visitor(trial.responses)
    thief.client.cookies["sessionid"] = trial.visitor.client.cookies["sessionid"].value
    trial.log_in(number="")

    assert trial.visitor.client.get("/payment/").content == b"paid"
    assert thief.client.get("/home/").content == b"user None"
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


@pytest.mark.urls(__name__)
def test_br_03_planted_session_is_dead_before_and_after_a_second_factor(trial):
    trial.configure(site={"LOGIN_POLICY": lambda request, user, attempt: "/second/"})
    attacker, key = plant(trial)
    trial.visitor.client.get(trial.begin())
    assert not is_alive(key)
    assert attacker.client.get("/second/").status_code == 403
    waiting = attacker.client.cookies["sessionid"] = trial.visitor.client.cookies["sessionid"].value
    trial.visitor.client.get("/second/")

    assert not is_alive(waiting)
    assert attacker.client.get("/home/").content == b"user None"
    trial.configure()
    trial.verified()


@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_br_03_planted_session_is_not_told_the_number_that_fills_a_form(trial, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    trial.configure(OPERATION="share")
    victim, attacker = Visitor([]), Visitor(trial.responses)
    attacker.client.session.save()
    victim.client.cookies["sessionid"] = attacker.client.cookies["sessionid"].value
    callback = victim.visit_operator(victim.client.post(FILL, {"next": "/filled/"}))
    assert victim.come_back(callback).content.decode() == NUMBER

    assert attacker.client.get("/filled/").content == b""
    trial.log_in()
    trial.verified()
    trial.verified([*SHARED, *AGAIN])


def hold(trial):
    """Prove the number, and be sent to the second factor."""
    trial.configure(site={"LOGIN_POLICY": lambda request, user, attempt: "/second/"})
    answer = trial.visitor.client.get(trial.begin())
    assert answer["Location"].startswith("/second/")


CHANGES = {
    "number unlinked": lambda: VerifiedNumber.objects.all().delete(),
    "number moved": lambda: VerifiedNumber.objects.update(user=get_user_model().objects.get(username="bystander")),
    "number ported": lambda: VerifiedNumber.objects.update(operator="another"),
    "promoted": lambda: get_user_model().objects.exclude(username="bystander").update(is_staff=True),
}


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_held_login_is_not_completed_once_it_would_be_refused(trial, change):
    hold(trial)
    kept = [*VerifiedNumber.objects.all(), *get_user_model().objects.all()]
    change()
    assert trial.visitor.client.get("/second/").status_code == 403
    assert trial.visitor.user_id is None

    for record in kept:
        record.save()
    assert trial.visitor.client.get("/second/").status_code == 302
    trial.configure()
    trial.verified()


@pytest.mark.urls(__name__)
def test_br_05_held_login_does_not_swap_whoever_logged_in_meanwhile(trial):
    victim = make_user("victim")
    trial.users, trial.others = users(), {str(victim.pk)}
    hold(trial)
    trial.visitor.client.post("/victim/")
    assert trial.visitor.client.get("/second/").status_code == 403
    assert trial.visitor.user_id == str(victim.pk)
    trial.configure()
    trial.verified()


# BR-05: another account than the one that is logged in


def expect_unchanged(trial, before):
    """The visitor is still who they were, by what they proved, and the other account was not touched."""
    assert (dict(trial.visitor.client.session), VerifiedNumber.objects.values().get(number=OTHER)) == before


def state_of(trial):
    return dict(trial.visitor.client.session), VerifiedNumber.objects.values().get(number=OTHER)


@pytest.mark.usefixtures("everywhere")
def test_br_05_number_of_another_account_confirms_nobody(trial):
    account(trial)
    trial.log_in()
    put_in(trial, OTHER)
    callback = trial.begin(number=OTHER_TYPED)
    before, user_id = state_of(trial), trial.visitor.user_id
    trial.come_back(callback)

    expect_unchanged(trial, before)
    assert trial.visitor.user_id == user_id
    assert get_user_model().objects.count() == 3  # with the bystander
    trial.verified()
    trial.refused("user_mismatch", calls=[*HONEST, *AGAIN])


@pytest.mark.usefixtures("everywhere")
def test_br_05_second_tab_that_proves_another_account_is_denied(trial):
    account(trial)
    theirs, own = trial.begin(number=OTHER_TYPED), trial.begin()
    trial.come_back(own)
    before, user_id = state_of(trial), trial.visitor.user_id
    put_in(trial, OTHER)
    trial.come_back(theirs)

    expect_unchanged(trial, before)
    assert trial.visitor.user_id == user_id
    assert trial.visitor.client.get("/payment/").content == b"paid"
    trial.responses.pop()
    trial.expected.append(("refused", "user_mismatch"))
    trial.verified([*HONEST, *AGAIN])


def test_br_05_second_tab_that_proves_a_new_number_makes_no_account(trial):
    new, own = trial.begin(number=OTHER_TYPED), trial.begin()
    trial.come_back(own)
    put_in(trial, OTHER)
    trial.come_back(new)

    assert get_user_model().objects.count() == 2
    assert list(VerifiedNumber.objects.values_list("number", flat=True)) == [NUMBER]
    trial.expected.append(("refused", "user_mismatch"))
    trial.verified([*HONEST, *AGAIN])


@pytest.mark.parametrize("typed", ["", OTHER_TYPED])
def test_br_05_account_by_password_does_not_become_the_one_of_the_sim(trial, typed):
    trial.configure(OPERATION="share")
    account(trial)
    put_in(trial, OTHER)
    other, somebody = Visitor(trial.responses), make_user("somebody")
    trial.users = users()
    other.client.force_login(somebody, PASSWORD)
    key = other.client.session.session_key
    other.come_back(other.visit_operator(other.start(typed)))

    assert (other.user_id, other.client.session.session_key) == (str(somebody.pk), key)
    assert not somebody.verified_numbers.exists()
    assert other.client.get("/payment/").status_code == 302
    trial.operator.sim = NUMBER
    trial.log_in()
    trial.expected.append(("refused", "user_mismatch"))
    trial.verified([*(HONEST if typed else SHARED), *AGAIN])


@pytest.mark.usefixtures("everywhere")
def test_br_05_password_login_in_between_is_not_swapped(trial):
    account(trial)
    put_in(trial, OTHER)
    other, somebody = Visitor(trial.responses), make_user("somebody")
    trial.users = users()
    callback = other.visit_operator(other.start(OTHER_TYPED))
    other.client.force_login(somebody, PASSWORD)
    other.come_back(callback)

    assert other.user_id == str(somebody.pk)
    assert "proof" not in other.client.session.get("numverify", {})
    trial.operator.sim = NUMBER
    trial.log_in()
    outcome = VerificationAttempt.objects.earliest("pk")
    trial.expected.append((outcome.outcome, outcome.reason))
    assert trial.expected[0] in (("refused", "user_mismatch"), ("pending", ""))
    trial.verified([*HONEST, *AGAIN] if outcome.is_over else HONEST)


def test_br_05_step_up_of_the_account_before_is_no_login_of_the_next(trial):
    account(trial)
    trial.log_in()
    age_proof(trial.visitor)
    callback = trial.visitor.visit_operator(trial.visitor.start(""))
    trial.visitor.client.logout()
    put_in(trial, OTHER)
    trial.log_in(number=OTHER_TYPED)
    user_id = trial.visitor.user_id

    answer = trial.visitor.client.get(callback)
    assert (answer.status_code, "This check is no longer open" in answer.content.decode()) == (400, True)
    assert trial.visitor.user_id == user_id
    trial.callbacks.pop(0)  # of a session that is over: the stranger's page, as above
    trial.verified()
    trial.expected.append(("pending", ""))
    trial.verified([*HONEST, *AGAIN])


# BR-06: where a login leads

EVIL = {
    "no scheme": "//evil.example/",
    "backslash": "/\\evil.example/",
    "scheme without slashes": "https:evil.example",
    "user": "http://127.0.0.1@evil.example/",
    "script": "javascript:alert(1)",
    "control character": "\x08//evil.example/",
    "tab inside": "/\t/evil.example/",
    "upper case": "HTTPS://EVIL.EXAMPLE/",
    "resembling host": "http://127.0.0.1.evil.example/",
    "encoded line break": "https://evil.example/%0d%0aSet-Cookie:%20a=b",
    "line break": "//evil.example\r\nSet-Cookie: a=b",
}
MORE_EVIL = {
    "three slashes": "///evil.example/",
    "four slashes": "////evil.example/",
    "scheme and three slashes": "http:///evil.example/",
    "backslashes": "\\\\evil.example/",
    "mixed": "/\\/evil.example/",
    "scheme and backslash": "https:\\evil.example/",
    "one slash": "https:/evil.example/",
    "data": "data:text/html,<script>alert(1)</script>",
    "script in upper case": " JaVaScRiPt:alert(1)",
    "script after a tab": "java\tscript:alert(1)",
    "blob": "blob:http://127.0.0.1/x",
    "port": "http://127.0.0.1:81/",
    "brackets": "http://[::1",
    "wide dot": "http://127.0.0.1\u3002evil.example/",
    "wide slashes": "\uff0f\uff0fevil.example/",
    "blank before": " //evil.example/",
    "line separator before": "\u2028//evil.example/",
    "direction mark before": "\u202e//evil.example/",
    "zero width before": "\u200b//evil.example/",
    "endless": f"/{'a' * 100_000}",
    "user and password": "http://127.0.0.1:80@evil.example/",
    "fragment": "http://evil.example#@127.0.0.1/",
    "question mark": "http://evil.example?@127.0.0.1/",
    "ftp": "ftp://127.0.0.1/",
}


@pytest.mark.parametrize("elsewhere", EVIL.values(), ids=EVIL)
def test_br_06_next_never_leaves_the_site(trial, elsewhere):
    callback = trial.begin(next=elsewhere)
    answer = trial.visitor.client.get(callback)

    assert answer["Location"] == "/home/"
    assert set(answer.cookies) <= {"sessionid", "csrftoken"}
    trial.verified()


def leads_within(location):
    """Tell whether every browser stays on this site when it is sent to ``location`` by the callback."""
    plain = re.fullmatch(r"(?![/\\]{2})[\x21-\x7e]+", location) is not None
    return plain and urlsplit(urljoin("http://127.0.0.1/numverify/callback/", location)).netloc == "127.0.0.1"


def test_br_06_no_other_next_leaves_the_site(trial):
    strange = ("wide slashes", "line separator before", "direction mark before", "zero width before")
    for number, (name, elsewhere) in enumerate(MORE_EVIL.items(), 1):
        visitor = trial.visitor if number == len(MORE_EVIL) else newcomer(number, trial.responses)
        answer = visitor.client.get(visitor.visit_operator(visitor.start(next=elsewhere)))
        if name in strange:  # a relative path, once it is encoded
            assert leads_within(answer["Location"]), name
        else:
            assert answer["Location"] == "/home/", name
        trial.verified([*HONEST, *AGAIN * (number - 1)])


@pytest.mark.parametrize(
    ("given", "location"),
    [
        ("/a/%0d%0aSet-Cookie:%20a=b", "/a/%0d%0aSet-Cookie:%20a=b"),
        ("/a/\r\nSet-Cookie: a=b", "/a/%0D%0ASet-Cookie:%20a=b"),
        ("/a/?x=https://evil.example/#y", "/a/?x=https://evil.example/#y"),
        ("http://127.0.0.1/a/", "http://127.0.0.1/a/"),
    ],
    ids=repr,
)
def test_br_06_next_is_one_place_on_this_site_and_no_header(trial, given, location):
    answer = trial.visitor.client.get(trial.begin(next=given))

    assert answer["Location"] == location
    assert set(answer.cookies) <= {"sessionid", "csrftoken"}
    assert "Set-Cookie" not in answer.headers
    trial.verified()


def leads_elsewhere(response):
    """Return the addresses on a page that lead to the evil site."""
    bare = [re.sub(r"[\s\x00-\x1f]", "", address) for address in Page(response).addresses()]
    found = [address for address in bare if urlsplit(address.replace("\\", "/")).netloc not in ("", "127.0.0.1")]
    return [*found, *(address for address in bare if re.match("(?i)(javascript|data|vbscript):", address))]


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "javascript:alert(1)", "//evil.example/"])
def test_br_06_no_page_links_to_next_elsewhere(trial, elsewhere):
    trial.configure(OPERATION="share", site={"FALLBACK_URL": "/password/"})
    client = trial.visitor.client
    answers = [client.get(LOGIN, {"next": elsewhere}), client.post(LOGIN, {"phone_number": "1", "next": elsewhere})]
    answers += [client.post(LOGIN, {"retry": "K7Q-4MX2", "next": elsewhere})]
    for answer in answers:
        assert leads_elsewhere(answer) == []
        assert urlencode({"next": elsewhere}) not in html.unescape(answer.content.decode())
    page = trial.come_back(error_of(trial.begin(next=elsewhere), "login_required"))
    assert (leads_elsewhere(page), "evil.example" in page.content.decode()) == ([], False)

    trial.configure()
    client.get(page.wsgi_request.get_full_path())  # as every other case has it, for I12
    trial.refused("not_on_mobile_network", calls=["discovery"])


@pytest.mark.urls(__name__)
def test_br_06_second_factor_is_told_no_next_elsewhere(trial):
    trial.configure(site={"LOGIN_POLICY": lambda request, user, attempt: "/second/"})
    answer = trial.visitor.client.get(trial.begin(next="//evil.example/"))
    assert answer["Location"] == "/second/?next=%2Fhome%2F"

    trial.visitor.client.get("/second/")
    trial.configure()
    trial.verified()


def test_br_06_filled_form_is_no_way_out(trial):
    trial.configure(OPERATION="share")
    for number, evil in enumerate(EVIL.values(), 1):
        visitor = newcomer(number, trial.responses)
        callback = visitor.visit_operator(visitor.client.post(FILL, {"next": evil}))
        assert visitor.client.get(callback)["Location"] == "/home/"
        trial.expected.append(("verified", ""))
    trial.log_in()
    trial.verified([*SHARED, *["token", "share"] * (len(EVIL) - 1), *AGAIN])


@pytest.mark.parametrize("next_url", ["#top", "?x=1", ".", "members/"])
def test_br_06_relative_next_does_not_lead_back_to_the_callback(trial, next_url):
    callback = trial.begin(next=next_url)
    answer = trial.visitor.client.get(callback)

    assert not urljoin(f"http://{HOST}{callback}", answer["Location"]).startswith(f"http://{HOST}{CALLBACK}")
    trial.verified()


@pytest.mark.parametrize("answer", ["//evil.example/", "///evil.example/", "/\\evil.example/"])
def test_br_06_policy_that_names_another_host_refuses(trial, answer):
    trial.configure(site={"LOGIN_POLICY": lambda request, user, attempt: answer})
    trial.log_in()
    trial.configure()
    trial.refused("policy_refused", calls=HONEST)


@pytest.mark.urls(__name__)
def test_br_06_guarded_page_at_an_odd_path_is_no_way_out(trial):
    trial.log_in()
    for number, odd in enumerate(("//evil.example/payment/", "/\\evil.example/payment/", "///evil.example//payment/")):
        age_proof(trial.visitor)
        started = trial.visitor.client.get("/payment/", PATH_INFO=odd)
        answer = trial.visitor.client.get(trial.visitor.visit_operator(started))
        assert leads_within(answer["Location"]), odd
        trial.verified([*HONEST, *AGAIN * (number + 1)])
    trial.verified([*HONEST, *AGAIN * 3])


def test_br_06_guarded_page_keeps_its_own_query(trial):
    trial.log_in()
    age_proof(trial.visitor)
    callback = trial.visitor.visit_operator(trial.visitor.client.get("/payment/?x=//evil.example/"))
    assert trial.visitor.client.get(callback)["Location"] == "/payment/?x=//evil.example/"
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


def test_br_06_next_is_checked_at_use_as_well(trial, settings):
    settings.ALLOWED_HOSTS = ["127.0.0.1", "other.example"]
    trial.configure(REDIRECT_URI="http://127.0.0.1/numverify/callback/")
    form = {"phone_number": TYPED, "next": "http://other.example/home/"}
    callback = trial.visitor.visit_operator(trial.visitor.client.post(LOGIN, form, headers={"Host": "other.example"}))

    assert trial.visitor.client.get(callback)["Location"] == "/home/"
    trial.verified()


def test_br_06_next_over_http_is_none_where_the_site_is_https(trial):
    form = {"phone_number": TYPED, "next": "http://127.0.0.1/home/"}
    callback = trial.visitor.visit_operator(trial.visitor.client.post(LOGIN, form, secure=True))
    assert trial.visitor.client.get(callback, secure=True)["Location"] == "/home/"
    trial.verified()


# BR-09, BR-10, BR-25: every answer that we give


def every_answer(trial):
    """Go every way through our pages, with several browsers; return all answers by name."""
    trial.configure(OPERATION="share", site={"RATE_LIMITS": {"session": [3, 600], "number_address": None}})
    found, client = {}, trial.visitor.client
    found["login"], found["login, head"] = client.get(LOGIN), client.head(LOGIN)
    found["wrong method"] = client.put(LOGIN)
    found["wrong method of the callback"] = client.post(CALLBACK)
    found["form error"] = client.post(LOGIN, {"phone_number": "1"})
    found["forged"] = RecordingClient(trial.responses, enforce_csrf_checks=True).post(LOGIN, FORM)
    found["callback of nobody"] = client.get(CALLBACK)
    found["no such failure"] = client.get(FAILED, {"reference": "K7Q-4MX2"})
    found["fill by GET"] = client.get(FILL)
    failing = newcomer(1, trial.responses)
    callback = failing.visit_operator(failing.start())
    found["failed callback"] = failing.client.get(error_of(callback, "login_required"))
    found["failed"] = failing.client.get(found["failed callback"]["Location"])
    found["replay"] = failing.client.get(callback)
    filling = newcomer(2, trial.responses)
    found["fill"] = filling.client.post(FILL, {"next": "/filled/"})
    found["filled"] = filling.client.get(filling.visit_operator(found["fill"]))
    late = newcomer(3, trial.responses)
    callback = late.visit_operator(late.start())
    row = VerificationAttempt.objects.latest("pk")
    VerificationAttempt.objects.filter(pk=row.pk).update(expires_at=timezone.now())
    found["late"] = late.client.get(callback)
    found["start"] = trial.visitor.start()
    trial.callbacks.append(trial.visitor.visit_operator(found["start"]))
    found["callback"] = client.get(trial.callbacks[-1])
    found["replay, signed in"] = client.get(trial.callbacks[-1])
    found["login, signed in"] = client.get(LOGIN)
    age_proof(trial.visitor)
    found["script"] = client.get("/payment/", headers={"Sec-Fetch-Mode": "cors"})
    found["guarded form"] = client.post("/payment/")
    found["guarded page of nobody"] = newcomer(4, trial.responses).client.get("/payment/")
    found["step-up"] = client.get("/payment/")
    callback = trial.visitor.visit_operator(found["step-up"])
    found["failed step-up"] = client.get(error_of(callback, "access_denied"))
    found["failed, signed in"] = client.get(found["failed step-up"]["Location"])
    trial.visitor.start("")
    found["limited"], found["limited step-up"] = trial.visitor.start(""), client.get("/payment/")
    trial.configure(site={"REDIRECT_MODE": "interstitial"})
    found["moving on"] = newcomer(5, trial.responses).start()
    trial.configure(CLIENT_AUTH="nonsense")
    found["misconfigured"] = newcomer(6, trial.responses).start()
    trial.configure()
    trial.expected += [("unavailable", "not_on_mobile_network"), ("verified", ""), ("abandoned", "expired")]
    trial.expected += [("verified", ""), ("unavailable", "access_denied"), ("pending", ""), ("pending", "")]
    trial.calls = ["discovery", "token", "jwks", "share", *AGAIN]
    return found


STATUSES = {
    "login": 200,
    "login, head": 200,
    "wrong method": 405,
    "wrong method of the callback": 405,
    "form error": 400,
    "forged": 403,
    "callback of nobody": 400,
    "no such failure": 404,
    "fill by GET": 405,
    "failed callback": 302,
    "failed": 200,
    "replay": 410,
    "fill": 302,
    "filled": 302,
    "late": 410,
    "start": 302,
    "callback": 302,
    "replay, signed in": 409,
    "login, signed in": 200,
    "script": 403,
    "guarded form": 302,
    "guarded page of nobody": 302,
    "step-up": 302,
    "failed step-up": 302,
    "failed, signed in": 200,
    "limited": 429,
    "limited step-up": 429,
    "moving on": 200,
    "misconfigured": 503,
}
CLICKJACKING = "django.middleware.clickjacking.XFrameOptionsMiddleware"


@pytest.mark.parametrize("others", [[], [CLICKJACKING]], ids=["without middleware", "with a laxer one"])
def test_br_09_no_answer_may_be_framed(trial, settings, others):
    settings.MIDDLEWARE = [*others, *settings.MIDDLEWARE]
    settings.X_FRAME_OPTIONS = "SAMEORIGIN"
    answers = every_answer(trial)

    assert {name: answer.status_code for name, answer in answers.items()} == STATUSES
    assert {name for name, answer in answers.items() if answer["X-Frame-Options"] != "DENY"} == set()


def test_br_10_no_answer_is_kept_by_any_cache(trial, settings):
    middleware = "django.middleware.cache."
    settings.MIDDLEWARE = [
        f"{middleware}UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        f"{middleware}FetchFromCacheMiddleware",
    ]
    answers = every_answer(trial)

    assert {name: answer.status_code for name, answer in answers.items()} == STATUSES
    kept = [name for name, answer in answers.items() if not {"no-store", "private"} <= directives(answer)]
    assert kept == []


def directives(answer):
    """Return the directives of Cache-Control."""
    return set(answer["Cache-Control"].replace(" ", "").split(","))


def test_br_10_page_of_one_browser_is_not_served_to_another(trial, settings):
    middleware = "django.middleware.cache."
    settings.MIDDLEWARE = [
        f"{middleware}UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        f"{middleware}FetchFromCacheMiddleware",
    ]
    other = Visitor(trial.responses)
    tokens = [visitor.client.get(LOGIN).cookies["csrftoken"].value for visitor in (trial.visitor, other)]
    assert tokens[0] != tokens[1]
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    path_of_page = page.wsgi_request.get_full_path()
    assert "Turn Wi-Fi off" in page.content.decode()

    assert other.client.get(path_of_page).status_code == 404
    assert Visitor(trial.responses).client.get(path_of_page).status_code == 404
    trial.responses.append(trial.visitor.client.get(path_of_page))
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_br_10_callback_is_answered_by_the_site_and_not_by_a_cache(trial, settings):
    middleware = "django.middleware.cache."
    settings.MIDDLEWARE = [
        f"{middleware}UpdateCacheMiddleware",
        *settings.MIDDLEWARE,
        f"{middleware}FetchFromCacheMiddleware",
    ]
    callback = trial.begin()
    assert Visitor(trial.responses).client.get(callback).status_code == 400
    assert trial.visitor.client.get(callback).status_code == 302
    assert trial.visitor.client.get(callback).status_code == 409
    assert Visitor(trial.responses).client.get(callback).status_code == 400
    trial.verified()


def test_br_25_page_of_a_login_is_not_shown_after_logging_out(trial):
    trial.log_in()
    signed_in = [trial.visitor.client.get(LOGIN), trial.visitor.client.get(trial.callbacks[0])]
    assert all("no-store" in directives(page) for page in signed_in)
    assert "You're already logged in" in signed_in[0].content.decode()
    trial.visitor.client.logout()
    page = trial.visitor.client.get(LOGIN)

    assert "no-store" in directives(page)
    assert "Log in with your phone" in page.content.decode()
    assert trial.visitor.client.get("/payment/").status_code == 302
    assert "already logged in" not in trial.visitor.client.get(trial.callbacks.pop()).content.decode()
    trial.log_in()
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


def test_br_25_filled_number_is_gone_after_logging_out(trial):
    trial.configure(OPERATION="share")
    visitor = Visitor([])
    visitor.come_back(visitor.visit_operator(visitor.client.post(FILL, {"next": "/filled/"})))
    assert visitor.client.get("/filled/").content.decode() == NUMBER
    visitor.client.logout()

    assert visitor.client.get("/filled/").content == b""
    trial.log_in()
    trial.verified()
    trial.verified([*SHARED, *AGAIN])


# BR-11: what other sites are told of the callback


def test_br_11_no_answer_of_the_callback_tells_its_address(trial):
    answers = every_answer(trial)
    of_callback = {name for name, answer in answers.items() if answer.wsgi_request.path == CALLBACK}

    assert of_callback == {
        "wrong method of the callback",
        "callback of nobody",
        "failed callback",
        "replay",
        "filled",
        "late",
        "callback",
        "replay, signed in",
        "failed step-up",
    }
    assert {answers[name]["Referrer-Policy"] for name in of_callback} == {"no-referrer"}
    # Under no-referrer a browser posts a form with "Origin: null"; a page of a forged one has none.
    others = {name: answer["Referrer-Policy"] for name, answer in answers.items() if name not in of_callback}
    assert {name for name, policy in others.items() if policy != "same-origin"} == {"forged"}
    for name in answers:
        loaded = [found for tag, found in Page(answers[name]).elements if tag in ("script", "img", "link", "iframe")]
        places = [found.get("src") or found.get("href") for found in loaded]
        assert all(leads_within(place) for place in places), name


def test_br_11_laxer_policy_of_the_site_does_not_win(trial, settings):
    settings.SECURE_REFERRER_POLICY = "unsafe-url"
    answers = every_answer(trial)
    assert {answer["Referrer-Policy"] for answer in answers.values()} == {"no-referrer", "same-origin"}
    assert answers["callback"]["Referrer-Policy"] == "no-referrer"


@pytest.mark.parametrize("is_error", [False, True])
def test_br_11_code_and_state_are_gone_from_where_the_person_ends(trial, is_error):
    callback = trial.begin()
    answer = trial.visitor.client.get(error_of(callback, "login_required") if is_error else callback)
    secrets = [value for name, value in params_of(callback).items() if name in ("code", "state")]
    page = trial.visitor.client.get(answer["Location"])

    assert [secret for secret in secrets if secret in answer["Location"]] == []
    assert [secret for secret in secrets if secret in page.content.decode()] == []
    assert page.status_code == 200
    if is_error:
        trial.refused("not_on_mobile_network", calls=["discovery"])
    else:
        trial.verified()


# BR-12: cookies that do not come


@pytest.mark.parametrize("value", ["Strict", "strict", "STRICT"])
def test_br_12_strict_cookies_are_warned_of(settings, value):
    settings.SESSION_COOKIE_SAMESITE = value
    assert "numverify.W022" in [message.id for message in run_checks(databases=[])]


@pytest.mark.parametrize("value", ["Lax", "None", None, False])
def test_br_12_other_cookies_are_none(settings, value):
    settings.SESSION_COOKIE_SAMESITE = value
    assert "numverify.W022" not in [message.id for message in run_checks(databases=[])]


def test_br_12_browser_without_cookies_is_told_so(trial):
    client = trial.visitor.client = RecordingClient(trial.responses, enforce_csrf_checks=True)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', client.get(LOGIN).content.decode())[1]
    client.cookies.clear()
    page = client.post(LOGIN, FORM | {"csrfmiddlewaretoken": token})

    expect_forged(page)
    assert "with cookies allowed" in page.content.decode()
    trial.nothing()


@pytest.mark.usefixtures("everywhere")
def test_br_12_callback_without_its_cookie_is_friendly_and_spends_nothing(trial):
    callback = trial.begin()
    cookies = trial.visitor.client.cookies.copy()
    trial.visitor.client.cookies.clear()  # as with SameSite=Strict
    page = trial.visitor.client.get(callback)
    assert (page.status_code, "with cookies allowed" in page.content.decode()) == (400, True)
    assert "sessionid" not in page.cookies
    assert VerificationAttempt.objects.get().claimed_at is None

    trial.visitor.client.cookies = cookies
    trial.come_back(callback)
    trial.verified()


# BR-14: sessions that are lost on the way

ENGINES = "django.contrib.sessions.backends."


LOST = [(name, how) for name in ("db", "cache", "cached_db") for how in ("logged out", "evicted", "no cookie")]
LOST += [("signed_cookies", how) for how in ("logged out", "no cookie", "tampered cookie")]


@pytest.fixture(params=LOST, ids=str)
def how(request, settings):
    """Each kind of session, named before ``trial``, and a way to lose it."""
    engine, way = request.param
    settings.SESSION_ENGINE = f"{ENGINES}{engine}"
    return way


def lose(client, how):
    """Let the session of ``client`` be lost."""
    key = client.cookies["sessionid"].value
    if how == "logged out":
        client.logout()
    elif how == "evicted":
        client.session.delete()
    elif how == "no cookie":
        del client.cookies["sessionid"]
    else:
        client.cookies["sessionid"] = f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}"


def test_br_14_lost_session_is_friendly_and_costs_nothing(how, trial):
    callback = trial.begin()
    lose(trial.visitor.client, how)
    page = trial.visitor.client.get(callback)

    assert (page.status_code, NOT_OPEN in page.content.decode()) == (400, True)
    assert "numverify" not in trial.visitor.client.session
    VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(minutes=2))
    VerificationAttempt.objects.prune()
    trial.refused("expired", calls=["discovery"])


def test_br_14_person_begins_again_after_losing_the_session(trial):
    first = trial.begin()
    lose(trial.visitor.client, "evicted")
    second = trial.begin()
    assert trial.visitor.client.get(first).status_code == 400
    trial.come_back(second)
    trial.expected.append(("pending", ""))
    trial.verified()


def test_br_14_evicted_cache_behind_the_database_loses_nothing(trial, settings):
    settings.SESSION_ENGINE = f"{ENGINES}cached_db"
    callback = trial.begin()
    cache.clear()
    trial.come_back(callback)
    trial.verified()


@pytest.mark.parametrize("is_other", [False, True], ids=["logout", "other login"])
def test_br_14_session_that_ended_during_the_operators_call_is_not_brought_back(trial, is_other):
    victim = make_user("victim")
    trial.users = users()
    callback = trial.begin()

    def policy(request, user, attempt):
        tab = Client(SERVER_NAME=HOST)
        tab.cookies["sessionid"] = trial.visitor.client.session.session_key
        tab.force_login(victim, PASSWORD) if is_other else tab.logout()
        return True

    trial.configure(site={"LOGIN_POLICY": policy})
    answer = trial.visitor.client.get(callback)
    assert (answer.status_code, answer["Location"], answer.cookies) == (302, "/home/", {})

    trial.users = users()
    trial.configure()
    trial.expected.append(("abandoned", "cancelled"))
    trial.calls = HONEST


def test_site_without_time_zones_confirms_again(trial, settings):
    settings.USE_TZ, settings.TIME_ZONE = False, "Asia/Kolkata"
    trial.log_in()
    age_proof(trial.visitor)
    callback = trial.visitor.visit_operator(trial.visitor.client.get("/payment/"))

    assert trial.come_back(callback).content == b"paid"
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


def test_filled_number_is_no_retry_of_a_login(trial):
    trial.configure(OPERATION="share")
    trial.visitor.client.get(trial.visitor.visit_operator(trial.visitor.client.post(FILL, {"next": "/filled/"})))
    answer = trial.visitor.client.post(LOGIN, {"retry": VerificationAttempt.objects.get().reference})
    assert (answer.status_code, 'name="phone_number"' in answer.content.decode()) == (200, True)

    trial.log_in()
    trial.verified()
    trial.verified([*SHARED, *AGAIN])


# BR-17 to BR-19: accounts that may not


def text_of(page, reference):
    """Return a failed page without its reference and token."""
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", page.content.decode())
    return text.replace(reference, "")


def refuse_as_unknown(trial, reason):
    """Let the SIM with OTHER come back, and expect ``reason`` on the page of an unknown number."""
    put_in(trial, OTHER)
    page = trial.log_in(number=OTHER_TYPED)
    row = VerificationAttempt.objects.latest("pk")
    assert (row.reason, row.user) == (reason, None)
    assert VerifiedNumber.objects.get(number=OTHER).last_verified_at < row.created_at

    trial.configure(site={"UNKNOWN_NUMBER": "deny"})
    put_in(trial, "+34600000003")
    stranger = Visitor([])
    unknown = stranger.come_back(stranger.visit_operator(stranger.start("600 000 003")))
    last = VerificationAttempt.objects.latest("pk")
    assert (last.reason, unknown.status_code) == ("account_unknown", page.status_code)
    assert text_of(page, row.reference_shown) == text_of(unknown, last.reference_shown)
    last.delete()
    trial.configure()
    trial.refused(reason, calls=[*HONEST, *AGAIN])


@pytest.mark.parametrize("facts", [{}, {"is_staff": True}, {"is_superuser": True}], ids=str)
def test_br_17_inactive_account_is_as_unknown(trial, facts):
    account(trial, is_active=False, **facts)
    refuse_as_unknown(trial, "account_inactive")


def test_br_17_account_closed_on_the_way_is_not_logged_in(trial):
    user = account(trial)
    put_in(trial, OTHER)
    callback = trial.begin(number=OTHER_TYPED)
    get_user_model().objects.filter(pk=user.pk).update(is_active=False)
    page = trial.come_back(callback)

    assert NOT_CONFIRMED in page.content.decode()
    trial.refused("account_inactive", calls=HONEST)


def test_br_17_neither_policy_nor_allowed_staff_lets_an_inactive_account_in(trial):
    account(trial, is_active=False, is_staff=True)
    put_in(trial, OTHER)
    trial.configure(site={"LOGIN_POLICY": lambda request, user, attempt: True, "ALLOW_STAFF": True})
    trial.log_in(number=OTHER_TYPED)
    trial.configure()
    trial.refused("account_inactive", calls=HONEST)


@pytest.mark.usefixtures("everywhere")
def test_br_18_account_closed_after_the_login_is_logged_out(trial):
    trial.log_in()
    client = trial.visitor.client
    assert client.get("/payment/").content == b"paid"
    mine = get_user_model().objects.filter(pk=trial.visitor.user_id)
    mine.update(is_active=False)

    assert client.get("/home/").content == b"user None"
    assert client.get("/payment/")["Location"].startswith(LOGIN)
    assert "Log in with your phone" in client.get(LOGIN).content.decode()
    mine.update(is_active=True)  # for the honest login
    trial.verified()


def test_br_18_deleted_account_is_logged_out_and_its_number_is_free(trial):
    trial.log_in()
    get_user_model().objects.filter(pk=trial.visitor.user_id).delete()

    assert trial.visitor.client.get("/home/").content == b"user None"
    assert trial.visitor.client.get("/payment/").status_code == 302
    assert not VerifiedNumber.objects.exists()
    trial.verified()


def test_br_18_account_closed_during_a_step_up_is_not_confirmed(trial):
    trial.log_in()
    age_proof(trial.visitor)
    callback = trial.begin(number="")
    mine = get_user_model().objects.filter(pk=trial.visitor.user_id)
    mine.update(is_active=False)
    trial.visitor.client.get(callback)

    assert VerificationAttempt.objects.latest("pk").outcome == "refused"
    assert trial.visitor.client.get("/payment/").status_code == 302
    row = VerificationAttempt.objects.latest("pk")
    mine.update(is_active=True)
    assert trial.visitor.client.get("/payment/").status_code == 302  # it proved nothing in between
    trial.expected += [("verified", ""), (row.outcome, row.reason), ("pending", "")]
    trial.calls = HONEST


@pytest.mark.parametrize("end", ["password", "delete"])
def test_br_18_step_up_of_a_login_that_ended_costs_nothing(trial, end):
    user = account(trial, NUMBER)
    user.set_password("before")
    user.save()
    trial.visitor.client.force_login(user, PASSWORD)
    callback = trial.begin(number="")
    if end == "password":
        user.set_password("after")
        user.save()
    else:
        user.delete()
    trial.come_back(callback)
    assert trial.visitor.client.get("/home/").content == b"user None"
    # A new password ends the session, and with it this browser's way to the page of its attempt.
    assert (NOT_OPEN if end == "password" else NOT_CONFIRMED) in trial.responses[-2].content.decode()
    trial.check_page = lambda: None

    trial.visitor.client.session.flush()
    trial.callbacks.clear()
    trial.users = users()
    trial.refused("user_mismatch", calls=["discovery"])


@pytest.mark.parametrize("facts", [{"is_staff": True}, {"is_superuser": True}], ids=str)
def test_br_19_staff_is_as_unknown(trial, facts):
    account(trial, **facts)
    refuse_as_unknown(trial, "staff_refused")


def test_br_19_account_promoted_on_the_way_is_refused(trial):
    user = account(trial)
    put_in(trial, OTHER)
    callback = trial.begin(number=OTHER_TYPED)
    get_user_model().objects.filter(pk=user.pk).update(is_staff=True)
    trial.come_back(callback)
    trial.refused("staff_refused", calls=HONEST)


def test_br_19_staff_by_shared_number_is_refused(trial):
    account(trial, is_staff=True)
    trial.configure(OPERATION="share")
    put_in(trial, OTHER)
    trial.log_in(number="")
    trial.refused("staff_refused", calls=SHARED)


def test_br_19_policy_alone_does_not_let_staff_in(trial):
    account(trial, is_superuser=True)
    trial.configure(site={"LOGIN_POLICY": lambda request, user, attempt: True})
    put_in(trial, OTHER)
    trial.log_in(number=OTHER_TYPED)
    trial.refused("staff_refused", calls=HONEST)


@pytest.mark.parametrize("value", [1, "False", "no", None, [], {}], ids=repr)
def test_br_19_setting_that_is_neither_true_nor_false_lets_nobody_in(settings, value):
    settings.NUMVERIFY = settings.NUMVERIFY | {"ALLOW_STAFF": value}
    assert [problem.code for problem in conf.problems()] == ["E003"]


def test_br_19_letting_staff_in_is_warned_of(settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {"ALLOW_STAFF": True}
    assert "numverify.W002" in [message.id for message in run_checks(include_deployment_checks=True, databases=[])]


# BR-21: hosts that are not ours


def redirect_uri_of(started):
    """Return the redirect URI that the operator is asked to send the browser to."""
    return params_of(started["Location"])["redirect_uri"]


SPOOFS = {
    "host": {"Host": "evil.example"},
    "forwarded host": {"X-Forwarded-Host": "evil.example"},
    "forwarded": {"Forwarded": "host=evil.example;proto=https"},
    "forwarded port": {"X-Forwarded-Port": "81", "X-Forwarded-Proto": "https", "X-Forwarded-Server": "evil.example"},
    "original host": {"X-Original-Host": "evil.example", "X-Host": "evil.example", "X-Rewrite-URL": "//evil.example/"},
}


@pytest.mark.parametrize("spoofed", SPOOFS.values(), ids=SPOOFS)
def test_br_21_redirect_uri_of_the_settings_ignores_the_request(trial, settings, spoofed):
    settings.ALLOWED_HOSTS = ["*"]
    settings.USE_X_FORWARDED_HOST = True
    trial.configure(REDIRECT_URI="http://127.0.0.1/numverify/callback/")
    started = trial.visitor.client.post(LOGIN, {"phone_number": TYPED}, headers=spoofed)

    assert redirect_uri_of(started) == "http://127.0.0.1/numverify/callback/"
    callback = trial.visitor.visit_operator(started)
    trial.come_back(callback)
    trial.verified()


@pytest.mark.parametrize("name", ["forwarded host", "forwarded", "forwarded port", "original host"])
def test_br_21_forwarded_host_is_not_believed_unasked(trial, settings, name):
    settings.ALLOWED_HOSTS = ["127.0.0.1", "evil.example"]
    started = trial.visitor.client.post(LOGIN, {"phone_number": TYPED}, headers=SPOOFS[name])

    assert redirect_uri_of(started) == "http://127.0.0.1/numverify/callback/"
    trial.come_back(trial.visitor.visit_operator(started))
    trial.verified()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1@evil.example", "evil\x00", ""])
def test_br_21_host_that_is_not_allowed_starts_nothing(trial, host):
    headers = {"Host": host} if host else {"Host": "evil.example", "X-Forwarded-Host": "127.0.0.1"}
    answer = Visitor([]).client.post(LOGIN, {"phone_number": TYPED}, headers=headers)

    assert (answer.status_code, answer.get("Location")) == (400, None)
    trial.nothing()


@pytest.mark.parametrize("name", ["host", "forwarded host"])
def test_br_21_host_that_any_may_claim_to_be_is_no_redirect_uri(trial, settings, name):
    settings.ALLOWED_HOSTS = ["*"]
    settings.USE_X_FORWARDED_HOST = True
    started = trial.visitor.client.post(LOGIN, {"phone_number": TYPED}, headers=SPOOFS[name])
    settings.ALLOWED_HOSTS, settings.USE_X_FORWARDED_HOST = ["127.0.0.1"], False

    assert "evil.example" not in started.get("Location", "")
    trial.nothing(trial.operator.hops)


def test_br_21_site_that_takes_any_host_without_a_redirect_uri_is_told_so(settings):
    settings.ALLOWED_HOSTS = ["*"]
    found = run_checks(include_deployment_checks=True, databases=[])
    assert [message.id for message in found if "REDIRECT_URI" in (message.hint or "")] != []


# BR-23, BR-24: what share tells


def test_br_23_shared_number_is_on_no_page_of_ours(trial):
    trial.configure(OPERATION="share")
    page = trial.log_in(number="", next=LOGIN)

    assert VerificationAttempt.objects.get().number_shown == "•••01"
    assert "You're already logged in" in page.content.decode()
    assert "•••" not in "".join(answer.content.decode() for answer in trial.responses)
    trial.verified(SHARED)


FORBIDDEN = {
    "unknown": ({}, {"UNKNOWN_NUMBER": "deny"}, "account_unknown"),
    "inactive": ({"is_active": False}, {}, "account_inactive"),
    "staff": ({"is_staff": True}, {}, "staff_refused"),
    "policy": ({"is_active": True}, {"LOGIN_POLICY": lambda *facts: False}, "policy_refused"),
}


@pytest.mark.parametrize(("facts", "site", "reason"), FORBIDDEN.values(), ids=FORBIDDEN)
def test_br_23_shared_number_of_a_refusal_is_told_to_nobody(trial, facts, site, reason):
    if facts:
        account(trial, **facts)
    trial.configure(OPERATION="share", site=site)
    put_in(trial, OTHER)
    page = trial.log_in(number="")

    row = VerificationAttempt.objects.get()
    assert (row.number_shown, row.sealed != "") == ("", True)
    text = re.sub(r"<[^>]*>", "", page.content.decode()).replace(row.reference_shown, "").replace(HOST, "")
    assert re.findall(r"\d{2}", text) == []
    trial.configure()
    trial.refused(reason, calls=SHARED)


def test_br_23_script_is_not_told_the_number(trial):
    trial.configure(OPERATION="share")
    trial.log_in(number="")
    age_proof(trial.visitor)
    answer = trial.visitor.client.get("/payment/", headers={"Sec-Fetch-Mode": "cors"})

    url = f"{LOGIN}?next=%2Fhome%2F&confirm=yes"
    assert answer.json() == {"error": "step_up_required", "authorization_url": url}
    trial.verified(SHARED)


def test_br_23_filled_number_is_its_browsers_alone_and_not_for_long(trial):
    trial.configure(OPERATION="share")
    visitor = Visitor([])
    answer = visitor.client.get(visitor.visit_operator(visitor.client.post(FILL, {"next": "/filled/"})))
    assert (answer["Location"], answer.content) == ("/filled/", b"")
    assert visitor.user_id is None
    assert visitor.client.get("/filled/").content.decode() == NUMBER
    assert NUMBER not in str(dict(visitor.client.session))
    row = VerificationAttempt.objects.get()

    stranger = Visitor(trial.responses)
    stranger.start("not a number")
    stored = stranger.client.session
    stored["numverify"] = {"browser": "another", "filled": row.pk}
    stored.save()
    assert stranger.client.get("/filled/").content == b""
    VerificationAttempt.objects.update(expires_at=timezone.now())
    assert visitor.client.get("/filled/").content == b""
    trial.log_in()
    trial.verified()
    trial.verified([*SHARED, *AGAIN])


def test_br_24_share_needs_a_press(trial):
    trial.configure(OPERATION="share")
    client = trial.visitor.client
    for where, status in ((LOGIN, 200), (FILL, 405)):
        for method in ("get", "head"):
            answer = getattr(client, method)(where, {"operation": "share", "next": "/filled/"})
            assert (answer.status_code, "sessionid" in answer.cookies) == (status, False)
    token = strict(trial)
    for where in (LOGIN, FILL):
        expect_forged(trial.visitor.client.post(where, {"operation": "share"}))
        form = {"operation": "share", "csrfmiddlewaretoken": token}
        expect_forged(trial.visitor.client.post(where, form, headers={"Origin": "null"}))
    trial.nothing()


def test_br_24_button_says_what_it_does(trial):
    trial.configure(OPERATION="share")
    page = trial.visitor.client.get(LOGIN)
    ((_, button),) = [pair for pair in Page(page).elements if pair[1].get("value") == "share"]

    assert "Nothing is sent until you press the button." in " ".join(page.content.decode().split())
    assert f'id="{button["aria-describedby"]}"' in page.content.decode()
    trial.nothing()


def test_br_24_enter_in_the_empty_field_shares_nothing(trial):
    trial.configure(OPERATION="share")
    first = next(found for tag, found in Page(trial.visitor.client.get(LOGIN)).elements if tag == "button")
    assert (first["name"], first["value"]) == ("operation", "verify")
    assert trial.visitor.start("", operation="verify").status_code == 400
    trial.nothing()


# BR-20: markup of others

MARKUP = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{7*7}}</title>"


FOREIGN = r'<script(?! src="/static/numverify/\w+\.js" defer></script>)|onerror=alert[^&]*>'
OUR_SCRIPTS = [("script", {"src": f"/static/numverify/{name}.js", "defer": None}) for name in ("numverify", "qr")]


def dangers(response):
    """Return what no page of ours has: scripts of others, inline styles and handlers, and addresses that run."""
    found = [pair for pair in Page(response).elements if pair not in OUR_SCRIPTS]
    inline = [pair for pair in found if pair[0] in ("script", "style", "iframe", "object", "img", "base")]
    inline += [pair for pair in found for name in pair[1] if name == "style" or name.startswith("on")]
    inline += [
        place for place in Page(response).addresses() if re.match(r"(?i)[\s\x00-\x1f]*(javascript|data):", place)
    ]
    return [
        *inline,
        *re.findall(
            r'<script(?! src="/static/numverify/\w+\.js" defer></script>)|onerror=alert[^&]*>',
            response.content.decode(),
        ),
    ]


def test_br_20_markup_in_what_a_form_sends_is_escaped(trial):
    trial.configure(OPERATION="share", site={"FALLBACK_URL": "/password/"})
    client, answers = trial.visitor.client, []
    for name in ("phone_number", "next", "operation", "operator", "retry", "csrfmiddlewaretoken"):
        answers.append(client.post(LOGIN, {"phone_number": "1"} | {name: MARKUP}))
        answers.append(client.get(LOGIN, {name: MARKUP}))
    answers += [client.get(FAILED, {"reference": MARKUP}), client.get(CALLBACK, {"error": MARKUP, "state": MARKUP})]
    answers += [client.post(FILL, {"next": MARKUP}, headers={"Referer": MARKUP})]

    assert [dangers(answer) for answer in answers if answer.content] == [[]] * sum(bool(a.content) for a in answers)
    assert html.escape(MARKUP) in answers[0].content.decode()
    started = VerificationAttempt.objects.get()
    trial.expected.append((started.outcome, started.reason))
    trial.log_in()
    trial.verified(HONEST)


@pytest.mark.parametrize("next_url", ["javascript:alert(1)", '/x"onmouseover=alert(1)//', "/<script>alert(1)</script>"])
def test_br_20_next_is_escaped_on_every_page(trial, next_url):
    trial.configure(site={"FALLBACK_URL": "/password/"})
    page = trial.come_back(error_of(trial.begin(next=next_url), "login_required"))
    retried = trial.visitor.client.post(LOGIN, {"retry": "222-2222", "next": next_url})

    assert (dangers(page), dangers(retried)) == ([], [])
    assert 'href="javascript' not in page.content.decode()
    trial.configure()
    trial.come_back(error_of(trial.begin(), "login_required"))
    trial.refused("not_on_mobile_network")
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_br_20_error_of_the_operator_is_escaped(trial):
    callback = trial.begin()
    left = params_of(callback) | {"error": MARKUP, "error_description": MARKUP, "error_uri": "javascript:alert(1)"}
    page = trial.come_back(f"{CALLBACK}?{urlencode(left)}")

    assert dangers(page) == []
    assert "alert" not in page.content.decode()
    trial.refused("callback_invalid", calls=["discovery"])


def test_br_20_address_of_the_operator_is_escaped_where_the_page_moves_on(trial):
    def discovery(operator, received):
        names = {"authorization_endpoint": "authorize?x=$[]!&y='", "token_endpoint": "token", "jwks_uri": "jwks"}
        return Reply({"issuer": operator.url, **{key: f"{operator.url}/{name}" for key, name in names.items()}})

    trial.configure(site={"REDIRECT_MODE": "interstitial"})
    trial.operator.discovery = discovery
    page = Visitor([]).start()

    assert (page.status_code, dangers(page)) == (200, [])
    trial.expected.append(("pending", ""))
    trial.configure()
    callback = trial.begin()
    trial.come_back(callback)
    trial.verified()


def test_br_20_operators_name_is_escaped(trial, settings):
    settings.NUMVERIFY = settings.NUMVERIFY | {
        "OPERATORS": {MARKUP[:64]: keys for keys in settings.NUMVERIFY["OPERATORS"].values()}
    }
    page = trial.come_back(error_of(trial.begin(), "login_required"))

    assert dangers(page) == []
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_br_20_every_page_passes_a_strict_policy(trial):
    answers = every_answer(trial)
    assert {name: dangers(answer) for name, answer in answers.items() if dangers(answer)} == {}


# What else happens to a session


@pytest.mark.parametrize("engine", ["cache", "file"])
def test_other_kinds_of_session_log_in_and_confirm(trial, settings, tmp_path, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    settings.SESSION_FILE_PATH = str(tmp_path)
    trial.bystander.client.force_login(get_user_model().objects.get(username="bystander"), PASSWORD)
    trial.log_in()
    age_proof(trial.visitor)
    before = trial.visitor.client.session.session_key
    callback = trial.visitor.visit_operator(trial.visitor.client.get("/payment/"))

    assert trial.come_back(callback).content == b"paid"
    assert not trial.visitor.client.session.exists(before)
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


@pytest.mark.django_db(transaction=True)
def test_account_deleted_during_the_operators_call_is_neither_confirmed_nor_linked(configure, operator):
    visitor, user = Visitor([]), make_user("somebody")
    visitor.client.force_login(user, PASSWORD)
    callback = visitor.visit_operator(visitor.start())

    def delete(operator, received):
        get_user_model().objects.all().delete()
        connections.close_all()
        return Reply({"devicePhoneNumberVerified": True})

    operator.verify = delete
    assert visitor.client.get(callback).status_code == 302
    assert VerificationAttempt.objects.get().outcome in ("refused", "error")
    assert not VerifiedNumber.objects.exists()
    assert visitor.client.get("/home/").content == b"user None"
