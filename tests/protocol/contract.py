"""What each profile's document demands, as a table; written from the documents, which are not part of this project."""

from dataclasses import dataclass, field

from numverify_django.protocol import exceptions as e

PRODUCTION = "https://opengateway.telefonica.com"
SANDBOX = "https://sandbox.opengateway.telefonica.com"
NAMESPACE = "NUMBER_VERIFICATION"
PLUS_REQUIRED = r"^\+[1-9][0-9]{4,14}$"
PLUS_OPTIONAL = r"^\+?[1-9][0-9]{4,14}$"
FRAUD, SERVICE = "dpv:FraudPreventionAndDetection", "dpv:ServiceProvision"

# Each (status, code) that a document lists, and what it becomes. 5xx is operator_unavailable whatever the code.
COMMON = {(400, "INVALID_ARGUMENT"): e.Misconfigured, (401, "UNAUTHENTICATED"): e.TokenRefused}
DENIED = {(403, "PERMISSION_DENIED"): e.PermissionDenied}
OFF_NETWORK = {(403, f"{NAMESPACE}.USER_NOT_AUTHENTICATED_BY_MOBILE_NETWORK"): e.NotOnMobileNetwork}
OFF_NETWORK_V2 = {
    (403, f"{NAMESPACE}.USER_NOT_AUTHENTICATED_BY_SUPPORTED_METHOD"): e.NotOnMobileNetwork,
    (403, f"{NAMESPACE}.INVALID_TS43_TOKEN"): e.TokenRefused,
}
TOKEN_CONTEXT = {(403, f"{NAMESPACE}.INVALID_TOKEN_CONTEXT"): e.CannotDetermine}
DOWN = {
    (500, "INTERNAL"): e.OperatorUnavailable,
    (503, "UNAVAILABLE"): e.OperatorUnavailable,
    (504, "TIMEOUT"): e.OperatorUnavailable,
}
# The default document lists statuses and no codes.
BY_STATUS = {400: e.Misconfigured, 401: e.TokenRefused, 403: e.PermissionDenied, 422: e.CannotDetermine}


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One document. ``root`` is None where each operator has its own; ``scope_*`` are whole scope parameters."""

    root: str | None
    verify: tuple[str, str]
    share: tuple[str, str]
    verify_result: str = "devicePhoneNumberVerified"
    share_result: str = "devicePhoneNumber"
    scope_verify: str
    scope_share: str
    required: tuple[str, ...] = ()  # of the verify body
    exclusive: bool = True  # the verify body has exactly one property
    pattern: str = PLUS_REQUIRED
    hash_pattern: str | None = r"^[a-f0-9]{64}$"  # lower case: the only spelling that every document takes
    device: bool = False
    id_token: str = "required"
    prefixes: tuple[str, ...] = ()
    errors: dict = field(default_factory=dict)
    share_errors_have_a_body: bool = True

    @property
    def asks_openid(self):
        """Whether ``openid`` is one of the scopes."""
        return "openid" in self.scope_verify.split()


DEVICE = {
    "type": "object",
    "additionalProperties": False,
    "minProperties": 1,
    "properties": {
        "phoneNumber": {"type": "string"},
        "networkAccessIdentifier": {"type": "string"},
        "ipv4Address": {
            "type": "object",
            "additionalProperties": False,
            "required": ["publicAddress"],
            "properties": {
                "publicAddress": {"type": "string", "format": "ipv4"},
                "publicPort": {"type": "integer", "minimum": 1, "maximum": 65535},
            },
        },
        "ipv6Address": {"type": "string", "format": "ipv6"},
    },
}


def verify_body_schema(contract):
    """Return the JSON Schema of the verify request's body."""
    properties = {"phoneNumber": {"type": "string", "pattern": contract.pattern}}
    if contract.hash_pattern:
        properties["hashedPhoneNumber"] = {"type": "string", "pattern": contract.hash_pattern}
    if contract.device:
        properties["device"] = DEVICE
    schema = {"type": "object", "additionalProperties": False, "properties": properties}
    if contract.exclusive:
        return schema | {"minProperties": 1, "maxProperties": 1}
    return schema | {"required": list(contract.required)}


def share_body_schema(contract):
    """Return the JSON Schema of the share request's body, or None where the request has none."""
    if contract.share[0] == "GET":
        return None
    properties = {"device": DEVICE} if contract.device else {}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def verify_answer_schema(contract):
    """Return the JSON Schema of verify's 200."""
    name = contract.verify_result
    return {"type": "object", "required": [name], "properties": {name: {"type": "boolean"}}}


def share_answer_schema(contract):
    """Return the JSON Schema of share's 200."""
    name, number = contract.share_result, {"type": "string", "pattern": contract.pattern}
    return {"type": "object", "required": [name], "properties": {name: number}}


