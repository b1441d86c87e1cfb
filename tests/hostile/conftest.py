"""A trial: a site, its hostile operator and an evil twin; and the invariants that every trial ends with."""

import base64
import hashlib
import itertools
import logging
import os
import re
import resource
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pytest
import requests
from django.apps import apps
from django.conf import settings
from django.contrib.admin import site
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.core.cache import cache
from django.db import connections as databases
from django.test import Client
from django.urls import get_resolver
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

from numverify_django import connections, uses
from numverify_django.contrib.otp.models import CodeLogin
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.protocol.exceptions import leaves

from .. import asgi
from ..asgi import LoopClient
from .operator import Operator, Server

HOST = "127.0.0.1"
NUMBER, TYPED = "+34600000001", "600 000 001"
SPELLINGS = ["600 00 00 01", "600-000-001", "600.000.001", "600+000+001", "600 000001"]
CLIENT_SECRET = "the-client-secret-of-the-site"
TIMEOUT = 2  # seconds for the operator's calls of one callback
MEMORY = 20 * 1024  # KiB by which a trial may raise the process's peak
NAMES = itertools.count()
HONEST = ["discovery", "token", "jwks", "verify"]  # the calls of a login in a process that knows nothing yet
SHARED = ["discovery", "token", "jwks", "share"]
AGAIN = ["token", "verify"]  # what a later login costs
ENGINES = ["db", "cached_db", "signed_cookies"]
# Bombs and drips: their figures are printed.
COSTLY = {"TR-19": "endless body", "TR-20": "compressed body", "JW-11": "endless keys", "NW-02": "a byte at a time"}
REASONS = {(kind.outcome, kind.code) for kind in leaves() if kind.outcome} | {("verified", "")}


# NUMVERIFY_TEST_ASGI=1: every request is answered in an event loop, and every operator asked from it.
IN_LOOP = bool(os.environ.get("NUMVERIFY_TEST_ASGI"))
BaseClient = LoopClient if IN_LOOP else Client


def forget_connections():
    """Begin anew, with what the environment says is to be trusted."""
    connections._forget()
    if IN_LOOP:
        asgi.forget()


class RecordingClient(BaseClient):
    """A browser that remembers every answer it got."""

    def __init__(self, responses, **options):
        super().__init__(SERVER_NAME=HOST, raise_request_exception=False, **options)
        self.responses = responses

    def request(self, **request):
        """Make the request, and remember the answer."""
        begun = time.monotonic()
        response = super().request(**request)
        response.seconds = time.monotonic() - begun
        self.responses.append(response)
        return response


class Visitor:
    """A person with a phone: one browser, which visits the operator where the site sends it."""

    def __init__(self, responses):
        self.client = RecordingClient(responses)

    def start(self, number=TYPED, **data):
        """Post the form; return the answer."""
        return self.client.post("/numverify/login/", {"phone_number": number, **data})

    def visit_operator(self, started):
        """Follow the site's redirect to the operator; return the path and query that it sends the browser back to."""
        answer = requests.get(started["Location"], allow_redirects=False, timeout=10)
        back = urlsplit(answer.headers["Location"])
        return f"{back.path}?{back.query}"

    def come_back(self, callback):
        """Open the callback; return the page that the person ends on."""
        response = self.client.get(callback)
        return self.client.get(response["Location"]) if response.status_code == 302 else response

    @property
    def user_id(self):
        """The primary key (text) of who is logged in, or None."""
        return self.client.session.get("_auth_user_id")


