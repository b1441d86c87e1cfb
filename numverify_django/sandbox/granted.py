"""What codes and tokens stand for."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass

from authlib.oidc.core.models import AuthorizationCodeMixin

# Subjects are opaque, pairwise and stable as long as the process lives (OIDC Core section 8.1).
SUBJECT_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Subscriber:
    """Whoever the SIM behind the browser belongs to, as the network saw it at /authorize."""

    sim: str

    def subject_for(self, client_id: str) -> str:
        """Return the ``sub`` that this client knows the subscriber by."""
        return hmac.new(SUBJECT_KEY, f"{client_id} {self.sim}".encode(), hashlib.sha256).hexdigest()[:32]


@dataclass(frozen=True)
class Code(AuthorizationCodeMixin):  # type: ignore[misc]  # Authlib has no types
    """What an authorization code stands for."""

    client_id: str
    redirect_uri: str
    scope: str
    subscriber: Subscriber
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None
    auth_time: int

    def get_redirect_uri(self) -> str:
        """Return the address that /token must be told again."""
        return self.redirect_uri

    def get_scope(self) -> str:
        """Return the scope that was asked for."""
        return self.scope

    def get_nonce(self) -> str | None:
        """Return the nonce for the ID token."""
        return self.nonce

    def get_auth_time(self) -> int:
        """Return when the network recognised the SIM."""
        return self.auth_time


@dataclass(frozen=True)
class AccessToken:
    """What an access token stands for."""

    scopes: frozenset[str]
    subscriber: Subscriber
