"""The site's own classes and functions in typed/site.py, which mypy reads (``make types``), do what they say."""

import pytest
from django.contrib.auth import get_user_model
from django.urls import path

from numverify_django import flow
from numverify_django.models import VerifiedNumber
from numverify_django.protocol.conversation import Directory
from numverify_django.signals import number_linked

from .conftest import Phone
from .test_login import GOOD, account
from .typed import site
from .urls import urlpatterns as pages

urlpatterns = [path("pay/", site.pay), path("pay/class/", site.Payment.as_view()), *pages]
pytestmark = pytest.mark.urls(__name__)
number_linked.disconnect(site.tell_of_a_new_number)  # which no other test wants to hear of


@pytest.fixture
def member(phone, sandbox, settings, monkeypatch):
    """A phone in front of that site."""
    client = sandbox.client()
    monkeypatch.setattr(flow, "_directory", Directory())  # its operator is called the same in each test
    monkeypatch.setenv("OPERATOR_URL", sandbox.url)
    monkeypatch.setenv("OPERATOR_CLIENT_ID", client["client_id"])
    monkeypatch.setenv("OPERATOR_CLIENT_SECRET", client["client_secret"])
    password, _ours, *others = settings.AUTHENTICATION_BACKENDS
    settings.AUTHENTICATION_BACKENDS = [password, "tests.typed.site.MemberBackend", *others]
    settings.NUMVERIFY = {
        "DEFAULT_REGION": "ES",
        "OPERATORS": "tests.typed.site.operators",
        "LOGIN_POLICY": "tests.typed.site.second_factor_for_staff",
        "NUMBER_TAKEN": "tests.typed.site.may_move",
        "ALLOW_STAFF": True,
    }
    number_linked.connect(site.tell_of_a_new_number)
    yield phone
    number_linked.disconnect(site.tell_of_a_new_number)


def the_user():
    return get_user_model().objects.get()


def test_first_login_makes_a_member_and_the_receiver_is_told(member, caplog):
    member.log_in(GOOD)

    user = the_user()
    assert (member.user_id, user.first_name) == (str(user.pk), "New member")
    assert user.username.startswith("member-")
    assert f"{user.username} has a number at sandbox" in caplog.text


def test_next_login_updates_the_member(member):
    for phone in (member, Phone(member.sandbox)):
        phone.log_in(GOOD)

    assert the_user().first_name == "Member"


def test_former_members_are_not_found(member):
    account(operator="sandbox").groups.create(name="Former members")
    member.log_in(GOOD)

    assert member.user_id is None


def test_staff_go_to_the_second_factor_first(member):
    account(operator="sandbox", is_staff=True)

    assert member.log_in(GOOD)["Location"].startswith("/second-factor/")
    assert member.user_id is None


@pytest.mark.parametrize(("name", "is_moved"), [("Former member", True), ("Member", False)])
def test_number_of_a_former_member_may_move(member, name, is_moved):
    holder = account(operator="sandbox", first_name=name)
    user = get_user_model().objects.create_user("somebody", password="secret")
    member.client.force_login(user, "django.contrib.auth.backends.ModelBackend")
    member.client.get(member.come_back(member.start(GOOD, "/numverify/numbers/add/")))

    assert VerifiedNumber.objects.get().user == (user if is_moved else holder)


def test_guarded_views_know_the_number(member):
    assert member.client.get("/pay/").status_code == 302
    member.log_in(GOOD)

    assert member.client.get("/pay/").content.decode() == "paid by •••01"
    assert member.client.get("/pay/class/").content.decode() == "paid, as sandbox knows"