@dataclass
class Trial:
    """What a case has at hand, and what it expects; ``finish`` checks the invariants."""

    operator: Operator
    evil: Server
    configure: object
    caplog: object
    folder: Path  # of the whole run
    responses: list = field(default_factory=list)
    callbacks: list = field(default_factory=list)
    expected: list = field(default_factory=list)  # (outcome, reason) of each row, oldest first
    calls: list | None = None
    may_spend: float = TIMEOUT + 1
    others: set = field(default_factory=set)  # primary keys (text) of who logged in by another way
    is_told_elsewhere: bool = False  # the case itself puts the number into tables that are not ours
    is_silent: bool = False  # what was refused is told on no page
    device: str = ""  # whose page the last one is, where there are two
    spent: float = 0.0  # seconds, of the slowest answer
    grown: int = 0  # KiB

    def __post_init__(self):
        self.visitor = Visitor(self.responses)
        self.bystander = Visitor([])
        self.bystander.client.force_login(make_user("bystander"), "django.contrib.auth.backends.ModelBackend")
        self.bystander_id = self.bystander.user_id
        self.users = users()
        self.memory = fresh_peak()

    def begin(self, **data):
        """Start a login and visit the operator; return the callback."""
        callback = self.visitor.visit_operator(self.visitor.start(**data))
        self.callbacks.append(callback)
        return callback

    def log_in(self, **data):
        """Go the whole way; return the page that the person ends on."""
        return self.come_back(self.begin(**data))

    def come_back(self, callback):
        """Open the callback; return the page that the person ends on."""
        return self.visitor.come_back(callback)

    def refused(self, reason, calls=()):
        """Expect one more row, ended with ``reason``, and exactly these calls (hops) in all."""
        (found,) = [pair for pair in REASONS if pair[1] == reason]
        self.expected.append(found)
        self.calls = list(calls)

    def verified(self, calls=HONEST):
        """Expect one more row, verified, a login, and exactly these calls (hops) in all."""
        self.expected.append(("verified", ""))
        self.calls = list(calls)

    def nothing(self, calls=()):
        """Expect no row at all."""
        self.expected, self.calls = [], list(calls)

    @property
    def recorded(self):
        """All that was logged; ``caplog.records`` would have no more than the phase of the fixture's own end."""
        return [record for phase in ("setup", "call", "teardown") for record in self.caplog.get_records(phase)]

    # The invariants

    def finish(self):
        """Check all of them, in an order in which none disturbs the next."""
        self.check_memory()
        self.check_time()
        self.check_calls()
        self.check_rows()
        self.check_nobody_is_logged_in()
        self.check_no_500()
        self.check_headers()
        self.check_page()
        self.check_replays()
        self.check_leaks()
        self.check_honest_login()

    def check_memory(self):
        self.grown = peak() - self.memory
        assert self.grown < MEMORY, f"I7: the peak grew by {self.grown} KiB"

    def check_time(self):
        self.spent = max((response.seconds for response in self.responses), default=0.0)
        assert self.spent < self.may_spend, "I7: too slow"

    def check_calls(self):
        assert self.operator.hops == self.calls, "I5"
        assert self.evil.received == [], "I5: the evil twin was asked"
        for received in self.operator.received:
            if received.hop != "authorize":
                assert "cookie" not in received.headers, "I5"
                assert received.headers["accept-encoding"] == "identity", "I5"

    def check_rows(self):
        rows = list(VerificationAttempt.objects.order_by("pk").values_list("outcome", "reason"))
        assert rows == self.expected, "I2"

    def check_nobody_is_logged_in(self):
        logs_in = ("verified", "") in self.expected
        assert (self.visitor.user_id is not None) == logs_in, "I1"
        proved = VerificationAttempt.objects.filter(outcome="verified").values_list("user", flat=True)
        told = self.others | {str(user) for user in proved if user is not None}  # a deleted account is told no more
        assert not logs_in or not told or self.visitor.user_id in told, "I10: another account than the audit says"
        made = len(users()) - len(self.users)
        assert made <= self.expected.count(("verified", "")), "I1: an account too many"
        if not logs_in:
            assert users() == self.users, "I1: accounts changed"
        assert self.bystander.client.get("/home/").content.decode() == f"user {self.bystander_id}", "I10"

    def check_no_500(self):
        assert [response.status_code for response in self.responses if response.status_code == 500] == [], "I3"
        errors = [record for record in self.recorded if record.levelno >= logging.ERROR]
        told = [record.getMessage() for record in errors if record.name == "django.request"]
        # Django mails these to ADMINS: a site that is broken answers 503, and nothing else is worth a mail.
        is_broken = any(record.name.startswith("numverify_django") for record in errors)
        assert [text for text in told if not (is_broken and text.startswith("Service Unavailable"))] == [], "I3"

    def check_headers(self):
        for response in self.responses:
            if response.wsgi_request.path.startswith("/numverify/"):
                assert "no-store" in response["Cache-Control"], "I9"
                assert response["X-Frame-Options"] == "DENY", "I9"
                assert response["Referrer-Policy"] in ("same-origin", "no-referrer"), "I9"
                assert set(response.cookies) <= {"sessionid", "csrftoken"}, "I9"

    def check_page(self):
        """Every refusal of one page group shows the same text, whatever the reason."""
        untold = (("verified", ""), ("pending", ""), ("abandoned", "cancelled"))
        if self.expected and self.expected[-1] not in untold and not self.is_silent:
            text = self.responses[-1].content.decode()
            references = [
                row.reference_shown for row in VerificationAttempt.objects.all() if row.reference_shown in text
            ]
            assert references or self.responses[-1].status_code != 200, "I12: no reference"
            random = [r'name="csrfmiddlewaretoken" value="\w+"', r"/numverify/qr/[\w-]{43}/"]
            text = re.sub("|".join([*references, *random]), "", text)
            row, retry = VerificationAttempt.objects.latest("pk"), 'name="retry"' in text
            way = settings.NUMVERIFY.get("FALLBACK_URL")
            numbers = VerifiedNumber.objects.filter(user=self.visitor.user_id).count()
            facts = (
                row.use,
                row.operation,
                self.visitor.user_id is not None,
                retry,
                way,
                self.device,
                bool(references),
                min(numbers, 2),  # of which a person with several chooses one
            )
            kind = (uses.of(row).group_of(self.expected[-1][1]), *facts)
            assert first_text(self.folder, kind, text) == text, "I12"

    def check_replays(self):
        for callback in self.callbacks:
            before = len(self.operator.received)
            user_id = self.visitor.user_id
            response = self.visitor.client.get(callback)
            assert response.status_code in (400, 409, 410), "I6"
            assert len(self.operator.received) == before, "I6"
            assert self.visitor.user_id == user_id, "I6"

    def check_leaks(self):
        places = {"log": self.logged(), "page": self.pages(), "row": self.rows(), "admin": self.admin()}
        places |= {"table": "" if self.is_told_elsewhere else self.tables()}
        places |= {"session": str(dict(self.visitor.client.session)), "report": self.reports()}
        found = [(place, name) for place, text in places.items() for name in self.secrets() if name in text]
        assert found == [], "I4"

    def check_honest_login(self):
        self.operator.restore()
        honest = Visitor([])
        page = honest.come_back(honest.visit_operator(honest.start()))
        assert (page.status_code, honest.user_id is not None) == (200, True), "I8"

    # What must not be found, and where it is looked for

    def secrets(self):
        """Every spelling of everything secret."""
        digits = NUMBER.removeprefix("+")
        spelled = [digits, digits[2:], TYPED, *SPELLINGS, quote(TYPED), hashlib.sha256(NUMBER.encode()).hexdigest()]
        spelled += [base64.b64encode(text.encode()).decode() for text in (NUMBER, digits)]
        asked = [request for request in self.operator.received if request.hop in ("authorize", "token")]
        sent = [
            value
            for request in asked
            for name, value in {**request.query, **safe_form(request)}.items()
            if name in ("state", "nonce", "code", "code_verifier", "client_assertion")
        ]
        return [*spelled, *sent, *self.operator.secrets, CLIENT_SECRET]

    def logged(self):
        """All that was logged, at DEBUG."""
        form = logging.Formatter()
        return "\n".join(form.format(record) for record in self.recorded if not is_from_the_test(record))

    def pages(self):
        """Bodies and headers of every answer, but for where the browser is sent to the operator."""
        parts = []
        for response in self.responses:
            headers = dict(response.items())
            if headers.get("Location", "").startswith(self.operator.url):
                del headers["Location"]
            parts.append(f"{headers} {response.content.decode()}")
        # The form shows what was typed wrongly; nothing else does.
        return re.sub(r'name="phone_number" value="[^"]*"', "", "\n".join(parts))

    def rows(self):
        """The audit."""
        return str(list(VerificationAttempt.objects.values()))

    def tables(self):
        """Every other table, sessions as they read; VerifiedNumber is what logging in goes by."""
        models = [model for model in apps.get_models() if model not in (VerificationAttempt, VerifiedNumber, Session)]
        rows = [list(model._base_manager.values()) for model in models]
        return str([rows, [session.get_decoded() for session in Session.objects.all()]])

    def admin(self):
        """The audit's pages, as a superuser sees them; a history is made of the page's title and of ``tables``."""
        admin = Client(SERVER_NAME=HOST)
        admin.force_login(make_user("root", is_staff=True, is_superuser=True))
        paths = ["/admin/", "/admin/numverify_django/verificationattempt/summary/"]
        for model in (VerificationAttempt, VerifiedNumber, CodeLogin, QrLogin):
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            found = [f"{base}{row.pk}/change/" for row in model.objects.all()]
            paths += [base, *found] if found else []
        return "\n".join(admin.get(path).content.decode() for path in paths)

    def reports(self):
        """Django's exception report about each request, as if it had failed; the first has the settings too."""
        reporters = [ExceptionReporter(response.wsgi_request, None, None, None) for response in self.responses]
        for reporter in reporters[1:]:
            reporter.filter = WithoutSettings()
        return "\n".join(reporter.get_traceback_text() for reporter in reporters)


