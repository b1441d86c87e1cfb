"""Signatures and published keys: only a key of the operator that fits the pinned algorithm verifies anything."""

import json
import warnings

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.hashes import SHA256

from numverify_django.protocol import jose
from numverify_django.protocol.exceptions import IdTokenInvalid, Misconfigured, ResponseInvalid

from .factories import (
    KID,
    claims,
    crafted,
    decode,
    encode,
    es256,
    hs256,
    id_token,
    jwk,
    private_key,
    private_pem,
    public_pem,
    refused,
    rs256,
)

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
HEADER = {"alg": "RS256", "kid": KID}


def read(token, *keys, algorithm="RS256"):
    """Return the payload of ``token`` where one of the published ``keys`` (JWKs) verifies it."""
    published = jose.KeySet.parse({"keys": list(keys)})
    kid = jose.read_kid(token, algorithm)
    return json.loads(jose.verify(token, published.candidates(kid, algorithm), algorithm))


def ours(**members):
    """Return our published RSA key."""
    return jwk(private_key(), **members)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_of_the_operator_is_verified(algorithm):
    key = jwk(private_key(algorithm), alg=algorithm)
    assert read(id_token(algorithm=algorithm), key, algorithm=algorithm) == claims()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_by_another_key_under_our_kid_is_refused(algorithm):
    token = id_token(algorithm=algorithm, key=private_key(algorithm, name="foreign"))
    refused(IdTokenInvalid, read, token, jwk(private_key(algorithm)), algorithm=algorithm)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signature_with_every_byte_changed_is_refused(algorithm):
    head, _, signature = id_token(algorithm=algorithm).rpartition(".")
    damaged = f"{head}.{encode(bytes(byte ^ 0x5A for byte in decode(signature)))}"
    refused(IdTokenInvalid, read, damaged, jwk(private_key(algorithm)), algorithm=algorithm)


def test_payload_under_the_signature_of_another_is_refused():
    head, payload, signature = id_token().split(".")
    other = encode(claims(sub="somebody else"))
    assert other != payload
    refused(IdTokenInvalid, read, f"{head}.{other}.{signature}", ours())


@pytest.mark.parametrize("name", ["none", "None", "NONE", "nOnE", ""])
@pytest.mark.parametrize("signature", ["empty", "kept", "dropped"])
def test_unsigned_token_is_refused(name, signature):
    kept = id_token().rpartition(".")[2]
    body = f"{encode({'alg': name, 'kid': KID})}.{encode(claims())}"
    refused(IdTokenInvalid, read, {"empty": f"{body}.", "kept": f"{body}.{kept}", "dropped": body}[signature], ours())


@pytest.mark.parametrize("alg", [None, 5, ["RS256"], {"alg": "RS256"}, "rs256", "RS256 ", "ES256", "PS256", "RS384"])
def test_header_with_another_algorithm_than_the_pinned_one_is_refused(alg):
    refused(IdTokenInvalid, read, crafted(HEADER | {"alg": alg}, claims(), rs256(private_key())), ours())


def test_header_without_an_algorithm_is_refused():
    refused(IdTokenInvalid, read, crafted({"kid": KID}, claims(), rs256(private_key())), ours())


