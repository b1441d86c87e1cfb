"""What the Findings mean: a function for each row of the table, which returns None where the row has no sense.

No text of an operator is shown, but for the names that its public documents offer, and those only where they are plain.
"""

import re
import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from django.urls import Resolver404, get_script_prefix, resolve, reverse

from .. import navigation
from ..protocol import authorization
from ..protocol.exceptions import AccessDenied, ConsentRequired, Misconfigured, NotOnMobileNetwork
from ..protocol.messages import Response
from ..protocol.profiles import SHARE, URL, VERIFY
from ..protocol.tokens import ERRORS as TOKEN_ERRORS
from ..protocol.tokens import LEEWAY
from .asking import Findings, hop_to

RIGHT, WRONG, UNKNOWN = "right", "wrong", "unknown"
PLAIN = re.compile(r"[A-Za-z0-9_.:#-]{1,64}")
SHOWN = 8  # names
EXPIRING = 14 * 86_400  # seconds before its end in which a certificate is as good as expired
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")
ASIDE = "Set {0} to what the operator's discovery document says, or remove it: discovery tells it then."
LATER = "Ask the operator, or run this again later."
FLOW = "Ask the operator to let this client use the authorization code flow."
CREDENTIALS = {
    **dict.fromkeys(["client_secret_basic", "client_secret_post"], "CLIENT_SECRET"),
    "private_key_jwt": "PRIVATE_KEY, KEY_ID, ASSERTION_ALG or ASSERTION_AUDIENCE",
}


class Row(NamedTuple):
    """What was looked at, what it is, in words, and what to do where it is not right."""

    what: str
    verdict: str
    told: str
    remedy: str = ""


def table(found: Findings) -> list[Row]:
    """Return the Rows of ``found``."""
    return [row for row in (look(found) for look in LOOKS) if row is not None]


# What the operator publishes


def discovery(found: Findings) -> Row:
    """Is the discovery document there, and of this issuer?"""
    what, operator = "discovery", found.operator
    if "discovery" in found.errors:
        error, named = found.errors["discovery"], (found.document or {}).get("issuer")
        if isinstance(named, str) and named != operator.issuer and URL.fullmatch(named):
            return Row(what, WRONG, str(error), f"Set ISSUER to '{named}', if that is the operator that you mean.")
        return Row(what, WRONG, str(error), "Correct ISSUER or DISCOVERY_URL, or set the endpoints and JWKS_URI.")
    if found.document is None:
        return Row(what, UNKNOWN, "there is no ISSUER to ask: the endpoints are those of the settings")
    return Row(what, RIGHT, f"the document of {operator.issuer}")


def tls(found: Findings) -> Row:
    """Is every host one that we would talk to, and for a while?"""
    what, versions = "TLS", set()
    for host, peer in found.peers.items():
        if isinstance(peer, ssl.SSLCertVerificationError):
            return Row(
                what, WRONG, f"{host}: its certificate is not trusted", "Tell the operator, or trust its authority."
            )
        if isinstance(peer, socket.gaierror):
            return Row(what, WRONG, f"{host}: no such host is known", "Correct its name, or your machine's DNS.")
        if isinstance(peer, OSError):
            told = f"{host}: {type(peer).__name__}"
            return Row(what, WRONG, told, "It must speak TLS 1.2 or newer, and your firewall let you out to it.")
        if peer[1] - time.time() < EXPIRING:
            return Row(what, WRONG, f"{host}: its certificate ends within two weeks", "Tell the operator.")
        versions.add(peer[0])
    if not found.peers:
        return Row(what, UNKNOWN, "the operator is on this machine, without TLS")
    return Row(what, RIGHT, f"{' and '.join(sorted(filter(None, versions)))} with {', '.join(found.peers)}")


def endpoints(found: Findings) -> Row | None:
    """Are the endpoints that were set those of the discovery document?"""
    if found.document is None:
        return None
    offered = {name: found.document.get(name) for name in ENDPOINTS}
    other = [name for name in ENDPOINTS if getattr(found.operator, name) not in (None, offered[name]) and offered[name]]
    if not other:
        return Row("endpoints", RIGHT, "those of the discovery document")
    named = " and ".join(name.upper() for name in other)
    return Row("endpoints", WRONG, f"{named}: the discovery document says otherwise", ASIDE.format(named))


