"""JW: discovery and the operator's keys."""

import gzip
import socket
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from django.core.cache import cache

from numverify_django import flow
from numverify_django.models import VerificationAttempt
from numverify_django.protocol.conversation import Directory

from . import tokens
from .conftest import NUMBER, newcomer
from .operator import HONEST as ENDPOINTS
from .operator import Reply

NO_KEYS = ["discovery", "token"]
KEYS = [*NO_KEYS, "jwks"]
HONEST = [*KEYS, "verify"]
FRESH, STALE, COOL_DOWN = 600, 3600, 60  # seconds of use without asking, of use in an outage, between two refetches


class Clock:
    """Seconds that pass when told; and a little with every look, for no two moments are the same."""

    now = 1000.0

    def __call__(self):
        self.now += 2**-20
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The clock of what this process knows of its operators, which knows nothing; named before ``trial``."""
    clock = Clock()
    monkeypatch.setattr(flow, "_directory", Directory(clock))
    return clock


@pytest.fixture
def dialled(monkeypatch):
    """Where this process connected to, and whose address it looked up."""
    found, connect, lookup = [], socket.socket.connect, socket.getaddrinfo

    def connecting(self, address):
        found.append(address[:2])
        return connect(self, address)

    def looking_up(host, port, *args, **kwargs):
        found.append((host, port))
        return lookup(host, port, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", connecting)
    monkeypatch.setattr(socket, "getaddrinfo", looking_up)
    return found


def log_in(visitor):
    """Let ``visitor`` go the whole way; return the page."""
    return visitor.come_back(visitor.visit_operator(visitor.start()))


def start_refused(trial, visitor=None):
    """Expect that a start leads to the page of a failure, and not to the operator."""
    visitor = visitor or trial.visitor
    answer = visitor.start()
    assert answer.status_code == 302
    assert answer["Location"].startswith("/numverify/failed/?")
    assert "The check didn't finish" in visitor.client.get(answer["Location"]).content.decode()
    assert "authorize" not in [received.hop for received in trial.operator.received]


def document(operator, **changed):
    """Return the honest discovery document with some members changed; one changed to ... is left out."""
    names = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
    honest = {"issuer": operator.url, "authorization_response_iss_parameter_supported": True}
    honest |= {name: f"{operator.url}/{path}" for name, path in names.items()}
    return {name: value for name, value in (honest | changed).items() if value is not ...}


def announce(trial, **changed):
    """Let the operator publish a changed discovery document."""
    trial.operator.discovery = lambda operator, received: Reply(document(operator, **changed))


def publish(trial, *keys):
    """Let the operator publish these keys, and no others."""
    trial.operator.jwks = lambda operator, received: Reply({"keys": list(keys)})


def sign_with(trial, key, **header):
    """Let the operator sign its ID tokens with ``key`` under exactly this header."""

    def token(operator, received):
        signed = tokens.sign({"alg": "RS256"} | header, operator.claims(received), key)
        operator.secrets.append(signed)
        return Reply(operator.token_body(received, id_token=signed))

    trial.operator.token = token


def first_key(**members):
    """Return the operator's own key as it publishes it, some members changed; one changed to ... is left out."""
    honest = tokens.jwk(tokens.rsa_key("first"), "key-1")
    return {name: value for name, value in (honest | members).items() if value is not ...}


# JW-01: redirects


def redirect(trial, hop, status, location):
    """Let the operator redirect an endpoint."""
    setattr(trial.operator, hop, lambda operator, received: Reply(b"", status, {"Location": location}))


@pytest.mark.usefixtures("everywhere")
def test_jw_01_redirected_discovery_is_not_followed(trial):
    redirect(trial, "discovery", 302, f"{trial.evil.url}/.well-known/openid-configuration")

    start_refused(trial)
    assert trial.evil.connections == []
    trial.refused("redirect_refused", calls=["discovery"])


@pytest.mark.usefixtures("everywhere")
def test_jw_01_redirected_keys_are_not_followed(trial):
    sign_with(trial, tokens.rsa_key("evil"), kid="key-1")
    redirect(trial, "jwks", 302, f"{trial.evil.url}/jwks")
    trial.log_in()

    assert trial.evil.connections == []
    trial.refused("redirect_refused", calls=KEYS)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another host", "the same host"])
def test_jw_01_no_redirect_of_discovery_is_followed(trial, elsewhere):
    host = trial.evil.url if elsewhere else trial.operator.url
    for number, status in enumerate((301, 303, 307, 308), 1):
        redirect(trial, "discovery", status, f"{host}/more/openid-configuration")
        start_refused(trial, newcomer(number, trial.responses))
        trial.refused("redirect_refused", calls=["discovery"] * number)


@pytest.mark.parametrize("elsewhere", [True, False], ids=["another host", "the same host"])
def test_jw_01_no_redirect_of_keys_is_followed(trial, elsewhere):
    host = trial.evil.url if elsewhere else trial.operator.url
    for number, status in enumerate((300, 301, 307, 308), 1):
        redirect(trial, "jwks", status, f"{host}/more/jwks")
        log_in(newcomer(number, trial.responses))
        trial.refused("redirect_refused", calls=["discovery", *["token", "jwks"] * number])


@pytest.mark.parametrize("hop", ["discovery", "jwks"])
def test_jw_01_redirect_that_brings_what_was_asked_for_is_refused(trial, hop):
    def moved(operator, received):
        honest = ENDPOINTS[hop](operator, received)
        return Reply(honest.body, 302, {"Location": f"{trial.evil.url}/{hop}", "Refresh": f"0; url={trial.evil.url}"})

    setattr(trial.operator, hop, moved)
    if hop == "discovery":
        start_refused(trial)
        trial.refused("redirect_refused", calls=["discovery"])
    else:
        trial.log_in()
        trial.refused("redirect_refused", calls=KEYS)


