"""AR: the authorization response, which anybody's browser can bring."""

import logging
import secrets
from datetime import timedelta
from urllib.parse import urlencode, urlsplit

import pytest
import requests
from django.conf import settings as django_settings
from django.db.models import F
from django.test import Client
from django.utils import timezone

from numverify_django import flow
from numverify_django.models import OPEN_MAX, VerificationAttempt
from numverify_django.protocol.conversation import Directory

from .conftest import (
    CLIENT_SECRET,
    HONEST,
    HOST,
    NUMBER,
    TYPED,
    RecordingClient,
    Visitor,
    changed,
    error_of,
    newcomer,
    params_of,
)
from .operator import Operator, Reply

CALLBACK = "/numverify/callback/"
NOT_OPEN, UNFINISHED = "is no longer open", "The check didn't finish"


@pytest.fixture
def second():
    """Another operator, which the site may have configured too."""
    server = Operator()
    yield server
    server.close()


def keys_of(operator, **changed):
    """Return what the settings say of ``operator``."""
    keys = {"PROFILE": "telefonica", "ISSUER": operator.url, "API_ROOT": f"{operator.url}/v1", "CLIENT_ID": "elsewhere"}
    return keys | {"CLIENT_SECRET": CLIENT_SECRET, "ALLOW_LOOPBACK": True} | changed


def come_back_each(trial, changes, reason):
    """Let one visitor after the other come back with a changed callback, and expect that all end with ``reason``.

    The last is the trial's own.
    """
    for number, (name, params) in enumerate(changes.items(), 1):
        visitor = trial.visitor if number == len(changes) else newcomer(number, [])
        callback = visitor.visit_operator(visitor.start())
        trial.callbacks.append(callback)
        visitor.come_back(changed(callback, **params))
        assert VerificationAttempt.objects.latest("pk").reason == reason, name
        assert visitor.user_id is None, name
        trial.refused(reason, calls=["discovery"])


def only_row():
    """Return the one attempt."""
    return VerificationAttempt.objects.get()


# AR-01: a state that was never issued


def expect_stranger(response, status=400):
    """The page of a callback that belongs to nothing of this browser."""
    assert response.status_code == status
    assert NOT_OPEN in response.content.decode()


@pytest.mark.usefixtures("everywhere")
def test_ar_01_state_that_was_never_issued_is_refused(trial):
    code, state = trial.operator.secret("code"), trial.operator.secret("state")
    response = trial.visitor.client.get(CALLBACK, {"code": code, "state": state, "iss": trial.operator.url})

    expect_stranger(response)
    assert "sessionid" not in response.cookies
    trial.nothing()


GUESSES = [
    lambda row, state: str(row.pk),
    lambda row, state: row.reference,
    lambda row, state: row.reference_shown,
    lambda row, state: str(row.correlator),
    lambda row, state: str(row.state_digest),
    lambda row, state: row.state_digest.hex,
    lambda row, state: str(row.browser_digest),
    lambda row, state: row.sealed,
    lambda row, state: "%",
    lambda row, state: f"{state[:10]}%",
    lambda row, state: "_" * len(state),
    lambda row, state: "' OR 1=1 --",
    lambda row, state: "None",
    lambda row, state: "\x00",
    lambda row, state: "\ud800".encode("utf-8", "surrogatepass"),
    lambda row, state: b"\xff\xfe",
    lambda row, state: "A" * 100_000,
]


def test_ar_01_state_made_of_what_others_can_read_is_refused(trial):
    callback = trial.begin()
    row = only_row()

    for guess in GUESSES:
        expect_stranger(trial.visitor.client.get(changed(callback, state=guess(row, params_of(callback)["state"]))))
    assert trial.operator.hops == ["discovery"]
    trial.come_back(callback)
    trial.verified()


@pytest.mark.parametrize("error", [{}, {"error": "access_denied"}, {"error": "server_error", "code": "x"}], ids=str)
def test_ar_01_state_of_a_pruned_attempt_is_refused(trial, error):
    callback = trial.begin()
    VerificationAttempt.objects.all().delete()

    expect_stranger(trial.visitor.client.get(changed(callback, **error)))
    trial.callbacks.clear()  # its row is gone: a replay is the same stranger again
    trial.nothing(["discovery"])


# AR-02: another browser's state


@pytest.mark.usefixtures("everywhere")
def test_ar_02_foreign_browser_is_refused_and_spends_nothing(trial):
    stranger = Visitor(trial.responses)
    own, callback = stranger.visit_operator(stranger.start()), trial.begin()
    before = list(VerificationAttempt.objects.order_by("pk").values())

    expect_stranger(stranger.client.get(callback))
    expect_stranger(stranger.client.get(error_of(callback, "access_denied")))
    assert stranger.user_id is None
    assert list(VerificationAttempt.objects.order_by("pk").values()) == before
    assert trial.operator.hops == ["discovery"]
    stranger.come_back(error_of(own, "access_denied"))  # its own is spent by itself alone
    trial.come_back(callback)
    trial.refused("access_denied")
    trial.verified()


def test_ar_02_browser_that_began_nothing_is_refused_and_spends_nothing(trial):
    callback = trial.begin()
    stranger = Visitor(trial.responses)
    stranger.start("not a number")
    before = VerificationAttempt.objects.values().get()

    expect_stranger(stranger.client.get(callback))
    expect_stranger(Visitor(trial.responses).client.get(callback))
    assert stranger.user_id is None
    assert VerificationAttempt.objects.values().get() == before
    trial.come_back(callback)
    trial.verified()


def test_ar_02_signed_in_browser_keeps_its_login(trial):
    callback, user_id = trial.begin(), trial.bystander.user_id

    for path in (callback, error_of(callback, "access_denied")):
        expect_stranger(trial.bystander.client.get(path))
        assert trial.bystander.user_id == user_id
    trial.come_back(callback)
    trial.verified()


def test_ar_02_code_of_another_session_proves_nothing(trial):
    attacker = Visitor(trial.responses)
    theirs = attacker.visit_operator(attacker.start())
    attacker.client.get(error_of(theirs, "access_denied"))
    callback = trial.begin()
    page = trial.come_back(changed(callback, code=params_of(theirs)["code"]))

    assert UNFINISHED in page.content.decode()
    trial.refused("access_denied")
    trial.refused("id_token_invalid", calls=["discovery", "token", "jwks"])  # the nonce is the other session's


