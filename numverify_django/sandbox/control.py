"""Program control, for tests: /_sandbox/state, /_sandbox/reset, /_sandbox/log and /_sandbox/client."""

from flask import Blueprint, Response, jsonify, request
from flask.typing import ResponseReturnValue

from .clients import DEMO
from .guard import refuse_foreign_origin
from .keys import parse_public_key
from .memory import memory
from .state import as_json, refuse_unknown

control = Blueprint("control", __name__, url_prefix="/_sandbox")
control.before_request(refuse_foreign_origin)

KEYS = ("sim", "fault", "rotate_keys", "client_key")


@control.get("/state")
def get_state() -> Response:
    """Answer the present state."""
    return jsonify(as_json(memory.store.state))


@control.post("/state")
def post_state() -> ResponseReturnValue:
    """Change what the JSON object names and answer the new state, or change nothing and say what is wrong."""
    try:
        _change(request.get_json(silent=True))
    except ValueError as error:
        return jsonify(error=str(error)), 400
    return get_state()


@control.post("/reset")
def reset() -> Response:
    """Go back to the beginning and answer the state."""
    memory.reset()
    return get_state()


@control.get("/log")
def get_log() -> Response:
    """Answer the last requests, oldest first."""
    return jsonify(memory.journal.entries())


@control.delete("/log")
def delete_log() -> tuple[str, int]:
    """Empty the log."""
    memory.journal.clear()
    return "", 204


@control.get("/client")
def get_client() -> Response:
    """Answer the demo client's credentials; its private key was made for this process and dies with it."""
    key = memory.keys.demo
    return jsonify(
        client_id=DEMO.client_id,
        client_secret=DEMO.client_secret,
        private_key=key.as_pem(private=True).decode(),
        key_id=key.kid,
    )


def _change(values: object) -> None:
    if not isinstance(values, dict):
        raise ValueError("a JSON object is needed")
    refuse_unknown(values, KEYS, "state")
    if not isinstance(values.get("rotate_keys", False), bool):
        raise ValueError("rotate_keys: true")
    client_key = parse_public_key(values["client_key"]) if "client_key" in values else None
    memory.store.change(values)
    if client_key:
        memory.keys.client = client_key
    if values.get("rotate_keys"):
        memory.keys.rotate()
