"""A browser on a phone, light enough for ten thousand logins: cookies, kept connections, no redirect followed."""

import http.client
import ssl
from dataclasses import dataclass
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

FORM = "application/x-www-form-urlencoded"
PATIENCE = 60  # seconds: without a thread that is free, a page waits for many logins


@dataclass(frozen=True)
class Answer:
    """What a site answered; ``process`` is the worker's."""

    status: int
    location: str
    text: str
    process: int


class Phone:
    """It trusts the operator's certificate in the file ``trust``. Not for several threads at once."""

    def __init__(self, trust, cookies=()):
        self.trust = trust
        self.forget()
        self.cookies |= dict(cookies)
        self._open = {}  # origin -> connection

    def forget(self):
        """Forget every cookie, but for one against forgery that is as good as any."""
        self.cookies = {"csrftoken": "c" * 32}

    def copy(self):
        """Return a phone with the same cookies and connections of its own."""
        return Phone(self.trust, self.cookies)

    def start(self, site, number):
        """Post the login form, and return the answer."""
        return self.post(f"{site.url}/numverify/login/", phone_number=number)

    def visit_operator(self, started):
        """Follow the answer to a start to the operator, and return the callback's URL."""
        assert started.status == 302, (started.status, started.text)
        return self.get(started.location).location

    def come_back(self, site, callback):
        """Open the callback at ``site``, wherever it leads, and return the answer."""
        parts = urlsplit(callback)
        return self.get(f"{site.url}{parts.path}?{parts.query}")

    def log_in(self, site, number):
        """Go the whole way at ``site``, and return the answer to the callback."""
        return self.come_back(site, self.visit_operator(self.start(site, number)))

    def home(self, site):
        """Return who is logged in, as the site's page says it."""
        return self.get(f"{site.url}/home/").text

    def get(self, url):
        """Return the Answer to a GET."""
        return self._ask("GET", url)

    def post(self, url, **form):
        """Return the Answer to a form."""
        form["csrfmiddlewaretoken"] = self.cookies["csrftoken"]
        return self._ask("POST", url, urlencode(form), {"Content-Type": FORM})

    def close(self):
        """Close every connection."""
        while self._open:
            self._open.popitem()[1].close()

    def _ask(self, method, url, body=None, headers=()):
        parts = urlsplit(url)
        connection = self._connection(parts.scheme, parts.netloc)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        connection.request(method, f"{parts.path}?{parts.query}", body, {"Cookie": cookies, **dict(headers)})
        response = connection.getresponse()
        text = response.read().decode()
        self._keep(response.headers.get_all("Set-Cookie", []))
        headers = response.headers
        return Answer(response.status, headers.get("Location", ""), text, int(headers.get("X-Process", 0)))

    def _connection(self, scheme, netloc):
        if netloc not in self._open:
            self._open[netloc] = self._opened(scheme, netloc)
        return self._open[netloc]

    def _opened(self, scheme, netloc):
        if scheme == "http":
            return http.client.HTTPConnection(netloc, timeout=PATIENCE)
        context = ssl.create_default_context(cafile=self.trust)
        return http.client.HTTPSConnection(netloc, timeout=PATIENCE, context=context)

    def _keep(self, set_cookies):
        for header in set_cookies:
            for name, morsel in SimpleCookie(header).items():
                self.cookies.pop(name, None)
                self.cookies |= {name: morsel.value} if morsel.value else {}