def keys(found: Findings) -> Row | None:
    """Is there a key that ID tokens can be checked with?"""
    what, operator = "keys", found.operator
    if "jwks" in found.errors:
        return Row(what, WRONG, str(found.errors["jwks"]), "Correct JWKS_URI.")
    if found.keys is None:
        is_needed = operator.id_token == "required" and found.metadata is None  # noqa: S105
        return Row(what, UNKNOWN, "their place is not known") if is_needed else None
    usable = found.keys.candidates(None, operator.id_token_alg)
    if usable:
        return Row(what, RIGHT, f"{len(usable)} for {operator.id_token_alg}")
    told = f"none of {len(found.keys.keys)} is for {operator.id_token_alg}"
    return Row(what, WRONG, told, "Set ID_TOKEN_ALG to the algorithm that the operator signs with.")


# What the settings say, beside what the document offers


def id_token_algorithm(found: Findings) -> Row:
    """Does the operator sign ID tokens with ID_TOKEN_ALG?"""
    offered = _offered(found, "id_token_signing_alg_values_supported")
    return _compared("ID token", "ID_TOKEN_ALG", found.operator.id_token_alg, offered)


def client_authentication(found: Findings) -> Row:
    """Does the token endpoint take CLIENT_AUTH? (OIDC Discovery 3: client_secret_basic, unless it says otherwise)"""
    otherwise = None if found.document is None else ["client_secret_basic"]
    offered = _offered(found, "token_endpoint_auth_methods_supported", otherwise)
    return _compared("client authentication", "CLIENT_AUTH", found.operator.client_auth, offered)


def assertion_algorithm(found: Findings) -> Row | None:
    """Does the token endpoint take assertions that are signed with ASSERTION_ALG?"""
    if found.operator.client_auth != "private_key_jwt":
        return None
    offered = _offered(found, "token_endpoint_auth_signing_alg_values_supported")
    return _compared("client assertion", "ASSERTION_ALG", found.operator.assertion_alg, offered)


def pkce(found: Findings) -> Row:
    """Is PKCE used where the operator knows it?"""
    what, is_used = "PKCE", found.operator.pkce
    offered = _offered(found, "code_challenge_methods_supported")
    if offered is None:
        told = f"PKCE is {is_used}; the operator does not say what it takes"
        return Row(what, UNKNOWN, told, "" if is_used else "Set PKCE to True unless the operator refuses it.")
    if ("S256" in offered) == is_used:
        return Row(what, RIGHT, "S256" if is_used else "PKCE is False, and the operator has no S256")
    if is_used:
        return Row(
            what, WRONG, "the operator does not offer S256", "Ask the operator; if it must be, set PKCE to False."
        )
    return Row(what, WRONG, "PKCE is False, and the operator offers S256", "Set PKCE to True.")


def scopes(found: Findings, operation: str) -> Row | None:
    """Are the scopes asked for offered, or at least taken?"""
    tried = authorization_request(found, operation)
    if tried is None:
        return None
    what, wanted = f"scopes to {operation}", found.operator.scope(operation).split()
    offered = _offered(found, "scopes_supported")
    missing = set(wanted) - set(offered or [])
    if _authorization_error(found, operation) == "invalid_scope":
        told, remedy = (
            f"refused: {' '.join(wanted)}",
            "Ask the operator which scopes your client has; set SCOPES or PURPOSE.",
        )
        return Row(what, WRONG, told, remedy)
    if not missing:
        return Row(what, RIGHT, "offered: " + " ".join(wanted))
    if tried.verdict == RIGHT:
        return Row(what, RIGHT, "taken: " + " ".join(wanted))
    told = "the operator does not say which it takes" if offered is None else "not among those offered"
    return Row(what, UNKNOWN, f"{told}: {' '.join(sorted(missing))}", "Ask the operator.")


def response_issuer(found: Findings) -> Row:
    """Is ``iss`` asked for where it is sent, and is it the operator's? (RFC 9207)"""
    what, operator = "iss in the callback", found.operator
    is_announced = (found.document or {}).get("authorization_response_iss_parameter_supported") is True
    answers = [_answer(found, operation) for operation in operator.operations]
    sent = [answer.get("iss") for answer in answers if answer]
    if any(issuer not in (None, [operator.issuer]) for issuer in sent):
        return Row(
            what, WRONG, "the operator sends another than ISSUER", "Set ISSUER to exactly what the operator sends."
        )
    if operator.response_iss is False and (is_announced or any(sent)):
        return Row(what, WRONG, "RESPONSE_ISS is False, and the operator has it", "Remove RESPONSE_ISS.")
    if None in sent and (operator.response_iss or is_announced):
        return Row(
            what,
            WRONG,
            "it is required, and was not sent",
            "Ask the operator; if it must be, set RESPONSE_ISS to False.",
        )
    if any(sent) or is_announced:
        return Row(what, RIGHT, "sent, and the operator's" if any(sent) else "announced, and looked for")
    return Row(what, UNKNOWN, "nothing says whether the operator sends it")


