"""The site's side of the talk, written by hand: one client of the sandbox, over one kept connection."""

import base64
import hashlib
import secrets
import time

import jwt
from jsonschema import Draft202012Validator

from ..conftest import query_of
from ..protocol.contract import CONTRACTS, ERROR_SCHEMA

CALLBACK = "http://127.0.0.1:8000/numverify/callback/"
SCOPE = "openid dpv:FraudPreventionAndDetection number-verification:verify"
MOCK = ("mock_sandbox_app_id", "mock_sandbox_app_secret")  # Telefonica's own mock's: a second client
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = {"code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM", "code_challenge_method": "S256"}
NUMBER, OTHER_NUMBER = "+34600000001", "+34600000002"

DIALECTS = [name for name in CONTRACTS if name != "telefonica-sandbox"]  # one document, one root in the sandbox
ROOTS = {name: "/apigateway" if "apigateway" in name else "" for name in DIALECTS} | {"telefonica": "/v1"}


class RelyingParty:
    """A client of the sandbox at ``url``. In every method a keyword of None leaves that parameter out."""

    def __init__(self, url, credentials, http):
        self.url = url
        self.http = http
        self.secret = (credentials["client_id"], credentials["client_secret"])
        self.key, self.key_id = credentials["private_key"], credentials["key_id"]

    def request(self, method, path, **options):
        """Return the answer, never that of a redirect's target."""
        options = {"timeout": 10} | options
        return self.http.request(method, self.url + path, allow_redirects=False, **options)

    def get(self, path, **options):
        """Return the answer to a GET."""
        return self.request("GET", path, **options)

    def post(self, path, **options):
        """Return the answer to a POST."""
        return self.request("POST", path, **options)

    def wait_until_fault_is_met(self):
        """Return as soon as no fault is to come: a request has met it and may still be under way."""
        deadline = time.monotonic() + 10
        while self.get("/_sandbox/state").json()["fault"]:
            assert time.monotonic() < deadline, "nothing has met the fault"
            time.sleep(0.01)

    def authorize(self, path="/authorize", **changes):
        """Return the answer to a browser that is sent to the operator."""
        defaults = {
            "response_type": "code",
            "client_id": self.secret[0],
            "redirect_uri": CALLBACK,
            "scope": SCOPE,
            "state": "state of the browser",
            "nonce": secrets.token_hex(8),
            "prompt": "none",
        }
        return self.get(path, params=defaults | changes)

    def callback(self, **changes):
        """Return the query that the operator sends the browser back with."""
        return query_of(self.authorize(**changes).headers["Location"])

    def code(self, **changes):
        """Return a fresh authorization code."""
        return self.callback(**changes)["code"]

    def exchange(self, code, path="/token", auth=None, **changes):
        """Return the answer to an exchange of ``code``; without ``auth`` the client says nothing of who it is."""
        defaults = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return self.post(path, data=defaults | changes, auth=auth)

    def tokens(self, **changes):
        """Return what /token answers for a fresh code."""
        return self.exchange(self.code(**changes), auth=self.secret).json()

    def posted(self):
        """Return the form fields of client_secret_post."""
        return {"client_id": self.secret[0], "client_secret": self.secret[1]}

    def signed(self, key=None, algorithm="RS256", headers=None, **changes):
        """Return the form fields of private_key_jwt; ``changes`` are claims."""
        now = int(time.time())
        client_id = self.secret[0]
        claims = {"iss": client_id, "sub": client_id, "aud": f"{self.url}/token", "iat": now, "exp": now + 300}
        claims |= {"jti": secrets.token_hex(8)} | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        headers = {"kid": self.key_id} if headers is None else headers
        assertion = jwt.encode(claims, key or self.key, algorithm=algorithm, headers=headers)
        return {"client_assertion_type": JWT_BEARER, "client_assertion": assertion}

    def token_for(self, dialect, operation):
        """Return a fresh access token for ``verify`` or ``share`` in ``dialect``."""
        return self.tokens(scope=getattr(CONTRACTS[dialect], f"scope_{operation}"))["access_token"]

    def call(self, dialect, operation, token, headers=None, **options):
        """Return the answer to a paid call with ``token``."""
        method, path = getattr(CONTRACTS[dialect], operation)
        headers = {"Authorization": f"Bearer {token}"} | (headers or {})
        return self.request(method, ROOTS[dialect] + path, headers=headers, **options)

    def verify(self, dialect, body, **options):
        """Return the answer to verify with a fresh token."""
        return self.call(dialect, "verify", self.token_for(dialect, "verify"), json=body, **options)

    def share(self, dialect, **options):
        """Return the answer to share with a fresh token."""
        return self.call(dialect, "share", self.token_for(dialect, "share"), **options)


def half_hash(text):
    """Return the ``at_hash`` of an access token under RS256 (OIDC Core section 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()[:16]).rstrip(b"=").decode()


def told(response):
    """Return the status and the code of an error answer, whose body has the form that every document gives it."""
    assert response.status_code >= 400, response.text
    if not response.content:
        return response.status_code, None
    body = response.json()
    Draft202012Validator(ERROR_SCHEMA).validate(body)
    assert body["status"] == response.status_code
    return response.status_code, body["code"]


def error(dialect, operation, status, code):
    """Return what ``told`` returns for an error; the default document gives share's errors no body."""
    return status, code if operation == "verify" or CONTRACTS[dialect].share_errors_have_a_body else None


def digest(text):
    """Return the SHA-256 of ``text`` in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()
