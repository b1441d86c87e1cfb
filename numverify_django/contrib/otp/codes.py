"""The verbs of a login by code: ``ask`` for one, ``deliver`` it, and what an account must be to get in by it."""

import logging
import traceback
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.db import DatabaseError
from django.http import HttpRequest
from django.utils import translation
from django.utils.translation import gettext
from django.views.decorators.debug import sensitive_variables

from ... import conf, limits, pages, session
from ...models import VerifiedNumber
from ...protocol import exceptions
from ...protocol.messages import Secret
from ...protocol.phone import PhoneNumber
from .models import CodeDevice, CodeLogin, Outcome

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Order(Secret):
    """A code to be sent after the page: how long that takes tells nobody whether there is an account."""

    login: CodeLogin
    number: PhoneNumber
    browser: str = field(repr=False)
    site: str
    host: str
    language: str | None


@sensitive_variables()
def ask(request: HttpRequest, number: PhoneNumber) -> tuple[CodeLogin, Order | None]:
    """Return the CodeLogin of a code for ``number``, and the Order to deliver (None: that was done just now).

    Raises TooManyTries over a limit, and Misconfigured where nothing can be sent.
    """
    host = _host(request)
    if conf.get().code_sender is None:
        raise exceptions.Misconfigured("NUMVERIFY['CODE_SENDER'] is not set")
    browser, address = session.bind_browser(request), session.client_address(request)
    known = CodeLogin.objects.just_opened(number, browser)
    if known is not None:
        return known, None
    limits.check_code(CodeLogin.objects, number, browser, address)
    sealed = session.keep(request, number=number.e164)
    login = CodeLogin.objects.open(number=number, browser=browser, address=address, sealed=sealed)
    return login, Order(login, number, browser, pages.site_name(request), host, translation.get_language())


def _host(request: HttpRequest) -> str:
    """Return the host that the code is for; one that anybody may claim to be would have browsers fill it in there."""
    if "*" in django_settings.ALLOWED_HOSTS:
        raise exceptions.Misconfigured("ALLOWED_HOSTS takes any host: a message must not name one that is not yours")
    return urlsplit(f"//{request.get_host()}").hostname  # type: ignore[return-value]  # which Django has looked at


@sensitive_variables()
def deliver(order: Order) -> None:
    """Send the code if its number can log in, and record what became of it. Whatever fails is logged, not raised."""
    try:
        _deliver(order)
    except Exception as error:  # the site's sender, or the database
        report(order.login, error)


@sensitive_variables()
def _deliver(order: Order) -> None:
    found = VerifiedNumber.objects.filter(number=order.number.e164).select_related("user").first()
    try:
        record = require_account(found)
    except exceptions.Refused as error:
        order.login.end(Outcome.REFUSED, reason=error.code, user=found and found.user)
        return
    code = CodeDevice.objects.issue(order.login, record, order.browser)
    conf.get().code_sender(order.number, text_of(code, order))  # type: ignore[misc]  # without one ``ask`` refuses
    order.login.end(Outcome.SENT, after=[Outcome.ASKED], user=record.user)  # the code may have been typed by now


@sensitive_variables()
def report(login: CodeLogin, error: Exception) -> None:
    """Log what failed, and end ``login`` with it; the error's text may quote a number and is not repeated."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("code %s failed: %s\n%s", login.reference_shown, type(error).__name__, where)
    try:
        login.end(Outcome.FAILED, reason=exceptions.Misconfigured.code)
    except DatabaseError as broken:
        logger.error("code %s could not be ended: %s", login.reference_shown, type(broken).__name__)


def text_of(code: str, order: Order) -> str:
    """Return the message; by its last line browsers fill in the code on this host alone (origin-bound codes)."""
    with translation.override(order.language):
        text = gettext("%(code)s is your %(site)s login code. Never share it.") % {"code": code, "site": order.site}
    return f"{text}\n\n@{order.host} #{code}"


def require_account(record: VerifiedNumber | None) -> VerifiedNumber:
    """Return ``record``, or raise the Refused that keeps its account, if there is one, from logging in by code."""
    if record is None:
        raise exceptions.AccountUnknown
    if conf.get().operator(record.operator) is None:  # a sandbox's number is nobody's at the site that went live
        raise exceptions.OperatorNotBound
    if not getattr(record.user, "is_active", True):
        raise exceptions.AccountInactive
    if session.is_staff(record.user) and not conf.get().allow_staff:
        raise exceptions.StaffRefused
    return record
