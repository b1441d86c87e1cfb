"""Everything that can end a verification.

Each class carries the ``code`` that is the audit row's reason, the signal's argument and the heading in the
documentation, and the ``outcome`` it belongs to. Messages are ours alone: no text of an operator, no number, code,
token or secret ever enters one.
"""

from collections.abc import Iterator


class NumberVerifyError(Exception):
    """A verification ended without a verified number."""

    code = "error"
    outcome = "error"

    def __str__(self) -> str:
        return super().__str__() or type(self).__doc__.splitlines()[0]  # type: ignore[union-attr]  # each has one


class Mismatch(NumberVerifyError):
    """The operator answered: another number."""

    outcome = "mismatch"


class NumberMismatch(Mismatch):
    """The SIM in use has another number than the one to be verified."""

    code = "number_mismatch"


class Unavailable(NumberVerifyError):
    """The operator could not tell, now or for this phone."""

    outcome = "unavailable"


class NotOnMobileNetwork(Unavailable):
    """The operator did not recognise a SIM: the phone is not on its mobile data."""

    code = "not_on_mobile_network"


class ConsentRequired(Unavailable):
    """The operator's customer has not agreed to this use of the number."""

    code = "consent_required"


class CannotDetermine(Unavailable):
    """The operator cannot determine the number of this device."""

    code = "cannot_determine"


class NotCovered(Unavailable):
    """The operator does not offer the service for this number or plan."""

    code = "not_covered"


class AccessDenied(Unavailable):
    """The person, or the operator on their behalf, stopped the request."""

    code = "access_denied"


class OperatorUnavailable(Unavailable):
    """The operator refused or dropped the connection, or answered with a server error."""

    code = "operator_unavailable"


class OperatorTimeout(Unavailable):
    """The operator did not answer within the TIMEOUT set for it."""

    code = "operator_timeout"


class OperatorBusy(Unavailable):
    """The operator answered 429: too many requests."""

    code = "operator_busy"


class Refused(NumberVerifyError):
    """The number is proved, and this site still does not log the person in."""

    outcome = "refused"


class AccountUnknown(Refused):
    """No account has this number, and UNKNOWN_NUMBER is deny."""

    code = "account_unknown"


class AccountInactive(Refused):
    """The account is not active."""

    code = "account_inactive"


class StaffRefused(Refused):
    """The account is staff, and ALLOW_STAFF is off."""

    code = "staff_refused"


class OperatorNotBound(Refused):
    """The number was enrolled through another operator."""

    code = "operator_not_bound"


class PolicyRefused(Refused):
    """The site's LOGIN_POLICY refused, or another of its backends."""

    code = "policy_refused"


class UserMismatch(Refused):
    """The proved number is not the signed-in account's."""

    code = "user_mismatch"


class NumberTaken(Refused):
    """The number belongs to another account, or to several."""

    code = "number_taken"


class CodeFailed(Refused):
    """The short code that the phone showed was typed wrongly too often on the other device."""

    code = "code_failed"


class Error(NumberVerifyError):
    """An answer or a setting is wrong; nothing may be concluded from it."""


class CallbackInvalid(Error):
    """The authorization response has neither a usable code nor a known error."""

    code = "callback_invalid"


class IssuerMismatch(Error):
    """The authorization response does not come from the operator it was asked of (RFC 9207)."""

    code = "issuer_mismatch"


class OperatorChanged(Error):
    """The operator's settings changed between the start and the callback."""

    code = "operator_changed"


class TokenRefused(Error):
    """The operator refused the authorization code or the access token."""

    code = "token_refused"


class TokenInvalid(Error):
    """The token response is not one that OAuth 2.0 allows."""

    code = "token_invalid"


class IdTokenInvalid(Error):
    """The ID token is missing or fails validation (OIDC Core 3.1.3.7)."""

    code = "id_token_invalid"


class PermissionDenied(Error):
    """The operator does not allow this client to make the call."""

    code = "permission_denied"


class ResponseInvalid(Error):
    """The operator's answer does not follow its specification."""

    code = "response_invalid"


class ResponseTooLarge(Error):
    """The operator's answer is larger than our limit."""

    code = "response_too_large"


class RedirectRefused(Error):
    """The operator answered a backend call with a redirect; none is followed."""

    code = "redirect_refused"


class Misconfigured(Error):
    """The settings or the operator's registration of this site are wrong."""

    code = "misconfigured"


class Abandoned(NumberVerifyError):
    """Nobody came back in time."""

    outcome = "abandoned"


class Expired(Abandoned):
    """The attempt is older than ATTEMPT_LIFETIME."""

    code = "expired"
    use = reference = next_url = ""  # texts, for what its own browser is shown


class Cancelled(Abandoned):
    """The person began again before finishing."""

    code = "cancelled"


class Stranger(NumberVerifyError):
    """A request that belongs to no attempt of this browser: it writes nothing but a log line."""

    outcome = ""


class StateUnknown(Stranger):
    """The callback's state was never issued, or is missing."""

    code = "state_unknown"


class ForeignBrowser(Stranger):
    """The callback's state was issued to another browser."""

    code = "foreign_browser"


class Replayed(Stranger):
    """The callback's state was already used."""

    code = "replayed"


class Limited(Stranger):
    """A limit is reached: ``retry_after`` is how many seconds it lasts."""

    def __init__(self, message: str = "", retry_after: float = 0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyTries(Limited):
    """A limit of RATE_LIMITS is reached."""

    code = "too_many_tries"


class BudgetSpent(Limited):
    """This site's cap on paid calls to the operator is reached."""

    code = "budget_spent"


def leaves(kind: type[NumberVerifyError] = NumberVerifyError) -> Iterator[type[NumberVerifyError]]:
    """Yield every class that has no subclass: the reasons."""
    for child in kind.__subclasses__():
        yield from leaves(child) if child.__subclasses__() else [child]
