"""OPERATORS from a callable that reads a database: what a site with two operators on sockets makes of its answers."""

import pytest
from django.core.cache import cache
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import OperationalError, connection, models
from django.test.utils import CaptureQueriesContext

from numverify_django import conf, flow, limits, roster
from numverify_django.models import VerificationAttempt

from .conftest import Phone
from .drf.test_app import App
from .test_login import the_attempt
from .test_middleware import NAVIGATION
from .test_reverify import pass_time
from .test_routing import GERMANY, SPAIN, UNFINISHED, keys_of, site  # noqa: F401
from .test_session import grow_old

TABLE = "mobile_operator"


class MobileOperator(models.Model):
    """What a site keeps of an operator."""

    name = models.CharField(max_length=64)
    keys = models.JSONField()

    class Meta:
        app_label, db_table = "riverside", TABLE

    def __str__(self):
        return self.name


class Kept:
    """A site whose operators are kept in a database."""

    def __init__(self, two):
        self.site, self.phone, self.settings = two, two.phone, two.settings
        self.norte, self.sur = two.norte, two.sur
        self.error = None
        for name, sandbox in two.sandboxes.items():
            MobileOperator.objects.create(name=name, keys=keys_of(sandbox))
        self.change(self.norte, PREFIXES=["+34"])
        self.set()

    def __call__(self):
        """Return the operators, or raise what the test wants."""
        if self.error:
            raise self.error
        return dict(MobileOperator.objects.order_by("pk").values_list("name", "keys"))

    def set(self, **others):
        """Set NUMVERIFY anew: nothing is known any more."""
        self.settings.NUMVERIFY = {"OPERATORS": self, "DEFAULT_REGION": "ES"} | others

    def change(self, name, **keys):
        """Change some keys of an operator in the database."""
        row = MobileOperator.objects.get(name=name)
        row.keys |= keys
        row.save()

    def learn(self):
        """Let the time pass after which the database is asked again."""
        held = conf.get().roster._held
        conf.get().roster._held = held and held._replace(due=0)


@pytest.fixture
def kept(site, transactional_db):  # noqa: F811
    with connection.schema_editor() as editor:
        editor.create_model(MobileOperator)
    yield Kept(site)
    with connection.schema_editor() as editor:
        editor.delete_model(MobileOperator)


def asked_of_the_table(captured):
    """Return how many of these queries read the site's own table."""
    return len([query for query in captured if TABLE in query["sql"]])


def test_logins_go_to_the_operators_of_the_database(kept):
    kept.phone.log_in(SPAIN)
    kept.phone.log_in(GERMANY)
    asked = ["token", "verify"]
    assert kept.site.asked() == {kept.norte: asked, kept.sur: asked}


def test_database_is_asked_once_in_ten_seconds_and_not_for_each_login(kept):
    with CaptureQueriesContext(connection) as captured:
        for _ in range(5):
            Phone(kept.phone.sandbox).log_in(SPAIN)
    assert asked_of_the_table(captured) == 1
    assert VerificationAttempt.objects.filter(outcome="verified").count() == 5

    kept.learn()
    with CaptureQueriesContext(connection) as captured:
        kept.phone.client.get("/numverify/login/?confirm=yes")
        kept.learn()
        callback = kept.phone.come_back(kept.phone.start(SPAIN))
        kept.learn()
        kept.phone.client.get(callback)
    assert asked_of_the_table(captured) == 3  # the most that a login costs: its form, its start, its callback
    assert roster.FRESH == 10


def test_checks_do_not_ask_the_database(kept):
    with CaptureQueriesContext(connection) as captured:
        found = run_checks(include_deployment_checks=True)
    assert asked_of_the_table(captured) == 0
    assert [message.id for message in found if "numverify.E" <= message.id < "numverify.E040"] == []


def test_new_operator_is_there_once_it_is_asked_for(kept, second):
    kept.phone.log_in(SPAIN)
    MobileOperator.objects.create(name="third", keys=keys_of(second) | {"CLIENT_ID": "mock_sandbox_app_id"})
    assert kept.phone.start(SPAIN, operator="third").status_code == 400
    kept.learn()
    assert kept.phone.start(SPAIN, operator="third").status_code == 302


# Between start and callback


def back_after(kept, change):
    """Start a login, let ``change`` happen at the database and be learned, and come back; return the page."""
    callback = kept.phone.come_back(kept.phone.start(SPAIN))
    change()
    kept.learn()
    return kept.phone.client.get(callback)


def test_operator_that_disappears_meanwhile_gets_no_code(kept):
    kept.phone.page(back_after(kept, lambda: MobileOperator.objects.filter(name=kept.norte).delete()))
    assert (the_attempt().operator, the_attempt().reason) == (kept.norte, "operator_changed")
    assert kept.site.asked() == {kept.norte: [], kept.sur: []}
    assert kept.phone.user_id is None


def test_operator_that_gets_another_client_meanwhile_gets_no_code(kept):
    kept.phone.page(back_after(kept, lambda: kept.change(kept.norte, CLIENT_ID="another")))
    assert the_attempt().reason == "operator_changed"
    assert kept.site.asked() == {kept.norte: [], kept.sur: []}


def test_operator_that_moves_meanwhile_gets_no_code(kept, second):
    keys = keys_of(second) | {"PREFIXES": ["+34"]}
    kept.phone.page(back_after(kept, lambda: kept.change(kept.norte, **keys)))
    assert the_attempt().reason == "operator_changed"
    assert kept.site.asked() == {kept.norte: [], kept.sur: []}


