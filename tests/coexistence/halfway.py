"""A login whose browser stops on the way back from the operator."""

from ..conftest import query_of
from .conftest import forms_of


def start(visitor, number="600 000 001", **fields):
    """Send the login page's form; return what the operator was told, and where it sends the browser back to."""
    page = visitor.get("/numverify/login/")
    place, values = next(form for form in forms_of(page) if "phone_number" in form[1])
    sent = values | {"phone_number": number} | fields
    started = visitor._http.post(place, sent, headers={"Referer": page.url}, allow_redirects=False, timeout=30)
    asked = started.headers["Location"]
    return query_of(asked), visitor.get(asked, allow_redirects=False).headers["Location"]
