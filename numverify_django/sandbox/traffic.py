"""What happens to every request to the operator: a fault may meet it, and the log keeps it."""

import time
from datetime import UTC, datetime

from flask import Response, g, json, request

from .clients import methods_tried
from .journal import Entry, clean, hop_of, summary
from .memory import memory
from .state import Fault

# An Event in the WSGI environment: set, it tells the server to close the connection without an answer.
DROP = "numverify_sandbox.drop"
OPERATOR_CORRELATOR = "x-correlator"


def begin() -> Response | None:
    """Note when a request came in, and answer it here if a fault says how."""
    g.hop = hop_of(request.path)
    if g.hop is None:
        return None
    g.started, g.page = time.perf_counter(), memory.journal.page
    g.fault = memory.store.take_fault(g.hop)
    if g.fault is None:
        return None
    g.note = g.fault.note
    time.sleep(g.fault.delay)
    if g.fault.drop:
        request.environ[DROP].set()
    return _answer(g.fault) if g.fault.replaces or g.fault.drop else None


def end(response: Response) -> Response:
    """Echo the correlator and keep a line about the request."""
    if g.get("hop") is None:
        return response
    if OPERATOR_CORRELATOR in request.headers:
        response.headers[OPERATOR_CORRELATOR] = request.headers[OPERATOR_CORRELATOR]
    memory.journal.add(_entry(response), g.page)
    return response


def _answer(fault: Fault) -> Response:
    is_text = isinstance(fault.body, str) or fault.body is None
    body = (fault.body or "") if is_text else json.dumps(fault.body)
    content_type = fault.content_type or ("text/html; charset=utf-8" if is_text else "application/json")
    response = Response(body, status=fault.status or 200, content_type=content_type)
    response.headers.update(fault.headers)
    return response


def _entry(response: Response) -> Entry:
    body = request.get_json(silent=True) if request.is_json else request.form.to_dict()
    tried = methods_tried(request.headers, request.form) if g.hop == "token" else []
    correlator = request.headers.get(OPERATOR_CORRELATOR)
    return Entry(
        time=datetime.now(UTC).isoformat(timespec="milliseconds"),
        hop=g.hop,
        method=request.method,
        path=clean(request.path),
        status=None if g.fault and g.fault.drop else response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 1),
        client_auth=(" ".join(tried) or "none") if g.hop == "token" else None,
        correlator=correlator and correlator[:256],
        connection=f"{request.remote_addr}:{request.environ['REMOTE_PORT']}",
        note=g.get("note", ""),
        query=summary(request.args.to_dict()),
        body=summary(body),
        headers=sorted(name.lower() for name, _ in request.headers),
    )
