"""The talk with an operator, driven by hand: what is asked, in which order, and what becomes of the answers."""

import json
import threading
from contextlib import suppress
from dataclasses import replace

import pytest

from numverify_django.protocol import conversation, jose
from numverify_django.protocol import exceptions as e
from numverify_django.protocol.conversation import PATIENCE, Directory, ask, exchange
from numverify_django.protocol.exceptions import IdTokenInvalid, Misconfigured, OperatorTimeout, OperatorUnavailable
from numverify_django.protocol.messages import AccessToken, AuthorizationRequest, AuthorizationResponse, Response

from .factories import (
    CALLBACK,
    CLIENT,
    ISSUER,
    KID,
    NONCE,
    NOW,
    NUMBER,
    TOKEN,
    Clock,
    Wire,
    answer,
    at_hash,
    claims,
    crafted,
    discovery,
    hs256,
    id_token,
    jwk,
    jwks,
    metadata,
    operator,
    private_key,
    public_pem,
    refused,
    rs256,
    token_answer,
)

OPENED = AuthorizationRequest(f"{ISSUER}/authorize", "state", NONCE, "verifier", CALLBACK)
CODE = "the-code"


def at_issuer(**keys):
    """Return an operator whose endpoints are found by discovery at ISSUER."""
    return operator(**{"issuer": ISSUER} | keys)


# Discovery


def find(wire, clock=None, **keys):
    """Return the Metadata that one call finds."""
    return wire.carry(Directory(clock or Clock()).metadata(at_issuer(**keys)))


def test_endpoints_are_found_at_the_issuer():
    wire = Wire(discovery=discovery())
    assert find(wire) == metadata()
    (request,) = wire.requests
    assert (request.method, request.url) == ("GET", f"{ISSUER}/.well-known/openid-configuration")
    assert (request.headers, request.body) == ({}, None)


@pytest.mark.parametrize(
    ("keys", "url"),
    [
        ({"issuer": f"{ISSUER}/"}, f"{ISSUER}/.well-known/openid-configuration"),
        ({"issuer": f"{ISSUER}/tenant"}, f"{ISSUER}/tenant/.well-known/openid-configuration"),
        ({"discovery_url": "https://elsewhere.example/oidc"}, "https://elsewhere.example/oidc"),
    ],
)
def test_document_is_asked_for_where_it_is(keys, url):
    wire = Wire(discovery=discovery(issuer=keys.get("issuer", ISSUER)))
    assert find(wire, **keys) == metadata()
    assert wire.requests[0].url == url


def test_complete_settings_need_no_discovery():
    wire = Wire()
    endpoints = {"authorization_endpoint": f"{ISSUER}/a", "token_endpoint": f"{ISSUER}/t", "jwks_uri": f"{ISSUER}/j"}
    assert find(wire, **endpoints) == metadata(**endpoints)
    assert wire.hops == []


@pytest.mark.parametrize(
    "profile", ["telefonica-apigateway-v0", "telefonica-apigateway-v1", "telefonica-apigateway-v2"]
)
def test_apigateway_needs_no_discovery(profile):
    gateway = "https://sandbox.opengateway.telefonica.com/apigateway"
    found = Wire().carry(Directory(Clock()).metadata(operator(profile)))
    assert found == metadata(
        authorization_endpoint=f"{gateway}/authorize", token_endpoint=f"{gateway}/token", jwks_uri=None
    )


def test_settings_win_over_the_document():
    found = find(Wire(discovery=discovery()), token_endpoint="https://configured.example/token")
    assert found == metadata(token_endpoint="https://configured.example/token")


@pytest.mark.parametrize(
    ("announced", "configured", "expected"),
    [
        (True, None, True),
        (False, None, False),
        ("true", None, False),
        (1, None, False),
        (None, None, False),
        (True, False, False),
        (False, True, True),
    ],
)
def test_operator_is_known_to_send_its_issuer(announced, configured, expected):
    document = discovery(authorization_response_iss_parameter_supported=announced)
    assert find(Wire(discovery=document), response_iss=configured).response_iss is expected


