"""IN: what strangers type and send, and how often."""

import base64
import hashlib
import inspect
import logging
import random
import re
import secrets
import time
from datetime import timedelta
from urllib.parse import quote, urlencode

import pytest
from django.contrib.auth import get_user_model
from django.core.cache import cache, caches
from django.utils import timezone

from numverify_django import conf
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.authorization import build_request, challenge
from numverify_django.protocol.messages import Metadata
from numverify_django.protocol.phone import InvalidNumber, PhoneNumber
from numverify_django.protocol.profiles import VERIFY

from ..conftest import Browser
from .conftest import AGAIN, HONEST, NUMBER, SHARED, TYPED, RecordingClient, Visitor, error_of, newcomer, params_of
from .operator import Reply

LOGIN, CALLBACK, FILL, FAILED = (f"/numverify/{name}/" for name in ("login", "callback", "fill", "failed"))
TOO_MANY = "Too many tries for now"
UNCLEAN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def expect_form_error(response, field="phone_number"):
    """The form again, with what is wrong."""
    assert response.status_code == 400
    assert list(response.context["form"].errors) == [field]


# IN-01, IN-02: spellings

SPELLINGS = [
    "+34 600 00 00 01",
    "0034600000001",
    "600000001",
    "600-000-001",
    "(600) 000.001",
    " 600/000/001 ",
    "+34\u00a0600\u00a0000\u00a0001",
    "600\u2011000\u2010001",
    "0034 (600) 000-001",
    "+34-600-00-00-01",
]


def test_in_01_every_spelling_is_one_user_in_one_bucket(trial):
    trial.operator.secrets += SPELLINGS
    trial.configure(site={"RATE_LIMITS": {"number_address": [len(SPELLINGS), 600]}})
    visitors = [Visitor(trial.responses) for _ in SPELLINGS[1:]]
    for count, (visitor, spelling) in enumerate(zip([*visitors, trial.visitor], SPELLINGS, strict=True)):
        visitor.come_back(visitor.visit_operator(visitor.start(spelling)))
        trial.verified([*HONEST, *AGAIN * count])

    assert get_user_model().objects.count() == 2  # with the bystander
    assert list(VerifiedNumber.objects.values_list("number", flat=True)) == [NUMBER]
    assert len(set(VerificationAttempt.objects.values_list("number_digest", flat=True))) == 1
    assert {received.json["phoneNumber"] for received in trial.operator.received if received.hop == "verify"} == {
        NUMBER
    }
    assert [Visitor([]).start(spelling).status_code for spelling in SPELLINGS] == [429] * len(SPELLINGS)
    trial.configure()
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(hours=1))


FOREIGN_DIGITS = {
    "full-width": "\uff16\uff10\uff10\uff10\uff10\uff10\uff10\uff10\uff11",
    "full-width plus": "\uff0b34600000001",
    "Arabic": "\u0666\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661",
    "Persian": "\u06f6\u06f0\u06f0\u06f0\u06f0\u06f0\u06f0\u06f0\u06f1",
    "Devanagari": "\u096c\u0966\u0966\u0966\u0966\u0966\u0966\u0966\u0967",
    "mathematical": "\U0001d7d4\U0001d7ce\U0001d7ce\U0001d7ce\U0001d7ce\U0001d7ce\U0001d7ce\U0001d7ce\U0001d7cf",
    "superscript": "60000000\u00b9",
    "circled": "60000000\u2460",
    "one foreign digit": "60000000\u0661",
    "letter O": "6OOOOOOO1",
    "combining mark": "6\u03010\u0301000001",
    "soft hyphen": "600\u00ad000001",
    "zero width": "600\u200b000001",
    "word joiner": "600\u2060000001",
    "em dash": "600\u2014000001",
    "tilde": "600~000~001",
}


@pytest.mark.parametrize("typed", FOREIGN_DIGITS.values(), ids=FOREIGN_DIGITS)
def test_in_01_foreign_digits_are_refused(trial, typed):
    expect_form_error(trial.visitor.start(typed))
    trial.nothing()


INVALID = [
    "+39 06 1234 5678",
    "+39 6 1234 5678",
    "+39 0312 345 6789",
    "+340600000001",
    "+34 0600000001",
    "034600000001",
    "+52 1 55 1234 5678",
    "+54 11 2345 6789",
    "+225 1 23 45 67 89",
    "+3460000000",
    "+346000000011",
    "+0034600000001",
    "+00 34 600000001",
    "+(0034)600000001",
]


@pytest.mark.parametrize("typed", INVALID)
def test_in_02_number_that_is_none_is_not_mended_by_guesswork(trial, typed):
    trial.configure(PREFIXES=["+34", "+39", "+52", "+54", "+225"])
    expect_form_error(trial.visitor.start(typed))
    trial.configure()
    trial.nothing()


DIFFERENT = [
    "+34600000001",
    "+34600000011",
    "+34711000001",
    "+49600000001",
    "+4915123456789",
    "+5511961234567",
    "+5521961234567",
    "+525512345678",
    "+5491123456789",
    "+2250123456789",
    "+393123456789",
    "+36201234567",
    "+447400123456",
]


def test_in_02_different_numbers_stay_different():
    found = {}
    for typed in DIFFERENT:
        try:
            found[typed] = PhoneNumber.parse(typed, "ES").e164
        except InvalidNumber:
            found[typed] = None
    assert {typed: e164 for typed, e164 in found.items() if e164 not in (typed, None)} == {}
    assert [typed for typed, e164 in found.items() if e164 is None] == ["+49600000001"]


