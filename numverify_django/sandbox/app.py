"""The Flask application: endpoints, hooks and what they share."""

from typing import Any

from flask import Flask
from flask.json.provider import DefaultJSONProvider

from . import guard, traffic
from .api import api
from .console import console
from .control import control
from .memory import CODE_LIFETIME, NAME, TOKEN_LIFETIME, Memory
from .oidc import oidc, server

LARGEST_BODY = 1_000_000


class JSON(DefaultJSONProvider):
    """Flask's JSON, for which a body that is nested too deeply is as wrong as any other."""

    def loads(self, s: str | bytes, **options: Any) -> Any:
        """Return what ``s`` says, or raise ValueError."""
        try:
            return super().loads(s, **options)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error


def create_app(issuer: str) -> Flask:
    """Return the WSGI application of a sandbox at ``issuer``, an http origin on loopback."""
    app = Flask(__name__)
    app.json = JSON(app)
    app.config["OAUTH2_TOKEN_EXPIRES_IN"] = {"authorization_code": TOKEN_LIFETIME}
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY
    app.extensions[NAME] = Memory(issuer)
    server.init_app(app)
    app.before_request(guard.refuse_foreign_host)
    app.before_request(traffic.begin)
    app.after_request(traffic.end)
    for blueprint in (oidc, api, control, console):
        app.register_blueprint(blueprint)
    return app


__all__ = ["CODE_LIFETIME", "create_app"]