@pytest.mark.parametrize(("announced", "configured"), [(True, None), (False, True)])
def test_operator_that_is_known_to_send_its_issuer_may_share_its_callback(announced, configured):
    document = discovery(authorization_response_iss_parameter_supported=announced)
    assert find(Wire(discovery=document), response_iss=configured, shares_callback=True).response_iss is True


@pytest.mark.parametrize(("announced", "configured"), [(False, None), ("true", None), (None, None), (True, False)])
def test_operator_that_is_not_may_not(announced, configured):
    document = discovery(authorization_response_iss_parameter_supported=announced)
    asked = {"response_iss": configured, "shares_callback": True}
    error = refused(Misconfigured, find, Wire(discovery=document), **asked)
    assert "REDIRECT_URI" in str(error)
    assert "RESPONSE_ISS" in str(error)


def test_operator_that_shares_its_callback_and_has_no_document_must_be_configured_to_send_it():
    directory = Directory(Clock())
    gateway = operator("telefonica-apigateway-v1", shares_callback=True)
    refused(Misconfigured, Wire().carry, directory.metadata(gateway))
    assert Wire().carry(directory.metadata(replace(gateway, response_iss=True))).response_iss is True


def test_what_is_held_does_not_outlive_the_settings_that_it_was_read_with():
    directory = Directory(Clock())
    wire = Wire(discovery=discovery(authorization_response_iss_parameter_supported=False))
    assert wire.carry(directory.metadata(at_issuer())).response_iss is False
    refused(Misconfigured, wire.carry, directory.metadata(at_issuer(shares_callback=True)))
    assert wire.carry(directory.metadata(at_issuer(response_iss=True))).response_iss is True


@pytest.mark.parametrize(
    "issuer",
    [ISSUER + "INVALID", ISSUER + "/", ISSUER.upper(), ISSUER[:-1], "https://other.example", None, "", [ISSUER], 5],
)
def test_document_of_another_issuer_is_refused(issuer):
    refused(Misconfigured, find, Wire(discovery=discovery(issuer=issuer)))


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_document_that_leads_to_another_operator_of_the_site_is_refused(name):
    wire = Wire(discovery=discovery(**{name: "https://a.example.com/oidc/token"}))
    asking = at_issuer(rivals=frozenset({("a.example.com", 443)}))
    refused(Misconfigured, wire.carry, Directory(Clock()).metadata(asking))


def test_document_without_an_issuer_is_refused():
    document = {name: value for name, value in discovery().parse().items() if name != "issuer"}
    refused(Misconfigured, find, Wire(discovery=answer(document)))


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "url",
    [
        "http://operator.example/x",
        "file:///etc/passwd",
        "https://user@operator.example/x",
        "https://127.0.0.1/x",
        "https://127.0.0.1\\.operator.example/x",
        "https://localhost/x",
        "https://10.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
        "https://[",
        5,
        True,
        ["https://operator.example/x"],
        {"url": "https://operator.example/x"},
    ],
)
def test_endpoint_that_leads_elsewhere_is_refused_without_asking_it(name, url):
    wire = Wire(discovery=discovery(**{name: url}))
    refused(Misconfigured, find, wire)
    assert wire.hops == ["discovery"]


@pytest.mark.parametrize(
    "url", ["http://operator.example", "http://127.0.0.1:9091", "https://10.0.0.1", "https://2130706433", None]
)
def test_issuer_that_leads_elsewhere_is_not_even_asked(url):
    wire = Wire(discovery=discovery(issuer=url))
    refused(Misconfigured, find, wire, issuer=url)
    assert wire.hops == []


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize("value", [None, "", 0, False, [], {}], ids=repr)
def test_document_without_an_endpoint_is_refused(name, value):
    refused(Misconfigured, find, Wire(discovery=discovery(**{name: value})))


def test_loopback_operator_of_a_developer_is_found():
    issuer = "http://127.0.0.1:9091"
    names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
    wire = Wire(discovery=answer({"issuer": issuer} | {name: f"{issuer}/{name}" for name in names}))
    assert find(wire, issuer=issuer, allow_loopback=True).token_endpoint == f"{issuer}/token_endpoint"