NO_MOBILE = {
    "emergency": "112",
    "emergency in E.164": "+34 112",
    "short": "1004",
    "landline": "912 345 678",
    "premium": "806 123 456",
    "televoting": "905 123 456",
    "shared cost": "902 123 456",
    "toll-free": "900 123 456",
    "personal": "704 123 456",
    "toll-free elsewhere": "+1 800 356 9377",
    "premium elsewhere": "+1 900 123 4567",
    "personal elsewhere": "+44 70 1234 5678",
    "pager": "+44 76 1234 5678",
    "universal": "+800 1234 5678",
    "satellite": "+881 612 345 678",
    "shared network": "+882 16 12345",
    "no country": "+999 123 456 789",
}


@pytest.mark.parametrize("typed", NO_MOBILE.values(), ids=NO_MOBILE)
def test_in_02_number_that_no_sim_has_is_refused(trial, typed):
    trial.configure(PREFIXES=["+3", "+4", "+1", "+8", "+9"])
    expect_form_error(trial.visitor.start(typed))
    trial.configure()
    trial.nothing()


TRUNKS = {
    "+49 (0) 151 23456789": "+4915123456789",
    "+44 (0)7911 123456": "+447911123456",
    "+36 06 20 123 4567": "+36201234567",
    "+55 0 15 11 96123-4567": "+5511961234567",
    "+54 11 15 2345-6789": "+5491123456789",
}


@pytest.mark.parametrize(("typed", "e164"), TRUNKS.items())
def test_in_02_trunk_prefix_is_no_other_number(typed, e164):
    assert PhoneNumber.parse(typed, "ES") == PhoneNumber.parse(e164) == PhoneNumber(e164)


# IN-05, IN-07: what is no number

LETTERS = [
    "+1 800 FLOWERS",
    "Call +34600000001 now",
    "++34600000001",
    "+34+600000001",
    "600000001x5",
    "600000001 ext. 5",
    "600000001,,5",
    "600000001;ext=5",
    "tel:+34600000001",
    "+34600000001;phone-context=+1",
    "600000001#",
    "*31#600000001",
    "600000001 or 600000002",
    "600000001\n600000002",
    "\x00600000001",
    "600000001\u202e",
    "\ud83d\udcf1 600000001".encode("utf-16", "surrogatepass").decode("utf-16"),
    "6e8",
    "0x23c34601",
    "-600000001\x00",
    "[600000001]",
    "600000001'--",
    "",
    " ",
    "+",
    "00",
]


@pytest.mark.parametrize("typed", LETTERS, ids=repr)
def test_in_05_what_is_no_number_is_refused(trial, typed):
    expect_form_error(trial.visitor.start(typed))
    trial.nothing()


@pytest.mark.parametrize(
    "typed", ["+1 800 FLOWERS", "Call +34600000001 now", "++34600000001", "6" * 41, None, 600000001]
)
def test_in_05_parser_itself_refuses(typed):
    with pytest.raises((InvalidNumber, ValueError, AttributeError)):
        PhoneNumber(typed) if not isinstance(typed, str) else PhoneNumber.parse(typed, "ES")


LARGE = [10_000, 1_000_000]
LARGE_KINDS = {
    "digits": "6",
    "zeros": "0",
    "dashes": "-",
    "digits and dots": "6.6",
    "letters": "a",
}


@pytest.mark.parametrize("size", LARGE)
@pytest.mark.parametrize("piece", LARGE_KINDS.values(), ids=LARGE_KINDS)
def test_in_07_endless_number_is_refused_before_it_is_parsed(trial, piece, size):
    client = RecordingClient([])
    body = f"phone_number={quote(piece) * (size // len(quote(piece)))}"
    for _ in range(6):  # the first request costs more than others, and a busy machine makes any of them slow
        begun = time.perf_counter()
        answer = client.post(LOGIN, body, content_type="application/x-www-form-urlencoded")
        seconds = time.perf_counter() - begun
        client.responses.clear()
        expect_form_error(answer)
        if seconds < 0.05:
            break
    assert seconds < 0.05
    trial.nothing()


@pytest.mark.parametrize("name", ["next", "operation", "retry", "csrfmiddlewaretoken", "other"])
def test_in_07_endless_value_of_another_field_is_no_trouble(trial, name):
    begun = time.perf_counter()
    answer = trial.visitor.client.post(LOGIN, {"phone_number": "1", name: "x" * 1_000_000})
    assert time.perf_counter() - begun < 1
    trial.responses.clear()

    assert answer.status_code == 400
    trial.nothing()


@pytest.mark.parametrize(
    "body",
    ["&".join(f"p{n}=x" for n in range(5000)), "phone_number=" + "6" * 3_000_000, "phone_number=%", "%ff=%fe", "&=&=&"],
    ids=["5000 fields", "3 MB", "half an escape", "no text", "nothing"],
)
def test_in_07_body_of_another_shape_is_a_client_error(trial, body):
    answer = trial.visitor.client.post(LOGIN, body, content_type="application/x-www-form-urlencoded")
    assert 400 <= answer.status_code < 500
    trial.responses.clear()  # Django's own page for a body that it does not read
    trial.nothing()


@pytest.mark.parametrize("size", [10_000, 2_000_000])
def test_in_07_endless_next_is_not_kept(trial, size):
    callback = trial.begin(next="/" + "x" * size)
    assert len(VerificationAttempt.objects.get().sealed) < 1_000
    answer = trial.visitor.client.get(callback)

    assert answer["Location"] == "/home/"
    trial.verified()