def test_jw_01_headers_that_resemble_a_redirect_are_ignored(trial):
    def elsewhere(hop):
        headers = {
            "Location": trial.evil.url,
            "Refresh": f"0; url={trial.evil.url}",
            "Content-Location": trial.evil.url,
        }
        return lambda operator, received: Reply(ENDPOINTS[hop](operator, received).body, headers=headers)

    trial.operator.discovery, trial.operator.jwks = elsewhere("discovery"), elsewhere("jwks")
    trial.log_in()
    assert trial.evil.connections == []
    trial.verified()


def test_jw_01_redirected_refetch_keeps_the_known_keys(clock, trial):
    trial.log_in()
    trial.verified()
    redirect(trial, "jwks", 302, f"{trial.evil.url}/jwks")
    sign_with(trial, tokens.rsa_key("evil"), kid="evil")
    trial.log_in()
    trial.refused("redirect_refused", calls=[*HONEST, "token", "jwks"])


# JW-02: the document of another issuer

ISSUERS = {
    "INVALID": lambda url: f"{url}INVALID",
    "slash": lambda url: f"{url}/",
    "missing": lambda url: ...,
    "null": lambda url: None,
    "empty": lambda url: "",
    "list": lambda url: [url],
    "object": lambda url: {"issuer": url},
    "upper-case": lambda url: url.upper(),
    "blank": lambda url: f"{url} ",
    "line feed": lambda url: f"{url}\n",
    "cut": lambda url: url[:-1],
    "other name": lambda url: url.replace("127.0.0.1", "localhost"),
    "other scheme": lambda url: url.replace("http", "https"),
    "no scheme": lambda url: url.removeprefix("http://"),
    "true": lambda url: True,
    "the document itself": lambda url: f"{url}/.well-known/openid-configuration",
}


@pytest.mark.parametrize("name", ["INVALID", "slash"])
def test_jw_02_document_of_another_issuer_is_refused(trial, name):
    announce(trial, issuer=ISSUERS[name](trial.operator.url))

    start_refused(trial)
    trial.refused("misconfigured", calls=["discovery"])


def test_jw_02_document_of_any_other_issuer_is_refused(trial):
    for number, issuer in enumerate(ISSUERS.values(), 1):
        announce(trial, issuer=issuer(trial.operator.url))
        start_refused(trial, newcomer(number, trial.responses))
        trial.refused("misconfigured", calls=["discovery"] * number)


def test_jw_02_issuer_under_another_name_is_missing(trial):
    for number, name in enumerate(("Issuer", "ISSUER", "iss", " issuer"), 1):
        announce(trial, issuer=..., **{name: trial.operator.url})
        start_refused(trial, newcomer(number, trial.responses))
        trial.refused("misconfigured", calls=["discovery"] * number)


def test_jw_02_document_that_names_two_issuers_is_refused(trial):
    trial.operator.discovery = lambda operator, received: Reply(
        f'{{"issuer": "https://evil.example", "issuer": "{operator.url}"}}'.encode()
    )

    start_refused(trial)
    trial.refused("response_invalid", calls=["discovery"])


def test_jw_02_issuer_that_changes_later_changes_nothing(clock, trial):
    trial.log_in()
    clock.now += FRESH + 1
    announce(trial, issuer="https://evil.example", token_endpoint=f"{trial.evil.url}/token")
    trial.log_in()
    trial.verified()
    trial.verified([*HONEST, *HONEST])


# JW-03: endpoints that lead inside

LISTED = {
    "http": "http://operator.example/{}",
    "file": "file:///etc/{}",
    "user": "https://user@operator.example/{}",
    "this machine": "https://127.0.0.1/{}",
    "private": "https://10.1.2.3/{}",
    "cloud metadata": "https://169.254.169.254/{}",
    "IPv6 loopback": "https://[::1]/{}",
    "decimal": "https://2130706433/{}",
    "hexadecimal": "https://0x7f000001/{}",
    "another port": "http://127.0.0.1:{evil}/{}",
}
INSIDE = [
    "http://169.254.169.254/{}",
    "HTTP://10.0.0.1/{}",
    "https://0.0.0.0/{}",
    "https://127.1/{}",
    "https://127.0.0.1.:{evil}/{}",
    "https://0177.0.0.1/{}",
    "https://0x7f.1/{}",
    "https://localhost/{}",
    "https://localhost.:{evil}/{}",
    "https://a.localhost/{}",
    "https://metadata.google.internal/{}",
    "https://printer.local/{}",
    "https://intranet/{}",
    "https://172.16.0.1/{}",
    "https://192.168.1.1/{}",
    "https://100.64.0.1/{}",
    "https://192.0.2.1/{}",
    "https://224.0.0.1/{}",
    "https://255.255.255.255/{}",
    "https://[::]/{}",
    "https://[::ffff:127.0.0.1]/{}",
    "https://[::ffff:7f00:1]/{}",
    "https://[fe80::1]/{}",
    "https://[fc00::1]/{}",
    "https://[fec0::1]/{}",
    "https://[64:ff9b::7f00:1]/{}",
    "https://[2002:7f00:1::]/{}",
    "https://[::1%25lo]/{}",
    "https://operator.example:0/{}",
    "https://operator.example:99999/{}",
    "https://operator.example:port/{}",
    "https://user:password@127.0.0.1/{}",
    "https://operator.example@127.0.0.1/{}",
    "https://operator.example\\@127.0.0.1/{}",
    "https://127.0.0.1#@operator.example/{}",
    "https://operator.example/{}#fragment",
    "https://operator.example /{}",
    "https://operator.example\t/{}",
    "https://operator.example/{}\r\nX: y",
    "https://\uff11\uff12\uff17.0.0.1/{}",
    "https://127\u30020\u30020\u30021/{}",
    "https://loc\u00adalhost/{}",
    "https://%6cocalhost/{}",
    "https://127.0.0.1%2f.operator.example/{}",
    "https://127.0.0.1%00.operator.example/{}",
    "https:///{}",
    "https:{}",
    "https://",
    "//operator.example/{}",
    "/{}",
    "{}",
    "ftp://operator.example/{}",
    "gopher://127.0.0.1:25/{}",
    "javascript:alert(1)//{}",
    "data:application/json,{}",
    "unix:///var/run/{}",
    "jar:https://operator.example/{}",
    " https://operator.example/{}",
    5,
    True,
    ["https://operator.example/"],
    {"url": "https://operator.example/"},
]
NAMES = ["authorization_endpoint", "token_endpoint", "jwks_uri"]