def telling_apart(found: Findings) -> Row | None:
    """Is ``iss`` looked for, where several operators answer at one callback? (RFC 9700 4.4.2)"""
    what = "told from the others"
    if not found.operator.shares_callback or found.metadata is None:
        return None
    if found.metadata.response_iss:
        return Row(what, RIGHT, "by iss")
    remedy = "Set RESPONSE_ISS to True if it is sent; else REDIRECT_URI to a callback of its own, and register that."
    return Row(what, WRONG, "it shares its callback, and does not announce iss", remedy)


# What can be tried


def clock(found: Findings) -> Row:
    """Do we and the operator know what time it is?"""
    if not found.skews:
        return Row("clock", UNKNOWN, "the operator tells no time")
    skew = min(found.skews, key=abs)
    if abs(skew) <= LEEWAY / 2:
        return Row("clock", RIGHT, f"the operator's is {round(skew):+d} s from ours")
    remedy = "Let this machine take its time from NTP; if it does, tell the operator."
    return Row("clock", WRONG, f"the operator's is {round(skew):+d} s from ours; tokens bear {LEEWAY} s", remedy)


def callback(found: Findings) -> Row:
    """Does the redirect URI lead to the view that waits there for this operator?"""
    what, uri = "redirect URI", found.redirect_uri
    path = unquote(urlsplit(uri).path).removeprefix(get_script_prefix())
    ours = f"The callback of this site is {reverse('numverify:callback')}"
    try:
        match = resolve(f"/{path}")
    except Resolver404:
        return Row(what, UNKNOWN, f"{uri} is no address of this site", f"{ours}, unless a proxy changes paths.")
    if not navigation.is_ours(match):
        remedy = f"{ours}; only a client in the browser that hands its query on may have another."
        return Row(what, UNKNOWN, f"{uri} is another page of this site", remedy)
    own = match.kwargs.get("operator", found.operator.name)
    if match.view_name in ("numverify:callback", "numverify:operator_callback") and own == found.operator.name:
        return Row(what, RIGHT, uri)
    return Row(what, WRONG, f"{uri} is not the callback of this operator", f"{ours}.")


def authorization_request(found: Findings, operation: str) -> Row | None:
    """Does the operator know our client, redirect URI and scopes? It sees no SIM here, and may say just that."""
    if operation not in found.operator.operations:
        return None
    what, response = f"authorization to {operation}", found.responses.get(hop_to(operation))
    if response is None or response.status == 429 or response.status >= 500:
        return _unasked(what, found, hop_to(operation))
    if response.status >= 400:
        remedy = f"Correct CLIENT_ID, and register this redirect URI: {found.redirect_uri}"
        return Row(what, WRONG, f"refused with {response.status}, not led back", remedy)
    answer = _answer(found, operation)
    if answer is None:
        told = "led elsewhere first" if response.status >= 300 else "answered by a page of the operator's own"
        remedy = f"See it on a phone. It may not know CLIENT_ID or this redirect URI: {found.redirect_uri}"
        return Row(what, UNKNOWN, told, remedy)
    if answer.get("state") != [found.states[operation]]:
        return Row(what, WRONG, "led back without our state", "Ask the operator: RFC 6749 4.1.2 demands it.")
    return _led_back(what, found, operation, answer)


def _led_back(what: str, found: Findings, operation: str, answer: dict[str, list[str]]) -> Row:
    error = _authorization_error(found, operation)
    kind = authorization.ERRORS.get(error)
    if not error and "code" in answer:
        return Row(what, RIGHT, "led back with a code, which is not used")
    if kind in (NotOnMobileNetwork, ConsentRequired, AccessDenied):
        return Row(what, RIGHT, f"led back with {error}: all is known but the SIM, which no server has")
    if kind is None:
        told = "led back with neither a code nor an error of OpenID Connect"
        return Row(what, WRONG, told, "Ask the operator what it means.")
    if kind is not Misconfigured:
        return Row(what, WRONG, f"led back with {error}", LATER)
    if error == "invalid_request" and found.operator.login_hint != "none":
        return Row(what, UNKNOWN, "led back with invalid_request: perhaps for want of a number", "Log in with a phone.")
    remedy = {"invalid_scope": "See the scopes.", "invalid_request": "See PKCE, and ask the operator what it misses."}
    return Row(what, WRONG, f"led back with {error}", remedy.get(error, FLOW))