BOUNDARY = "multipart/form-data; boundary=x"
PART = '--x\r\nContent-Disposition: form-data; name="phone_number"'
OTHER_BODIES = {
    "JSON": ('{"phone_number": "600 000 001"}', "application/json"),
    "text": ("phone_number=600000001", "text/plain"),
    "a file": (f'{PART}; filename="n"\r\n\r\n6\r\n--x--', BOUNDARY),
    "half a part": (f"{PART}\r\n\r\n600", BOUNDARY),
    "no base64": (f"{PART}\r\nContent-Transfer-Encoding: base64\r\n\r\n!\r\n--x--", BOUNDARY),
    "nothing": ("", ""),
}


@pytest.mark.parametrize("path", [LOGIN, FILL, CALLBACK, FAILED])
@pytest.mark.parametrize(("body", "kind"), OTHER_BODIES.values(), ids=OTHER_BODIES)
def test_in_07_body_that_is_no_form_starts_nothing(trial, path, body, kind):
    trial.configure(OPERATION="share")
    answer = trial.visitor.client.generic("POST", path, body, content_type=kind)
    if answer.status_code == 302:  # nothing was typed, which asks for the number where the site shares
        assert VerificationAttempt.objects.get().operation == "share"
        VerificationAttempt.objects.all().delete()
    else:
        assert answer.status_code in (400, 405)
    trial.responses.clear()  # Django's own page for a body that it does not read
    trial.configure()
    trial.nothing(trial.operator.hops)


# IN-09, IN-10: what a form cannot choose

OPERATORS = ["unknown", "../x", "__class__", "hostile0", "telefonica", "http://evil.example/", "\x00", "%00"]


@pytest.mark.parametrize("name", OPERATORS)
def test_in_09_operator_that_the_site_does_not_have_is_refused(trial, name):
    trial.configure(OPERATION="share")
    for data in ({}, {"operation": "verify"}, {"operation": "share"}):
        assert trial.visitor.start(operator=name, **data).status_code == 400
    assert trial.visitor.client.post(FILL, {"next": "/filled/", "operator": name}).status_code == 400
    trial.nothing()


def with_another_first(settings, url):
    """Put an operator at ``url`` before ours, which numbers would go to; return the name of ours."""
    ours = settings.NUMVERIFY["OPERATORS"]
    first = {"PROFILE": "telefonica", "ISSUER": url, "API_ROOT": url, "CLIENT_ID": "first", "CLIENT_SECRET": "first"}
    first = {"first": first | {"ALLOW_LOOPBACK": True}}
    settings.NUMVERIFY = settings.NUMVERIFY | {"OPERATORS": first | ours}
    return next(iter(ours))


def test_in_09_chosen_operator_is_asked_again_by_the_retry(trial, settings):
    name = with_another_first(settings, trial.evil.url)
    trial.come_back(error_of(trial.begin(operator=name), "login_required"))
    answer = trial.visitor.client.post(LOGIN, {"retry": VerificationAttempt.objects.get().reference_shown})
    trial.callbacks.append(trial.visitor.visit_operator(answer))
    trial.come_back(trial.callbacks[-1])

    assert set(VerificationAttempt.objects.values_list("operator", flat=True)) == {name}
    trial.refused("not_on_mobile_network")
    trial.verified()
    trial.configure()


def test_in_09_chosen_operator_is_kept_by_a_form_with_an_error(trial, settings):
    name = with_another_first(settings, trial.evil.url)
    page = trial.visitor.start("600", operator=name)

    assert f'<input type="hidden" name="operator" value="{name}"' in page.content.decode()
    trial.nothing()
    trial.configure()


def test_in_09_chosen_operator_gets_no_number_that_it_does_not_serve(trial, settings):
    other = {"PROFILE": "telefonica", "CLIENT_ID": "c", "CLIENT_SECRET": "s"}
    trial.configure(PREFIXES=["+49"], others={"other": other})
    expect_form_error(trial.visitor.start(operator=next(iter(settings.NUMVERIFY["OPERATORS"]))))
    trial.nothing()
    trial.configure()


@pytest.mark.parametrize("name", ["issuer", "profile", "client_id", "api_root"])
def test_in_09_no_other_setting_is_chosen_by_a_form(trial, name):
    callback = trial.begin(**{name: "http://evil.example"})
    trial.come_back(f"{callback}&{name}=http://evil.example")
    trial.callbacks.clear()
    trial.verified()


@pytest.mark.parametrize("typed", ["+44 7400 123456", "+351 912 345 678", "+1 650 253 0000"])
def test_in_09_number_that_no_operator_serves_is_refused(trial, typed):
    expect_form_error(trial.visitor.start(typed))
    trial.nothing()


def test_in_09_number_that_is_served_no_more_is_not_tried_again(trial):
    page = trial.come_back(error_of(trial.begin(), "login_required"))
    trial.configure(PREFIXES=["+49"])
    answer = trial.visitor.client.post(LOGIN, {"retry": VerificationAttempt.objects.get().reference_shown})

    assert (answer.status_code, 'name="phone_number"' in answer.content.decode()) == (200, True)
    trial.configure()
    trial.responses.append(page)
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_in_09_operator_may_not_vouch_for_a_number_it_does_not_serve(trial):
    trial.configure(OPERATION="share")
    trial.operator.sim = "+447400123456"
    trial.log_in(number="")
    trial.refused("response_invalid", calls=SHARED)