DOCUMENT_FAILURES = [
    (Response(302, {"location": "https://evil.example/"}, b""), e.RedirectRefused),
    (Response(307, {"location": "https://evil.example/"}, b""), e.RedirectRefused),
    (answer({}, 404), Misconfigured),
    (answer({}, 401), Misconfigured),
    (answer({}, 204), Misconfigured),
    (answer({}, 429), e.OperatorBusy),
    (answer({}, 500), OperatorUnavailable),
    (answer({}, 503), OperatorUnavailable),
    (answer(b"<html></html>"), e.ResponseInvalid),
    (answer([]), e.ResponseInvalid),
    (answer(b""), e.ResponseInvalid),
    (answer(b'{"issuer": "a", "issuer": "b"}'), e.ResponseInvalid),
    (OperatorTimeout(), OperatorTimeout),
    (e.ResponseTooLarge(), e.ResponseTooLarge),
]


@pytest.mark.parametrize(("given", "error"), DOCUMENT_FAILURES)
def test_document_that_cannot_be_had_is_its_error(given, error):
    refused(error, find, Wire(discovery=given))


def test_document_is_used_again_while_it_is_fresh():
    clock, wire = Clock(), Wire(discovery=discovery())
    directory = Directory(clock)
    for _ in range(3):
        assert wire.carry(directory.metadata(at_issuer())) == metadata()
        clock.now += 199
    assert wire.hops == ["discovery"]


def test_document_is_asked_for_again_once_it_is_no_longer_fresh():
    moved = discovery(token_endpoint="https://new.example/token")
    clock, wire = Clock(), Wire(discovery=[discovery(), moved])
    directory = Directory(clock)
    wire.carry(directory.metadata(at_issuer()))
    clock.now += 599.9
    assert wire.carry(directory.metadata(at_issuer())) == metadata()
    clock.now += 0.1
    assert wire.carry(directory.metadata(at_issuer())).token_endpoint == "https://new.example/token"
    assert wire.hops == ["discovery", "discovery"]


@pytest.mark.parametrize("failure", [given for given, _ in DOCUMENT_FAILURES])
def test_stale_document_serves_while_the_operator_cannot_be_asked(failure):
    clock, wire = Clock(), Wire(discovery=[discovery(), failure])
    directory = Directory(clock)
    wire.carry(directory.metadata(at_issuer()))
    clock.now += 3599
    assert wire.carry(directory.metadata(at_issuer())) == metadata()


def test_outage_is_tried_again_only_after_the_cool_down():
    clock, wire = Clock(), Wire(discovery=[discovery(), OperatorTimeout()])
    directory = Directory(clock)
    wire.carry(directory.metadata(at_issuer()))
    clock.now += 600
    for _ in range(6):
        assert wire.carry(directory.metadata(at_issuer())) == metadata()
        clock.now += 11
    assert wire.hops == ["discovery"] * 2
    wire.carry(directory.metadata(at_issuer()))
    assert wire.hops == ["discovery"] * 3


@pytest.mark.parametrize("last_try", [3599, 3541, 3600])
def test_stale_document_ends_after_an_hour(last_try):
    clock, wire = Clock(), Wire(discovery=[discovery(), OperatorTimeout()])
    directory = Directory(clock)
    wire.carry(directory.metadata(at_issuer()))
    clock.now += last_try
    if last_try < 3600:
        assert wire.carry(directory.metadata(at_issuer())) == metadata()
        clock.now += 3600 - last_try
    refused(OperatorTimeout, wire.carry, directory.metadata(at_issuer()))


def test_failure_is_not_remembered():
    wire = Wire(discovery=[answer({}, 503), discovery()])
    directory = Directory(Clock())
    refused(OperatorUnavailable, wire.carry, directory.metadata(at_issuer()))
    assert wire.carry(directory.metadata(at_issuer())) == metadata()


