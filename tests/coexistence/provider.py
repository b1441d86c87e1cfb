"""An identity provider on a socket: the site's single sign-on, which has nothing to do with the operator."""

from ..hostile.operator import Operator, Reply

UNKNOWN = Reply({}, 401, {"WWW-Authenticate": 'Bearer error="invalid_token", error_description="unknown"'})


class Provider(Operator):
    """It signs in whoever ``person`` (claims) is, without a question."""

    def __init__(self):
        super().__init__()
        self.sign_in("nobody")

    def sign_in(self, name):
        """Let ``name`` be who sits at the browser from now on; return their address."""
        email = f"{name}@example.com"
        self.person = {"sub": name, "preferred_username": name, "email": email, "email_verified": True}
        self.forget()
        return email

    def authorized(self):
        """Return the queries of the authorization requests since the last ``sign_in``."""
        return [received.query for received in self.received if received.hop == "authorize"]

    def bearer(self):
        """Return the header with an access token of ``person``."""
        return {"Authorization": f"Bearer {self.secret('token')}"}

    def answer(self, received):
        """Return what an endpoint returns; the operator's paid calls are none of ours."""
        if received.hop == "/userinfo":
            scheme, _, token = received.headers.get("authorization", "").partition(" ")
            return Reply(self.person) if scheme == "Bearer" and token in self.secrets else UNKNOWN
        if received.hop == "discovery":
            return self._discover(received)
        if received.hop == "authorize":
            return self._send_back(received.query)
        return super().answer(received)

    def claims(self, received, **changed):
        """Return the ID token's claims, which are about ``person``; a nonce is in it where one was asked for."""
        nonce = self.nonces[received.form["code"]] or ...
        return super().claims(received, **{"nonce": nonce} | self.person | changed)

    def _send_back(self, asked):
        code = self.secret("code")
        self.nonces[code] = asked.get("nonce")
        return Reply(status=302, headers={"Location": f"{asked['redirect_uri']}?code={code}&state={asked['state']}"})

    def _discover(self, received):
        document = super().answer(received).body
        methods = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        return Reply(document | methods | {"userinfo_endpoint": f"{self.url}/userinfo"})