@pytest.mark.parametrize("typed", ["", "600 000 009"])
def test_in_10_share_is_refused_where_only_verify_is_enabled(trial, typed):
    assert trial.visitor.start(typed, operation="share").status_code == 400
    assert trial.visitor.client.post(FILL, {"next": "/filled/"}).status_code == 400
    assert trial.visitor.client.post(FILL, {"operation": "share", "phone_number": typed}).status_code == 400
    trial.nothing()


@pytest.mark.parametrize(
    "operation", ["SHARE", " share", "share\x00", "steal", "verify,share", "__class__", "0", "None"]
)
def test_in_10_operation_that_is_none_is_refused(trial, operation):
    trial.configure(OPERATION="share")
    for typed in ("", "600 000 009"):
        answer = trial.visitor.start(typed, operation=operation)
        if operation == " share":  # a choice is read without its blanks
            assert answer.status_code in (302, 400)
            VerificationAttempt.objects.all().delete()
        else:
            assert answer.status_code == 400
    trial.nothing(trial.operator.hops)


@pytest.mark.parametrize("mode", [{"mode": "share"}, {"flow": "share"}, {"share": "1"}, {"action": "fill"}], ids=str)
def test_in_10_share_under_another_name_is_a_number_to_verify(trial, mode):
    assert trial.visitor.start("", **mode).status_code == 400
    trial.log_in(**mode)
    assert VerificationAttempt.objects.get().operation == "verify"
    trial.verified()


# IN-11, IN-12: what stands in the authorization request


def spellings(number):
    """Return what a number might hide behind: digits, encodings and digests, in lower case."""
    digits = number.removeprefix("+")
    plain = [number, digits, digits[2:], f"tel:{number}", digits[::-1]]
    found = [hashlib.new(kind, text.encode()).hexdigest() for kind in ("sha256", "sha1", "md5") for text in plain]
    found += [encode(text.encode()).decode().rstrip("=") for encode in ENCODERS for text in plain]
    found += [hex(int(digits))[2:], hex(int(digits[2:]))[2:], *plain, quote(number), quote(f"tel:{number}")]
    return {text.lower() for text in found}


ENCODERS = [base64.b64encode, base64.urlsafe_b64encode, base64.b32encode, base64.b16encode]


@pytest.mark.parametrize(
    "keys", [{}, {"SCOPES": ["openid", "dpv:X#y"]}, {"CLIENT_AUTH": "client_secret_post"}, {"PKCE": False}], ids=str
)
def test_in_11_number_is_not_in_the_front_channel(trial, keys):
    trial.configure(**keys)
    started = trial.visitor.start(next="/home/?x=1")
    query = params_of(started["Location"])
    assert {"login_hint", "id_token_hint", "acr_values", "claims", "request"} & query.keys() == set()
    callback = trial.visitor.visit_operator(started)
    told = f"{started['Location']} {started.cookies.output()} {callback}".lower()

    assert [text for text in spellings(NUMBER) if text in told] == []
    trial.visitor.client.get(error_of(callback, "login_required"))
    page = trial.visitor.client.get(FAILED, {"reference": VerificationAttempt.objects.get().reference})
    again = trial.visitor.client.post(LOGIN, {"retry": VerificationAttempt.objects.get().reference_shown})
    addresses = " ".join(re.findall(r'(?:href|src|action|value|content)="([^"]*)"', page.content.decode()))
    assert [text for text in spellings(NUMBER) if text in f"{addresses} {again['Location']}".lower()] == []
    trial.configure()
    trial.log_in()
    trial.expected += [("unavailable", "not_on_mobile_network"), ("pending", "")]
    trial.verified(trial.operator.hops)
    assert [hop for hop in trial.calls if hop != "discovery"] == ["token", "jwks", "verify"]


def test_in_11_hashed_number_is_not_in_the_front_channel_either(trial):
    root = f"{trial.operator.url}"
    trial.configure(PROFILE="camara-v2", API_ROOT=root, HASHED=True)
    trial.operator.verify = lambda operator, received: Reply(
        {"devicePhoneNumberVerified": received.json == {"hashedPhoneNumber": PhoneNumber(NUMBER).sha256}}
    )
    started = trial.visitor.start()
    assert [text for text in spellings(NUMBER) if text in started["Location"].lower()] == []
    callback = trial.visitor.visit_operator(started)
    trial.come_back(callback)
    trial.configure()
    trial.verified()


def test_in_11_page_that_moves_on_tells_no_number(trial):
    trial.configure(site={"REDIRECT_MODE": "interstitial"})
    page = Visitor([]).start(next="/payment/")
    trial.configure()

    assert [text for text in spellings(NUMBER) if text in page.content.decode().lower()] == []
    trial.log_in()
    trial.expected.append(("pending", ""))
    trial.verified()


def test_in_11_step_up_tells_no_number(trial):
    trial.log_in()
    stored = trial.visitor.client.session
    stored["numverify"]["proof"]["at"] -= 1000
    stored.save()
    started = trial.visitor.client.get("/payment/")

    assert [text for text in spellings(NUMBER) if text in started["Location"].lower()] == []
    trial.come_back(trial.visitor.visit_operator(started))
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


METADATA = Metadata("https://operator.example/authorize", "https://operator.example/token", None, False)


@pytest.fixture
def requests_made(settings):
    """10 000 authorization requests."""
    operator = conf.get().operators[0]
    facts = {"operation": VERIFY, "number": PhoneNumber(NUMBER), "redirect_uri": "https://site.example/callback/"}
    return [build_request(operator, METADATA, **facts) for _ in range(10_000)]