class WithoutSettings(SafeExceptionReporterFilter):
    """Django's filter of reports, for those that need not have the settings once more."""

    def get_safe_settings(self):
        """Return none."""
        return {}


def newcomer(number, responses):
    """Return a visitor of another browser at another address, so that no limit counts one's tries with another's."""
    visitor = Visitor(responses)
    visitor.client.defaults["REMOTE_ADDR"] = f"198.51.100.{number}"
    return visitor


def params_of(address):
    """Return the parameters of a URL."""
    return dict(parse_qsl(urlsplit(address).query))


def changed(callback, **params):
    """Return ``callback`` with parameters changed: ... leaves one out, a list repeats it."""
    kept = {name: value for name, value in (params_of(callback) | params).items() if value is not ...}
    return f"/numverify/callback/?{urlencode(kept, doseq=True)}"


def error_of(callback, error, **params):
    """Return ``callback`` with ``error`` instead of its code."""
    return changed(callback, code=..., error=error, **params)


def fresh_peak():
    """Let the peak of memory start anew, where the system can: an earlier one would hide the next. Return it (KiB)."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak():
    """Return the most memory (KiB) that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def first_text(folder, kind, text):
    """Return the text that the first case of this kind of page was shown, in whichever process it ran."""
    path = folder / hashlib.sha256(repr(kind).encode()).hexdigest()
    if not path.exists():
        mine = folder / f"{path.name}.{os.getpid()}"
        mine.write_bytes(text.encode())
        with suppress(FileExistsError):
            os.link(mine, path)  # whole, or not at all
        mine.unlink()
    return path.read_bytes().decode()


