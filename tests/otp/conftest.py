"""A site that sends codes into an inbox, an account whose number a SIM proved before, and a browser."""

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from numverify_django import conf
from numverify_django.contrib.otp.models import CodeLogin
from numverify_django.models import VerifiedNumber
from numverify_django.protocol.phone import PhoneNumber

HOST = "127.0.0.1"
ASK, ENTER = "/numverify/code/", "/numverify/code/enter/"
NUMBER, TYPED = "+34600000001", "600 000 001"
UNKNOWN = "600 000 002"
OPERATOR = {"PROFILE": "telefonica", "CLIENT_ID": "client", "CLIENT_SECRET": "secret"}


@dataclass
class Inbox:
    """What was sent: (PhoneNumber, text) each; ``broken`` is raised in place of sending."""

    messages: list = field(default_factory=list)
    broken: Exception | None = None

    def __call__(self, number, text):
        if self.broken:
            raise self.broken
        self.messages.append((number, text))

    def __len__(self):
        return len(self.messages)

    @property
    def code(self):
        """The code of the last message."""
        return re.match("[0-9]{6}", self.messages[-1][1])[0]


class Person:
    """A browser."""

    def __init__(self):
        self.client = Client(SERVER_NAME=HOST)
        self.address = "192.0.2.1"

    def ask(self, number=TYPED, **data):
        """Post the number; return the answer."""
        return self.client.post(ASK, {"phone_number": number, **data}, REMOTE_ADDR=self.address)

    def again(self, asked):
        """Press the button for a new code on the page that ``asked`` led to."""
        return self.client.post(ASK, {"retry": reference_in(asked)}, REMOTE_ADDR=self.address)

    def enter(self, asked, code, **data):
        """Post the code on the page that ``asked`` led to; return the answer."""
        return self.client.post(ENTER, query_of(asked) | {"code": code, **data}, REMOTE_ADDR=self.address)

    @property
    def user_id(self):
        """The primary key (text) of who is logged in, or None."""
        return self.client.session.get("_auth_user_id")


def query_of(asked):
    """Return the query of the page that ``asked`` redirects to."""
    assert asked.status_code == 302, asked.content.decode()
    url = urlsplit(asked["Location"])
    assert url.path == ENTER
    return {name: values[0] for name, values in parse_qs(url.query).items()}


def reference_in(asked):
    return query_of(asked)["reference"]


def wrong(code):
    """Return another code than ``code``."""
    return f"{(int(code) + 1) % 1_000_000:06}"


def only_row():
    """Return the one row of the audit."""
    return CodeLogin.objects.get()


def make_user(name="ana", **facts):
    model = get_user_model()
    return model.objects.create(**{model.USERNAME_FIELD: name}, **facts)


def enrol(user, number=NUMBER):
    """Let ``number`` log in to ``user``, as the first of the site's operators vouched."""
    return VerifiedNumber.objects.enrol(user, PhoneNumber(number), conf.get().operators[0].name)


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def configure(settings, inbox):
    """Set NUMVERIFY; keywords are keys of the site."""

    def configure(**site):
        settings.NUMVERIFY = {"OPERATORS": {"movil": OPERATOR}, "DEFAULT_REGION": "ES", "CODE_SENDER": inbox} | site

    configure()
    return configure


@pytest.fixture
def person(db, configure):
    """A browser in front of a site with one account, whose number is NUMBER."""
    enrol(make_user())
    return Person()
