"""Two browsers and one login: a desktop that shows a QR code, and a phone that scans it."""

import re
from functools import cache
from urllib.parse import urlsplit

from django.contrib.sessions.models import Session

from numverify_django import session
from numverify_django.contrib.qr.models import QrLogin

from .conftest import TYPED, Visitor

SHOW, FINISH, STATUS = "/numverify/qr/", "/numverify/qr/code/", "/numverify/qr/status/"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0"
CODE = re.compile(r'<bdi dir="ltr" translate="no">([0-9]{3} [0-9]{3})</bdi>')


class Crossing:
    """A Trial whose visitor is the desktop, and a phone beside it; ``finish`` checks what holds of any two browsers."""

    def __init__(self, trial):
        self.trial, self.desktop, self.phone = trial, trial.visitor, Visitor(trial.responses)
        self.phone_user = None  # primary key (text) of who is logged in on the phone all the time
        self.tokens, self.codes = set(), set()
        check_leaks, trial.admin = trial.check_leaks, cache(trial.admin)
        trial.check_leaks = lambda: (check_leaks(), self.finish())

    # The desktop

    def show(self, number=TYPED, desktop=None, **data):
        """Ask for a QR code; return the page that shows it."""
        client = (desktop or self.desktop).client
        form = {"phone_number": number, "operation": "verify", **data}
        response = client.post(SHOW, form, headers={"user-agent": FIREFOX})
        return client.get(response["Location"]) if response.status_code == 302 else response

    def address(self, desktop=None):
        """Return the path that the QR code of this desktop leads to, as a camera reads it."""
        client = (desktop or self.desktop).client
        row = QrLogin.objects.of_browser(client.session["numverify"]["browser"])
        token = session.unsealed(client.session["numverify"]["browser"], row.sealed_token)["token"]
        self.tokens.add(token)
        return f"{SHOW}{token}/"

    def type(self, code, desktop=None):
        """Type ``code``; return the answer."""
        return (desktop or self.desktop).client.post(FINISH, {"code": code})

    def status(self, desktop=None):
        """Return what the script is told."""
        return (desktop or self.desktop).client.get(STATUS).json()["status"]

    # The phone

    def answer(self, path, answer="yes", phone=None):
        """Press a button on the phone's page; return the answer."""
        return (phone or self.phone).client.post(path, {"answer": answer})

    def callback(self, path, phone=None):
        """Say yes, and visit the operator; return the callback."""
        phone = phone or self.phone
        callback = phone.visit_operator(self.answer(path, phone=phone))
        self.trial.callbacks.append(callback)
        return callback

    def prove(self, path, phone=None):
        """Go the phone's whole way; return the page that it ends on."""
        phone = phone or self.phone
        return phone.come_back(self.callback(path, phone))

    def code(self, page):
        """Return the short code on the phone's page."""
        (code,) = CODE.findall(page.content.decode())
        self.codes |= {code, code.replace(" ", "")}
        return code

    def cross(self, **data):
        """Show, scan and prove; return the short code."""
        self.show(**data)
        return self.code(self.prove(self.address()))

    @property
    def row(self):
        """The newest QR login."""
        return QrLogin.objects.latest("pk")

    # The invariants

    def finish(self):
        """Check them."""
        assert self.phone.user_id == self.phone_user, "I1: the phone's own login changed"
        self.check_rows()
        self.check_leaks()
        self.check_replays()

    def check_rows(self):
        for row in QrLogin.objects.exclude(status__in=["shown", "accepted", "proved"]):
            assert (row.sealed, row.sealed_code) == ("", ""), "I4: an ended row keeps something"
            assert row.ended_at is not None, "I2"
        told = [row.user_id for row in QrLogin.objects.filter(status="finished")]
        proved = [row.attempt.user_id for row in QrLogin.objects.filter(status="finished", attempt__isnull=False)]
        assert told == proved, "I10: another account than the audit says"
        assert len(told) <= len({row.attempt_id for row in QrLogin.objects.filter(status="finished")}), "I1"

    def check_leaks(self):
        places = {"log": self.trial.logged(), "admin": self.trial.admin(), "row": str(list(QrLogin.objects.values()))}
        places["sessions"] = str([found.get_decoded() for found in Session.objects.all()])
        places["attempts"] = self.trial.rows()
        # Everything but the phone's own page of the code, and the field that shows what was typed wrongly.
        pages = [answer.content.decode() for answer in self.trial.responses]
        shown = [re.sub(r'name="code" value="[^"]*"', "", page) for page in pages if not CODE.search(page)]
        secrets = {"log": self.tokens | self.codes, "page": self.codes} | dict.fromkeys(
            ["admin", "row", "sessions", "attempts"], self.tokens | self.codes
        )
        places["page"] = "\n".join(shown)
        found = [
            (place, secret)
            for place, text in places.items()
            for secret in secrets[place]
            if re.search(rf"(?<![0-9A-Za-z_-]){re.escape(secret)}(?![0-9A-Za-z_-])", text)
        ]
        assert found == [], "I4"

    def check_replays(self):
        asked = len(self.trial.operator.received)
        for token in self.tokens:
            for visitor in (self.phone, Visitor([])):
                visitor.client.get(f"{SHOW}{token}/")
        for code in self.codes:
            before = self.desktop.user_id
            if self.row.status != "proved":
                assert self.type(code).status_code in (302, 409, 410, 200), "I6"
                assert self.desktop.user_id == before, "I6: a code worked twice"
        assert len(self.trial.operator.received) == asked, "I6"
        for callback in self.trial.callbacks:
            assert urlsplit(callback).path == "/numverify/callback/"
            assert self.phone.client.get(callback).status_code in (400, 409, 410), "I6"
        assert self.phone.user_id == self.phone_user, "I6"