def _public_spellings():
    key, der = private_key(), serialization.Encoding.DER
    pem = public_pem(key)
    published = ours()
    return {
        "PEM": pem.encode(),
        "PEM with CRLF": pem.replace("\n", "\r\n").encode(),
        "PEM with BOM": b"\xef\xbb\xbf" + pem.encode(),
        "PEM without its last line feed": pem.rstrip().encode(),
        "DER": key.public_key().public_bytes(der, serialization.PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(published).encode(),
        "compact JWK": json.dumps(published, separators=(",", ":")).encode(),
        "modulus": decode(published["n"]),
        "modulus in base64url": published["n"].encode(),
        "nothing": b"",
    }


@pytest.mark.parametrize("pinned", ALGORITHMS)
@pytest.mark.parametrize("secret", _public_spellings().values(), ids=_public_spellings())
def test_hmac_keyed_with_the_public_key_is_refused(secret, pinned):
    token = crafted({"alg": "HS256", "kid": KID}, claims(), hs256(secret))
    refused(IdTokenInvalid, read, token, ours(), algorithm=pinned)


@pytest.mark.parametrize("secret", _public_spellings().values(), ids=_public_spellings())
def test_hmac_that_claims_the_pinned_algorithm_is_refused(secret):
    refused(IdTokenInvalid, read, crafted(HEADER, claims(), hs256(secret)), ours())


def test_shared_key_under_our_kid_never_turns_the_algorithm():
    secret = b"0" * 64
    shared = {"kty": "oct", "kid": KID, "k": encode(secret), "alg": "HS256"}
    for header in (HEADER, HEADER | {"alg": "HS256"}):
        refused(IdTokenInvalid, read, crafted(header, claims(), hs256(secret)), shared)
        refused(IdTokenInvalid, read, crafted(header, claims(), hs256(secret)), shared | {"alg": "RS256"})


def test_key_in_the_header_is_not_used():
    theirs = private_key(name="foreign")
    published = jwk(theirs)
    for extra in (
        {"jwk": published},
        {"jku": "https://evil.example/jwks"},
        {"x5c": ["MIIB"]},
        {"x5u": "https://evil.example/cert"},
    ):
        refused(IdTokenInvalid, read, crafted(HEADER | extra, claims(), rs256(theirs)), ours())


def test_harmless_key_in_the_header_does_not_spoil_our_signature():
    assert read(crafted(HEADER | {"jwk": ours()}, claims(), rs256(private_key())), ours()) == claims()


@pytest.mark.parametrize(
    "extension",
    [
        {"crit": ["exp"]},
        {"crit": ["x"], "x": 1},
        {"crit": []},
        {"crit": None},
        {"crit": "b64"},
        {"b64": False},
        {"b64": True},
        {"crit": ["b64"], "b64": False},
        {"crit": ["b64"], "b64": True},
    ],
)
def test_header_that_demands_an_extension_is_refused(extension):
    refused(IdTokenInvalid, read, crafted(HEADER | extension, claims(), rs256(private_key())), ours())


@pytest.mark.parametrize("kid", [None, 5, ["key-1"], {"kid": "key-1"}, True])
def test_kid_that_is_no_text_is_refused(kid):
    refused(IdTokenInvalid, read, crafted({"alg": "RS256", "kid": kid}, claims(), rs256(private_key())), ours())


def test_header_that_says_its_algorithm_twice_is_refused():
    header = json.dumps(HEADER).replace("{", '{"alg": "none", ', 1).encode()
    refused(IdTokenInvalid, read, crafted(header, claims(), rs256(private_key())), ours())


def _misshapen():
    good = id_token()
    head, payload, signature = good.split(".")
    return {
        "empty": "",
        "two parts": f"{head}.{payload}",
        "four parts": f"{good}.{signature}",
        "encrypted": ".".join([encode({"alg": "RSA1_5", "enc": "A128CBC-HS256"}), "a", "b", "c", "d"]),
        "nothing but dots": "..",
        "empty signature": f"{head}.{payload}.",
        "empty payload": f"{head}..{signature}",
        "empty header": f".{payload}.{signature}",
        "padding": f"{good}{'=' * (-len(signature) % 4)}",
        "padding in the header": f"{head}{'=' * (-len(head) % 4) or '===='}.{payload}.{signature}",
        "blank before": f" {good}",
        "blank behind": f"{good} ",
        "line feed behind": f"{good}\n",
        "line feed inside": f"{good[:50]}\n{good[50:]}",
        "junk behind": f"{good}!",
        "one more character": f"{good}A",
        "standard base64": f"{head}.{payload}.{signature[:-1]}+",
        "header that is no JSON": f"{encode(b'{')}.{payload}.{signature}",
        "header that is a list": f"{encode([HEADER])}.{payload}.{signature}",
        "header that is not UTF-8": f"{encode(bytes([0xFF, 0xFE]))}.{payload}.{signature}",
        "header nested deeply": f"{encode(b'[' * 9000)}.{payload}.{signature}",
        "not ASCII": f"{good}\u00e9",
        "lone surrogate": f"{good}\ud800",
        "too long": f"{head}.{'A' * 16_384}.{signature}",
        "five megabytes": "A" * 5_000_000,
        "null": None,
        "number": 5,
        "list": [good],
        "bytes": good.encode(),
    }


@pytest.mark.parametrize("token", _misshapen().values(), ids=_misshapen())
def test_token_that_is_no_compact_jws_is_refused(token):
    refused(IdTokenInvalid, read, token, ours())


def test_decoys_under_the_same_kid_do_not_hide_the_right_key():
    decoys = [
        jwk(private_key("EdDSA")),
        jwk(private_key("ES256")),
        jwk(private_key(name="decoy"), alg="PS256"),
        jwk(private_key(name="decoy")),
        {"kty": "oct", "kid": KID, "k": "AAAA"},
    ]
    assert read(id_token(), *decoys, ours()) == claims()


def test_signature_by_a_decoy_of_another_algorithm_is_refused():
    decoy = private_key(name="decoy")
    refused(IdTokenInvalid, read, id_token(key=decoy), ours(), jwk(decoy, alg="PS256"))


def test_token_without_kid_is_verified_by_the_one_key():
    assert read(crafted({"alg": "RS256"}, claims(), rs256(private_key())), ours()) == claims()


def test_token_without_kid_is_verified_by_the_fitting_one_of_many_keys():
    token = crafted({"alg": "RS256"}, claims(), rs256(private_key()))
    others = [jwk(private_key(name="other"), kid="o"), jwk(private_key("ES256"), kid="e"), jwk(private_key("EdDSA"))]
    assert read(token, *others, ours(kid=None)) == claims()


def test_key_without_kid_does_not_serve_a_token_that_names_one():
    refused(IdTokenInvalid, read, id_token(), ours(kid=None))


def test_unknown_kid_is_refused():
    refused(IdTokenInvalid, read, id_token(kid="key-2"), ours())


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"use": "enc"}, id="for encryption"),
        pytest.param({"use": ["sig"]}, id="use is a list"),
        pytest.param({"use": "SIG"}, id="use in capitals"),
        pytest.param({"key_ops": ["encrypt"]}, id="operations without verify"),
        pytest.param({"key_ops": []}, id="no operations"),
        pytest.param({"key_ops": "verify"}, id="operations are a text"),
        pytest.param({"alg": "PS256"}, id="other algorithm"),
        pytest.param({"alg": "RS512"}, id="other hash"),
        pytest.param({"alg": ["RS256"]}, id="algorithm is a list"),
        pytest.param({"kty": "rsa"}, id="type in small letters"),
        pytest.param({"kty": ["RSA"]}, id="type is a list"),
        pytest.param({"crv": "P-256"}, id="curve beside a modulus"),
        *(
            pytest.param({name: "AQAB"}, id=f"private member {name}")
            for name in ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
        ),
    ],
)
def test_key_that_is_not_for_this_is_never_used(members):
    refused(IdTokenInvalid, read, id_token(), ours(**members))


