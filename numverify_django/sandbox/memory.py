"""Everything that one sandbox remembers; it ends with the process."""

from flask import current_app
from werkzeug.local import LocalProxy

from .expiring import Expiring
from .granted import AccessToken, Code
from .journal import Journal
from .keys import Keys
from .state import Store

CODE_LIFETIME = 60
TOKEN_LIFETIME = 300
ASSERTION_LIFETIME = 300
NAME = "numverify_sandbox"


class Memory:
    """The state, the log, the keys, and the codes and tokens that are still good."""

    def __init__(self, issuer: str) -> None:
        self.issuer = issuer
        self.store = Store()
        self.journal = Journal()
        self.keys = Keys()
        self.codes: Expiring[str, Code] = Expiring(CODE_LIFETIME)
        self.tokens: Expiring[str, AccessToken] = Expiring(TOKEN_LIFETIME)
        # An assertion may be a minute old by its clock: remember its jti longer than it can live.
        self.assertions: Expiring[tuple[str, str], bool] = Expiring(2 * ASSERTION_LIFETIME)
        self.nonces: Expiring[tuple[str, str | None], bool] = Expiring(2 * ASSERTION_LIFETIME)

    def reset(self) -> None:
        """Go back to the beginning: state, keys, codes, tokens and log."""
        for part in (self.store, self.keys):
            part.reset()
        for kept in (self.codes, self.tokens, self.assertions, self.nonces, self.journal):
            kept.clear()


memory: Memory = LocalProxy(lambda: current_app.extensions[NAME])  # type: ignore[assignment]  # stands for one
