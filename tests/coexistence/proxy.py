"""A reverse proxy in front of a site: it may end TLS, and take a path off the front of the addresses."""

import http.client
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOP_BY_HOP = ("connection", "transfer-encoding", "keep-alive")


class Handler(BaseHTTPRequestHandler):
    """Passes each request on, and says what the browser called us."""

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        inner = http.client.HTTPConnection(self.server.inner, timeout=30)
        inner.request(self.command, self.path.removeprefix(self.server.prefix), body, self._told())
        answer = inner.getresponse()
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.read())
        inner.close()

    do_POST = do_GET

    def _told(self):
        """Return the headers for the site; what a browser claims to be a proxy's is not among them."""
        told = {"X-Forwarded-Host": self.headers["Host"], "X-Forwarded-Proto": self.server.scheme}
        kept = {name: value for name, value in self.headers.items() if name.title() not in told}
        return kept | told | {"Host": self.server.inner, "Connection": "close"}

    def log_message(self, *args):
        """Say nothing."""


class Proxy(ThreadingHTTPServer):
    """Listens at ``url`` for the site at ``site``; with ``certificate``, a file with key and certificate, by TLS."""

    daemon_threads = True

    def __init__(self, site, prefix="", certificate=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.inner, self.prefix = urlsplit(site).netloc, prefix
        self.scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"{self.scheme}://127.0.0.1:{self.server_port}{prefix}"
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def stop(self):
        """End it."""
        self.shutdown()
        self.server_close()
        self._thread.join()