def test_secret_that_is_renewed_meanwhile_is_used(kept):
    kept.change(kept.norte, CLIENT_SECRET="before")
    back_after(kept, lambda: kept.change(kept.norte, CLIENT_SECRET="numverify-demo-secret"))
    assert the_attempt().outcome == "verified"


def test_secret_that_is_wrong_meanwhile_logs_nobody_in(kept):
    kept.phone.page(back_after(kept, lambda: kept.change(kept.norte, CLIENT_SECRET="wrong")))
    assert the_attempt().reason == "misconfigured"
    assert kept.site.asked()[kept.norte] == ["token"]
    assert kept.phone.user_id is None


def test_database_that_fails_meanwhile_spends_nothing(kept):
    callback = kept.phone.come_back(kept.phone.start(SPAIN))
    kept.error = OperationalError("the password is hunter2")
    kept.learn()
    page = kept.phone.client.get(callback)
    assert (page.status_code, UNFINISHED in page.content.decode()) == (400, True)
    assert the_attempt().outcome == "pending"

    kept.error = None
    kept.learn()
    kept.phone.client.get(callback)
    assert the_attempt().outcome == "verified"


# Limits, budget and circuit


def test_budget_goes_by_the_name(kept):
    kept.set(RATE_LIMITS={"operator": [2, 600]})
    for client in ("numverify-demo", "mock_sandbox_app_id", "numverify-demo"):
        kept.change(kept.norte, CLIENT_ID=client)
        kept.learn()
        answer = Phone(kept.phone.sandbox).start(SPAIN)
    assert answer.status_code == 429
    assert Phone(kept.phone.sandbox).start(GERMANY).status_code == 302


def test_circuit_stays_open_whatever_else_changes(kept, sandbox):
    sandbox.set(fault={"endpoint": "discovery", "status": 503, "times": None})
    for _ in range(limits.FAULTS_TO_OPEN):
        Phone(sandbox).start(SPAIN)
    limits._calm.clear()
    for change in ({"CLIENT_SECRET": "renewed"}, {"TIMEOUT": 9}):
        kept.change(kept.norte, **change)
        kept.learn()
        assert Phone(sandbox).start(SPAIN).status_code == 503
    kept.change(kept.norte, CLIENT_ID="another")  # another client of it: who knows how that fares
    kept.learn()
    assert Phone(sandbox).start(SPAIN).status_code == 302
    assert Phone(sandbox).start(GERMANY).status_code == 302


def test_metadata_are_not_fetched_again_when_the_database_is(kept, sandbox):
    for _ in range(3):
        kept.learn()
        Phone(sandbox).log_in(SPAIN)
    assert (sandbox.hops().count("discovery"), sandbox.hops().count("jwks")) == (1, 1)


# A callable that fails


@pytest.fixture(params=["raises", "returns what is wrong"])
def broken(request, kept):
    """That site, whose callable fails from now on."""
    kept.phone.log_in(SPAIN)
    grow_old(kept.phone, 86_400 + 10)
    pass_time(kept.phone, 660)
    kept.set(REVERIFY_AFTER=86_400, APP_LOGIN="numverify_django.contrib.drf.logins.token.log_in")
    if request.param == "raises":
        kept.error = OperationalError("the password is hunter2")
    else:
        kept.change(kept.norte, CLIENT_SECRET="", PKCE="hunter2")
    return kept


PAGES = ["login/", "numbers/add/", "numbers/", "qr/", "code/", "again/"]


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("is_signed_in", [True, False])
def test_no_page_is_a_500(broken, caplog, path, is_signed_in):
    client = broken.phone.client if is_signed_in else Phone(broken.phone.sandbox).client
    answers = [client.get(f"/numverify/{path}"), client.post(f"/numverify/{path}", {"phone_number": SPAIN})]
    assert {answer.status_code for answer in answers} <= {200, 302, 403, 405, 409, 503}
    assert "hunter2" not in caplog.text + "".join(answer.content.decode() for answer in answers)


def test_login_page_is_readable_and_the_log_says_why(broken, caplog):
    page = Phone(broken.phone.sandbox).client.get("/numverify/login/")
    assert (page.status_code, UNFINISHED in page.content.decode()) == (503, True)
    assert "OPERATORS raised OperationalError" in caplog.text or (
        "['CLIENT_SECRET']" not in caplog.text and "['PKCE'] must be True or False" in caplog.text
    )


def test_app_is_told(broken):
    answer = App(broken.phone.sandbox).start(SPAIN, 503)
    assert answer == {"error": "unfinished", "reference": None}


def test_ordinary_page_comes_where_a_proof_is_old(broken):
    page = broken.phone.client.get("/home/", headers=NAVIGATION)
    assert (page.status_code, page.content[:5]) == (200, b"user ")


def test_admin_and_worker_go_on(broken, admin_client):
    assert admin_client.get("/admin/numverify_django/verificationattempt/").status_code == 200
    flow.warm_up()
    call_command("numverify_prune", verbosity=0)


def test_it_is_there_again_a_second_later(broken):
    broken.phone.client.get("/numverify/login/")
    broken.error = None
    broken.change(broken.norte, CLIENT_SECRET="numverify-demo-secret", PKCE=True)
    broken.learn()
    phone = Phone(broken.phone.sandbox)
    phone.log_in(SPAIN)
    assert phone.user_id is not None
    cache.clear()