@pytest.mark.parametrize("members", [{"use": None}, {"key_ops": ["verify"]}, {"alg": "RS256"}, {"x5t": "x", "new": 1}])
def test_optional_members_of_a_key_are_optional(members):
    assert read(id_token(), ours(**members)) == claims()


BROKEN = {
    "null": None,
    "text": "key",
    "list": [],
    "empty": {},
    "type alone": {"kty": "RSA", "kid": KID},
    "no modulus": {"kty": "RSA", "kid": KID, "e": "AQAB"},
    "modulus not base64": {"kty": "RSA", "kid": KID, "n": "!!!", "e": "AQAB"},
    "modulus not ASCII": {"kty": "RSA", "kid": KID, "n": "\u00e9", "e": "AQAB"},
    "modulus a number": {"kty": "RSA", "kid": KID, "n": 5, "e": "AQAB"},
    "modulus null": {"kty": "RSA", "kid": KID, "n": None, "e": "AQAB"},
    "modulus empty": {"kty": "RSA", "kid": KID, "n": "", "e": "AQAB"},
    "exponent zero": {"kty": "RSA", "kid": KID, "n": "AQAB", "e": "AA"},
    "exponent even": {"kty": "RSA", "kid": KID, "n": encode(b"\xff" * 256), "e": "Ag"},
    "modulus of 90 kB": {"kty": "RSA", "kid": KID, "n": encode(b"\xff" * 90_000), "e": "AQAB"},
    "point off the curve": {"kty": "EC", "crv": "P-256", "kid": KID, "x": encode(b"1" * 32), "y": encode(b"1" * 32)},
    "curve unhashable": {"kty": "EC", "crv": [], "kid": KID},
    "OKP too short": {"kty": "OKP", "crv": "Ed25519", "kid": KID, "x": "AA"},
    "kid unhashable": {"kty": "RSA", "kid": {}},
}


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_key_spoils_no_other(broken, algorithm):
    good = jwk(private_key(algorithm))
    assert read(id_token(algorithm=algorithm), broken, good, broken, algorithm=algorithm) == claims()


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
def test_broken_key_alone_verifies_nothing(broken, algorithm):
    refused(IdTokenInvalid, read, id_token(algorithm=algorithm), broken, algorithm=algorithm)