def client(found: Findings) -> Row:
    """Does the token endpoint know us? It refuses the code that nobody issued, and not the client."""
    what, response = "client at the token endpoint", found.responses.get("token")
    if response is None or response.status == 429 or response.status >= 500:
        return _unasked(what, found, "token")
    error = _token_error(response)
    if response.status == 200 and "access_token" in _members(response):
        return Row(what, WRONG, "gave a token for a code that nobody issued", "Tell the operator, and do not go live.")
    if response.status < 400 and error is None:
        return Row(what, WRONG, f"answered {response.status}, which is no answer of a token endpoint", LATER)
    return _refused(what, found, response, error)


def _refused(what: str, found: Findings, response: Response, error: str | None) -> Row:
    if error == "invalid_grant":
        return Row(what, RIGHT, "known: it refused only the made-up code")
    if response.status == 401 or error == "invalid_client":
        return Row(
            what, WRONG, "not known", f"Correct CLIENT_ID, CLIENT_AUTH or {CREDENTIALS[found.operator.client_auth]}."
        )
    if error in ("unauthorized_client", "unsupported_grant_type"):
        return Row(what, WRONG, f"refused: {error}", FLOW)
    told = f"refused with {response.status} {error or 'and no error of OAuth'}"
    return Row(what, UNKNOWN, told, "A 401 would be about the client: log in with a phone.")


LOOKS: tuple[Callable[[Findings], Row | None], ...] = (
    *(discovery, tls, endpoints, keys, id_token_algorithm, client_authentication, assertion_algorithm, pkce),
    *(partial(scopes, operation=operation) for operation in (VERIFY, SHARE)),
    *(response_issuer, telling_apart, clock, callback),
    *(partial(authorization_request, operation=operation) for operation in (VERIFY, SHARE)),
    client,
)


def _offered(found: Findings, name: str, otherwise: list[str] | None = None) -> list[str] | None:
    """Return the texts of a list of the discovery document, or ``otherwise`` where it has none."""
    listed = (found.document or {}).get(name)
    return [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else otherwise


def _compared(what: str, key: str, value: str, offered: list[str] | None) -> Row:
    if offered is None:
        return Row(what, UNKNOWN, f"{key} is {value}; the operator does not say what it takes")
    if value in offered:
        return Row(what, RIGHT, value)
    plain = [name for name in offered if PLAIN.fullmatch(name)][:SHOWN]
    told = f"{key} is {value}; the operator offers {', '.join(plain) or 'none by name'}"
    return Row(what, WRONG, told, f"Set {key} to one that it offers, or ask the operator to allow this one.")


def _answer(found: Findings, operation: str) -> dict[str, list[str]] | None:
    """Return the parameters with which the browser would be led back to us, or None."""
    response = found.responses.get(hop_to(operation))
    if response is None or not 300 <= response.status < 400:
        return None
    place, _, query = response.headers.get("location", "").partition("?")
    return parse_qs(query) if place == found.redirect_uri.partition("?")[0] else None


def _authorization_error(found: Findings, operation: str) -> str:
    return next(iter((_answer(found, operation) or {}).get("error", ())), "")


def _token_error(response: Response) -> str | None:
    """Return the OAuth error of a token response, where it is one that we know."""
    error = _members(response).get("error")
    return error if isinstance(error, str) and error in TOKEN_ERRORS else None


def _members(response: Response) -> dict[str, Any]:
    """Return the JSON object of a token response, empty where it is none."""
    try:
        return response.json_object()
    except ValueError:
        return {}


def _unasked(what: str, found: Findings, hop: str) -> Row:
    """Return the Row of what could not be asked, or was not really answered."""
    response = found.responses.get(hop)
    if response is not None:
        return Row(
            what, UNKNOWN if response.status == 429 else WRONG, f"the operator answered {response.status}", LATER
        )
    if hop in found.errors:
        return Row(what, WRONG, str(found.errors[hop]), LATER)
    return Row(what, UNKNOWN, "not asked: its place is not known", "See discovery.")
