"""Who asks, by the headers of Fetch Metadata: every mode with every destination, as browsers send them."""

import pytest
from django.test import RequestFactory

from numverify_django import navigation

PAGE, SCRIPT, NEITHER = "page", "script", "neither"
HTML = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
MODES = ["navigate", "cors", "no-cors", "same-origin", "websocket"]
DESTINATIONS = [  # of the Fetch standard, 2.2.5, as https://www.w3.org/TR/fetch-metadata/ writes them
    *["audio", "audioworklet", "document", "embed", "empty", "fencedframe", "font", "frame", "iframe", "image", "json"],
    *["manifest", "object", "paintworklet", "report", "script", "serviceworker", "sharedworker", "style", "track"],
    *["video", "webidentity", "worker", "xslt"],
]
ASKS = {  # the others are neither
    ("navigate", "document", HTML): PAGE,
    ("navigate", "document", "*/*"): PAGE,
    ("navigate", "document", None): PAGE,
    ("navigate", "empty", HTML): PAGE,  # which a service worker passed on
    ("cors", "empty", HTML): SCRIPT,
    ("cors", "empty", "*/*"): SCRIPT,
    ("cors", "empty", None): SCRIPT,
    ("same-origin", "empty", HTML): SCRIPT,
    ("same-origin", "empty", "*/*"): SCRIPT,
    ("same-origin", "empty", None): SCRIPT,
    ("websocket", "empty", HTML): SCRIPT,
    ("websocket", "empty", "*/*"): SCRIPT,
    ("websocket", "empty", None): SCRIPT,
}


def who_asks(**headers):
    """Return who sends a request with these headers; None is a header that it has not."""
    names = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    request = RequestFactory(headers=names).get("/")
    found = [PAGE] * navigation.is_page(request) + [SCRIPT] * navigation.is_script(request)
    return found[0] if len(found) == 1 else found or NEITHER


@pytest.mark.parametrize("accept", [HTML, "*/*", None])
@pytest.mark.parametrize("destination", DESTINATIONS)
@pytest.mark.parametrize("mode", MODES)
def test_mode_and_destination_tell_who_asks(mode, destination, accept):
    found = who_asks(Sec_Fetch_Mode=mode, Sec_Fetch_Dest=destination, Accept=accept)
    assert found == ASKS.get((mode, destination, accept), NEITHER)


@pytest.mark.parametrize("purpose", ["Sec_Purpose", "Purpose"])
@pytest.mark.parametrize("destination", ["document", "empty"])
@pytest.mark.parametrize("mode", MODES)
def test_prefetch_is_neither(mode, destination, purpose):
    headers = {"Sec_Fetch_Mode": mode, "Sec_Fetch_Dest": destination, "Accept": HTML}
    assert who_asks(**headers, **{purpose: "prefetch"}) == NEITHER


@pytest.mark.parametrize(
    ("headers", "verdict"),
    [
        ({}, PAGE),
        ({"Accept": HTML}, PAGE),
        ({"Accept": "*/*"}, SCRIPT),
        ({"Accept": HTML, "X_Requested_With": "XMLHttpRequest"}, SCRIPT),
        ({"Accept": HTML, "HX_Request": "true"}, SCRIPT),
    ],
)
def test_older_browser_is_told_by_its_other_headers(headers, verdict):
    assert who_asks(**headers) == verdict


@pytest.mark.parametrize(
    ("authorization", "verdict"),
    [
        (None, False),
        ("", False),
        ("Basic c29tZWJvZHk6c2VjcmV0", False),
        ("digest username=somebody", False),
        ("Negotiate YII", False),
        ("NTLM TlRM", False),
        ("Bearer abc", True),
        ("bearer abc", True),
        ("Token abc", True),
        ("DPoP abc", True),
    ],
)
def test_token_is_what_no_browser_sends_by_itself(authorization, verdict):
    headers = {} if authorization is None else {"Authorization": authorization}
    assert navigation.shows_token(RequestFactory(headers=headers).get("/")) is verdict
    assert not navigation.shows_token(RequestFactory(headers=headers | {"Sec-Fetch-Mode": "navigate"}).get("/"))
