"""The two paid calls, verify and share, in every dialect."""

import time
from functools import partial

from flask import Blueprint, Response, g, jsonify, request

from .dialects import (
    CANNOT_TELL,
    DIALECTS,
    INVALID_ARGUMENT,
    NOT_JSON,
    PERMISSION_DENIED,
    UNAUTHENTICATED,
    Dialect,
    Problem,
    Refused,
    check_device,
    judge,
    read_identifier,
)
from .granted import Subscriber
from .memory import memory
from .state import UNKNOWN, UNSET

api = Blueprint("api", __name__)


def verify(dialect: Dialect) -> Response:
    """Answer whether the number in the body is that of the SIM."""
    try:
        subscriber = spend_token(dialect, dialect.scopes[0])
        asked = read_identifier(dialect, request.get_json(silent=True))
        verdict, delay = judge(dialect, subscriber.sim, *asked)
    except Refused as refused:
        verdict, delay = refused.problem, 0
    time.sleep(delay)
    if verdict is NOT_JSON:
        g.note = "not JSON"
        return Response(NOT_JSON, content_type="text/html; charset=utf-8")
    if isinstance(verdict, Problem):
        return problem_response(verdict)
    g.note = "true" if verdict else "false"
    return jsonify(devicePhoneNumberVerified=verdict)


def share(dialect: Dialect) -> Response:
    """Answer the number of the SIM."""
    try:
        subscriber = spend_token(dialect, dialect.scopes[1])
        if dialect.share_method == "POST":
            read_share_body()
        return jsonify({dialect.share_field: number_of(dialect, subscriber.sim)})
    except Refused as refused:
        return problem_response(refused.problem, has_body=dialect.share_errors_have_a_body)


def spend_token(dialect: Dialect, scope: str) -> Subscriber:
    """Return the subscriber of the request's access token, or raise Refused; any call spends the token."""
    if not dialect.correlator.fullmatch(request.headers.get("x-correlator", "")):
        raise Refused(INVALID_ARGUMENT)
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    token = memory.tokens.take(value) if kind.lower() == "bearer" else None
    if token is None:
        raise Refused(UNAUTHENTICATED)
    if scope not in token.scopes:
        raise Refused(PERMISSION_DENIED)
    return token.subscriber


def read_share_body() -> None:
    """Raise Refused unless the body is absent or an object whose ``device`` has the right form."""
    body = request.get_json(silent=True) if request.get_data() else {}
    if not isinstance(body, dict) or body.keys() - {"device"}:
        raise Refused(INVALID_ARGUMENT)
    check_device(body)


def number_of(dialect: Dialect, sim: str) -> str:
    """Return the number to share, or raise Refused where the sandbox has none."""
    if sim == UNSET:
        raise Refused(CANNOT_TELL)
    if sim == UNKNOWN:
        raise Refused(dialect.cannot_tell)
    return sim


def problem_response(problem: Problem, has_body: bool = True) -> Response:
    """Return the error answer, and tell the log its code."""
    g.note = problem.code
    values = {"status": problem.status, "code": problem.code, "message": problem.message}
    response = jsonify(values)
    if not has_body:
        response = Response()
        del response.headers["Content-Type"]
    response.status_code = problem.status
    if problem is UNAUTHENTICATED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _add_routes() -> None:
    for dialect in DIALECTS:
        for position, root in enumerate(dialect.roots):
            name = f"{dialect.name}-{position}".replace(".", "-")
            api.add_url_rule(f"{root}/verify", f"verify-{name}", partial(verify, dialect), methods=["POST"])
            api.add_url_rule(
                f"{root}{dialect.share_path}", f"share-{name}", partial(share, dialect), methods=[dialect.share_method]
            )


_add_routes()