def test_ar_02_states_swapped_between_two_browsers_log_nobody_in(trial):
    other = Visitor(trial.responses)
    theirs, ours = other.visit_operator(other.start()), trial.begin()

    expect_stranger(other.client.get(ours))
    expect_stranger(trial.visitor.client.get(theirs))
    assert trial.operator.hops == ["discovery"]
    other.client.get(error_of(theirs, "access_denied"))
    trial.come_back(ours)
    trial.refused("access_denied")
    trial.verified()


# AR-03: the same callback again


@pytest.mark.usefixtures("everywhere")
def test_ar_03_replay_after_success_is_refused_without_a_call(trial):
    callback = trial.begin()
    trial.come_back(callback)
    session, row = dict(trial.visitor.client.session), VerificationAttempt.objects.values().get()
    key = trial.visitor.client.session.session_key

    for _ in range(2):
        replay = trial.visitor.client.get(callback)
        assert replay.status_code == 409
        assert "You're already logged in" in replay.content.decode()
    assert trial.visitor.client.session.session_key == key
    assert dict(trial.visitor.client.session) == session
    assert VerificationAttempt.objects.values().get() == row
    trial.verified()


REPLAYS = {
    "fresh code": lambda trial: {"code": trial.operator.secret("code")},
    "no code": lambda trial: {"code": ...},
    "error": lambda trial: {"code": ..., "error": "access_denied"},
    "error beside the code": lambda trial: {"error": "server_error"},
    "foreign issuer": lambda trial: {"iss": trial.evil.url},
    "repeated code": lambda trial: {"code": ["a", "b"]},
}


def test_ar_03_replayed_state_with_something_else_is_refused(trial):
    callback = trial.begin()
    trial.come_back(callback)
    row = VerificationAttempt.objects.values().get()

    for name, replay in REPLAYS.items():
        assert trial.visitor.client.get(changed(callback, **replay(trial))).status_code == 409, name
    assert VerificationAttempt.objects.values().get() == row
    trial.verified()


def test_ar_03_replay_after_a_failure_is_refused(trial):
    callback = trial.begin()
    page = trial.come_back(error_of(callback, "login_required"))

    expect_stranger(trial.visitor.client.get(callback), status=410)
    expect_stranger(trial.visitor.client.get(error_of(callback, "access_denied")), status=410)
    trial.responses.append(page)  # what the person ended on
    trial.refused("not_on_mobile_network", calls=["discovery"])


def test_ar_03_replay_by_another_browser_is_refused(trial):
    callback = trial.begin()
    trial.come_back(callback)
    stranger = Visitor(trial.responses)
    stranger.start("not a number")

    expect_stranger(stranger.client.get(callback))
    expect_stranger(trial.bystander.client.get(callback))
    assert stranger.user_id is None
    trial.verified()


def test_ar_03_replay_after_logging_out_does_not_log_in_again(trial):
    callback = trial.begin()
    trial.come_back(callback)
    trial.visitor.client.logout()

    expect_stranger(trial.visitor.client.get(callback))
    assert trial.visitor.user_id is None
    trial.log_in()
    trial.verified()
    trial.verified([*HONEST, "token", "verify"])


# AR-04: the issuer of another operator


@pytest.mark.usefixtures("everywhere")
def test_ar_04_issuer_of_another_configured_operator_gets_no_code(trial, second):
    trial.configure(others={"second": keys_of(second)})
    page = trial.come_back(changed(trial.begin(), iss=second.url))

    assert UNFINISHED in page.content.decode()
    assert second.received == []
    trial.refused("issuer_mismatch", calls=["discovery"])


@pytest.mark.parametrize("announced", [True, None])
def test_ar_04_operator_that_sends_its_visitors_to_another_gets_no_code(trial, second, announced):
    """The mix-up attack: an honest operator's code must not reach the token endpoint of the hostile one."""
    trial.configure(others={"second": keys_of(second)}, RESPONSE_ISS=announced)
    elsewhere = {"Location": f"{second.url}/authorize?"}
    trial.operator.authorize = lambda operator, received: Reply(
        status=302, headers={"Location": elsewhere["Location"] + urlsplit(received.path).query}
    )
    hop = requests.get(trial.visitor.start()["Location"], allow_redirects=False, timeout=10)
    answer = requests.get(hop.headers["Location"], allow_redirects=False, timeout=10)
    callback = f"{CALLBACK}?{urlsplit(answer.headers['Location']).query}"
    trial.callbacks.append(callback)
    trial.operator.secrets += second.secrets
    trial.come_back(callback)

    assert params_of(callback)["iss"] == second.url
    assert second.hops == []
    trial.refused("issuer_mismatch", calls=["discovery"])


def test_ar_04_issuer_of_the_first_operator_does_not_serve_the_second(trial, second):
    trial.configure(others={"second": keys_of(second)}, PREFIXES=["+49"])
    callback = trial.begin()
    trial.come_back(changed(callback, iss=trial.operator.url))

    assert only_row().operator == "second"
    assert second.hops == ["discovery"]
    trial.configure()
    trial.refused("issuer_mismatch")


def test_ar_04_error_of_another_operator_is_not_believed(trial, second):
    trial.configure(others={"second": keys_of(second)})
    trial.come_back(error_of(trial.begin(), "access_denied", iss=second.url))

    assert second.received == []
    trial.refused("issuer_mismatch", calls=["discovery"])


@pytest.mark.parametrize("own", [(True, True), (True, False), (False, True)], ids=["both", "first", "second"])
def test_ar_04_answer_at_the_callback_of_another_gets_no_code(trial, second, own):
    """The mix-up attack where no operator sends its issuer: the callback tells them apart (RFC 9700 4.4.2.2)."""
    (name,) = django_settings.NUMVERIFY["OPERATORS"]
    shared = f"http://{HOST}{CALLBACK}"
    first, other = (
        {"RESPONSE_ISS": False, "REDIRECT_URI": f"{shared}{whose}/" if has else None}
        for whose, has in zip((name, "second"), own, strict=True)
    )
    trial.configure(others={"second": keys_of(second, **other)}, **first)
    asked = params_of(trial.visitor.start()["Location"])
    registered = other["REDIRECT_URI"] or shared  # the second operator knows no other
    misled = urlencode(asked | {"client_id": "elsewhere", "redirect_uri": registered})
    answer = requests.get(f"{second.url}/authorize?{misled}", allow_redirects=False, timeout=10)
    back = urlsplit(answer.headers["Location"])
    without_iss = {name: value for name, value in params_of(back.geturl()).items() if name != "iss"}
    callback = f"{back.path}?{urlencode(without_iss)}"
    trial.callbacks.append(callback)
    trial.operator.secrets += second.secrets
    trial.come_back(callback)

    assert (only_row().operator, second.hops) == (name, [])
    trial.refused("issuer_mismatch", calls=["discovery"])