def safe_form(received):
    """Return the form of a request, or nothing where it has none."""
    return received.form if received.method == "POST" and received.hop == "token" else {}


def is_from_the_test(record):
    """Tell whether a browser of the test logged ``record``: it visits operator and site with the state in the URL."""
    visits = ("/authorize", "/numverify/")
    return record.name.startswith("urllib3") and any(place in record.getMessage() for place in visits)


def make_user(name, **facts):
    model = get_user_model()
    user = model(**{model.USERNAME_FIELD: name}, **facts)
    user.save()
    return user


def users():
    """What is known of the accounts."""
    return sorted(get_user_model().objects.values_list("pk", "last_login"), key=str)


@pytest.fixture
def operator():
    """A hostile operator."""
    server = Operator()
    yield server
    server.close()


@pytest.fixture
def evil():
    """Its evil twin, which nobody should ever ask."""
    server = Server()
    yield server
    server.close()


@pytest.fixture
def configure(settings, operator):
    """Set NUMVERIFY for the hostile operator; keywords are keys of the operator, ``site`` has the other keys."""
    name = f"hostile{next(NAMES)}"

    def configure(site=None, others=None, **keys):
        asked = {
            "PROFILE": "telefonica",
            "ISSUER": operator.url,
            "API_ROOT": f"{operator.url}/v1",
            "CLIENT_ID": "client-of-the-site",
            "CLIENT_SECRET": CLIENT_SECRET,
            "ALLOW_LOOPBACK": True,
            "TIMEOUT": TIMEOUT,
        }
        site = {"DEFAULT_REGION": "ES"} | (site or {})
        settings.NUMVERIFY = {"OPERATORS": {name: asked | keys} | (others or {})} | site

    configure()
    return configure


