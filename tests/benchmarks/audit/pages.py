"""What is measured: pages of the admin, and what a login asks of the audit."""

import secrets
import time
from urllib.parse import urlencode

from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connections
from django.db.models import Max
from django.test import Client
from django.test.utils import CaptureQueriesContext

from numverify_django import conf, limits
from numverify_django.admin import filters, summary
from numverify_django.models import Opened, Outcome, Use, VerificationAttempt
from numverify_django.protocol.phone import PhoneNumber

from . import choice, filling

NUMBER = "+34690000001"  # of who logs in
SEARCHED = "+34690000002"
EVERY_LIMIT = {"number_address": [10, 600], "session": [20, 600], "address": [100, 60], "site": [1000, 60]}
EVERY_LIMIT |= {"operator": [1000, 600]}
LIST = "/admin/numverify_django/verificationattempt/"


class Site:
    """The site on the database called ``name``, with a superuser logged in."""

    def __init__(self, name):
        self.name = name
        with choice.using(name):
            admin = get_user_model().objects.create_superuser(secrets.token_hex(8))
            self.client = Client(SERVER_NAME="127.0.0.1")
            self.client.force_login(admin, "django.contrib.auth.backends.ModelBackend")
            self.middle = VerificationAttempt.objects.get(
                pk=VerificationAttempt.objects.aggregate(newest=Max("pk"))["newest"] // 2
            )

    def timed(self, act):
        """Return the milliseconds that ``act`` of this site took, and what it returned."""
        with choice.using(self.name):
            begun = time.perf_counter()
            returned = act(self)
            return (time.perf_counter() - begun) * 1000, returned

    def asked(self, act):
        """Return the SQL statements of ``act``; to note them takes time."""
        with choice.using(self.name), CaptureQueriesContext(connections[self.name]) as asked:
            act(self)
        return [query["sql"] for query in asked]


def page(**query):
    """Return the act of opening the list with ``query``, which returns how many rows it shows."""

    def act(site):
        response = site.client.get(f"{LIST}?{urlencode(query)}")
        assert response.status_code == 200, response.status_code
        return response.content.count(b"#quote")

    return act


def middle(site):
    """Open the page in the middle of all; return how many rows it shows."""
    return page(before=f"{site.middle.created_at.isoformat()},{site.middle.pk}")(site)


def summed(window, *, is_known):
    """Return the act of opening the summary of ``window``, of which a roll-up is known or not."""

    def act(site):
        if not is_known:
            cache.delete(f"numverify_django.summary.{window}")
        assert site.client.get(f"{LIST}summary/", {"window": window}).status_code == 200

    return act


def search_reference(site):
    """Search the reference of the attempt in the middle."""
    found = site.client.post(f"{LIST}search/", {"term": site.middle.reference_shown}, follow=True)
    assert site.middle.reference_shown in found.content.decode()


def search_number(site):
    """Search a number that has as many attempts as most."""
    found = site.client.post(f"{LIST}search/", {"term": SEARCHED}, follow=True)
    assert found.content.count(b"#quote") == filling.ATTEMPTS_EACH


def check_limits(site):
    """Count what the limits count, for a browser that has begun before."""
    limits.check_operator(conf.get().operators[0])
    limits.check_tries(VerificationAttempt.objects, PhoneNumber(NUMBER), secrets.token_urlsafe(), "192.0.2.1")


def lists():
    """Return the acts of opening a list, by their names."""
    chosen = {"outcome__exact": Outcome.values, "use__exact": Use.values, "since": list(filters.SPANS)}
    chosen |= {"operator": ["telefonica", "another", "nobody's"]}
    chosen |= {"reason__exact": ["number_mismatch", filling.RARE, "consent_required"]}
    told = {f"{name.partition('__')[0]} = {value}": page(**{name: value}) for name in chosen for value in chosen[name]}
    return {
        "first page": page(),
        "page in the middle": middle,
        "last page": page(after=""),
        **told,
        "last page of the rarest reason": page(reason__exact=filling.RARE, after=""),
        "last page of outcome = verified": page(outcome__exact="verified", after=""),
    }


def sums():
    """Return the acts of opening the summary, by their names."""
    return {
        f"summary of {window}, {'known' if is_known else 'counted'}": summed(window, is_known=is_known)
        for window in summary.WINDOWS
        for is_known in (True, False)
    }


class Claims:
    """The claim of a callback, each of an attempt of its own."""

    def open(self, site, number=NUMBER):
        """Open an attempt for ``site``."""
        opened = Opened("https://site.example/callback/", "f", "/next/", "nonce", "verifier", number)
        facts = {"operator": conf.get().operators[0], "operation": "verify", "use": Use.LOGIN, "opened": opened}
        self._state = secrets.token_urlsafe(32)
        with choice.using(site.name):
            VerificationAttempt.objects.open(state=self._state, browser="browser", **facts)

    def claim(self, site):
        """Claim it."""
        VerificationAttempt.objects.claim(self._state, "browser")


def open_some(site):
    """Open as many attempts of one number as most have."""
    for _ in range(filling.ATTEMPTS_EACH):
        Claims().open(site, SEARCHED)