def misled(trial, second, started):
    """Let the hostile operator lead a browser on to the second, which sends no issuer; return the callback."""
    query = urlencode(params_of(started["Location"]) | {"client_id": "elsewhere"})
    answer = requests.get(f"{second.url}/authorize?{query}", allow_redirects=False, timeout=10)
    trial.operator.secrets += second.secrets
    trial.callbacks.append(changed(f"{CALLBACK}?{urlsplit(answer.headers['Location']).query}", iss=...))
    return trial.callbacks[-1]


@pytest.mark.parametrize("promised", ["by its document", "in the settings"])
def test_ar_04_code_of_an_operator_that_sends_no_issuer_does_not_reach_one_that_said_it_does(trial, second, promised):
    second.discovery = without_announcement
    if promised == "in the settings":
        trial.operator.discovery = without_announcement
    keys = {"RESPONSE_ISS": True} if promised == "in the settings" else {}
    trial.configure(others={"second": keys_of(second)}, **keys)
    trial.come_back(misled(trial, second, trial.visitor.start()))

    assert second.hops == []
    trial.refused("issuer_mismatch", calls=["discovery"])


def test_ar_04_operators_that_nothing_tells_apart_get_no_visitor(trial, second):
    """An ID token would tell them apart, after the code has gone to the wrong one (RFC 9700 4.4)."""
    trial.operator.discovery = second.discovery = without_announcement
    trial.configure(others={"second": keys_of(second)})
    started = trial.visitor.start()
    trial.come_back(started["Location"])

    assert urlsplit(started["Location"]).netloc == ""
    assert second.received == []
    trial.configure()
    trial.refused("misconfigured", calls=["discovery"])


def test_ar_04_operator_that_takes_its_word_back_gets_no_code(trial, second, monkeypatch):
    second.discovery = without_announcement
    trial.configure(others={"second": keys_of(second)})
    callback = misled(trial, second, trial.visitor.start())
    trial.operator.discovery = without_announcement
    monkeypatch.setattr(flow, "_directory", Directory())  # of another worker
    trial.come_back(callback)

    assert second.hops == []
    trial.configure()
    trial.refused("misconfigured", calls=["discovery", "discovery"])


@pytest.mark.parametrize("silent", ["hostile", "honest", "both"])
def test_ar_04_operator_that_is_new_meanwhile_sends_no_code_to_another(trial, second, silent):
    keys = {"RESPONSE_ISS": False if silent != "honest" else None}
    trial.configure(**keys)
    callback = misled(trial, second, trial.visitor.start())
    others = {"second": keys_of(second, RESPONSE_ISS=False if silent != "hostile" else None)}
    trial.configure(others=others, **keys)
    page = trial.come_back(callback)

    assert (page.status_code, UNFINISHED in page.content.decode()) == (400, True)
    assert (only_row().outcome, second.hops) == ("pending", [])
    assert trial.operator.hops == ["discovery"]
    trial.configure(**keys)
    trial.come_back(changed(callback, iss=second.url))
    trial.refused("issuer_mismatch", calls=["discovery"])


# AR-05: no issuer


def without_announcement(operator, received):
    """A discovery document that does not say that the operator sends its issuer."""
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    return Reply({"issuer": operator.url} | {name: f"{operator.url}/{path}" for name, path in names.items()})


def test_ar_05_missing_issuer_is_refused_where_it_is_announced(trial):
    trial.come_back(changed(trial.begin(), iss=...))
    trial.refused("issuer_mismatch", calls=["discovery"])


def test_ar_05_missing_issuer_is_refused_where_it_is_configured(trial):
    trial.configure(RESPONSE_ISS=True)
    trial.operator.discovery = without_announcement
    trial.come_back(changed(trial.begin(), iss=...))
    trial.refused("issuer_mismatch", calls=["discovery"])


def test_ar_05_missing_issuer_is_refused_where_nothing_is_discovered(trial):
    at = trial.operator.url
    endpoints = {"AUTHORIZATION_ENDPOINT": f"{at}/authorize", "TOKEN_ENDPOINT": f"{at}/token", "JWKS_URI": f"{at}/jwks"}
    trial.configure(RESPONSE_ISS=True, **endpoints)
    trial.come_back(changed(trial.begin(), iss=...))
    trial.refused("issuer_mismatch", calls=[])


def test_ar_05_error_without_an_issuer_is_not_believed(trial):
    errors = ["access_denied", "login_required", "whatever"]
    come_back_each(trial, {error: {"code": ..., "error": error, "iss": ...} for error in errors}, "issuer_mismatch")


def test_ar_05_issuer_under_another_name_is_missing(trial):
    names = ["ISS", "Iss", "iss[]", " iss", "issuer", "response_iss"]
    come_back_each(trial, {name: {"iss": ..., name: trial.operator.url} for name in names}, "issuer_mismatch")


@pytest.mark.parametrize("announced", [..., False, "false"])
def test_ar_05_operator_that_never_sends_its_issuer_may_leave_it_out(trial, announced):
    told = {} if announced is ... else {"authorization_response_iss_parameter_supported": announced}
    trial.operator.discovery = lambda operator, received: Reply(without_announcement(operator, received).body | told)
    trial.come_back(changed(trial.begin(), iss=...))
    trial.verified()


def test_ar_05_operator_that_never_sends_its_issuer_may_not_send_a_wrong_one(trial):
    trial.operator.discovery = without_announcement
    come_back_each(trial, {iss: {"iss": iss} for iss in ("", "null", "http://127.0.0.1")}, "issuer_mismatch")


# AR-06: an issuer that resembles the operator's