def test_operators_do_not_share_what_they_publish():
    directory = Directory(Clock())
    wire = Wire(discovery=[discovery(), discovery(issuer="https://b.example", token_endpoint="https://b.example/t")])
    assert wire.carry(directory.metadata(at_issuer())).token_endpoint == f"{ISSUER}/token"
    other = at_issuer(issuer="https://b.example", name="b")
    assert wire.carry(directory.metadata(other)).token_endpoint == "https://b.example/t"


# Keys


def verified(directory, wire, token=None, alg="RS256", **keys):
    """Return the claims of ``token`` (our good one by default) once the operator's keys verified it."""
    asking = at_issuer(id_token_alg=alg, **keys)
    return json.loads(wire.carry(directory.verified(token or id_token(), asking, metadata())))


OURS = jwk(private_key())
NEW_KEY = private_key(name="new")
NEW = jwk(NEW_KEY, kid="key-2")


def rotated_token(**changed):
    """Return an ID token signed with the key that the operator rotated to."""
    return id_token(claims(**changed), key=NEW_KEY, kid="key-2")


def test_keys_are_asked_for_where_the_metadata_says():
    wire = Wire(jwks=jwks(OURS))
    assert verified(Directory(Clock()), wire) == claims()
    (request,) = wire.requests
    assert (request.method, request.url, request.headers, request.body) == ("GET", f"{ISSUER}/jwks", {}, None)


def test_keys_are_used_again_while_they_are_fresh():
    clock, wire = Clock(), Wire(jwks=jwks(OURS))
    directory = Directory(clock)
    verified(directory, wire)
    clock.now += 599
    verified(directory, wire)
    assert wire.hops == ["jwks"]


def test_rotated_key_is_fetched_with_exactly_one_request():
    wire = Wire(jwks=[jwks(OURS), jwks(OURS, NEW)])
    directory = Directory(Clock())
    verified(directory, wire)
    for _ in range(3):
        assert verified(directory, wire, rotated_token()) == claims()
    assert wire.hops == ["jwks", "jwks"]


def test_key_rotated_just_before_signing_is_fetched_at_once():
    clock, wire = Clock(), Wire(jwks=[jwks(OURS), jwks(NEW)])
    directory = Directory(clock)
    verified(directory, wire)
    clock.now += 1  # the cool-down counts from the last refetch, not from this first fetch
    assert verified(directory, wire, rotated_token()) == claims()


def test_rotated_key_without_kid_is_noticed_by_its_signature():
    wire = Wire(jwks=[jwks(jwk(private_key(), kid=None)), jwks(jwk(NEW_KEY, kid=None))])
    directory = Directory(Clock())
    for key in (private_key(), NEW_KEY):
        assert verified(directory, wire, crafted({"alg": "RS256"}, claims(), rs256(key))) == claims()
    assert wire.hops == ["jwks", "jwks"]


def test_fifty_unknown_kids_cost_two_requests_at_most():
    clock, wire = Clock(), Wire(jwks=jwks(OURS))
    directory = Directory(clock)
    for index in range(50):
        refused(IdTokenInvalid, verified, directory, wire, id_token(kid=f"random-{index}"))
        clock.now += 1
    assert wire.hops == ["jwks", "jwks"]


def test_keys_asked_for_since_the_token_came_are_not_asked_for_again():
    for token in (id_token(kid="random"), rotated_token(), id_token(key=private_key(name="foreign"))):
        wire = Wire(jwks=jwks(OURS))
        refused(IdTokenInvalid, verified, Directory(Clock()), wire, token)
        assert wire.hops == ["jwks"]


def test_keys_that_another_login_fetched_since_the_token_came_are_tried():
    directory = Directory(Clock())
    slow = directory.verified(rotated_token(), at_issuer(), metadata())
    next(slow)  # asks for the keys, and waits
    assert verified(directory, Wire(jwks=jwks(NEW)), rotated_token()) == claims()
    with pytest.raises(StopIteration) as finished:
        slow.send(jwks(OURS))  # those of before the rotation, which another login has got over
    assert json.loads(finished.value.value) == claims()