def test_short_rsa_key_is_refused():
    short = private_key(name="short", bits=1024)
    refused(IdTokenInvalid, read, crafted(HEADER, claims(), rs256(short)), jwk(short))


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES256", ec.SECP384R1), ("ES256", ec.SECP521R1), ("ES384", ec.SECP256R1)]
)
def test_curve_of_another_algorithm_is_refused(algorithm, curve):
    key = ec.generate_private_key(curve())
    token = crafted({"alg": algorithm, "kid": KID}, claims(), es256(key))
    refused(IdTokenInvalid, read, token, jwk(key), algorithm=algorithm)


def test_curve_that_no_algorithm_here_uses_is_refused():
    key = ec.generate_private_key(ec.SECP256K1())
    numbers = key.public_key().public_numbers()
    published = {"kty": "EC", "crv": "secp256k1", "kid": KID, "x": encode(numbers.x.to_bytes(32))}
    published["y"] = encode(numbers.y.to_bytes(32))
    for alg in ("ES256", "ES256K"):
        token = crafted({"alg": alg, "kid": KID}, claims(), es256(key))
        refused(IdTokenInvalid, read, token, published, published | {"crv": "P-256"}, algorithm="ES256")


def test_signature_of_der_instead_of_two_numbers_is_refused():
    key = private_key("ES256")
    token = crafted({"alg": "ES256", "kid": KID}, claims(), lambda data: key.sign(data, ec.ECDSA(SHA256())))
    refused(IdTokenInvalid, read, token, jwk(key), algorithm="ES256")


@pytest.mark.parametrize("size", [0, 64])
def test_ecdsa_signature_of_zeros_is_refused(size):
    token = crafted({"alg": "ES256", "kid": KID}, claims(), lambda data: bytes(size))
    refused(IdTokenInvalid, read, token, jwk(private_key("ES256")), algorithm="ES256")


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {}}, {"keys": "x"}, {"keys": 1}, {"kid": KID}])
def test_document_without_a_list_of_keys_is_refused(document):
    refused(ResponseInvalid, jose.KeySet.parse, document)


def test_hundred_keys_are_read():
    assert read(id_token(), *[jwk(private_key(name="other"), kid=str(i)) for i in range(99)], ours()) == claims()


@pytest.mark.parametrize("count", [101, 10_000])
def test_too_many_keys_are_refused(count):
    refused(ResponseInvalid, jose.KeySet.parse, {"keys": [ours()] * count})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_signed_assertion_carries_its_claims_and_kid(algorithm):
    key = private_key(algorithm)
    token = jose.sign({"iss": "us"}, private_pem(key), algorithm, "our-kid")
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": "our-kid", "typ": "JWT"}
    assert jwt.decode(token, key.public_key(), algorithms=[algorithm]) == {"iss": "us"}


def _unfit():
    form, encoding = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    locked = private_key().private_bytes(encoding, form, serialization.BestAvailableEncryption(b"password"))
    return {
        "nothing": "",
        "text": "junk",
        "not ASCII": "\u00e9",
        "half a key": private_pem(private_key())[:300],
        "locked": locked.decode(),
        "public RSA key": public_pem(private_key()),
        "public EC key": public_pem(private_key("ES256")),
        "public Ed25519 key": public_pem(private_key("EdDSA")),
        "RSA key of 1024 bits": private_pem(private_key(name="short", bits=1024)),
        "key for agreement": private_pem(x25519.X25519PrivateKey.generate()),
        "SSH key": "ssh-rsa AAAA",
        "PEM of nothing": "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    }


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("key", _unfit().values(), ids=_unfit())
def test_key_that_cannot_sign_is_misconfigured(key, algorithm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        refused(Misconfigured, jose.sign, {}, key, algorithm, "kid")


@pytest.mark.parametrize(
    ("algorithm", "other"),
    [
        ("RS256", "ES256"),
        ("RS256", "EdDSA"),
        ("PS256", "ES256"),
        ("ES256", "RS256"),
        ("ES256", "ES384"),
        ("ES384", "ES256"),
        ("EdDSA", "RS256"),
        ("EdDSA", "ES256"),
    ],
)
def test_key_of_another_algorithm_is_misconfigured(algorithm, other):
    refused(Misconfigured, jose.sign, {}, private_pem(private_key(other)), algorithm, "kid")


def test_misconfigured_key_names_the_setting():
    error = refused(Misconfigured, jose.sign, {}, "junk", "RS256", "kid")
    assert str(error) == "PRIVATE_KEY does not fit ASSERTION_ALG"


def test_set_remembers_no_names_of_keys_that_it_has_not():
    published = jose.KeySet.parse({"keys": [ours()]})
    assert [published.candidates(str(number), "RS256") for number in range(3)] == [[]] * 3
    assert published.candidates(None, "RS256") == published.candidates(None, "RS256") != []
    assert list(published._loaded) == [(None, "RS256")]