ERROR_SCHEMA = {
    "type": "object",
    "required": ["status", "code", "message"],
    "properties": {
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
}


def telefonica(root):
    """Return the contract of the default document at one of its servers."""
    return Contract(
        root=root,
        verify=("POST", "/number-verification/verify"),
        share=("POST", "/number-verification/share"),
        share_result="phoneNumber",
        scope_verify=f"openid {FRAUD} number-verification:verify",
        scope_share=f"openid {FRAUD} number-verification:read",
        required=("phoneNumber",),
        exclusive=False,
        hash_pattern=None,
        device=True,
        prefixes=("+34", "+49", "+55"),
        errors={(status, "ANY_CODE"): error for status, error in BY_STATUS.items()},
        share_errors_have_a_body=False,
    )


def camara(version, **facts):
    """Return the contract of a document in CAMARA's shape."""
    return Contract(
        verify=("POST", f"/number-verification/{version}/verify"),
        share=("GET", f"/number-verification/{version}/device-phone-number"),
        **facts,
    )


GATEWAY = {
    "root": f"{SANDBOX}/apigateway",
    "pattern": PLUS_OPTIONAL,
    "id_token": "absent",
    "prefixes": ("+34", "+49", "+55"),
}
GATEWAY_SCOPES = {
    "scope_verify": f"{FRAUD} number-verification:verify",
    "scope_share": f"{SERVICE} number-verification:device-phone-number:read",
}
CAMARA_SCOPES = {
    "scope_verify": f"openid {FRAUD} number-verification:verify",
    "scope_share": f"openid {FRAUD} number-verification:device-phone-number:read",
}
CONTRACTS = {
    "telefonica": telefonica(f"{PRODUCTION}/v1"),
    "telefonica-sandbox": telefonica(f"{SANDBOX}/v1"),
    "telefonica-apigateway-v0": camara(
        "v0",
        scope_verify=f"{FRAUD}#number-verification-verify-read",
        scope_share=f"{FRAUD}#number-verification-share-read",
        errors=COMMON | DENIED | OFF_NETWORK | TOKEN_CONTEXT | DOWN,
        **GATEWAY,
    ),
    "telefonica-apigateway-v1": camara(
        "v1", errors=COMMON | DENIED | OFF_NETWORK | TOKEN_CONTEXT | DOWN, **GATEWAY_SCOPES, **GATEWAY
    ),
    "telefonica-apigateway-v2": camara(
        "v2", errors=COMMON | DENIED | OFF_NETWORK_V2 | TOKEN_CONTEXT | DOWN, **GATEWAY_SCOPES, **GATEWAY
    ),
    "camara-v0": camara(
        "v0",
        root=None,
        pattern=PLUS_OPTIONAL,
        scope_verify=f"openid {FRAUD} number-verification-verify-read",
        scope_share=f"openid {FRAUD} number-verification-share-read",
        errors=COMMON | DENIED | OFF_NETWORK | TOKEN_CONTEXT | DOWN,
    ),
    "camara-v1": camara(
        "v1",
        root=None,
        errors=COMMON
        | DENIED
        | OFF_NETWORK
        | DOWN
        | {(401, "AUTHENTICATION_REQUIRED"): e.TokenRefused, (403, "INVALID_TOKEN_CONTEXT"): e.CannotDetermine},
        **CAMARA_SCOPES,
    ),
    "camara-v2": camara("v2", root=None, errors=COMMON | DENIED | OFF_NETWORK, **CAMARA_SCOPES),
}
# CAMARA v2 calls its list of codes not exhaustive: these are the Commonalities' others, which any operator may send.
COMMONALITIES = {
    (400, "OUT_OF_RANGE"): e.Misconfigured,
    (403, "INVALID_TOKEN_CONTEXT"): e.CannotDetermine,
    (404, "NOT_FOUND"): e.Misconfigured,
    (404, "IDENTIFIER_NOT_FOUND"): e.CannotDetermine,
    (405, "METHOD_NOT_ALLOWED"): e.ResponseInvalid,
    (406, "NOT_ACCEPTABLE"): e.ResponseInvalid,
    (409, "CONFLICT"): e.ResponseInvalid,
    (410, "GONE"): e.ResponseInvalid,
    (412, "FAILED_PRECONDITION"): e.ResponseInvalid,
    (415, "UNSUPPORTED_MEDIA_TYPE"): e.ResponseInvalid,
    (422, "SERVICE_NOT_APPLICABLE"): e.NotCovered,
    (422, "UNSUPPORTED_IDENTIFIER"): e.CannotDetermine,
    (422, "UNNECESSARY_IDENTIFIER"): e.CannotDetermine,
    (422, "MISSING_IDENTIFIER"): e.CannotDetermine,
    (429, "QUOTA_EXCEEDED"): e.OperatorBusy,
    (429, "TOO_MANY_REQUESTS"): e.OperatorBusy,
    (501, "NOT_IMPLEMENTED"): e.OperatorUnavailable,
    (502, "BAD_GATEWAY"): e.OperatorUnavailable,
}