def test_in_12_state_nonce_and_verifier_are_unguessable_and_unique(requests_made):
    values = [value for made in requests_made for value in (made.state, made.nonce, made.verifier)]

    assert len(set(values)) == 30_000
    assert {len(base64.urlsafe_b64decode(f"{value}=")) for value in values} == {32}  # 256 bits
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for value in values)
    assert [made for made in requests_made if made.verifier in made.url] == []
    query = params_of(requests_made[0].url)
    assert (query["code_challenge"], query["code_challenge_method"]) == (challenge(requests_made[0].verifier), "S256")


def test_in_12_every_bit_is_random(requests_made):
    for name in ("state", "nonce", "verifier"):
        counts = [0] * 256
        for made in requests_made:
            number = int.from_bytes(base64.urlsafe_b64decode(f"{getattr(made, name)}="))
            for bit in range(256):
                counts[bit] += number >> bit & 1
        assert 4_600 < min(counts) <= max(counts) < 5_400, name  # eight standard deviations


def test_in_12_randomness_is_of_secrets_and_not_of_a_seed():
    assert inspect.signature(build_request).parameters["random"].default is secrets.token_urlsafe
    operator, made = conf.get().operators[0], set()
    for _ in range(3):
        random.seed(1)
        facts = {"operation": VERIFY, "number": None, "redirect_uri": "https://site.example/"}
        made.add(build_request(operator, METADATA, **facts).state)
    assert len(made) == 3


def test_in_12_references_and_browsers_are_random_too(trial):
    visitors = [newcomer(number, []) for number in range(20)]
    for visitor in visitors:
        visitor.start()
    browsers = {visitor.client.session["numverify"]["browser"] for visitor in visitors}
    references = set(VerificationAttempt.objects.values_list("reference", flat=True))

    assert (len(browsers), {len(browser) for browser in browsers}, len(references)) == (20, {43}, 20)
    trial.expected += [("pending", "")] * 20
    trial.log_in()
    trial.verified()


def test_in_12_secrets_of_an_attempt_are_never_logged(trial):
    callback = trial.begin()
    values = [params_of(callback)[name] for name in ("state", "code")]
    trial.visitor.client.get(callback)
    trial.visitor.client.get(callback)
    Visitor(trial.responses).client.get(callback)
    (asked,) = [received.form for received in trial.operator.received if received.hop == "token"]

    assert [value for value in [*values, asked["code_verifier"]] if value in trial.logged()] == []
    trial.verified()


# IN-14, IN-17: limits


def expect_limited(response, seconds=600):
    """The page of a limit."""
    assert response.status_code == 429
    assert 0 < int(response["Retry-After"]) <= seconds
    assert TOO_MANY in response.content.decode()
    assert "Location" not in response


def at(address, visitor=None):
    """Return a visitor whose address is ``address``."""
    visitor = visitor or Visitor([])
    visitor.client.defaults["REMOTE_ADDR"] = address
    return visitor


LIMITS = {"number_address": [1, 600], "session": [1, 600], "address": [1, 600], "site": [1, 600], "operator": [1, 600]}
NONE = dict.fromkeys(LIMITS)


@pytest.mark.parametrize("name", LIMITS)
def test_in_14_limit_costs_no_call_and_opens_no_attempt(trial, name):
    trial.configure(OPERATION="share", site={"RATE_LIMITS": NONE | {name: LIMITS[name]}})
    trial.log_in()
    calls, page = len(trial.operator.received), trial.visitor.start("")
    expect_limited(page)
    expect_limited(trial.visitor.start(TYPED))
    if name != "number_address":
        expect_limited(trial.visitor.client.post(FILL, {"next": "/filled/"}))

    assert len(trial.operator.received) == calls
    assert trial.visitor.client.get("/payment/").content == b"paid"  # what was proved stays proved
    trial.configure()
    trial.verified()


@pytest.mark.parametrize("name", LIMITS)
def test_in_14_limit_tells_nobody_whose_it_is(trial, name):
    trial.configure(site={"RATE_LIMITS": NONE | {name: LIMITS[name]}})
    trial.log_in()
    trial.visitor.client.logout()
    strangers = {
        "number_address": Visitor([]),
        "address": Visitor([]),
        "site": at("192.0.2.9"),
        "operator": Visitor([]),
    }
    visitor = strangers.get(name, trial.visitor)
    if name == "session":
        trial.visitor.start()
    texts = {re.sub(r"csrfmiddlewaretoken.*?>", "", visitor.start().content.decode()) for _ in range(2)}
    assert all(TOO_MANY in text and not re.search("session|address|budget|limit", text, re.I) for text in texts)
    VerificationAttempt.objects.filter(outcome="pending").delete()
    trial.configure()
    trial.callbacks.clear()
    trial.log_in()
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


EVASIONS = {
    "another browser": ("number_address", lambda n: (Visitor([]), TYPED)),
    "another spelling": (
        "number_address",
        lambda n: (Visitor([]), ["600000001", "+34600000001", "0034 600 000 001"][n]),
    ),
    "forwarded": ("address", lambda n: (forwarded(f"203.0.113.{n}"), f"60000001{n}")),
    "IPv6 neighbour": ("address", lambda n: (at(f"2001:db8::{n + 1}"), f"60000001{n}")),
    "mapped IPv4": ("address", lambda n: (at(["192.0.2.7", "::ffff:192.0.2.7", "::ffff:c000:207"][n]), f"60000001{n}")),
    "another number": ("site", lambda n: (at(f"192.0.2.{n}"), f"60000001{n}")),
    "another everything": ("operator", lambda n: (at(f"192.0.2.{n}"), f"60000001{n}")),
}


