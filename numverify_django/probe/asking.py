"""What an operator is asked: each thing once, nothing that is paid for, and nothing that a person is needed for.

The pairs of the protocol build the requests and read the answers, as in a login; the circuit of the logins is not told.
"""

import secrets
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import urlsplit

from .. import connections, transport
from ..calls import Call, Deadline
from ..protocol import authorization, conversation, jose, tokens
from ..protocol.exceptions import NumberVerifyError
from ..protocol.messages import Metadata, Request, Response, Secret
from ..protocol.profiles import Operator

Returned = TypeVar("Returned")

PAGE = {"accept": "text/html,*/*;q=0.8"}  # as a browser asks
PLACES = ("issuer", "discovery_url", "authorization_endpoint", "token_endpoint", "jwks_uri", "api_root")


@dataclass(slots=True)
class Findings(Secret):
    """What came of it; what is None was not asked, or failed with the error under its hop."""

    operator: Operator
    redirect_uri: str
    document: dict[str, Any] | None = field(default=None, repr=False)  # of discovery
    metadata: Metadata | None = None
    keys: jose.KeySet | None = None
    states: dict[str, str] = field(default_factory=dict, repr=False)  # of the authorization requests, by operation
    responses: dict[str, Response] = field(default_factory=dict, repr=False)  # by hop
    errors: dict[str, NumberVerifyError] = field(default_factory=dict)  # by hop
    skews: list[float] = field(default_factory=list)  # seconds by which the operator's clock is ahead of ours
    peers: dict[str, tuple[str | None, int] | OSError] = field(default_factory=dict)  # host -> connections.peer

    def send(self, request: Request) -> Response:
        """Return the Response to ``request``, and note what its date says."""
        response = transport.send(Call(request, Deadline(self.operator.timeout)))
        self.responses[request.hop] = response
        try:
            date = parsedate_to_datetime(response.headers.get("date", ""))
            self.skews.append(date.timestamp() - time.time())
        except (ValueError, OverflowError):
            pass  # it tells no time
        return response

    def finish(self, hop: str, talk: Generator[Request, Response, Returned]) -> Returned | None:
        """Return what ``talk``, a conversation, returns; None where it fails, with its error noted under ``hop``."""
        try:
            request = next(talk)
            while True:
                request = talk.send(self.send(request))
        except StopIteration as finished:
            returned: Returned = finished.value
            return returned
        except NumberVerifyError as error:
            self.errors[hop] = error
            return None


def ask(operator: Operator, redirect_uri: str) -> Findings:
    """Return the Findings about ``operator``; ``redirect_uri`` is where it is told to lead the browser back to."""
    found = Findings(operator, redirect_uri)
    _learn(found)
    _greet(found)
    if found.metadata is not None:
        for operation in operator.operations:
            found.finish(hop_to(operation), _authorize(found, found.metadata, operation))
        found.finish("token", _spend(found, found.metadata))
    return found


def _learn(found: Findings) -> None:
    """Fetch the discovery document, where there may be one, and the keys."""
    operator = found.operator
    if operator.issuer or operator.discovery_url:
        found.metadata = found.finish("discovery", conversation.discover(operator))
        found.document = _object(found.responses.get("discovery"))
    found.metadata = found.metadata or _configured(operator)
    uri = found.metadata.jwks_uri if found.metadata else operator.jwks_uri
    if uri is not None:
        found.keys = found.finish("jwks", conversation.fetch_keys(uri))


def _object(response: Response | None) -> dict[str, Any] | None:
    """Return the JSON object of a document that came, or None."""
    try:
        return response.parse() if response is not None and response.status == 200 else None
    except ValueError:
        return None


def _configured(operator: Operator) -> Metadata | None:
    """Return the Metadata that the settings alone are, or None where they leave something to discovery."""
    try:
        next(conversation.Directory().metadata(operator))
    except StopIteration as finished:
        metadata: Metadata = finished.value
        return metadata
    return None


def _greet(found: Findings) -> None:
    """Shake hands with every host of the operator that speaks TLS, the API's too: it is told nothing."""
    urls = [getattr(source, name, None) for source in (found.operator, found.metadata) for name in PLACES]
    parts = [urlsplit(url) for url in urls if url]
    for host, port in dict.fromkeys((part.hostname, part.port or 443) for part in parts if part.scheme == "https"):
        try:
            found.peers[f"{host}:{port}"] = connections.peer(host, port, found.operator.timeout)
        except OSError as error:
            found.peers[f"{host}:{port}"] = error


def hop_to(operation: str) -> str:
    """Return what the authorization request for ``operation`` is called."""
    return f"authorize to {operation}"


def _authorize(found: Findings, metadata: Metadata, operation: str) -> Generator[Request, Response, None]:
    """Yield an authorization request as of a login, but without a number; where it leads is not followed."""
    asked = authorization.build_request(
        found.operator, metadata, operation=operation, number=None, redirect_uri=found.redirect_uri
    )
    found.states[operation] = asked.state
    yield Request(hop_to(operation), "GET", asked.url, headers=PAGE)


def _spend(found: Findings, metadata: Metadata) -> Generator[Request, Response, None]:
    """Yield a token request with a code that nobody issued."""
    yield tokens.token_request(
        found.operator,
        metadata,
        code=f"numverify-probe-{secrets.token_urlsafe(16)}",
        verifier=secrets.token_urlsafe(32),
        redirect_uri=found.redirect_uri,
        now=time.time(),
    )
