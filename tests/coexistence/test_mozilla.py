"""mozilla-django-oidc 5: the site's own single sign-on, before and after ours."""

import re

import pytest

from ..conftest import query_of
from .conftest import Visitor

OURS = "numverify_django.backends.NumberVerificationBackend"
THEIRS = "mozilla_django_oidc.auth.OIDCAuthenticationBackend"


@pytest.fixture(params=["mozilla", "mozilla_first"])
def site(request, serve, running_provider):
    """The site, with its backend after ours and before."""
    return serve(request.param, SITE_PROVIDER=running_provider.url)


@pytest.fixture
def visitor(site):
    """A browser."""
    return Visitor(site)


def sign_on(visitor, next_url="/who/"):
    """Log in at the identity provider, and return the last answer."""
    return visitor.get(f"/oidc/authenticate/?next={next_url}")


def test_checks_advise_on_the_order_alone(site):
    Visitor(site).who()
    assert re.findall(r"numverify\.(\w+)", site.log()) == ({"mozilla": [], "mozilla_first": ["W020"]}[site.name])


def test_login_by_sim_asks_the_identity_provider_nothing(visitor, provider):
    visitor.log_in("600 000 101")
    found = visitor.who()

    assert (found["backend"], found["verified"]) == (OURS, True)
    assert provider.received == []


def test_single_sign_on_asks_the_operator_nothing(visitor, provider, sandbox):
    provider.sign_in("ana")
    sign_on(visitor)
    found = visitor.who()

    assert (found["backend"], found["verified"]) == (THEIRS, False)
    assert visitor.get("/api/").json() == {"user": "ana@example.com"}
    assert sandbox.hops() == []


def test_account_of_single_sign_on_proves_a_number_and_logs_in_by_it_later(visitor, provider, site):
    provider.sign_in("berta")
    sign_on(visitor)
    page = visitor.get("/pay/")
    assert visitor.submit(page, {"phone_number": "600 000 111"}, "/numverify/").text == "paid"
    account = visitor.who()["user"]

    later = Visitor(site)
    later.log_in("600 000 111")
    assert later.who() == {"user": account, "backend": OURS, "verified": True, "number": "+34600000111"}


def test_single_sign_on_as_somebody_else_inherits_no_proof(visitor, provider):
    visitor.log_in("600 000 121")
    first = visitor.who()["user"]
    provider.sign_in("carla")
    sign_on(visitor)
    found = visitor.who()

    assert found["user"] != first
    assert found == {"user": found["user"], "backend": THEIRS, "verified": False, "number": None}


def test_session_of_a_sim_is_never_refreshed(visitor, provider):
    visitor.log_in("600 000 131")
    visitor.get("/expire/")
    provider.sign_in("dora")
    found = [visitor.who()["backend"] for _ in range(2)]

    assert found == [OURS, OURS]
    assert provider.received == []


def test_session_of_single_sign_on_is_refreshed(visitor, provider):
    provider.sign_in("eva")
    sign_on(visitor)
    before = visitor.who()
    visitor.get("/expire/")
    provider.forget()

    assert visitor.who() == before
    assert [asked["prompt"] for asked in provider.authorized()] == ["none"]


@pytest.mark.parametrize(
    ("name", "number", "callback"),
    [("flora", "600 000 141", "callback/"), ("frida", "600 000 181", "callback/sandbox/")],
    ids=["callback of all operators", "callback of this one"],
)
def test_operators_answer_is_read_before_a_session_is_refreshed(visitor, provider, sandbox, name, number, callback):
    provider.sign_in(name)
    sign_on(visitor)
    visitor.submit(visitor.get("/pay/"), {"phone_number": number}, "/numverify/")
    visitor.log_out()
    sign_on(visitor)
    started = visitor.get("/pay/", allow_redirects=False)
    visitor.get("/expire/")
    provider.forget()
    address = sandbox.authorize(started.headers["Location"]).replace("callback/", callback)
    answer = visitor.get(address, allow_redirects=False)

    assert (answer.status_code, answer.headers["Location"]) == (302, "/pay/")
    assert provider.received == []
    assert visitor.get("/pay/").text == "paid"
    assert len(provider.authorized()) == 1


def test_api_takes_the_identity_providers_token_which_is_no_proof(visitor, provider, site):
    email = provider.sign_in("greta")
    told = visitor.get("/api/", headers=provider.bearer())
    assert (told.status_code, told.json()) == (200, {"user": email})

    refused = visitor.get("/api/pay/", headers=provider.bearer())
    assert refused.status_code == 403
    assert refused.json()["error"] == "step_up_required"


def test_api_lets_in_a_session_by_sim_with_its_proof(visitor):
    visitor.log_in("600 000 151")
    assert visitor.get("/api/pay/").status_code == 200


def test_their_logout_ends_a_login_by_sim(visitor, provider):
    visitor.log_in("600 000 171")
    visitor.post("/oidc/logout/", {}, "/numverify/login/?confirm=yes")

    assert visitor.who() == {"user": None, "backend": None, "verified": False, "number": None}
    assert provider.received == []


def test_token_of_nobody_is_refused(visitor):
    answer = visitor.get("/api/", headers={"Authorization": "Bearer made-up"})
    assert answer.status_code == 401


def test_query_of_the_return_is_kept(visitor, provider):
    provider.sign_in("ida")
    assert query_of(sign_on(visitor, "/who/%3Fa%3D1").url) == {"a": "1"}


# What the checks E030 and E031 are about


@pytest.fixture(scope="module")
def stock(serve, running_provider):
    """A site whose middleware and API take our sessions, and our backend, for those of its identity provider."""
    site = serve("mozilla_stock", SITE_PROVIDER=running_provider.url)
    site.may_fail = True
    return site


def test_stock_middleware_makes_somebody_else_of_who_logged_in_by_sim(stock, provider):
    provider.sign_in("hedwig")
    visitor = Visitor(stock)
    visitor.log_in("600 000 161")

    assert len(provider.authorized()) == 1
    assert visitor.who()["backend"] == THEIRS


def test_api_that_is_not_told_which_backend_fails(stock, provider):
    assert Visitor(stock).get("/api/", headers=provider.bearer()).status_code == 500
    assert "More than one OIDCAuthenticationBackend found!" in stock.log()
