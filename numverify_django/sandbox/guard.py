"""Who may talk to the sandbox: programs and browsers of this machine, but no other site's pages."""

from urllib.parse import urlsplit

from flask import Response, request

from .clients import is_loopback


def refuse_foreign_host() -> Response | None:
    """Answer 403 to a Host that is not this machine: a name that an attacker points at loopback (DNS rebinding)."""
    try:
        host = urlsplit(f"//{request.headers.get('Host', '')}").hostname
    except ValueError:
        host = None
    return None if is_loopback(host) else _refusal("Host")


def refuse_foreign_origin() -> Response | None:
    """Answer 403 to a request that a page of another origin makes (CSRF)."""
    origin = request.headers.get("Origin")
    return None if origin in (None, f"http://{request.headers['Host']}") else _refusal("Origin")


def _refusal(header: str) -> Response:
    return Response(f"The sandbox takes no request with this {header}.\n", status=403, content_type="text/plain")
