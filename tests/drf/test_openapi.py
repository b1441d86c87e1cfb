"""The API of apps on a socket: schemathesis asks for what its document allows, and for what it does not."""

import pytest

from numverify_django import pages
from numverify_django.contrib.drf import urls

from ..openapi import APPS
from ..test_openapi import WITHOUT_LIMITS, run

# Which text is a number that is served, and which answer an operator has given, no schema can say; nor that there is no
# NUL at any depth of what is ignored.
UNSAID = ["start", "complete", "status"]


@pytest.mark.django_db(transaction=True)
def test_stranger_finds_nothing(configure, live_server, tmp_path):
    login = "numverify_django.contrib.drf.logins.token.log_in"
    configure(site={"RATE_LIMITS": WITHOUT_LIMITS, "APP_LOGIN": login}, OPERATION="share")
    assert "3 selected / 3 total" in run(APPS, UNSAID, live_server.url + APPS.root, {}, tmp_path)


def test_document_names_every_url():
    assert {path.lstrip("/") for path in APPS.content["paths"]} == {
        pattern.pattern._route for pattern in urls.urlpatterns
    }


def schema(path, status):
    """Return the schema of an answer."""
    return APPS.content["paths"][path]["post"]["responses"][status]["content"]["application/json"]["schema"]


def test_document_names_every_error():
    groups = {*pages.GROUPS.values()} - {"too_many"}  # of starts alone
    assert set(schema("/complete/", "403")["properties"]["error"]["enum"]) == groups
    _, failed = schema("/status/", "200")["oneOf"]
    assert set(failed["properties"]["error"]["enum"]) == groups | {pages.UNFINISHED}