def forwarded(address):
    """Return a visitor who claims to come from ``address``."""
    visitor = Visitor([])
    names = ("X_FORWARDED_FOR", "X_REAL_IP", "FORWARDED", "CLIENT_IP", "TRUE_CLIENT_IP", "CF_CONNECTING_IP")
    visitor.client.defaults |= {f"HTTP_{name}": address for name in names}
    return visitor


@pytest.mark.parametrize(("limit", "next_try"), EVASIONS.values(), ids=EVASIONS)
def test_in_14_limit_is_not_evaded(trial, limit, next_try):
    trial.configure(site={"RATE_LIMITS": NONE | {limit: [2, 600]}})
    tries = [next_try(number) for number in range(3)]
    answers = [visitor.start(typed) for visitor, typed in tries]
    assert [answer.status_code for answer in answers] == [302, 302, 429]
    expect_limited(answers[2])

    trial.configure()
    VerificationAttempt.objects.all().delete()
    trial.log_in()
    trial.verified()


def test_in_14_stranger_elsewhere_locks_nobody_out(trial):
    stranger = at("192.0.2.66")
    answers = [stranger.start().status_code for _ in range(12)]
    for number in range(5):
        answers.append(at("192.0.2.66", Visitor([])).start().status_code)
        assert answers.pop() == 429, number
    assert answers == [302] * 10 + [429] * 2
    trial.log_in()
    trial.expected += [("pending", "")] * 10
    trial.verified()


def test_in_14_forwarded_address_counts_behind_a_trusted_proxy_alone(trial):
    limits = {"RATE_LIMITS": NONE | {"address": [1, 600]}}
    trial.configure(site=limits | {"TRUSTED_PROXIES": ["127.0.0.1"]})
    chains = ["203.0.113.1", "203.0.113.2", "9.9.9.9, 203.0.113.1", "203.0.113.1, 127.0.0.1", "nonsense, 203.0.113.2"]
    answers = []
    for number, chain in enumerate(chains):
        form = {"phone_number": f"60000001{number}"}
        answers.append(Visitor([]).client.post(LOGIN, form, headers={"X-Forwarded-For": chain}).status_code)
    assert answers == [302, 302, 429, 429, 429]
    trial.configure()
    trial.log_in()
    trial.expected += [("pending", "")] * 2
    trial.verified()


def test_in_14_default_limits_stop_a_browser_and_a_number(trial):
    assert [Visitor([]).start("600 000 007").status_code for _ in range(11)] == [302] * 10 + [429]
    browser = Visitor([])
    assert [browser.start(f"6000001{number:02}").status_code for number in range(21)] == [302] * 20 + [429]
    trial.expected += [("pending", "")] * 30
    trial.log_in()
    cancelled = VerificationAttempt.objects.filter(reason="cancelled").count()
    assert cancelled == 0
    trial.verified()


PEERS = ["", "unix:", "@", "127.0.0.1:5000"]


@pytest.mark.parametrize("peer", PEERS)
def test_in_14_limit_of_a_number_holds_where_the_address_cannot_be_read(trial, peer):
    trial.configure(site={"RATE_LIMITS": {"number_address": [2, 600]}})
    answers = []
    for _ in range(3):
        visitor = Visitor(trial.responses)
        visitor.client.defaults["REMOTE_ADDR"] = peer
        answers.append(visitor.start().status_code)

    assert answers == [302, 302, 429]
    trial.configure()
    trial.expected = [("pending", "")] * 2
    trial.calls = ["discovery"]


def test_in_14_proxy_at_a_unix_socket_is_believed_as_this_machine(trial):
    trial.configure(site={"RATE_LIMITS": {"number_address": [1, 600]}, "TRUSTED_PROXIES": ["127.0.0.1"]})
    answers = []
    for client in ("203.0.113.1:5000", "203.0.113.2:5000", "203.0.113.1:5001", "[2001:db8::1]:5000"):
        visitor = Visitor(trial.responses)
        visitor.client.defaults |= {"REMOTE_ADDR": "", "HTTP_X_FORWARDED_FOR": client}
        answers.append(visitor.start().status_code)

    assert answers == [302, 302, 429, 302]
    trial.expected = [("pending", "")] * 3
    trial.calls = ["discovery"]


def test_in_14_budget_of_a_short_window_counts_what_began_before_it(trial):
    trial.configure(site={"RATE_LIMITS": {"operator": [2, 60], "number_address": None}})
    waiting = [newcomer(number, trial.responses) for number in range(2)]
    callbacks = [visitor.visit_operator(visitor.start()) for visitor in waiting]
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(seconds=100))
    assert newcomer(8, trial.responses).start().status_code == 429
    for visitor, callback in zip(waiting, callbacks, strict=True):
        visitor.come_back(callback)
    assert newcomer(9, trial.responses).start().status_code == 429

    VerificationAttempt.objects.update(claimed_at=timezone.now() - timedelta(seconds=61))
    trial.log_in()
    trial.verified()
    trial.verified()
    trial.verified([*HONEST, *AGAIN, *AGAIN])
    trial.configure()


def test_in_14_budget_counts_what_may_still_cost(trial):
    trial.configure(site={"RATE_LIMITS": NONE | {"operator": [3, 3600]}})
    done, waiting = Visitor([]), [Visitor([]) for _ in range(2)]
    done.come_back(done.visit_operator(done.start("600 000 009")))
    callbacks = [visitor.visit_operator(visitor.start()) for visitor in waiting]
    expect_limited(trial.visitor.start(), 3600)
    for visitor, callback in zip(waiting, callbacks, strict=True):
        visitor.come_back(callback)
    expect_limited(trial.visitor.start(), 3600)

    assert trial.operator.hops.count("verify") == 3
    trial.configure()
    trial.log_in()
    trial.expected += [("mismatch", "number_mismatch"), ("verified", ""), ("verified", "")]
    trial.verified([*HONEST, *AGAIN * 3])


