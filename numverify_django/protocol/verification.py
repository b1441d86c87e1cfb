"""The Number Verification calls, two pure pairs: verify asks whether a number is the SIM's, share asks which it is."""

import json
from typing import Any

from . import exceptions
from .exceptions import NumberVerifyError, ResponseInvalid
from .messages import AccessToken, Device, Request, Response, Verification
from .phone import PhoneNumber
from .profiles import SHARE, VERIFY, Operator, Profile


def verify_request(
    operator: Operator, token: AccessToken, number: PhoneNumber, client_address: str | None = None
) -> Request:
    """Return the Request that asks whether ``number`` is the SIM's; ``token`` is a validated AccessToken."""
    body = {"hashedPhoneNumber": number.sha256} if operator.hashed else {"phoneNumber": number.e164}
    return _request(operator, token, VERIFY, body | _device(operator, client_address))


def parse_verify(response: Response, operator: Operator, number: PhoneNumber) -> Verification:
    """Return the Verification of ``number``, or raise NumberMismatch or the error that ``response`` stands for."""
    answer = _answer(response, operator, VERIFY)
    if answer is True:
        return Verification(number)
    if answer is False:
        raise exceptions.NumberMismatch
    raise ResponseInvalid("the verify answer is not true or false")


def share_request(operator: Operator, token: AccessToken, client_address: str | None = None) -> Request:
    """Return the Request that asks for the SIM's number."""
    return _request(operator, token, SHARE, _device(operator, client_address))


def parse_share(response: Response, operator: Operator) -> Verification:
    """Return the Verification of the number in ``response``, or raise the error it stands for."""
    answer = _answer(response, operator, SHARE)
    if isinstance(answer, str) and not operator.profile.plus_required and answer[:1].isdigit():
        answer = f"+{answer}"
    try:
        return Verification(PhoneNumber(answer))
    except ValueError as error:
        raise ResponseInvalid("the shared number is not E.164") from error


def _request(operator: Operator, token: AccessToken, name: str, body: dict[str, Any]) -> Request:
    operation = operator.operation_named(name)
    headers = {"authorization": f"Bearer {token.value}"}
    content = None
    if operation.method == "POST":
        headers["content-type"] = "application/json"
        content = json.dumps(body).encode()
    return Request(name, operation.method, operator.api_root.rstrip("/") + operation.path, headers, content)


def _device(operator: Operator, client_address: str | None) -> dict[str, Any]:
    """Return the ``device`` object of the client's address, where SEND_DEVICE asks for it and the dialect has one."""
    if not (operator.send_device and operator.profile.accepts_device and client_address):
        return {}
    return {"device": Device.at(client_address).as_json()}


def _answer(response: Response, operator: Operator, name: str) -> Any:
    """Return the field that this operation reads from a 200, or raise the error that the answer stands for."""
    if response.status != 200:
        raise refusal(response, operator.profile)
    try:
        return response.json_object().get(operator.operation_named(name).result)
    except ValueError as error:
        raise ResponseInvalid("not a JSON object") from error


def refusal(response: Response, profile: Profile) -> NumberVerifyError:
    """Return the exception for an answer of the API that is not 200, by its code, else by its status."""
    if 300 <= response.status < 400:
        return exceptions.RedirectRefused()
    if response.status >= 500:
        return exceptions.OperatorUnavailable(f"the API answered {response.status}")
    try:
        code = response.json_object().get("code")
    except ValueError:
        code = None
    known = code if isinstance(code, str) and code in profile.codes else None
    kind = profile.statuses.get(response.status, ResponseInvalid) if known is None else profile.codes[known]
    advice = ": check API_ROOT and PROFILE" if kind is exceptions.Misconfigured else ""
    return kind(f"the API answered {response.status} {known or ''}".rstrip() + advice)