def refuse_endpoints(trial, dialled, urls):
    """Expect that a document that names one of ``urls`` for any endpoint is refused, and nothing else is dialled."""
    number = len(trial.expected)
    for url in urls:
        for name in NAMES:
            number += 1
            told = url.replace("{evil}", str(trial.evil.port)).replace("{}", name) if isinstance(url, str) else url
            announce(trial, **{name: told})
            start_refused(trial, newcomer(number, []))
            assert VerificationAttempt.objects.latest("pk").reason == "misconfigured", (name, url)
            trial.refused("misconfigured", calls=["discovery"] * number)
    assert set(dialled) == {("127.0.0.1", trial.operator.port)}
    assert trial.evil.connections == []
    announce(trial, jwks_uri="https://127.0.0.1/")
    start_refused(trial)
    trial.refused("misconfigured", calls=["discovery"] * (number + 1))


@pytest.mark.parametrize("url", LISTED.values(), ids=LISTED)
def test_jw_03_endpoint_that_leads_inside_is_refused_without_a_connection(trial, dialled, url):
    refuse_endpoints(trial, dialled, [url])


@pytest.mark.usefixtures("everywhere")
def test_jw_03_endpoint_that_leads_inside_is_refused_everywhere(trial, dialled):
    refuse_endpoints(trial, dialled, [LISTED["cloud metadata"], LISTED["another port"]])


@pytest.mark.parametrize("half", [0, 1])
def test_jw_03_endpoint_that_leads_nowhere_public_is_refused_without_a_connection(trial, dialled, half):
    refuse_endpoints(trial, dialled, INSIDE[half::2])


def test_jw_03_document_without_an_endpoint_is_refused(trial):
    given = [(name, value) for name in NAMES for value in (..., None, "", [], 0)]
    for number, (name, value) in enumerate(given, 1):
        announce(trial, **{name: value})
        start_refused(trial, newcomer(number, trial.responses))
        trial.refused("misconfigured", calls=["discovery"] * number)


def test_jw_03_other_endpoints_are_not_looked_at(trial, dialled):
    names = ["userinfo_endpoint", "registration_endpoint", "end_session_endpoint", "check_session_iframe", "jwks"]
    names += ["pushed_authorization_request_endpoint", "mtls_endpoint_aliases", "signed_metadata", "op_policy_uri"]
    announce(trial, **dict.fromkeys(names, trial.evil.url), require_pushed_authorization_requests=True)
    trial.log_in()

    assert {port for _, port in dialled} == {trial.operator.port}
    trial.verified()


def test_jw_03_moved_endpoint_is_not_dialled_later(clock, trial, dialled):
    trial.log_in()
    clock.now += FRESH + 1
    announce(trial, token_endpoint=f"{trial.evil.url}/token", jwks_uri="https://169.254.169.254/")
    trial.log_in()

    assert {port for _, port in dialled} == {trial.operator.port}
    trial.verified()
    trial.verified([*HONEST, *HONEST])


# JW-04: decoys


def okp(name, kid):
    """Return an Ed25519 key as a JWK."""
    public = ed25519.Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32)).public_key().public_bytes_raw()
    return {"kty": "OKP", "crv": "Ed25519", "x": tokens.encode(public), "kid": kid, "use": "sig", "alg": "EdDSA"}


def decoys(kid):
    """Return keys of other algorithms with the same ``kid``."""
    return [
        okp("decoy", kid),
        tokens.jwk(tokens.rsa_key("decoy"), kid, alg="PS256"),
        tokens.jwk(tokens.ec_key("decoy"), kid, alg="ES256"),
    ]


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_jw_04_right_key_is_found_among_decoys(trial, place):
    around = decoys("key-1")
    around.insert({"first": 0, "middle": 1, "last": 3}[place], first_key(alg="RS256"))
    publish(trial, *around)
    trial.log_in()
    trial.verified()


def test_jw_04_right_key_is_found_among_decoys_that_look_alike(trial):
    same = [tokens.jwk(tokens.rsa_key(name), "key-1") for name in ("decoy", "another decoy")]
    publish(trial, same[0], *decoys("key-1"), first_key(), same[1], first_key(use="enc"), first_key(alg="PS256"))
    trial.log_in()
    trial.verified()


def test_jw_04_right_key_is_found_for_another_algorithm(trial):
    trial.configure(ID_TOKEN_ALG="ES256")
    curve = tokens.ec_key("first")
    wrong = [tokens.jwk(tokens.ec_key("other", kind), "key-1") for kind in (ec.SECP384R1, ec.SECP521R1)]
    publish(trial, *wrong, *decoys("key-1"), first_key(), tokens.jwk(curve, "key-1", alg="ES256"))
    sign_with(trial, curve, alg="ES256", kid="key-1")
    trial.log_in()
    trial.verified()
    trial.configure()


def test_jw_04_decoy_does_not_sign(trial):
    evil = tokens.rsa_key("evil")
    others = [
        "PS256",
        "RS384",
        "RS512",
        "RSA-OAEP",
        "ES256",
        "none",
        "HS256",
        "rs256",
        "RS256 ",
        "",
        None,
        5,
        ["RS256"],
    ]
    publish(trial, first_key(), *(tokens.jwk(evil, "key-1", alg=alg) for alg in others))
    sign_with(trial, evil, kid="key-1")
    trial.log_in()
    trial.refused("id_token_invalid", calls=KEYS)


