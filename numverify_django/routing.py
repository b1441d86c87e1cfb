"""Which operator is asked, and where it answers.

One is chosen by name, named by the site's ROUTE, or is the first that serves the number. It answers at the callback of
all, or at one of its own, where no answer of another counts (RFC 9700 4.4.2.2).
"""

from django.http import HttpRequest

from . import conf, hooks, roster
from .protocol import profiles
from .protocol.exceptions import IssuerMismatch, Misconfigured
from .protocol.phone import PhoneNumber


def choose(request: HttpRequest, number: PhoneNumber | None, chosen: str = "") -> profiles.Operator | None:
    """Return the Operator to ask about ``number`` (None: to be told it), or None where none is offered for it.

    ``chosen`` is the name of one that a form chose, or that vouched before. ROUTE is asked where several are left;
    raises Misconfigured where it fails, or names none of these.
    """
    settings = conf.get()
    serving = profiles.serving(settings.offered(chosen), number)
    if len(serving) < 2 or settings.route is None:
        return next(iter(serving), None)
    name = hooks.call("ROUTE", settings.route, request, number, serving)
    named = [operator for operator in serving if name is None or operator.name == name]
    if not named:
        raise Misconfigured("ROUTE returned neither None nor the name of an operator that it was given")
    return named[0]


def check_callback(request: HttpRequest, name: str, redirect_uri: str | None) -> None:
    """Raise IssuerMismatch where this is not the URL that the operator ``name``, told ``redirect_uri``, leads to."""
    here = request.resolver_match.kwargs.get("operator")  # type: ignore[union-attr]  # a view has been found
    is_elsewhere = roster.is_own_callback(redirect_uri, name) if here is None else here != name
    if is_elsewhere:
        raise IssuerMismatch("the answer came to another callback than the one that its operator was told")