def test_keys_that_stay_the_same_are_tried_once(monkeypatch):
    tried, verify = [], jose.verify
    monkeypatch.setattr(jose, "verify", lambda *args: tried.append(args) or verify(*args))
    directory, wire = Directory(Clock()), Wire(jwks=jwks(OURS))
    foreign = id_token(key=private_key(name="foreign"))
    for number in (1, 3, 4):  # fetched just now; fetched once more; and not again within the cool-down
        refused(IdTokenInvalid, verified, directory, wire, foreign)
        assert len(tried) == number


def test_what_an_operator_published_long_ago_is_forgotten():
    clock, wire = Clock(), Wire(jwks=jwks(OURS))
    directory, asking = Directory(clock), at_issuer()
    for number in range(50):
        moved = metadata(jwks_uri=f"{ISSUER}/jwks-{number}")
        for kid in (KID, "unknown"):
            with suppress(IdTokenInvalid):
                wire.carry(directory.verified(id_token(kid=kid), asking, moved))
        clock.now += 600

    assert len(directory._held) <= 7_200 / 600 + 1
    assert len(directory._refetched) <= 7_200 / 600 + 1


def test_cool_down_counts_from_the_last_refetch():
    clock, wire = Clock(), Wire(jwks=jwks(OURS))
    directory = Directory(clock)
    verified(directory, wire)
    for kid, requests in (("a", 2), ("b", 2), ("c", 3)):
        refused(IdTokenInvalid, verified, directory, wire, id_token(kid=kid))
        assert len(wire.hops) == requests
        clock.now += 30


def test_bad_signature_by_a_known_key_uses_up_nobodys_look_for_a_new_one():
    clock, wire = Clock(), Wire(jwks=[jwks(OURS), jwks(OURS), jwks(NEW)])
    directory = Directory(clock)
    verified(directory, wire)
    refused(IdTokenInvalid, verified, directory, wire, id_token(key=private_key(name="foreign")))
    clock.now += 5
    assert verified(directory, wire, rotated_token()) == claims()
    assert wire.hops == ["jwks"] * 3


def test_failed_look_for_a_new_key_is_repeated_by_the_next_login():
    clock, wire = Clock(), Wire(jwks=[jwks(OURS), answer({}, 503), jwks(NEW)])
    directory = Directory(clock)
    verified(directory, wire)
    refused(OperatorUnavailable, verified, directory, wire, rotated_token())
    assert verified(directory, wire, rotated_token()) == claims()


def test_honest_token_is_verified_during_the_cool_down():
    wire = Wire(jwks=jwks(OURS))
    directory = Directory(Clock())
    verified(directory, wire)
    refused(IdTokenInvalid, verified, directory, wire, id_token(kid="random"))
    assert verified(directory, wire) == claims()
    assert wire.hops == ["jwks", "jwks"]


def test_simultaneous_logins_after_a_rotation_all_succeed():
    directory, asking = Directory(Clock()), at_issuer()
    verified(directory, Wire(jwks=jwks(OURS)))
    talks = [directory.verified(rotated_token(), asking, metadata()) for _ in range(3)]
    assert [next(talk).hop for talk in talks] == ["jwks"] * 3  # all three wait for the same answer
    for talk in talks:
        with pytest.raises(StopIteration) as finished:
            talk.send(jwks(OURS, NEW))
        assert json.loads(finished.value.value) == claims()


def test_late_answer_does_not_replace_newer_keys():
    clock = Clock()
    directory, asking = Directory(clock), at_issuer()
    slow = directory.verified(id_token(), asking, metadata())
    next(slow)  # asks for the keys, and waits
    clock.now += 1
    assert verified(directory, Wire(jwks=jwks(NEW)), rotated_token()) == claims()
    with pytest.raises(StopIteration):
        slow.send(jwks(OURS))
    assert verified(directory, Wire(), rotated_token()) == claims()


