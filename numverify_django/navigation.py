"""What a request's headers say: a person navigates, a script asks, nobody came yet (Fetch Metadata), JSON is wanted."""

from django.http import HttpRequest
from django.urls import ResolverMatch

ACCEPT_MAX = 1000  # characters
SCHEMES_OF_BROWSERS = ("", "basic", "digest", "negotiate", "ntlm")  # that they send by themselves, pages included


def is_page(request: HttpRequest) -> bool:
    """Tell whether a person navigates here, and no frame, image or prefetch: only that may start anything.

    A browser too old to say so is believed: its session cookie, SameSite=Lax, goes with no foreign subrequest.
    """
    navigates = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return navigates and _is_document(request) and not is_script(request) and not is_prefetch(request)


def _is_document(request: HttpRequest) -> bool:
    """Tell whether a page is to be shown.

    A service worker that passes a navigation on keeps its mode, and no script can set that one, but not what it is for
    (Fetch 5.4, ``new Request``): a frame of this site is not told apart then. Chromium says the same of a link to
    download, which accepts no page.
    """
    destination = request.headers.get("Sec-Fetch-Dest", "document")
    is_passed_on = destination == "empty" and "text/html" in request.headers.get("Accept", "")
    return destination == "document" or is_passed_on


def is_script(request: HttpRequest) -> bool:
    """Tell whether a script asks, which cannot go to the operator and come back.

    A link to download is neither script nor page, nor is what a service worker passes on for an image, or a beacon
    (``no-cors``): nobody reads its status. Where a browser does not say what asks, other headers tell.
    """
    headers = request.headers
    if "Sec-Fetch-Dest" in headers:
        reads = headers.get("Sec-Fetch-Mode") not in ("navigate", "no-cors")
        return headers["Sec-Fetch-Dest"] == "empty" and reads and not is_prefetch(request)
    says_so = headers.get("X-Requested-With") == "XMLHttpRequest" or "HX-Request" in headers
    return says_so or "text/html" not in headers.get("Accept", "text/html")


def is_prefetch(request: HttpRequest) -> bool:
    """Tell whether the browser asks ahead of a person, who may never come."""
    return "Sec-Purpose" in request.headers or "Purpose" in request.headers


def shows_token(request: HttpRequest) -> bool:
    """Tell whether a client shows a token of its own: no browser sends such an Authorization by itself.

    Nor does anything but a browser navigate: what comes with that is a proxy's.
    """
    scheme, _, _ = request.headers.get("Authorization", "").partition(" ")
    return scheme.lower() not in SCHEMES_OF_BROWSERS and request.headers.get("Sec-Fetch-Mode") != "navigate"


def is_ours(found: ResolverMatch | None) -> bool:
    """Tell whether a path leads to a page of this package, those of ``contrib`` among them."""
    return found is not None and any(name.partition("_")[0] == "numverify" for name in found.app_names)


def wants_json(request: HttpRequest) -> bool:
    """Tell whether an application asks one of our URLs, whose person sees pages of its own: it prefers JSON.

    That is RFC 9110 12.5.1. A header that Django cannot read is nobody's wish, nor is one that takes it megabytes to
    read; the site's pages are the site's.
    """
    speaks_json = request.resolver_match is not None and request.resolver_match.app_names[-1:] == ["numverify"]
    if not speaks_json or len(request.headers.get("Accept", "")) > ACCEPT_MAX:
        return False
    try:
        return request.get_preferred_type(["text/html", "application/json"]) == "application/json"
    except ValueError:
        return False


def is_led_here(request: HttpRequest) -> bool:
    """Tell whether another site led here, whose links must cost nothing."""
    return request.headers.get("Sec-Fetch-Site") == "cross-site"
