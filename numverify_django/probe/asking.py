"""What an operator is asked: each thing once, nothing that is paid for, and nothing that a person is needed for.

The pairs of the protocol build the requests and read the answers, as in a login; the circuit of the logins is not told.
"""

import secrets
import time
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from .. import connections, transport
from ..calls import Call, Deadline
from ..protocol import authorization, conversation, jose, tokens
from ..protocol.exceptions import NumberVerifyError
from ..protocol.messages import Metadata, Request, Response, Secret
from ..protocol.profiles import Operator

PAGE = {"accept": "text/html,*/*;q=0.8"}  # as a browser asks
PLACES = ("issuer", "discovery_url", "authorization_endpoint", "token_endpoint", "jwks_uri", "api_root")


@dataclass(slots=True)
class Findings(Secret):
    """What came of it; what is None was not asked, or failed with the error under its hop."""

    operator: Operator
    redirect_uri: str
    shares_callback: bool = False  # with another operator of the site
    document: dict | None = field(default=None, repr=False)  # of discovery
    metadata: Metadata | None = None
    keys: jose.KeySet | None = None
    state: str = field(default="", repr=False)  # of the authorization request
    responses: dict[str, Response] = field(default_factory=dict, repr=False)  # by hop
    errors: dict[str, NumberVerifyError] = field(default_factory=dict)  # by hop
    skews: list[float] = field(default_factory=list)  # seconds by which the operator's clock is ahead of ours
    peers: dict[str, tuple | OSError] = field(default_factory=dict)  # host -> TLS version and certificate's end

    def send(self, request):
        """Return the Response to ``request``, and note what its date says."""
        response = transport.send(Call(request, Deadline(self.operator.timeout)))
        self.responses[request.hop] = response
        try:
            date = parsedate_to_datetime(response.headers.get("date", ""))
            self.skews.append(date.timestamp() - time.time())
        except (ValueError, OverflowError):
            pass  # it tells no time
        return response

    def finish(self, hop, talk):
        """Return what ``talk``, a conversation, returns; None where it fails, with its error noted under ``hop``."""
        try:
            request = next(talk)
            while True:
                request = talk.send(self.send(request))
        except StopIteration as finished:
            return finished.value
        except NumberVerifyError as error:
            self.errors[hop] = error
            return None


def ask(operator, redirect_uri, shares_callback=False):
    """Return the Findings about ``operator``; ``redirect_uri`` is where it is told to lead the browser back to."""
    found = Findings(operator, redirect_uri, shares_callback)
    _learn(found)
    _greet(found)
    if found.metadata is not None:
        found.finish("authorize", _authorize(found))
        found.finish("token", _spend(found))
    return found


def _learn(found):
    """Fetch the discovery document, where there may be one, and the keys."""
    operator = found.operator
    if operator.issuer or operator.discovery_url:
        found.metadata = found.finish("discovery", conversation.discover(operator))
        found.document = _object(found.responses.get("discovery"))
    found.metadata = found.metadata or _configured(operator)
    uri = found.metadata.jwks_uri if found.metadata else operator.jwks_uri
    if uri is not None:
        found.keys = found.finish("jwks", conversation.fetch_keys(uri))


def _object(response):
    """Return the JSON object of a document that came, or None."""
    try:
        return response.parse() if response is not None and response.status == 200 else None
    except ValueError:
        return None


def _configured(operator):
    """Return the Metadata that the settings alone are, or None where they leave something to discovery."""
    try:
        next(conversation.Directory().metadata(operator))
    except StopIteration as finished:
        return finished.value
    return None


def _greet(found):
    """Shake hands with every host of the operator that speaks TLS, the API's too: it is told nothing."""
    urls = [getattr(source, name, None) for source in (found.operator, found.metadata) for name in PLACES]
    parts = [urlsplit(url) for url in urls if url]
    for host, port in dict.fromkeys((part.hostname, part.port or 443) for part in parts if part.scheme == "https"):
        try:
            found.peers[f"{host}:{port}"] = connections.peer(host, port, found.operator.timeout)
        except OSError as error:
            found.peers[f"{host}:{port}"] = error


def _authorize(found):
    """Yield an authorization request as of a login, but without a number; where it leads is not followed."""
    operator = found.operator
    asked = authorization.build_request(
        operator, found.metadata, operation=operator.operation, number=None, redirect_uri=found.redirect_uri
    )
    found.state = asked.state
    yield Request("authorize", "GET", asked.url, headers=PAGE)


def _spend(found):
    """Yield a token request with a code that nobody issued."""
    yield tokens.token_request(
        found.operator,
        found.metadata,
        code=f"numverify-probe-{secrets.token_urlsafe(16)}",
        verifier=secrets.token_urlsafe(32),
        redirect_uri=found.redirect_uri,
        now=time.time(),
    )