@pytest.mark.parametrize("failure", [answer({}, 503), OperatorTimeout(), Response(302, {}, b""), answer([])])
def test_known_keys_serve_while_the_operator_cannot_be_asked(failure):
    clock, wire = Clock(), Wire(jwks=[jwks(OURS), failure])
    directory = Directory(clock)
    verified(directory, wire)
    clock.now += 3599
    assert verified(directory, wire) == claims()
    assert wire.hops == ["jwks", "jwks"]


def test_others_go_on_with_the_known_keys_while_one_asks_again():
    clock, wire = Clock(), Wire(jwks=jwks(OURS))
    directory = Directory(clock)
    verified(directory, wire)
    clock.now += 600
    asking = directory.verified(id_token(), at_issuer(), metadata())
    request = next(asking)
    assert (request.hop, request.patience) == ("jwks", PATIENCE)
    assert verified(directory, Wire()) == claims()
    with pytest.raises(StopIteration) as finished:
        asking.throw(OperatorTimeout())
    assert json.loads(finished.value.value) == claims()


def test_failed_refresh_does_not_bring_old_keys_back():
    clock = Clock()
    directory = Directory(clock)
    verified(directory, Wire(jwks=jwks(OURS)))
    clock.now += 600
    slow = directory.verified(id_token(), at_issuer(), metadata())
    next(slow)
    assert verified(directory, Wire(jwks=jwks(NEW)), rotated_token()) == claims()
    with pytest.raises(IdTokenInvalid):
        slow.throw(OperatorTimeout())
    assert verified(directory, Wire(), rotated_token()) == claims()


def test_known_keys_end_after_an_hour():
    clock, wire = Clock(), Wire(jwks=[jwks(OURS), OperatorTimeout()])
    directory = Directory(clock)
    verified(directory, wire)
    clock.now += 3600
    refused(OperatorTimeout, verified, directory, wire)


def test_removed_key_is_refused_once_the_keys_are_fetched_again():
    clock, wire = Clock(), Wire(jwks=[jwks(OURS), jwks(NEW)])
    directory = Directory(clock)
    assert verified(directory, wire) == claims()
    clock.now += 600
    refused(IdTokenInvalid, verified, directory, wire)


def test_operator_that_is_down_at_a_rotation_is_unavailable():
    wire = Wire(jwks=[jwks(OURS), answer({}, 503)])
    directory = Directory(Clock())
    verified(directory, wire)
    refused(OperatorUnavailable, verified, directory, wire, rotated_token())
    assert verified(directory, wire) == claims()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        *DOCUMENT_FAILURES[:-5],
        (answer({"keys": {}}), e.ResponseInvalid),
        (answer({"keys": [OURS] * 10_000}), e.ResponseInvalid),
    ],
)
def test_keys_that_cannot_be_had_are_their_error(given, error):
    refused(error, verified, Directory(Clock()), Wire(jwks=given))


@pytest.mark.parametrize("pinned", ["ES256", "PS256", "EdDSA"])
def test_other_algorithm_than_the_pinned_one_is_refused_before_any_request(pinned):
    wire = Wire(jwks=jwks(OURS))
    refused(IdTokenInvalid, verified, Directory(Clock()), wire, id_token(), pinned)
    assert wire.hops == []


def test_token_without_a_place_for_its_keys_is_refused_without_a_request():
    wire = Wire()
    talk = Directory(Clock()).verified(id_token(), at_issuer(), metadata(jwks_uri=None))
    refused(IdTokenInvalid, wire.carry, talk)