# JW-05: no kid


def unnamed(*names):
    """Return RSA keys without kid."""
    return [tokens.jwk(tokens.rsa_key(name), ...) for name in names]


@pytest.mark.parametrize("kid", ["key-1", ...], ids=["named key", "unnamed key"])
def test_jw_05_token_without_kid_is_verified_by_the_one_key(trial, kid):
    publish(trial, tokens.jwk(tokens.rsa_key("first"), kid))
    sign_with(trial, tokens.rsa_key("first"))
    trial.log_in()
    trial.verified()


def test_jw_05_token_without_kid_is_verified_by_one_of_many_keys(trial):
    """Three of each type, as the conformance suite has them."""
    many = unnamed("a", "b", "first")
    for name in "abc":
        coin = tokens.jwk(tokens.ec_key(f"coin {name}", ec.SECP256K1), ..., crv="secp256k1")
        many += [tokens.jwk(tokens.ec_key(name), ...), coin, okp(name, "x") | {"alg": None}]
    publish(trial, *many)
    sign_with(trial, tokens.rsa_key("first"))
    trial.log_in()
    trial.verified()


def test_jw_05_token_without_kid_by_none_of_many_keys_is_refused(trial):
    publish(trial, *unnamed("a", "b"), *decoys("x"), first_key())
    sign_with(trial, tokens.rsa_key("evil"))
    trial.log_in()
    trial.refused("id_token_invalid", calls=KEYS)


def test_jw_05_a_hundred_keys_to_try_take_no_time(trial):
    modulus = tokens.rsa_key("first").public_key().public_numbers().n
    many = [first_key(kid=..., n=tokens.encode((modulus - 2 * number).to_bytes(256))) for number in range(1, 100)]
    publish(trial, *many, first_key(kid=...))
    sign_with(trial, tokens.rsa_key("first"))
    trial.may_spend = 1
    trial.log_in()
    trial.verified()


# JW-06: rotation


def rotate(trial, name="second", kid="key-2", keep=True):
    """Let the operator sign with a new key from now on, and publish it; it keeps the old one or not."""
    trial.operator.keys = (trial.operator.keys if keep else {}) | {kid: tokens.rsa_key(name)}
    trial.operator.kid = kid


ROTATED = [*HONEST, "token", "jwks", "verify"]


@pytest.mark.parametrize(
    ("kid", "keep"), [("key-2", True), ("key-2", False), ("key-1", False)], ids=["added", "replaced", "same kid"]
)
def test_jw_06_rotated_key_is_asked_for_once(clock, trial, kid, keep):
    log_in(newcomer(1, trial.responses))
    rotate(trial, kid=kid, keep=keep)
    trial.log_in()

    clock.now += COOL_DOWN + 1  # for I8, which rotates back
    trial.verified()
    trial.verified(ROTATED)


def test_jw_06_rotated_key_without_kid_is_asked_for_once(clock, trial):
    log_in(newcomer(1, trial.responses))
    publish(trial, *unnamed("second"))
    sign_with(trial, tokens.rsa_key("second"))
    trial.log_in()

    clock.now += COOL_DOWN + 1  # for I8, which rotates back
    trial.verified()
    trial.verified(ROTATED)


@pytest.mark.parametrize("is_warm", [True, False])
def test_jw_06_key_rotated_just_before_signing_is_found(clock, trial, is_warm):
    if is_warm:
        log_in(newcomer(1, trial.responses))
        trial.verified()

    def token(operator, received):
        rotate(trial)
        return Reply(operator.token_body(received))

    trial.operator.token = token
    trial.log_in()
    trial.verified(ROTATED if is_warm else HONEST)


def test_jw_06_rotation_of_a_rotation_is_found_after_the_cool_down(clock, trial):
    for number, name in enumerate(("first", "second", "third"), 1):
        rotate(trial, name, kid=f"key-{number}")
        log_in(trial.visitor if number == 3 else newcomer(number, trial.responses))
        clock.now += COOL_DOWN + 1
        trial.verified([*HONEST, *["token", "jwks", "verify"] * (number - 1)])


# JW-07: unknown kids


def flood(trial, clock, sign, times=50, most=2):
    """Let many browsers come back with bad ID tokens within a minute, for which the keys are asked for seldom."""
    begun = time.monotonic()
    for number in range(times):
        sign(number)
        visitor = trial.visitor if number == times - 1 else newcomer(number + 1, [])
        log_in(visitor)
        assert visitor.user_id is None
        clock.now += 1
    assert time.monotonic() - begun < 0.3 * times
    hops = trial.operator.hops
    assert hops.count("jwks") <= most
    assert [hop for hop in hops if hop != "jwks"] == ["discovery", *["token"] * times]
    for _ in range(times):
        trial.refused("id_token_invalid", calls=hops)


def test_jw_07_fifty_unknown_kids_cost_two_requests(clock, trial):
    flood(trial, clock, lambda number: sign_with(trial, tokens.rsa_key("evil"), kid=f"random-{number}"))


def test_jw_07_unknown_kids_of_the_right_key_cost_two_requests(clock, trial):
    flood(trial, clock, lambda number: sign_with(trial, tokens.rsa_key("first"), kid=f"random-{number}"), 10)


def test_jw_07_bad_signatures_under_a_known_kid_cost_two_requests(clock, trial):
    flood(trial, clock, lambda number: sign_with(trial, tokens.rsa_key("evil"), kid="key-1"), 10)


def test_jw_07_bad_signatures_without_kid_cost_two_requests(clock, trial):
    flood(trial, clock, lambda number: sign_with(trial, tokens.rsa_key("evil")), 10)