@pytest.fixture(params=[(engine, atomic) for engine in ENGINES for atomic in (False, True)], ids=str)
def everywhere(request, settings, monkeypatch):
    """Each kind of session, with and without ATOMIC_REQUESTS; for critical cases, named before ``trial``."""
    engine, atomic = request.param
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    monkeypatch.setitem(databases.settings["default"], "ATOMIC_REQUESTS", atomic)


@pytest.fixture(autouse=True)
def empty_cache():
    """Nothing that one case leaves in Django's cache reaches the next."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture(scope="session", autouse=True)
def imported():
    """The URLconf is imported, which is no memory of the first case's."""
    assert get_resolver().url_patterns


@pytest.fixture
def trial(db, operator, evil, configure, caplog, record_property, tmp_path_factory, monkeypatch):
    """A Trial, which checks the invariants when the case is over."""
    monkeypatch.setattr(site, "enable_nav_sidebar", False)  # the same on each page of the admin, and slow
    caplog.set_level(logging.DEBUG)
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    trial = Trial(operator, evil, configure, caplog, folder)
    yield trial
    if trial.calls is not None:
        trial.finish()
        record_property("figures", (trial.grown, trial.spent, trial.may_spend))
    else:
        pytest.fail("the case says neither refused() nor nothing()")


def pytest_terminal_summary(terminalreporter):
    """Print how many cases of each group passed, and in how many variants."""
    names = [
        re.search(r"::test_(([a-z]{2})_\d{2})_", report.nodeid) for report in terminalreporter.stats.get("passed", [])
    ]
    variants = Counter(name[2].upper() for name in names if name)
    cases = Counter(case[:2].upper() for case in {name[1] for name in names if name})
    if cases:
        terminalreporter.section("hostile cases")
        for group in sorted(cases):
            terminalreporter.write_line(f"{group}: {cases[group]} cases, {variants[group]} tests")
        terminalreporter.write_line(f"all: {cases.total()} cases, {variants.total()} tests")
        for line in figures(terminalreporter.stats.get("", [])):
            terminalreporter.write_line(line)


def figures(reports):
    """Return a line for each case that must not cost much: the most that one of its tests did."""
    for case, what in COSTLY.items():
        name = f"::test_{case.lower().replace('-', '_')}_"
        found = [dict(report.user_properties).get("figures") for report in reports if name in report.nodeid]
        if found := [figure for figure in found if figure]:
            memory, spent = max(figure[0] for figure in found), max(found, key=lambda figure: figure[1] / figure[2])
            yield (
                f"{case} ({what}): {memory / 1024:.1f} MiB of {MEMORY / 1024:.0f} at most; "
                f"{spent[1]:.2f} s of {spent[2]:.2f} s, which is the deadline and a second"
            )