def test_directory_is_used_by_many_threads_at_once():
    directory, results = Directory(), []

    def log_in():
        wire = Wire(discovery=discovery(), jwks=jwks(OURS, NEW))
        for token in (id_token(), rotated_token()) * 5:
            wire.carry(directory.metadata(at_issuer()))
            results.append(verified(directory, wire, token) == claims())

    threads = [threading.Thread(target=log_in) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 100


# The exchange


def log_in(wire, alg="RS256", keys=None, now=NOW, where=None, **settings):
    """Return the AccessToken of an exchange at ``now``."""
    talk = exchange(
        at_issuer(id_token_alg=alg, **settings),
        Directory(Clock()),
        AuthorizationResponse(CODE, where or metadata()),
        opened=OPENED,
        operation="verify",
        clock=lambda: now,
    )
    return wire.carry(talk)


@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
def test_exchange_asks_for_a_token_and_then_for_the_keys(alg):
    wire = Wire(token=token_answer(id_token=id_token(algorithm=alg)), jwks=jwks(jwk(private_key(alg))))
    assert log_in(wire, alg) == AccessToken(TOKEN)
    assert wire.hops == ["token", "jwks"]


def test_exchange_spends_the_code_with_what_was_opened():
    wire = Wire(token=token_answer(), jwks=jwks(OURS))
    log_in(wire)
    assert wire.requests[0].body == (
        b"grant_type=authorization_code&code=the-code"
        b"&redirect_uri=https%3A%2F%2Fsite.example%2Fnumverify%2Fcallback%2F&code_verifier=verifier"
    )


BAD_TOKENS = {
    "unsigned": f"{'.'.join(crafted({'alg': 'none'}, claims(), lambda data: b'x').split('.')[:2])}.",
    "HS256 with the public key": crafted(
        {"alg": "HS256", "kid": KID}, claims(), hs256(public_pem(private_key()).encode())
    ),
    "foreign key": id_token(key=private_key(name="foreign")),
    "foreign key under another kid": id_token(key=private_key(name="foreign"), kid="theirs"),
    "issuer + 1": id_token(claims(iss=ISSUER + "1")),
    "no issuer": id_token(claims(drop=["iss"])),
    "audience + 1": id_token(claims(aud=CLIENT + "1")),
    "no audience": id_token(claims(drop=["aud"])),
    "second audience": id_token(claims(aud=[CLIENT, CLIENT + "1"])),
    "azp of another": id_token(claims(azp="another")),
    "nonce + 1": id_token(claims(nonce=NONCE + "1")),
    "no nonce": id_token(claims(drop=["nonce"])),
    "expired six minutes ago": id_token(claims(exp=NOW - 360)),
    "no exp": id_token(claims(drop=["exp"])),
    "no iat": id_token(claims(drop=["iat"])),
    "no sub": id_token(claims(drop=["sub"])),
    "a week old": id_token(claims(iat=NOW - 7 * 86_400)),
    "from the future": id_token(claims(iat=NOW + 3600)),
    "at_hash of another token": id_token(claims(at_hash=at_hash("another"))),
    "encrypted": "eyJhbGciOiJSU0ExXzUiLCJlbmMiOiJBMTI4R0NNIn0.a.b.c.d",
    "empty": "",
    "null": None,
    "number": 5,
    "list": [id_token()],
}


@pytest.mark.parametrize("profile", ["telefonica", "telefonica-apigateway-v1"])
@pytest.mark.parametrize("token", BAD_TOKENS.values(), ids=BAD_TOKENS)
def test_bad_id_token_is_refused_even_where_it_may_be_absent(token, profile):
    body = json.loads(token_answer().body) | {"id_token": token}
    wire = Wire(token=answer(body), jwks=jwks(OURS))
    talk = exchange(
        operator(profile, issuer=ISSUER),
        Directory(Clock()),
        AuthorizationResponse(CODE, metadata()),
        opened=OPENED,
        operation="verify",
        clock=lambda: NOW,
    )
    refused(IdTokenInvalid, wire.carry, talk)
    assert wire.hops.count("token") == 1


@pytest.mark.parametrize(
    "changed",
    [{}, {"aud": [CLIENT]}, {"azp": CLIENT}, {"at_hash": at_hash()}, {"iat": NOW + 30}, {"nbf": NOW + 30}],
    ids=str,
)
def test_good_id_token_is_accepted(changed):
    wire = Wire(token=token_answer(id_token=id_token(claims(**changed))), jwks=jwks(OURS))
    assert log_in(wire) == AccessToken(TOKEN)


def test_missing_id_token_is_refused_where_it_is_required():
    wire = Wire(token=token_answer(id_token=None))
    refused(IdTokenInvalid, log_in, wire)
    assert wire.hops == ["token"]


def test_missing_id_token_is_accepted_where_it_may_be_absent():
    wire = Wire(token=token_answer(id_token=None))
    assert log_in(wire, id_token="absent") == AccessToken(TOKEN)
    assert wire.hops == ["token"]


def test_id_token_of_an_operator_without_keys_is_refused():
    wire = Wire(token=token_answer())
    refused(IdTokenInvalid, log_in, wire, id_token="absent", where=metadata(jwks_uri=None))
    assert wire.hops == ["token"]


def test_code_is_spent_where_the_callback_was_checked():
    wire = Wire(token=token_answer(), jwks=jwks(OURS))
    log_in(wire, where=metadata(token_endpoint="https://operator.example/as-it-was"))
    assert wire.requests[0].url == "https://operator.example/as-it-was"


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer({"error": "invalid_grant"}, 400), e.TokenRefused),
        (answer({"error": "invalid_client"}, 401), Misconfigured),
        (answer({}, 429), e.OperatorBusy),
        (answer({}, 503), OperatorUnavailable),
        (Response(307, {"location": "https://evil.example/token"}, b""), e.RedirectRefused),
        (answer(b"<html>"), e.TokenInvalid),
        (OperatorTimeout(), OperatorTimeout),
        (OperatorUnavailable(), OperatorUnavailable),
        (e.ResponseTooLarge(), e.ResponseTooLarge),
    ],
)
def test_token_request_is_made_once_whatever_comes_back(given, error):
    wire = Wire(token=given)
    refused(error, log_in, wire)
    assert wire.hops == ["token"]