def test_jw_07_bad_tokens_of_every_kind_cost_three_requests(clock, trial):
    """One more than unknown kids alone: a bad signature may not use up the look for a new key."""
    headers = [{"kid": "key-1"}, {}, {"kid": "random"}, {"kid": "key-1", "x": 1}, {"kid": ""}]
    flood(trial, clock, lambda number: sign_with(trial, tokens.rsa_key("evil"), **headers[number % 5]), 10, most=3)


def test_jw_07_honest_login_in_the_flood_succeeds(clock, trial):
    for number in range(1, 4):
        sign_with(trial, tokens.rsa_key("evil"), kid=f"random-{number}")
        log_in(newcomer(number, []))
        trial.refused("id_token_invalid")
    trial.operator.token = ENDPOINTS["token"]
    trial.log_in()
    assert trial.operator.hops.count("jwks") <= 2
    trial.verified(trial.operator.hops)


def test_jw_07_key_is_asked_for_again_after_the_cool_down(clock, trial):
    trial.log_in()
    trial.verified()
    for number, (passed, asked) in enumerate([(0, ["token", "jwks"]), (59, ["token"]), (1, ["token", "jwks"])], 1):
        clock.now += passed
        before = len(trial.operator.hops)
        sign_with(trial, tokens.rsa_key("evil"), kid=f"random-{number}")
        trial.log_in()
        assert trial.operator.hops[before:] == asked
        trial.refused("id_token_invalid", calls=trial.operator.hops)


# JW-08: outages


def cut(connection):
    """End the connection without a word."""


OUTAGES = {
    "503": lambda operator, received: Reply({}, 503),
    "500 in HTML": lambda operator, received: Reply(b"<html>", 500, content_type="text/html"),
    "404": lambda operator, received: Reply({}, 404),
    "302": lambda operator, received: Reply(b"", 302, {"Location": "https://evil.example/"}),
    "HTML": lambda operator, received: Reply(b"<html>login</html>", content_type="text/html"),
    "no members": lambda operator, received: Reply({}),
    "cut": lambda operator, received: cut,
}


@pytest.mark.parametrize(
    ("hop", "name"),
    [*(("jwks", name) for name in OUTAGES), ("discovery", "503"), ("discovery", "HTML"), ("discovery", "cut")],
)
def test_jw_08_logins_go_on_in_an_outage(clock, trial, hop, name):
    log_in(newcomer(1, trial.responses))
    clock.now += FRESH + 1
    setattr(trial.operator, hop, OUTAGES[name])
    log_in(newcomer(2, trial.responses))
    clock.now += COOL_DOWN - 1  # too early to ask again
    trial.log_in()

    trial.verified()
    trial.verified()
    trial.verified([*HONEST, *HONEST, "token", "verify"])


@pytest.mark.parametrize("seconds", [FRESH - 1, FRESH + 1, STALE - 1])
def test_jw_08_keys_of_an_outage_serve_for_an_hour(clock, trial, seconds):
    log_in(newcomer(1, trial.responses))
    clock.now += seconds
    trial.operator.discovery = trial.operator.jwks = OUTAGES["503"]
    trial.log_in()

    trial.verified()
    trial.verified([*HONEST, *(["token", "verify"] if seconds < FRESH else HONEST)])


@pytest.mark.parametrize(("hop", "calls"), [("discovery", ["discovery"]), ("jwks", KEYS)])
def test_jw_08_outage_of_more_than_an_hour_is_one(clock, trial, hop, calls):
    trial.log_in()
    clock.now += STALE + 1
    setattr(trial.operator, hop, OUTAGES["503"])
    answer = trial.visitor.start()
    callback = answer["Location"] if hop == "discovery" else trial.visitor.visit_operator(answer)
    trial.visitor.come_back(callback)

    trial.verified()
    trial.refused("operator_unavailable", calls=[*HONEST, *calls])


def test_jw_08_silent_operator_holds_nobody_for_long(clock, trial):
    trial.configure(TIMEOUT=4)
    log_in(newcomer(1, trial.responses))
    clock.now += FRESH + 1
    trial.operator.jwks = lambda operator, received: lambda connection: connection.recv(1)
    trial.may_spend = 3
    trial.log_in()
    log_in(newcomer(2, trial.responses))  # this one does not even ask

    trial.verified()
    trial.verified()
    trial.verified([*HONEST, *HONEST, "token", "verify"])


def test_jw_08_keys_are_asked_for_again_once_the_outage_is_over(clock, trial):
    log_in(newcomer(1, trial.responses))
    clock.now += FRESH + 1
    trial.operator.jwks = OUTAGES["503"]
    log_in(newcomer(2, trial.responses))
    clock.now += COOL_DOWN + 1
    trial.operator.jwks = ENDPOINTS["jwks"]
    rotate(trial)
    trial.log_in()

    trial.verified()
    trial.verified()
    trial.verified([*HONEST, *HONEST, "token", "jwks", "verify"])


# JW-09: keys that are for something else

PRIVATE = dict.fromkeys(("d", "p", "q", "dp", "dq", "qi"), "AQAB")
UNFIT = {
    "use=enc": {"use": "enc"},
    "key_ops without verify": {"key_ops": ["sign", "encrypt"]},
    "private members": PRIVATE,
}
FOR_OTHERS = {
    "use unknown": {"use": "other"},
    "use null": {"use": None},
    "use in capitals": {"use": "SIG"},
    "use a list": {"use": ["sig"]},
    "use empty": {"use": ""},
    "key_ops empty": {"key_ops": []},
    "key_ops a text": {"key_ops": "verify"},
    "key_ops null": {"key_ops": None},
    "key_ops in capitals": {"key_ops": ["VERIFY"]},
    "key_ops wrapped": {"key_ops": [["verify"]]},
    "key_ops an object": {"key_ops": {"verify": True}},
    "only d": {"d": "AQAB"},
    "d null": {"d": None},
    "other primes": {"oth": []},
    "alg of encryption": {"alg": "RSA-OAEP-256"},
    "alg PS256": {"alg": "PS256"},
    "kty oct beside n": {"kty": "oct", "k": "AQAB"},
    "kty in lower case": {"kty": "rsa"},
    "kty EC": {"kty": "EC"},
    "curve": {"crv": "P-256"},
    "another kid": {"kid": "key-1 "},
    "kid in capitals": {"kid": "KEY-1"},
    "kid missing": {"kid": ...},
    "kid null": {"kid": None},
    "kid a list": {"kid": ["key-1"]},
}