def test_in_17_success_resets_no_limit(trial):
    trial.configure(site={"RATE_LIMITS": NONE | {"number_address": [2, 600], "session": [3, 600]}})
    for _ in range(2):
        visitor = Visitor([])
        visitor.come_back(visitor.visit_operator(visitor.start()))
        assert visitor.user_id is not None
    expect_limited(trial.visitor.start())
    expect_limited(Visitor([]).start())
    trial.configure()
    trial.log_in()
    trial.expected += [("verified", "")] * 2
    trial.verified([*HONEST, *AGAIN * 2])


def test_in_17_windows_of_two_limits_are_apart(trial):
    trial.configure(site={"RATE_LIMITS": NONE | {"session": [1, 60], "number_address": [2, 600]}})
    trial.visitor.start()
    expect_limited(trial.visitor.start(), 60)
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    assert trial.visitor.start().status_code == 302
    VerificationAttempt.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    expect_limited(trial.visitor.start(), 539)
    assert trial.visitor.start("600 000 009").status_code == 302
    VerificationAttempt.objects.all().delete()
    trial.configure()
    trial.log_in()
    trial.verified()


def test_in_17_neither_cache_nor_logout_resets_a_limit(trial):
    trial.configure(site={"RATE_LIMITS": NONE | {"number_address": [1, 600]}})
    trial.log_in()
    cache.clear()
    trial.visitor.client.logout()
    expect_limited(trial.visitor.start())
    trial.configure()
    trial.callbacks.clear()
    trial.log_in()
    trial.verified()
    trial.verified([*HONEST, *AGAIN])


# IN-13, IN-18: what is written down

DIRT = "x\r\nERROR forged line\x1b[31m\x00\u202e\u2028\u200f\x85\x9b31m"


def unclean(trial):
    """Return what the package, and Django about it, logged in more than one line or with marks that mislead."""
    ours = [record for record in trial.caplog.records if record.name.startswith(("numverify_django", "django"))]
    return [record.getMessage() for record in ours if UNCLEAN.search(record.getMessage())]


def header_text(text):
    """Return ``text`` as a server hands on the bytes of a header, which has no line break and no NUL."""
    return re.sub("[\r\n\x00]", "", text).encode().decode("latin-1")


@pytest.mark.parametrize("name", ["phone_number", "next", "operation", "retry", "operator"])
def test_in_13_form_forges_no_line_of_the_log(trial, name):
    trial.visitor.client.post(LOGIN, {"phone_number": "1"} | {name: DIRT})
    trial.visitor.client.post(FILL, {name: DIRT})
    trial.visitor.client.get(LOGIN, {name: DIRT})
    trial.visitor.client.get(FAILED, {"reference": DIRT})

    assert unclean(trial) == []
    assert "forged line" not in trial.logged()
    trial.nothing()


HEADERS = ["User-Agent", "X-Forwarded-For", "Accept-Language", "Referer", "Origin", "X-Correlator", "X-Request-ID"]


@pytest.mark.parametrize("name", HEADERS)
def test_in_13_header_forges_no_line_of_the_log(trial, name):
    trial.configure(site={"TRUSTED_PROXIES": ["127.0.0.1"]})
    headers = {name: header_text(f"https://evil.example/{DIRT}" if name == "Referer" else DIRT)}
    callback = trial.visitor.visit_operator(trial.visitor.client.post(LOGIN, {"phone_number": TYPED}, headers=headers))
    trial.visitor.client.get(callback, headers=headers)
    strict = RecordingClient(trial.responses, enforce_csrf_checks=True)
    form = {"phone_number": "1", "csrfmiddlewaretoken": strict.get(LOGIN).cookies["csrftoken"].value}
    for secure in (False, True):
        strict.post(LOGIN, form, headers=headers, secure=secure)

    assert unclean(trial) == []
    assert "forged line" not in trial.logged()
    trial.configure()
    trial.verified()


def test_in_13_referer_of_a_refused_form_tells_the_log_no_code(trial):
    callback = trial.begin()
    strict = RecordingClient([], enforce_csrf_checks=True)
    form = {"phone_number": "1", "csrfmiddlewaretoken": strict.get(LOGIN).cookies["csrftoken"].value}
    answer = strict.post(LOGIN, form, headers={"Referer": f"https://other.example{callback}"}, secure=True)
    assert answer.status_code == 403
    trial.come_back(callback)
    trial.verified()


@pytest.mark.parametrize("name", ["error", "error_description", "error_uri", "iss", "code", "state", "session_state"])
def test_in_13_callback_forges_no_line_of_the_log(trial, name):
    callback = trial.begin()
    given = params_of(callback) | {name: DIRT}
    trial.visitor.client.get(f"{CALLBACK}?{urlencode(given)}")

    assert unclean(trial) == []
    assert "forged line" not in trial.logged()
    row = VerificationAttempt.objects.get()
    if not row.is_over:
        trial.come_back(callback)
        row.refresh_from_db()
    trial.visitor.client.get(FAILED, {"reference": row.reference})
    if row.outcome == "verified":
        trial.verified()
    else:
        trial.refused(row.reason, calls=["discovery"])