def test_endpoints_named_in_a_token_answer_are_not_used():
    extra = {"api_url": "https://evil.example", "access_token_resource_server": "https://evil.example"}
    wire = Wire(token=token_answer(**extra), jwks=jwks(OURS), verify=answer({"devicePhoneNumberVerified": True}))
    token = log_in(wire)
    wire.carry(ask(at_issuer(), token, operation="verify", number=NUMBER))
    assert wire.requests[-1].url == "https://opengateway.telefonica.com/v1/number-verification/verify"


# The paid call


@pytest.mark.parametrize(
    ("operation", "body"), [("verify", {"devicePhoneNumberVerified": True}), ("share", {"phoneNumber": NUMBER.e164})]
)
def test_paid_call_proves_the_number(operation, body):
    wire = Wire(**{operation: answer(body)})
    number = NUMBER if operation == "verify" else None
    found = wire.carry(ask(at_issuer(), AccessToken(TOKEN), operation=operation, number=number))
    assert found.number == NUMBER
    assert wire.hops == [operation]


@pytest.mark.parametrize("operation", ["verify", "share"])
@pytest.mark.parametrize(
    ("given", "error"),
    [
        (answer({"code": "UNAUTHENTICATED"}, 401), e.TokenRefused),
        (answer({}, 429), e.OperatorBusy),
        (answer({}, 503), OperatorUnavailable),
        (answer(b"{"), e.ResponseInvalid),
        (OperatorTimeout(), OperatorTimeout),
        (OperatorUnavailable(), OperatorUnavailable),
    ],
)
def test_paid_call_is_made_once_whatever_comes_back(given, error, operation):
    wire = Wire(**{operation: given})
    refused(error, wire.carry, ask(at_issuer(), AccessToken(TOKEN), operation=operation, number=NUMBER))
    assert wire.hops == [operation]


def test_client_address_reaches_the_device_of_the_paid_call():
    wire = Wire(verify=answer({"devicePhoneNumberVerified": True}))
    asking = at_issuer(send_device=True)
    wire.carry(ask(asking, AccessToken(TOKEN), operation="verify", number=NUMBER, client_address="84.125.93.10"))
    sent = json.loads(wire.requests[0].body)
    assert sent["device"] == {"ipv4Address": {"publicAddress": "84.125.93.10"}}


def test_cool_down_is_shorter_than_the_lifetime_of_what_is_known():
    assert conversation.COOL_DOWN < conversation.FRESH < conversation.STALE == 3600