@pytest.mark.parametrize("members", UNFIT.values(), ids=UNFIT)
def test_jw_09_unfit_key_is_not_used_and_poisons_nothing(trial, members):
    publish(trial, first_key(**members))
    trial.log_in()
    trial.refused("id_token_invalid", calls=KEYS)


@pytest.mark.parametrize("algorithm", ["RS256", "HS256"])
def test_jw_09_symmetric_key_under_our_kid_is_not_used(trial, algorithm):
    publish(trial, {"kty": "oct", "k": tokens.encode(b"s" * 32), "kid": "key-1", "use": "sig", "alg": algorithm})
    sign_with(trial, b"s" * 32, alg=algorithm, kid="key-1")
    trial.log_in()
    trial.refused("id_token_invalid", calls=KEYS if algorithm == "RS256" else NO_KEYS)


def test_jw_09_symmetric_key_beside_ours_is_not_used(trial):
    oct_key = {"kty": "oct", "k": tokens.encode(b"s" * 32), "kid": "key-1"}
    publish(trial, oct_key, first_key(), oct_key | {"alg": "RS256"}, oct_key | {"kty": "RSA", "n": "AQAB", "e": "AQAB"})
    sign_with(trial, b"s" * 32, kid="key-1")
    trial.log_in()
    trial.refused("id_token_invalid", calls=KEYS)


def test_jw_09_key_for_anything_else_is_not_used(trial):
    """All at once: none of them verifies what the key they are made of signed, and the fit key beside them does."""
    evil = tokens.rsa_key("evil")
    unfit = [tokens.jwk(evil, "key-1") | members for members in (UNFIT | FOR_OTHERS).values()]
    publish(trial, *({name: value for name, value in key.items() if value is not ...} for key in unfit), first_key())
    sign_with(trial, evil, kid="key-1")
    log_in(newcomer(1, trial.responses))
    trial.refused("id_token_invalid")
    trial.operator.token = ENDPOINTS["token"]
    trial.log_in()
    trial.verified([*KEYS, "token", "verify"])


@pytest.mark.parametrize("members", [{"use": ...}, {"alg": "RS256"}, {"key_ops": ["verify"]}, {"x5t": "x"}], ids=str)
def test_jw_09_fit_key_is_used(trial, members):
    publish(trial, first_key(**members))
    trial.log_in()
    trial.verified()


# JW-10: broken entries

BROKEN = {
    "null": None,
    "no kty": {"kid": "key-1", "n": "AQAB", "e": "AQAB"},
    "n not base64": {"kty": "RSA", "kid": "key-1", "n": "!!!", "e": "AQAB"},
}
WORSE = [
    [],
    "key-1",
    5,
    True,
    {},
    {"kid": "key-1"},
    {"kty": "RSA"},
    {"kty": None, "kid": "key-1"},
    {"kty": ["RSA"], "kid": "key-1"},
    {"kty": "RSA", "kid": "key-1", "n": "AQAB"},
    {"kty": "RSA", "kid": "key-1", "e": "AQAB"},
    {"kty": "EC", "kid": "key-1", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
    {"kty": "OKP", "kid": "key-1", "crv": "Ed25519", "x": "AQAB"},
    *(
        {"kty": "RSA", "kid": "key-1", "n": n, "e": "AQAB"}
        for n in (None, 5, True, [], {}, "", "AQ", "AA", "\u00e9", "A" * 30_000, "=" * 9, 10**30)
    ),
    *({"e": e} for e in (None, 5, True, [], {}, "", "AQ", "AA", "Ag", "\u00e9", "A" * 9000)),
    {"x5c": ["!!!"], "n": "!"},
    {"use": {"a": "b"}},
    {"key_ops": 5},
    {"kid": {"a": "b"}},
    {"alg": []},
]


@pytest.mark.parametrize("entry", BROKEN.values(), ids=BROKEN)
def test_jw_10_broken_entry_spoils_no_other(trial, entry):
    publish(trial, entry, first_key(), entry)
    trial.log_in()
    trial.verified()


def test_jw_10_many_broken_entries_spoil_no_other(trial):
    partly = [
        first_key() | entry if isinstance(entry, dict) and "kty" not in entry and entry else entry for entry in WORSE
    ]
    publish(trial, *partly, *BROKEN.values(), first_key())
    trial.log_in()
    trial.verified()


@pytest.mark.parametrize(("entry", "count"), [({}, 10_000), ({}, 101), (None, 20_000)], ids=str)
def test_jw_10_too_many_keys_are_refused(trial, entry, count):
    publish(trial, first_key(), *[entry] * (count - 1))
    trial.log_in()
    trial.refused("response_invalid", calls=KEYS)


def test_jw_10_ten_thousand_honest_keys_are_too_large(trial):
    publish(trial, *[first_key()] * 10_000)
    trial.log_in()
    trial.refused("response_too_large", calls=KEYS)


def test_jw_10_empty_set_is_refused(trial):
    publish(trial)
    trial.log_in()
    trial.refused("id_token_invalid", calls=KEYS)


# JW-11: documents that are none


def endless(connection):
    """Send 100 MB, or as much as is taken."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n")
    for _ in range(1600):
        connection.sendall(b" " * 62_500)


def endless_chunks(connection):
    """Send chunks without end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"fa00\r\n" + b" " * 64_000 + b"\r\n")


