"""Everything that one sandbox remembers; it ends with the process."""

from flask import current_app
from werkzeug.local import LocalProxy

from .expiring import Expiring
from .journal import Journal
from .keys import Keys
from .state import Store

CODE_LIFETIME = 60
TOKEN_LIFETIME = 300
ASSERTION_LIFETIME = 300
NAME = "numverify_sandbox"


class Memory:
    """The state, the log, the keys, and the codes and tokens that are still good."""

    def __init__(self, issuer):
        self.issuer = issuer
        self.store = Store()
        self.journal = Journal()
        self.keys = Keys()
        self.codes = Expiring(CODE_LIFETIME)
        self.tokens = Expiring(TOKEN_LIFETIME)
        # An assertion may be a minute old by its clock: remember its jti longer than it can live.
        self.assertions = Expiring(2 * ASSERTION_LIFETIME)
        self.nonces = Expiring(2 * ASSERTION_LIFETIME)

    def reset(self):
        """Go back to the beginning: state, keys, codes, tokens and log."""
        for part in (self.store, self.keys):
            part.reset()
        for part in (self.codes, self.tokens, self.assertions, self.nonces, self.journal):
            part.clear()


memory = LocalProxy(lambda: current_app.extensions[NAME])