RESEMBLING = {
    "one more character": lambda issuer: f"{issuer}1",
    "slash": lambda issuer: f"{issuer}/",
    "upper-case host": lambda issuer: issuer.replace("localhost", "LOCALHOST"),
    "percent-encoded": lambda issuer: issuer.replace("localhost", "%6cocalhost"),
    "explicit :443": lambda issuer: f"{issuer}:443",
}
ALMOST = {
    "mixed-case host": lambda issuer: issuer.replace("localhost", "localHost"),
    "upper-case scheme": lambda issuer: issuer.replace("http", "HTTP"),
    "percent-encoded colon": lambda issuer: issuer.replace("://", "%3A//"),
    "zero in the port": lambda issuer: issuer.replace("localhost:", "localhost:0"),
    "empty": lambda issuer: "",
    "one character less": lambda issuer: issuer[:-1],
    "other scheme": lambda issuer: issuer.replace("http", "https"),
    "no scheme": lambda issuer: issuer.removeprefix("http://"),
    "address": lambda issuer: issuer.replace("localhost", "127.0.0.1"),
    "root of the name": lambda issuer: issuer.replace("localhost", "localhost."),
    "user": lambda issuer: issuer.replace("localhost", "user@localhost"),
    "blank before": lambda issuer: f" {issuer}",
    "blank after": lambda issuer: f"{issuer} ",
    "line feed after": lambda issuer: f"{issuer}\n",
    "NUL after": lambda issuer: f"{issuer}\x00",
    "empty query": lambda issuer: f"{issuer}?",
    "empty fragment": lambda issuer: f"{issuer}#",
    "dot segments": lambda issuer: f"{issuer}/.",
    "prefix of an evil host": lambda issuer: f"{issuer}.evil.example",
    "full-width letter": lambda issuer: issuer.replace("localhost", "\uff4cocalhost"),
    "soft hyphen": lambda issuer: issuer.replace("localhost", "local\u00adhost"),
    "list": lambda issuer: f"['{issuer}']",
    "JSON text": lambda issuer: f'"{issuer}"',
    "discovery document": lambda issuer: f"{issuer}/.well-known/openid-configuration",
}


@pytest.fixture
def named(trial):
    """The trial, its operator reached by a name whose letters have a case."""
    trial.operator.url = trial.operator.url.replace("127.0.0.1", "localhost")
    trial.configure(ISSUER=trial.operator.url, API_ROOT=f"{trial.operator.url}/v1")
    return trial


@pytest.mark.parametrize("resembling", RESEMBLING.values(), ids=RESEMBLING)
def test_ar_06_issuer_is_compared_exactly(named, resembling):
    page = named.come_back(changed(named.begin(), iss=resembling(named.operator.url)))

    assert UNFINISHED in page.content.decode()
    named.refused("issuer_mismatch", calls=["discovery"])


def test_ar_06_issuer_that_resembles_in_any_other_way_is_refused(named):
    changes = {name: {"iss": almost(named.operator.url)} for name, almost in ALMOST.items()}
    come_back_each(named, changes, "issuer_mismatch")


def test_ar_06_exact_issuer_is_accepted(named):
    named.log_in()
    named.verified()


def test_ar_06_repeated_issuer_is_refused(trial):
    ours, evil = trial.operator.url, trial.evil.url
    pairs = [[ours, ours], [ours, evil], [evil, ours], [ours, ""], ["", ours]]
    come_back_each(trial, {str(pair): {"iss": pair} for pair in pairs}, "callback_invalid")


# AR-08: a state that resembles the attempt's