def drip(connection):
    """Send a body a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        connection.sendall(b" ")
        time.sleep(0.1)


def drip_head(connection):
    """Send headers a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(1000):
        connection.sendall(b"x")
        time.sleep(0.1)


def short(connection):
    """Say more than is sent."""
    connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"keys": []}')


BOMB = gzip.compress(b" " * 100_000_000, 1)
NONE = {
    "list": (Reply([]), "response_invalid"),
    "HTML": (Reply(b"<html>", content_type="text/html"), "response_invalid"),
    "100 MB": (endless, "response_too_large"),
    "gzip bomb": (Reply(BOMB[:100_000], headers={"Content-Encoding": "gzip"}), "response_invalid"),
    "dripped": (drip, "operator_timeout"),
    "500": (Reply({}, 500), "operator_unavailable"),
}
WORTHLESS = {
    "null": (Reply(b"null"), "response_invalid"),
    "text": (Reply(b'"keys"'), "response_invalid"),
    "empty": (Reply(b""), "response_invalid"),
    "truncated": (Reply(b'{"issuer": "'), "response_invalid"),
    "a name twice": (Reply(b'{"keys": [], "keys": []}'), "response_invalid"),
    "deep": (Reply(b'{"a":' * 5000 + b"1" + b"}" * 5000), "response_invalid"),
    "NaN": (Reply(b'{"keys": [], "issuer": NaN}'), "response_invalid"),
    "UTF-16": (Reply('{"keys": []}'.encode("utf-16")), "response_invalid"),
    "BOM": (Reply(b'\xef\xbb\xbf{"keys": []}'), "response_invalid"),
    "surrogate": (Reply(b'{"keys": [], "x": "\\ud800"}'), "response_invalid"),
    "NUL": (Reply(b'{"keys": [], "x": "\\u0000"}'), "response_invalid"),
    "deflate": (Reply({"keys": []}, headers={"Content-Encoding": "deflate"}), "response_invalid"),
    "bomb without a label": (Reply(BOMB[:100_000]), "response_invalid"),
    "130 kB": (Reply(b" " * 131_073), "response_too_large"),
    "chunks without end": (endless_chunks, "response_too_large"),
    "dripped head": (drip_head, "operator_timeout"),
    "short": (short, "operator_unavailable"),
    "cut": (cut, "operator_unavailable"),
    "nonsense": (b"nonsense\r\n\r\n", "operator_unavailable"),
    "404": (Reply({}, 404), "misconfigured"),
    "204": (Reply(b"", 204), "misconfigured"),
    "401": (Reply({}, 401), "misconfigured"),
    "429": (Reply({}, 429), "operator_busy"),
    "503": (Reply(b"<html>", 503), "operator_unavailable"),
}


def expect_worthless(trial, hop, documents):
    """Expect that each of ``documents`` (answer, reason) in place of an honest one ends an attempt in time."""
    trial.configure(TIMEOUT=0.5)
    for number, (given, reason) in enumerate(documents, 1):
        setattr(trial.operator, hop, lambda operator, received, given=given: given)
        visitor = trial.visitor if number == len(documents) else newcomer(number, trial.responses)
        begun = time.monotonic()
        if hop == "discovery":
            start_refused(trial, visitor)
        else:
            log_in(visitor)
        assert time.monotonic() - begun < 1.5
        assert VerificationAttempt.objects.latest("pk").reason == reason
        trial.refused(
            reason, calls=["discovery"] * number if hop == "discovery" else ["discovery", *["token", "jwks"] * number]
        )
    trial.configure()


@pytest.mark.parametrize("document", NONE.values(), ids=NONE)
@pytest.mark.parametrize("hop", ["discovery", "jwks"])
def test_jw_11_document_that_is_none_is_refused_in_time(trial, hop, document):
    expect_worthless(trial, hop, [document])


@pytest.mark.parametrize("part", range(6))
def test_jw_11_document_that_is_worthless_is_refused_in_time(trial, part):
    documents = list(WORTHLESS.values())[part::6]  # four at a time: an operator of more faults may be left alone
    expect_worthless(trial, ("discovery", "jwks")[part % 2], documents)


def test_jw_11_set_without_a_list_of_keys_is_refused(trial):
    for number, keys in enumerate((None, {}, {"key-1": first_key()}, "keys"), 1):
        trial.operator.jwks = lambda operator, received, keys=keys: Reply({"keys": keys})
        log_in(newcomer(number, trial.responses))
        trial.refused("response_invalid", calls=["discovery", *["token", "jwks"] * number])


@pytest.mark.parametrize("kind", ["application/jwk-set+json", "text/plain", None])
def test_jw_11_documents_of_another_type_are_read(trial, kind):
    for hop in ("discovery", "jwks"):
        setattr(
            trial.operator,
            hop,
            lambda operator, received, hop=hop: Reply(ENDPOINTS[hop](operator, received).body, content_type=kind),
        )
    trial.log_in()
    trial.verified()


# JW-14: a key that is no longer published


def withdraw(trial):
    """Let the operator publish a new key alone, and go on signing with the old one."""
    rotate(trial, keep=False)
    sign_with(trial, tokens.rsa_key("first"), kid="key-1")


@pytest.mark.parametrize("seconds", [FRESH + 1, STALE + 1])
def test_jw_14_withdrawn_key_is_refused_once_the_keys_are_asked_for_again(clock, trial, seconds):
    trial.log_in()
    withdraw(trial)
    clock.now += seconds
    trial.log_in()

    trial.verified()
    trial.refused("id_token_invalid", calls=[*HONEST, *KEYS])


