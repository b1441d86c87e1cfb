"""The Number Verification calls, two pure pairs: verify asks whether a number is the SIM's, share asks which it is."""

import json

from . import exceptions
from .exceptions import ResponseInvalid
from .messages import Device, Request, Verification
from .phone import PhoneNumber
from .profiles import SHARE, VERIFY


def verify_request(operator, token, number, client_address=None):
    """Return the Request that asks whether ``number`` is the SIM's; ``token`` is a validated AccessToken."""
    body = {"hashedPhoneNumber": number.sha256} if operator.hashed else {"phoneNumber": number.e164}
    return _request(operator, token, VERIFY, body | _device(operator, client_address))


def parse_verify(response, operator, number):
    """Return the Verification of ``number``, or raise NumberMismatch or the error that ``response`` stands for."""
    answer = _answer(response, operator, VERIFY)
    if answer is True:
        return Verification(number)
    if answer is False:
        raise exceptions.NumberMismatch
    raise ResponseInvalid("the verify answer is not true or false")


def share_request(operator, token, client_address=None):
    """Return the Request that asks for the SIM's number."""
    return _request(operator, token, SHARE, _device(operator, client_address))


def parse_share(response, operator):
    """Return the Verification of the number in ``response``, or raise the error it stands for."""
    answer = _answer(response, operator, SHARE)
    if isinstance(answer, str) and not operator.profile.plus_required and answer[:1].isdigit():
        answer = f"+{answer}"
    try:
        return Verification(PhoneNumber(answer))
    except ValueError as error:
        raise ResponseInvalid("the shared number is not E.164") from error


def _request(operator, token, name, body):
    operation = operator.operation_named(name)
    headers = {"authorization": f"Bearer {token.value}"}
    content = None
    if operation.method == "POST":
        headers["content-type"] = "application/json"
        content = json.dumps(body).encode()
    return Request(name, operation.method, operator.api_root.rstrip("/") + operation.path, headers, content)


def _device(operator, client_address):
    """Return the ``device`` object of the client's address, where SEND_DEVICE asks for it and the dialect has one."""
    if not (operator.send_device and operator.profile.accepts_device and client_address):
        return {}
    return {"device": Device.at(client_address).as_json()}


def _answer(response, operator, name):
    """Return the field that this operation reads from a 200, or raise the error that the answer stands for."""
    if response.status != 200:
        raise refusal(response, operator.profile)
    try:
        return response.json_object().get(operator.operation_named(name).result)
    except ValueError as error:
        raise ResponseInvalid("not a JSON object") from error


def refusal(response, profile):
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
    kind = profile.codes.get(known) or profile.statuses.get(response.status, ResponseInvalid)
    advice = ": check API_ROOT and PROFILE" if kind is exceptions.Misconfigured else ""
    return kind(f"the API answered {response.status} {known or ''}".rstrip() + advice)