MANGLED = {
    "missing": lambda state: ...,
    "empty": lambda state: "",
    "one more character": lambda state: f"{state}1",
    "truncated": lambda state: state[:-1],
    "case-flipped": lambda state: state.swapcase(),
    "blank before": lambda state: f" {state}",
    "blank after": lambda state: f"{state} ",
    "blanks around": lambda state: f" {state} ",
}
ODD = {
    "line feed after": lambda state: f"{state}\n",
    "NUL after": lambda state: f"{state}\x00",
    "padding": lambda state: f"{state}=",
    "encoded twice": lambda state: f"%{ord(state[0]):02x}{state[1:]}",
    "reversed": lambda state: state[::-1],
    "half": lambda state: state[: len(state) // 2],
    "doubled": lambda state: state * 2,
    "full-width": lambda state: "".join(chr(ord(letter) + 0xFEE0) for letter in state),
    "zero-width": lambda state: f"{state}\u200b",
    "twice the same": lambda state: [state, state],
    "the right one first": lambda state: [state, "other"],
    "the right one last": lambda state: ["other", state],
    "an empty one first": lambda state: ["", state],
    "list": lambda state: f"['{state}']",
}


@pytest.mark.parametrize("mangled", MANGLED.values(), ids=MANGLED)
def test_ar_08_state_is_compared_exactly_and_the_attempt_stays_usable(trial, mangled):
    callback = trial.begin()
    row = VerificationAttempt.objects.values().get()
    state = mangled(params_of(callback)["state"])

    expect_stranger(trial.visitor.client.get(changed(callback, state=state)))
    expect_stranger(trial.visitor.client.get(error_of(callback, "access_denied", state=state)))
    assert VerificationAttempt.objects.values().get() == row
    assert trial.operator.hops == ["discovery"]
    trial.come_back(callback)
    trial.verified()


NAMES = ["State", "STATE", "state[]", "state[0]", " state", "state ", "%73tate", "&amp;state", "state\x00"]


def test_ar_08_state_that_resembles_in_any_other_way_is_refused(trial):
    callback = trial.begin()
    row = VerificationAttempt.objects.values().get()
    state = params_of(callback)["state"]

    for odd in ODD.values():
        expect_stranger(trial.visitor.client.get(changed(callback, state=odd(state))))
    for name in NAMES:
        expect_stranger(trial.visitor.client.get(changed(callback, state=..., **{name: state})))
    assert VerificationAttempt.objects.values().get() == row
    assert trial.operator.hops == ["discovery"]
    trial.come_back(callback)
    trial.verified()


# AR-09: errors

ERRORS = {
    "access_denied": "access_denied",
    "login_required": "not_on_mobile_network",
    "interaction_required": "not_on_mobile_network",
    "account_selection_required": "not_on_mobile_network",
    "consent_required": "consent_required",
    "consent_denied": "consent_required",
    "server_error": "operator_unavailable",
    "temporarily_unavailable": "operator_unavailable",
    "invalid_request": "misconfigured",
    "unauthorized_client": "misconfigured",
    "unsupported_response_type": "misconfigured",
    "invalid_scope": "misconfigured",
}


@pytest.mark.parametrize(("error", "reason"), ERRORS.items())
def test_ar_09_error_ends_the_attempt_with_its_reason(trial, error, reason):
    callback = trial.begin()
    trial.come_back(error_of(callback, error))

    row = only_row()
    assert row.claimed_at is not None
    assert row.ended_at is not None
    trial.refused(reason, calls=["discovery"])


KINDS = [(error, ERRORS[error]) for error in ("access_denied", "login_required", "consent_required", "server_error")]


@pytest.mark.parametrize(("error", "reason"), [*KINDS, ("invalid_scope", "misconfigured")])
def test_ar_09_error_offers_the_other_way_in(trial, error, reason):
    trial.configure(site={"FALLBACK_URL": "/by-password/"})
    page = trial.come_back(error_of(trial.begin(), error))
    assert 'href="/by-password/?next=%2Fhome%2F"' in page.content.decode()

    trial.configure()
    trial.visitor.client.get(page.wsgi_request.get_full_path())  # as every other case has it, for I12
    trial.refused(reason, calls=["discovery"])


@pytest.mark.parametrize(("error", "reason"), KINDS)
def test_ar_09_error_leaves_an_existing_login_alone(trial, error, reason):
    trial.log_in()
    key, user_id = trial.visitor.client.session.session_key, trial.visitor.user_id
    trial.come_back(error_of(trial.begin(), error))

    assert (trial.visitor.client.session.session_key, trial.visitor.user_id) == (key, user_id)
    assert trial.visitor.client.get("/payment/").content == b"paid"  # what was proved before still is
    trial.responses.pop()
    trial.verified()
    trial.refused(reason, calls=HONEST)


@pytest.mark.parametrize("error", ["login_required", "access_denied", "server_error", "anything else"])
def test_ar_09_error_beside_a_code_spends_no_code(trial, error):
    trial.come_back(changed(trial.begin(), error=error))
    trial.refused(ERRORS.get(error, "callback_invalid"), calls=["discovery"])


def test_ar_09_repeated_error_is_refused(trial):
    pairs = [["login_required"] * 2, ["login_required", ""], ["", "login_required"]]
    come_back_each(trial, {str(pair): {"code": ..., "error": pair} for pair in pairs}, "callback_invalid")


# AR-10: errors that belong to no attempt


@pytest.mark.parametrize("state", [..., "", "of-nobody", ["a", "b"]], ids=str)
def test_ar_10_error_without_our_state_ends_neither_login_nor_attempt(trial, state):
    trial.log_in()
    key, user_id = trial.visitor.client.session.session_key, trial.visitor.user_id
    callback = trial.begin()  # a step-up that waits

    for error in ("access_denied", "login_required", "whatever"):
        for client in (trial.visitor.client, trial.bystander.client):
            expect_stranger(client.get(error_of(callback, error, state=state)))
    assert (trial.visitor.client.session.session_key, trial.visitor.user_id) == (key, user_id)
    assert VerificationAttempt.objects.latest("pk").claimed_at is None
    trial.come_back(callback)
    trial.verified()
    trial.verified([*HONEST, "token", "verify"])


def test_ar_10_error_with_another_browsers_state_ends_neither_login_nor_attempt(trial):
    other = Visitor(trial.responses)
    theirs = other.visit_operator(other.start())
    trial.log_in()

    expect_stranger(trial.visitor.client.get(error_of(theirs, "access_denied")))
    assert VerificationAttempt.objects.earliest("pk").claimed_at is None
    other.client.get(error_of(theirs, "access_denied"))
    trial.refused("access_denied")
    trial.verified()


def test_ar_10_callback_of_a_browser_that_began_nothing_is_refused(trial):
    for query in ("", "?", "?error=access_denied", "?logout=1", "?code=x", "?iss=x&error="):
        expect_stranger(trial.visitor.client.get(f"{CALLBACK}{query}"))
    trial.nothing()


# AR-13: errors that nobody defined

UNKNOWN = {
    "10 kB": "x" * 10_000,
    "script": "<script>alert(1)</script>",
    "CRLF": "access_denied\r\nSet-Cookie: a=b\r\n\r\n",
    "ANSI": "\x1b[31mred\x1b[0m",
    "right-to-left": "\u202egnirts",
}
UNHEARD = {
    "line separator": "a\u2028b\x85c",
    "NUL": "login_required\x00",
    "upper-case": "LOGIN_REQUIRED",
    "blank": " login_required",
    "empty": "",
    "format": "%s %(error)s {error} {0}",
    "template": "{{ request }}{% debug %}",
    "attribute": "__class__",
    "list": "['login_required']",
    "not UTF-8": b"\xff\xfe",
}


def expect_one_clean_line(trial, visitor, error):
    """An attempt that ends with ``error`` is one line in the log, and no character of it is anywhere."""
    callback = visitor.visit_operator(visitor.start())
    before = len(trial.caplog.records)
    page = visitor.come_back(error_of(callback, error))

    records = [record for record in trial.caplog.records[before:] if record.levelno >= logging.INFO]
    row = VerificationAttempt.objects.latest("pk")
    (line,) = [record.getMessage() for record in records]
    assert line.startswith(f"attempt {row.reference_shown} ")
    assert "error, callback_invalid" in line
    assert UNFINISHED in page.content.decode()
    told = trial.logged() + trial.pages() + trial.rows()
    text = error.decode("utf-8", "replace") if isinstance(error, bytes) else error
    assert len(text) < 5 or text not in told
    assert not {"\x1b", "\u202e", "\u2028", "\x85", "\x00", "\r"} & set(told)
    trial.refused("callback_invalid", calls=["discovery"])


@pytest.mark.parametrize("error", UNKNOWN.values(), ids=UNKNOWN)
def test_ar_13_unknown_error_is_one_clean_line(trial, error):
    expect_one_clean_line(trial, trial.visitor, error)


def test_ar_13_error_of_any_other_shape_is_one_clean_line(trial):
    for number, error in enumerate(UNHEARD.values(), 1):
        expect_one_clean_line(trial, newcomer(number, trial.responses), error)


# AR-14: what the operator says about an error


@pytest.mark.parametrize("error", ["access_denied", "server_error", "whatever"])
def test_ar_14_text_about_an_error_is_neither_shown_nor_kept(trial, error):
    secret, link = trial.operator.secret("text"), "https://evil.example/help"
    trial.operator.secrets.append("evil.example")
    description = f"{NUMBER} {TYPED} {secret} <a href='{link}'>call us</a>"
    page = trial.come_back(
        error_of(trial.begin(), error, error_description=description, error_uri=f"{link}?n={NUMBER}", hint=secret)
    )

    assert "call us" not in page.content.decode()
    trial.refused(ERRORS.get(error, "callback_invalid"), calls=["discovery"])


def test_ar_14_text_in_a_foreign_callback_is_neither_shown_nor_kept(trial):
    secret = trial.operator.secret("text")
    query = {"error": secret, "error_description": NUMBER, "error_uri": secret, "state": secret, "code": secret}

    expect_stranger(trial.visitor.client.get(CALLBACK, query))
    expect_stranger(trial.bystander.client.get(CALLBACK, query))
    trial.nothing()


@pytest.mark.parametrize("name", ["code", "session_state", "iss"])
def test_ar_14_text_in_another_parameter_is_neither_shown_nor_kept(trial, name):
    text = f"{trial.operator.secret('text')} {NUMBER}"
    trial.come_back(changed(trial.begin(), **({"code": ...} | {name: text})))
    trial.refused("issuer_mismatch" if name == "iss" else "callback_invalid", calls=["discovery"])


def test_ar_14_text_beside_a_code_changes_nothing(trial):
    text = trial.operator.secret("text")
    trial.come_back(changed(trial.begin(), error_description=text, error_uri=f"https://evil.example/{NUMBER}"))
    trial.verified()


# AR-15: neither code nor error


def test_ar_15_callback_without_code_and_error_is_refused(trial):
    trial.come_back(changed(trial.begin(), code=...))
    trial.refused("callback_invalid", calls=["discovery"])


def test_ar_15_callback_whose_code_is_elsewhere_is_refused(trial):
    given = [{"code": ""}, {"code": " "}, {"CODE": "x"}, {"code[]": "x"}, {"token": "x"}, {"id_token": "a.b.c"}]
    come_back_each(trial, {str(params): {"code": ...} | params for params in given}, "callback_invalid")


def test_ar_15_repeated_code_is_refused(trial):
    for number, codes in enumerate((["{}", "{}"], ["{}", "x"], ["x", "{}"], ["", "{}"]), 1):
        visitor = newcomer(number, trial.responses)
        callback = visitor.visit_operator(visitor.start())
        visitor.come_back(changed(callback, code=[code.format(params_of(callback)["code"]) for code in codes]))
        trial.refused("callback_invalid", calls=["discovery"])


# AR-16: codes that are none


@pytest.mark.parametrize("code", ["x" * 100_000, "x\0x", "x\r\nx"], ids=lambda code: repr(code[:4]))
def test_ar_16_code_that_is_none_is_refused(trial, code):
    trial.come_back(changed(trial.begin(), code=code))
    trial.refused("callback_invalid", calls=["discovery"])


def test_ar_16_code_of_anything_but_visible_characters_is_refused(trial):
    odd = "\t\n\x1b\x7f\x80 \u00a0\u00e9\u202e\u2028\uff11"
    codes = ["x" * 4097, b"\xff", "code\n", *(f"code{letter}x" for letter in odd)]
    come_back_each(trial, {repr(code[:8]): {"code": code} for code in codes}, "callback_invalid")


@pytest.mark.parametrize("code", ["x" * 2048, "".join(map(chr, range(0x21, 0x7F)))], ids=["long", "every character"])
def test_ar_16_code_of_any_visible_characters_reaches_the_operator_unchanged(trial, code):
    callback = trial.begin()
    trial.operator.nonces[code] = trial.operator.nonces[params_of(callback)["code"]]
    trial.operator.secrets.append(code)
    trial.come_back(changed(callback, code=code))

    assert [request.form["code"] for request in trial.operator.received if request.hop == "token"] == [code]
    trial.verified()


# AR-19: other methods


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_ar_19_other_method_spends_nothing(trial, method):
    callback = trial.begin()
    row = VerificationAttempt.objects.values().get()

    assert getattr(trial.visitor.client, method)(callback).status_code == 405
    assert VerificationAttempt.objects.values().get() == row
    assert trial.operator.hops == ["discovery"]
    trial.come_back(callback)
    trial.verified()


def test_ar_19_any_other_method_spends_nothing(trial):
    callback = trial.begin()
    row = VerificationAttempt.objects.values().get()

    for method in ("patch", "options", "head", "trace"):
        assert getattr(trial.visitor.client, method)(callback).status_code == 405, method
    assert trial.visitor.client.generic("PROPFIND", callback).status_code == 405
    assert VerificationAttempt.objects.values().get() == row
    trial.come_back(callback)
    trial.verified()


def test_ar_19_posted_form_spends_nothing(trial):
    callback = trial.begin()

    for query in ("", "?response_mode=form_post"):
        assert trial.visitor.client.post(f"{CALLBACK}{query}", params_of(callback)).status_code == 405
        expect_stranger(trial.visitor.client.get(f"{CALLBACK}{query}"))
    trial.come_back(callback)
    trial.verified()


def test_ar_19_overridden_method_spends_nothing(trial):
    callback = trial.begin()

    for headers in ({"X-HTTP-Method-Override": "GET"}, {"X-HTTP-Method": "GET"}, {"X-Method-Override": "GET"}):
        answer = trial.visitor.client.post(CALLBACK, params_of(callback) | {"_method": "GET"}, headers=headers)
        assert answer.status_code == 405
    assert only_row().claimed_at is None
    trial.come_back(callback)
    trial.verified()


def test_ar_19_form_posted_by_another_site_is_forged(trial):
    callback = trial.begin()
    strict = RecordingClient(trial.responses, enforce_csrf_checks=True)
    strict.cookies = trial.visitor.client.cookies
    for path in (CALLBACK, callback):
        answer = strict.post(path, params_of(callback), headers={"Origin": trial.operator.url})
        assert answer.status_code == 403
    assert only_row().claimed_at is None
    trial.come_back(callback)
    trial.verified()


# AR-23: too late


def expire(**ago):
    """Make every attempt expire some time ago."""
    VerificationAttempt.objects.update(expires_at=timezone.now() - timedelta(**ago))


@pytest.mark.parametrize("ago", [{"microseconds": 1}, {"seconds": 1}, {"minutes": 2}, {"days": 400}], ids=str)
def test_ar_23_late_callback_is_expired(trial, ago):
    callback = trial.begin()
    expire(**ago)

    expect_stranger(trial.come_back(callback), status=410)
    trial.refused("expired", calls=["discovery"])


def test_ar_23_late_error_is_expired(trial):
    callback = trial.begin()
    expire(seconds=1)

    expect_stranger(trial.come_back(error_of(callback, "login_required")), status=410)
    trial.refused("expired", calls=["discovery"])


def test_ar_23_late_callback_in_another_browser_changes_nothing(trial):
    callback = trial.begin()
    expire(seconds=1)

    expect_stranger(trial.bystander.client.get(callback))
    assert only_row().outcome == "pending"
    expect_stranger(trial.come_back(callback), status=410)
    trial.refused("expired", calls=["discovery"])


def test_ar_23_lifetime_is_ten_minutes_at_most(trial):
    callback = trial.begin()
    row = only_row()

    assert timedelta(0) < row.expires_at - row.created_at <= timedelta(minutes=10)
    trial.come_back(callback)
    trial.verified()


def test_ar_23_expired_tab_does_not_end_the_other(trial):
    first = trial.begin()
    expire(seconds=1)
    second = trial.begin()

    expect_stranger(trial.visitor.client.get(first), status=410)
    trial.come_back(second)
    trial.refused("expired")
    trial.verified()


# AR-25: the operator's settings change meanwhile


def test_ar_25_removed_operator_gets_no_code(trial, settings):
    callback, before = trial.begin(), settings.NUMVERIFY
    settings.NUMVERIFY = before | {
        "OPERATORS": {"another": {"PROFILE": "telefonica", "CLIENT_ID": "x", "CLIENT_SECRET": "x"}}
    }
    page = trial.come_back(callback)

    assert UNFINISHED in page.content.decode()
    settings.NUMVERIFY = before
    trial.refused("operator_changed", calls=["discovery"])


def test_ar_25_moved_operator_gets_no_code(trial, second):
    callback = trial.begin()
    trial.configure(ISSUER=second.url, API_ROOT=f"{second.url}/v1")
    trial.come_back(callback)

    assert second.received == []  # not even asked where its endpoints are
    trial.configure()
    trial.refused("operator_changed", calls=["discovery"])


def test_ar_25_issuer_that_alone_moved_gets_no_code(trial, second):
    root = "https://operator.example/v1"  # never reached
    trial.configure(API_ROOT=root)
    callback = trial.begin()
    trial.configure(API_ROOT=root, ISSUER=second.url)
    trial.come_back(callback)

    assert second.received == []
    trial.configure()
    trial.refused("operator_changed", calls=["discovery"])


def test_ar_25_operator_moved_to_a_dead_place_is_changed_all_the_same(trial, second):
    second.close()
    callback = trial.begin()
    trial.configure(ISSUER=second.url, API_ROOT=f"{second.url}/v1")
    trial.come_back(callback)

    trial.configure()
    trial.refused("operator_changed", calls=["discovery"])


CHANGES = {
    "CLIENT_ID": "another-client",
    "API_ROOT": "{}/v2",
    "TOKEN_ENDPOINT": "{}/elsewhere/token",
    "AUTHORIZATION_ENDPOINT": "{}/elsewhere/authorize",
    "JWKS_URI": "{}/elsewhere/jwks",
    "DISCOVERY_URL": "{}/elsewhere/openid-configuration",
    "ID_TOKEN_ALG": "ES256",
}


def test_ar_25_operator_changed_in_one_setting_gets_no_code(trial):
    for number, (key, value) in enumerate(CHANGES.items(), 1):
        visitor = trial.visitor if number == len(CHANGES) else newcomer(number, trial.responses)
        callback = visitor.visit_operator(visitor.start())
        trial.configure(**{key: value.format(trial.operator.url)})
        visitor.come_back(callback)
        trial.configure()
        assert VerificationAttempt.objects.latest("pk").reason == "operator_changed", key
        trial.refused("operator_changed", calls=["discovery"])


def test_ar_25_name_given_to_another_operator_gets_no_code(trial, second, settings):
    callback, before = trial.begin(), settings.NUMVERIFY
    (name,) = before["OPERATORS"]
    settings.NUMVERIFY = before | {"OPERATORS": {name: keys_of(second)}}
    trial.come_back(callback)

    assert "token" not in second.hops
    settings.NUMVERIFY = before
    trial.refused("operator_changed", calls=["discovery"])


def test_ar_25_new_secret_is_no_other_operator(trial):
    callback = trial.begin()
    trial.configure(CLIENT_SECRET=trial.operator.secret("renewed"))
    trial.come_back(callback)
    trial.verified()


def test_ar_25_settings_broken_for_a_moment_spend_nothing(trial):
    callback = trial.begin()
    trial.configure(CLIENT_AUTH="nonsense")
    answer = trial.visitor.client.get(callback)

    assert answer.status_code in (400, 503)
    assert UNFINISHED in answer.content.decode()
    trial.configure()
    trial.come_back(callback)
    trial.verified()


# AR-28: two tabs


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_ar_28_tabs_finish_in_any_order_each_at_its_own_next(trial, order):
    tabs = [trial.begin(next=f"/filled/?tab={number}") for number in range(3)]
    for number in order:
        assert trial.visitor.client.get(tabs[number])["Location"] == f"/filled/?tab={number}"

    for _ in tabs:
        trial.verified(["discovery", "token", "jwks", "verify", *["token", "verify"] * 2])


def test_ar_28_failed_tab_does_not_end_the_other(trial):
    first, second = trial.begin(next="/filled/?tab=0"), trial.begin(next="/filled/?tab=1")
    trial.visitor.client.get(error_of(first, "login_required"))

    assert trial.visitor.client.get(second)["Location"] == "/filled/?tab=1"
    trial.refused("not_on_mobile_network")
    trial.verified()


def test_ar_28_tab_that_fails_later_does_not_end_the_login(trial):
    first, second = trial.begin(), trial.begin()
    trial.come_back(first)
    trial.come_back(error_of(second, "access_denied"))
    trial.verified()
    trial.refused("access_denied", calls=HONEST)


@pytest.mark.parametrize("name", ["code", "iss"])
def test_ar_28_parts_of_one_tab_do_not_fit_the_other(trial, name):
    first, second = trial.begin(), trial.begin()
    trial.operator.secrets.append("mixed")
    mixed = {"code": params_of(first)["code"], "iss": "https://mixed.example"}[name]
    trial.visitor.client.get(changed(second, **{name: mixed}))
    trial.visitor.client.get(error_of(first, "access_denied"))
    last = VerificationAttempt.objects.latest("pk")
    trial.visitor.client.get("/numverify/failed/", {"reference": last.reference})
    trial.refused("access_denied")
    calls = {"code": ["discovery", "token", "jwks"], "iss": ["discovery"]}[name]
    trial.refused({"code": "id_token_invalid", "iss": "issuer_mismatch"}[name], calls=calls)


# AR-29: many starts


def start_often(trial, visitor, times):
    """Start so many logins in one browser that stays open for long; return the answers."""
    trial.configure(site={"ATTEMPT_LIFETIME": 3600})
    answers = []
    for _ in range(times):
        answers.append(visitor.start())
        aged = F("created_at") - timedelta(minutes=11)  # what is counted against a limit is long ago
        VerificationAttempt.objects.filter(created_at__gt=timezone.now() - timedelta(minutes=10)).update(
            created_at=aged
        )
    assert {answer.status_code for answer in answers} == {302}
    return answers


def test_ar_29_oldest_attempts_of_a_browser_are_cancelled(trial):
    starts = start_often(trial, trial.visitor, 51)
    cancelled = 51 - OPEN_MAX
    outcomes = list(VerificationAttempt.objects.order_by("pk").values_list("outcome", flat=True))
    assert outcomes == ["abandoned"] * cancelled + ["pending"] * OPEN_MAX

    late, oldest, newest = (trial.visitor.visit_operator(starts[index]) for index in (cancelled - 1, cancelled, -1))
    trial.callbacks += [late, oldest, newest]
    expect_stranger(trial.visitor.client.get(late), status=410)
    trial.come_back(newest)
    trial.come_back(oldest)
    for _ in range(cancelled):
        trial.refused("cancelled")
    trial.verified()
    trial.expected += [("pending", "")] * (OPEN_MAX - 2)
    trial.verified([*HONEST, "token", "verify"])


def test_ar_29_browsers_do_not_cancel_each_other(trial):
    callback = trial.begin()
    start_often(trial, Visitor([]), OPEN_MAX + 1)
    trial.come_back(callback)
    trial.verified()
    trial.refused("cancelled", calls=HONEST)
    trial.expected += [("pending", "")] * OPEN_MAX


def test_ar_29_attempts_that_are_over_do_not_count(trial):
    starts = start_often(trial, trial.visitor, OPEN_MAX)
    for start in starts[1:5]:
        callback = trial.visitor.visit_operator(start)
        trial.visitor.client.get(error_of(callback, "login_required"))
        start_often(trial, trial.visitor, 1)
    trial.come_back(trial.visitor.visit_operator(starts[0]))

    trial.verified()
    for _ in range(4):
        trial.refused("not_on_mobile_network", calls=HONEST)
    trial.expected += [("pending", "")] * (OPEN_MAX - 1)


# AR-30: what nobody asked for

EXTRA = {
    "session_state": {"session_state": secrets.token_urlsafe(9)},
    "scope": {"scope": "openid everything"},
    "utm": {"utm_source": "mail", "fbclid": "x" * 2000, "gclid": ["a", "b"]},
    "names of ours": {"next": "https://evil.example/", "redirect_uri": "https://evil.example/", "operator": "evil"},
    "endpoints": {"token_endpoint": "https://evil.example/token", "client_id": "evil", "nonce": "x"},
    "token in front": {"access_token": "front-channel", "token_type": "Bearer", "id_token": "a.b.c", "expires_in": "9"},
    "number": {"phone_number": "+34600000009", "login_hint": "tel:+34600000009", "sub": "x"},
    "odd names": {"": "x", "a[b][c]": "d", "__proto__": "x", "\x00": "\x00", "\u202e": "x"},
}


def test_ar_30_unknown_parameters_are_ignored(trial):
    for number, (name, extra) in enumerate(EXTRA.items(), 1):
        visitor = newcomer(number, trial.responses) if number > 1 else trial.visitor
        answer = visitor.client.get(changed(visitor.visit_operator(visitor.start()), **extra))
        assert answer.status_code == 302, name
        assert answer["Location"] == "/home/", name
        trial.verified(HONEST if trial.calls is None else [*trial.calls, "token", "verify"])


def test_ar_30_fragment_is_ignored(trial):
    trial.come_back(f"{trial.begin()}#state=x&code=x&error=access_denied&iss=x")
    trial.verified()


def test_ar_30_signed_response_alone_is_refused(trial):
    callback = trial.begin()

    expect_stranger(trial.visitor.client.get(CALLBACK, {"response": "a.b.c"}))
    trial.come_back(callback)
    trial.verified()


def test_ar_30_response_without_a_code_is_refused(trial):
    given = [{"response": "a.b.c"}, {"access_token": "x", "id_token": "a.b.c"}]
    come_back_each(trial, {str(params): {"code": ...} | params for params in given}, "callback_invalid")


def test_ar_30_parameters_in_the_fragment_alone_are_none(trial):
    callback = trial.begin()

    expect_stranger(trial.visitor.client.get(callback.replace("?", "#")))
    trial.come_back(callback)
    trial.verified()


@pytest.mark.parametrize("is_ours", [True, False])
def test_ar_30_thousands_of_parameters_are_refused(trial, is_ours):
    callback = trial.begin()
    many = "&".join(f"p{number}=x" for number in range(5000))

    answer = trial.visitor.client.get(f"{callback}&{many}" if is_ours else f"{CALLBACK}?{many}")
    assert answer.status_code == 400
    assert only_row().claimed_at is None
    trial.come_back(callback)
    trial.verified()


# What else a callback may be


@pytest.mark.parametrize("twin", ["%73tate=other", "state=", "state"], ids=str)
def test_state_that_is_repeated_in_another_spelling_spends_nothing(trial, twin):
    callback = trial.begin()
    answer = trial.visitor.client.get(f"{callback}&{twin}")

    assert answer.status_code == 400
    assert VerificationAttempt.objects.get().outcome == "pending"
    trial.come_back(callback)
    trial.verified()


@pytest.mark.parametrize("content_type", ["multipart/form-data", "application/x-www-form-urlencoded"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_broken_body_on_the_callback_spends_nothing_and_leaves_no_code_behind(trial, method, content_type):
    callback = trial.begin()
    stranger = Client(SERVER_NAME=HOST, enforce_csrf_checks=True)
    answer = stranger.generic(method, callback, b"a" * 3_000_000, content_type=content_type)

    assert answer.status_code in (400, 403, 405)
    assert (dict(answer.wsgi_request.GET), answer.wsgi_request.META["QUERY_STRING"]) == ({}, "")
    trial.come_back(callback)
    trial.verified()


def test_new_secret_key_between_start_and_callback_changes_nothing(trial, settings):
    callback = trial.begin()
    settings.SECRET_KEY_FALLBACKS, settings.SECRET_KEY = [settings.SECRET_KEY], "another-" * 8
    trial.come_back(callback)
    trial.verified()
