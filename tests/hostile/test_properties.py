"""Whatever strangers and operators send: never a 500, never a login, never a leak."""

import json
import logging
import re
import uuid
from urllib.parse import urljoin, urlsplit

import pytest
from django.core.cache import cache
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path, re_path
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from numverify_django import conf
from numverify_django.decorators import number_verified_required
from numverify_django.models import VerificationAttempt, VerifiedNumber

from .conftest import CLIENT_SECRET, HOST, NUMBER, TYPED, Visitor, is_from_the_test, make_user
from .operator import Reply

urlpatterns = [
    path("numverify/", include("numverify_django.urls")),
    re_path(r"^guarded/", number_verified_required(lambda request: HttpResponse("paid"))),
]
# Each example is a whole login, over sockets and with a database.
many = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=8), inner), max_leaves=8
)
RAW = st.binary(max_size=200) | ANYTHING.map(lambda value: json.dumps(value).encode())


@pytest.fixture
def site(db, operator, configure, caplog):
    """A site without limits, and the honest operator that an example then bends."""
    caplog.set_level(logging.DEBUG)
    configure(site={"RATE_LIMITS": {"number_address": None, "session": None}})
    operator.caplog = caplog
    return operator


def log_in(operator, **endpoints):
    """Log in with some endpoints replaced; return the visitor and every status that was answered."""
    cache.clear()
    operator.restore()
    for name, endpoint in endpoints.items():
        setattr(operator, name, endpoint)
    responses = []
    visitor = Visitor(responses)
    visitor.come_back(visitor.visit_operator(visitor.start()))
    expect_no_leak(operator, responses)
    return visitor, [response.status_code for response in responses]


def expect_no_leak(operator, responses, *secrets):
    """Nothing secret is in the log, the audit or an answer, but for the number in the form that it was typed into."""
    told = [record.getMessage() for record in operator.caplog.records if not is_from_the_test(record)]
    told += [str(list(VerificationAttempt.objects.values()))]
    for response in responses:
        if not response.get("Location", "").startswith(operator.url):
            told += [str(dict(response.items())), re.sub(r'name="phone_number" value="[^"]*"', "", response.text)]
    secrets = [*operator.secrets, CLIENT_SECRET, NUMBER[1:], NUMBER[3:], TYPED, *secrets]
    assert [secret for secret in secrets if secret in "\n".join(told)] == []
    operator.caplog.clear()


@many
@given(st.text(max_size=60) | st.from_regex(r"\+?[0-9 ()./-]{4,20}", fullmatch=True))
def test_whatever_is_typed_is_a_form_error_or_a_start(site, typed):
    response = Client(SERVER_NAME=HOST).post("/numverify/login/", {"phone_number": typed, "operation": "verify"})

    expect_no_leak(site, [response], *re.findall(r"\d{6,}", typed))
    assert response.status_code in (302, 400)
    if response.status_code == 302:
        assert response["Location"].startswith(site.url)


MARK = "zq7"  # begins what no page of ours has in it
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        name: st.lists(st.text(max_size=30) | st.text(max_size=30).map(MARK.__add__), min_size=1, max_size=2)
        for name in ("code", "state", "error", "iss", "error_description", "response", "x")
    },
)


def secrets_in(params):
    """Return the values that must not be repeated; short ones are in any text."""
    told = [text for name in ("code", "state", "error_description") for text in params.get(name, [])]
    return [text for text in told if text.startswith(MARK) and len(text) > 8]


@many
@given(PARAMETERS)
def test_no_callback_that_was_not_asked_for_is_a_500_or_a_login(site, params):
    visitor = Visitor([])
    visitor.start()
    response = visitor.client.get("/numverify/callback/", params)

    expect_no_leak(site, visitor.client.responses, *secrets_in(params))
    assert response.status_code in (400, 410)
    assert visitor.user_id is None
    assert VerificationAttempt.objects.latest("pk").outcome == "pending"