def test_jw_14_withdrawn_key_does_not_outlive_an_outage_of_an_hour(clock, trial):
    trial.log_in()
    withdraw(trial)
    clock.now += FRESH + 1
    trial.operator.jwks = OUTAGES["503"]
    trial.log_in()  # nobody can know better yet
    clock.now += STALE - FRESH
    trial.log_in()

    trial.verified()
    trial.verified()
    trial.refused("operator_unavailable", calls=[*HONEST, *HONEST, *KEYS])


def test_jw_14_withdrawn_key_is_refused_after_a_refetch_for_another(clock, trial):
    log_in(newcomer(1, trial.responses))
    rotate(trial, keep=False)
    trial.log_in()  # asks for the new key, and learns that the old one is gone
    withdraw(trial)
    trial.log_in()

    clock.now += COOL_DOWN + 1  # for I8, which rotates back
    trial.verified()
    trial.verified()
    trial.refused("id_token_invalid", calls=[*ROTATED, "token"])


# JW-15: a document that changes meanwhile


def come_back_after(trial, clock, **moved):
    """Begin, let the operator move and what is known of it grow old, and come back."""
    callback = trial.begin()
    clock.now += FRESH + 1
    announce(trial, **moved)
    return trial.come_back(callback)


def test_jw_15_moved_token_endpoint_gets_no_code(clock, trial):
    page = come_back_after(trial, clock, token_endpoint=f"{trial.operator.url}/moved/token")

    assert "The check didn't finish" in page.content.decode()
    trial.refused("operator_changed", calls=["discovery", "discovery"])


@pytest.mark.parametrize("moved", [{"token_endpoint": "{}/token"}, {"issuer": "{}"}, {"jwks_uri": "{}/jwks"}], ids=str)
def test_jw_15_document_that_leads_elsewhere_changes_nothing(clock, trial, moved):
    come_back_after(trial, clock, **{name: text.format(trial.evil.url) for name, text in moved.items()})

    assert trial.evil.connections == []
    trial.verified(["discovery", *HONEST])


def test_jw_15_token_endpoint_moved_for_another_login_gets_no_code_of_this_one(clock, trial):
    callback = trial.begin()
    clock.now += FRESH + 1
    announce(trial, token_endpoint=f"{trial.operator.url}/moved/token")
    log_in(newcomer(1, trial.responses))  # begins after the move
    trial.come_back(callback)

    assert [received.path for received in trial.operator.received if received.hop == "token"] == ["/moved/token"]
    trial.refused("operator_changed")
    trial.expected.append(("verified", ""))
    trial.log_in()
    trial.verified(["discovery", *HONEST, "token", "verify"])


@pytest.mark.parametrize("moved", ["authorization_endpoint", "jwks_uri"])
def test_jw_15_other_endpoint_may_move_within_the_operator(clock, trial, moved):
    place = f"{trial.operator.url}/moved/{'jwks' if moved == 'jwks_uri' else 'authorize'}"
    come_back_after(trial, clock, **{moved: place})

    (asked,) = [received.path for received in trial.operator.received if received.hop == "jwks"]
    assert asked == ("/moved/jwks" if moved == "jwks_uri" else "/jwks")
    trial.verified(["discovery", *HONEST])


def test_jw_15_keys_that_moved_are_asked_for_in_their_new_place(clock, trial):
    callback = trial.begin()
    clock.now += FRESH / 2
    trial.come_back(callback)
    clock.now += FRESH / 2 + 1  # the document is old, the keys of its old place are not
    announce(trial, jwks_uri=f"{trial.operator.url}/moved/jwks")
    log_in(newcomer(1, trial.responses))

    asked = [received.path for received in trial.operator.received if received.hop == "jwks"]
    assert asked == ["/jwks", "/moved/jwks"]
    trial.verified()
    trial.verified([*HONEST, *HONEST])


def test_jw_15_settings_win_over_the_document(trial):
    trial.configure(TOKEN_ENDPOINT=f"{trial.operator.url}/configured/token")
    announce(trial, token_endpoint=f"{trial.evil.url}/token")
    trial.log_in()

    assert "/configured/token" in [received.path for received in trial.operator.received]
    trial.verified()


# JW-16: what is kept where


@pytest.mark.parametrize("engine", ["db", "cached_db"])
def test_jw_16_nothing_of_ours_is_in_djangos_cache(trial, settings, engine):
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    trial.log_in()

    kept = {key: str(cache._cache[key]) for key in cache._cache}
    assert [key for key in kept if "django.contrib.sessions" not in key] == []
    n, told = first_key()["n"], " ".join(kept.values())
    assert [text for text in (n, trial.operator.url, NUMBER, "jwks") if text in told] == []
    trial.verified()


def test_jw_16_nothing_of_ours_is_left_in_djangos_cache_by_a_refusal(trial):
    sign_with(trial, tokens.rsa_key("evil"), kid="key-1")
    trial.log_in()

    assert list(cache._cache) == []
    trial.refused("id_token_invalid", calls=KEYS)


@pytest.mark.parametrize("moment", ["before the start", "before the callback"])
def test_jw_16_entries_of_others_in_djangos_cache_are_not_read(trial, moment):
    names = ["jwks", "keys", "metadata", "numverify", f"{trial.operator.url}/jwks", "numverify_django", "key-1"]
    evil = tokens.jwk(tokens.rsa_key("evil"), "key-1")
    poison = {name: {"keys": [evil]} for name in names}

    if moment == "before the start":
        cache.set_many(poison)
    callback = trial.begin()
    cache.set_many(poison)
    sign_with(trial, tokens.rsa_key("evil"), kid="key-1")
    trial.come_back(callback)

    trial.refused("id_token_invalid", calls=KEYS)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_endpoint_that_no_browser_or_proxy_would_take_is_refused(trial, name):
    """Django itself redirects to none of more than 16 kB. (Needs the fix of the URL's length.)"""
    announce(trial, **{name: f"{trial.operator.url}/authorize?{'x' * 100_000}"})

    start_refused(trial)
    trial.refused("misconfigured", calls=["discovery"])
