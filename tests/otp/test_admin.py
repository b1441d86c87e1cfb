"""The audit of codes in the admin: masked, and to be read."""

import pytest
from django.test import Client

from .conftest import HOST, NUMBER, make_user, only_row

LIST = "/admin/numverify_otp/codelogin/"
MODEL = "django.contrib.auth.backends.ModelBackend"


@pytest.fixture
def admin(person, inbox):
    """A superuser's browser, after a login by code."""
    person.enter(person.ask(), inbox.code)
    client = Client(SERVER_NAME=HOST)
    client.force_login(make_user("root", is_staff=True, is_superuser=True), MODEL)
    return client


def test_row_is_shown_and_found_by_its_reference(admin, inbox):
    row = only_row()
    pages = [admin.get(LIST), admin.get(f"{LIST}{row.pk}/change/"), admin.get(LIST, {"q": row.reference_shown})]

    for page in pages:
        assert (page.status_code, row.reference_shown in page.content.decode()) == (200, True)
        assert NUMBER[3:] not in page.content.decode()
        assert inbox.code not in page.content.decode()


@pytest.mark.parametrize("path", ["add/", "{pk}/delete/"])
def test_nobody_adds_or_deletes(admin, path):
    assert admin.get(LIST + path.format(pk=only_row().pk)).status_code == 403


def test_nobody_changes(admin):
    row = only_row()
    answer = admin.post(f"{LIST}{row.pk}/change/", {"outcome": "expired"})

    assert (answer.status_code, only_row().outcome) == (403, "logged_in")


@pytest.mark.parametrize("lookup", ["user__verified_numbers__number", "number_shown", "browser_digest"])
def test_what_is_hidden_is_not_guessed_by_filtering(admin, lookup):
    assert admin.get(LIST, {lookup: "1"}).status_code == 400