@many
@given(PARAMETERS)
def test_no_answer_but_the_operators_own_logs_in(site, params):
    visitor = Visitor([])
    callback = visitor.visit_operator(visitor.start())
    _, _, query = callback.partition("?")
    state = dict(pair.split("=", 1) for pair in query.split("&"))["state"]
    response = visitor.client.get("/numverify/callback/", {**params, "state": state})

    expect_no_leak(site, visitor.client.responses, state, *secrets_in(params))
    assert response.status_code in (302, 400)
    assert visitor.user_id is None
    assert VerificationAttempt.objects.latest("pk").outcome not in ("pending", "verified")


@many
@given(RAW)
def test_no_token_answer_made_up_is_a_500_or_a_login(site, body):
    visitor, statuses = log_in(site, token=lambda operator, received: Reply(body))

    assert visitor.user_id is None
    assert max(statuses) < 500
    assert "verify" not in site.hops


@many
@given(RAW | st.dictionaries(st.sampled_from(["devicePhoneNumberVerified", "phoneNumber", "status"]), ANYTHING))
def test_no_verify_answer_but_true_logs_in(site, body):
    def is_true(body):
        return isinstance(body, dict) and body.get("devicePhoneNumberVerified") is True

    visitor, statuses = log_in(site, verify=lambda operator, received: Reply(body))

    assert (visitor.user_id is not None) is is_true(body)
    assert max(statuses) < 500


CLAIMS = st.dictionaries(
    st.sampled_from(["iss", "aud", "azp", "sub", "exp", "iat", "nbf", "nonce", "at_hash"]), ANYTHING, min_size=1
)


@many
@given(CLAIMS)
def test_no_changed_claim_logs_in(site, changed):
    harmless = {"sub"} | ({"nbf"} if isinstance(changed.get("nbf"), int) else set())

    def token(operator, received):
        return Reply(operator.token_body(received, id_token=operator.id_token(received, **changed)))

    visitor, statuses = log_in(site, token=token)

    assert max(statuses) < 500
    if changed.keys() - harmless:
        assert visitor.user_id is None
        assert "verify" not in site.hops


@many
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jku", "jwk", "x5u"]), ANYTHING, min_size=1)
)
def test_no_changed_header_is_a_500_or_asks_anybody_else(site, changed):
    def token(operator, received):
        return Reply(operator.token_body(received, id_token=operator.id_token(received, header=changed)))

    visitor, statuses = log_in(site, token=token)

    assert max(statuses) < 500
    assert set(site.hops) <= {"discovery", "token", "jwks", "verify"}
    if changed.keys() & {"alg", "crit", "b64"}:
        assert visitor.user_id is None


@pytest.mark.urls(__name__)
@many
@given(st.text(max_size=40), st.text(max_size=40))
def test_step_up_of_any_path_stays_on_this_site(site, rest, query):
    cache.clear()
    user = make_user(f"user{uuid.uuid4()}")
    VerifiedNumber.objects.update_or_create(
        number=NUMBER, defaults={"user": user, "operator": conf.get().operators[0].name, **DATES}
    )
    visitor = Visitor([])
    visitor.client.force_login(user)
    response = visitor.client.get(f"/guarded/{rest}", {"q": query})
    expect_no_leak(site, visitor.client.responses)

    assert response.status_code in (302, 404)
    if response.status_code == 302:
        back = visitor.client.get(visitor.visit_operator(response))
        assert urlsplit(back["Location"])[:2] == ("", "")
        assert back["Location"].startswith("/guarded/")
        expect_no_leak(site, [back])


DATES = {"first_verified_at": timezone.now(), "last_verified_at": timezone.now()}
REST = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
STARTS = st.sampled_from(["", "//", "/\\", "https:", "javascript:", "/", "\\\\"])


@many
@given(STARTS, REST)
def test_next_never_leaves_this_site(site, start, rest):
    visitor = Visitor([])
    response = visitor.client.get(visitor.visit_operator(visitor.start(next=start + rest)))
    expect_no_leak(site, visitor.client.responses)
    leads_to = urlsplit(urljoin(f"http://{HOST}/numverify/callback/", response["Location"].replace("\\", "/")))

    assert visitor.user_id is not None
    assert (leads_to.scheme, leads_to.netloc) == ("http", HOST)
