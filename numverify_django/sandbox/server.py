"""The HTTP server: threads, kept connections, this machine alone."""

import io
from threading import Event
from typing import Any

from werkzeug.datastructures import Headers
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server
from werkzeug.test import run_wsgi_app

from .app import LARGEST_BODY, create_app
from .traffic import DROP

HOST = "127.0.0.1"


class Handler(WSGIRequestHandler):
    """Werkzeug's handler, whose connections stay open: whole bodies in, whole answers out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def run_wsgi(self) -> None:
        """Answer one request."""
        environ = self.make_environ()
        if not self._take_body(environ):
            return
        environ[DROP] = dropped = Event()
        parts, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        if dropped.is_set():
            self.close_connection = True
            return
        self._send(status, headers, b"".join(parts))

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Stay silent: the console has a log without secrets."""

    def _take_body(self, environ: dict[str, Any]) -> bool:
        """Read the body, so that the next request starts after it; tell whether it could be read."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self.send_error(413, "A body needs a Content-Length of at most a megabyte")
            return False
        environ["wsgi.input"] = io.BytesIO(self.rfile.read(int(length)))
        return True

    def _send(self, status: str, headers: Headers, body: bytes) -> None:
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def listen(port: int) -> BaseWSGIServer:
    """Return a server on ``port`` (0: any free one) that serves a new sandbox; exit where the port is taken."""
    server = make_server(HOST, port, None, threaded=True, request_handler=Handler)  # type: ignore[arg-type]  # it is next
    server.app = create_app(f"http://{HOST}:{server.port}")
    return server