def test_in_13_operators_answer_forges_no_line_of_the_log(trial):
    told = {"error": DIRT, "error_description": DIRT, "code": DIRT, "message": DIRT}
    trial.operator.token = lambda operator, received: Reply(told, 400, {"X-Correlator": header_text(DIRT)})
    trial.log_in()

    ours = [record for record in trial.caplog.records if record.name.startswith(("numverify_django", "django"))]
    assert [record for record in ours if UNCLEAN.search(record.getMessage())] == []
    assert "forged line" not in trial.logged()
    assert [record.levelno for record in ours if record.name == "numverify_django.flow"] == [logging.WARNING]
    trial.refused("token_refused", calls=["discovery", "token"])


LONG = {
    "100 kB": "x" * 100_000,
    "latin-1": "".join(chr(code) for code in range(0xA0, 0x100)) * 10,
    "no UTF-8": "\xff\xfe\x80",
    "UTF-8": "\U0001f4f1\u202e".encode().decode("latin-1"),
    "list": ",".join(["es;q=0.1"] * 20_000),
    "markup": "<script>alert(1)</script>",
    "format": "%s%n{0}{{x}}${jndi:ldap://evil.example}",
}


@pytest.fixture
def any_language(settings):
    """A site that speaks the visitor's language; named before ``trial``."""
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE[:2],
        "django.middleware.locale.LocaleMiddleware",
        *settings.MIDDLEWARE[2:],
    ]


@pytest.mark.usefixtures("any_language")
@pytest.mark.parametrize("value", LONG.values(), ids=LONG)
def test_in_18_headers_of_any_length_and_bytes_are_no_trouble(trial, value):
    trial.configure(site={"TRUSTED_PROXIES": ["127.0.0.1"]})
    names = ("User-Agent", "Accept-Language", "Accept", "X-Forwarded-For", "Referer", "Cookie2", "Sec-Fetch-Mode")
    headers = dict.fromkeys(names, value)
    client = trial.visitor.client
    assert client.get(LOGIN, headers=headers).status_code == 200
    callback = trial.visitor.visit_operator(client.post(LOGIN, {"phone_number": TYPED}, headers=headers))
    assert client.get(callback, headers=headers).status_code == 302
    assert client.get("/payment/", headers=headers).status_code == 200

    assert value not in trial.rows()
    assert value not in trial.logged()
    assert unclean(trial) == []
    trial.configure()
    trial.verified()


@pytest.mark.parametrize("name", ["sessionid", "csrftoken", "other"])
def test_in_18_cookies_of_any_bytes_are_no_trouble(trial, name):
    client = trial.visitor.client
    for value in ("x" * 100_000, "\xff\xfe", "\x01", "'\"<>;"):
        client.cookies[name] = value
        assert client.get(LOGIN).status_code == 200
        assert client.get(CALLBACK).status_code == 400
        assert client.post(LOGIN, {"phone_number": "1"}).status_code == 400
    del client.cookies[name]
    trial.log_in()
    trial.verified()


@pytest.mark.parametrize("address", ["", "unix:", "nonsense", "127.0.0.1:80", "::1%eth0", "999.1.1.1", "fe80::1%<x>"])
def test_in_18_address_that_is_none_is_no_trouble(trial, address):
    trial.visitor.client.defaults["REMOTE_ADDR"] = address
    trial.log_in()
    assert address == "" or address not in trial.rows()
    trial.verified()


# Bodies that Django itself cannot read

PART = b'--x\r\nContent-Disposition: form-data; name="phone_number"\r\n\r\n600\r\n--x--\r\n'
UNREADABLE = {
    "UTF-16": ("application/x-www-form-urlencoded; charset=utf-16", b"phone_number=6"),
    "Latin-1": ("application/x-www-form-urlencoded; charset=iso-8859-1", b"phone_number=6"),
    **{
        name: (f"multipart/form-data; boundary=x; charset={name}", PART)
        for name in ("idna", "hex", "zlib", "undefined")
    },
    "no boundary": ("multipart/form-data", PART),
    "many fields": ("application/x-www-form-urlencoded", b"&".join(b"p%d=x" % number for number in range(5000))),
    "large": ("application/x-www-form-urlencoded", b"x=" + b"y" * 3_000_000),
}


@pytest.mark.parametrize(("kind", "body"), UNREADABLE.values(), ids=UNREADABLE)
def test_body_that_cannot_be_read_is_no_500_and_starts_nothing(transactional_db, live_server, trial, kind, body):
    browser = Browser(live_server.url)
    browser.get(LOGIN)
    # A query beside a character set that is none of text fails in Django's own reading of the request.
    query = "" if kind.endswith(("hex", "zlib", "undefined")) else "?code=the-code&state=the-state"
    for path in (LOGIN, FILL, f"{CALLBACK}{query}"):
        headers = {"Content-Type": kind, "X-CSRFToken": browser._http.cookies["csrftoken"], "Origin": live_server.url}
        answer = browser._http.post(f"{live_server.url}{path}", body, headers=headers, timeout=10)
        assert answer.status_code in (400, 403, 405)
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert "no-store" in answer.headers["Cache-Control"]
    assert "the-code" not in trial.logged()
    trial.nothing()


# The cache, on which nothing but speed depends


@pytest.mark.parametrize("hop", [None, "token"])
def test_cache_that_is_down_stops_nobody(trial, monkeypatch, hop):
    def broken(*args, **options):
        raise ConnectionError("the cache is down")

    callback = trial.begin() if hop else None
    with monkeypatch.context() as patched:
        for name in ("get", "set", "add", "incr", "delete", "get_many", "delete_many"):
            patched.setattr(type(caches["default"]), name, broken)
        trial.come_back(callback or trial.begin())

    trial.verified()
