"""How an attempt and a number are shown, in lists, on pages and on the account's own page."""

from datetime import UTC

from django.contrib import admin
from django.urls import reverse
from django.utils import formats
from django.utils.html import format_html
from django.utils.timezone import template_localtime  # type: ignore[attr-defined]  # which the stubs lack
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import CALLBACK, AuditRow, VerificationAttempt, VerifiedNumber
from ..protocol import exceptions
from . import drawing

EXPLAINED = {kind.code: kind.__doc__ for kind in exceptions.leaves()}


def mask(shown: str) -> str:
    """Return the last digits of a number as the audit shows it, also where STORE_NUMBER is ``full``."""
    return shown and f"•••{shown[-2:]}"


def isolated(number: str) -> str:
    """Return ``number`` (text) so that it reads from left to right in every language."""
    return format_html('<bdi dir="ltr">{}</bdi>', number) if number else ""


class AuditColumns:
    """The columns of an AuditRow; to be mixed into an admin or an inline."""

    @admin.display(description=_("number"))
    def masked(self, row: AuditRow) -> str:
        """The number's last digits."""
        return isolated(mask(row.number_shown))

    @admin.display(description=_("number"))
    def kept(self, row: AuditRow) -> str:
        """The number as it is kept: masked, unless STORE_NUMBER is ``full``."""
        return isolated(row.number_shown)

    @admin.display(description=_("started"), ordering="created_at")
    def began(self, row: AuditRow) -> str:
        """When it began, short: there are many columns."""
        return formats.date_format(template_localtime(row.created_at), "SHORT_DATETIME_FORMAT")

    @admin.display(description=_("reference"), ordering="reference")
    def shown(self, row: AuditRow) -> str:
        """The reference as people read it."""
        return row.reference_shown


class AttemptColumns(AuditColumns):
    """The columns of a VerificationAttempt; likewise."""

    admin_site: admin.AdminSite

    @admin.display(description=_("outcome"), ordering="outcome")
    def badge(self, attempt: VerificationAttempt) -> str:
        """The outcome's word and shape."""
        return drawing.badge(attempt.outcome)

    @admin.display(description=_("reason"))
    def explained(self, attempt: VerificationAttempt) -> str:
        """The reason, and what it means in a sentence."""
        explanation = EXPLAINED.get(attempt.reason)
        if explanation is None:
            return attempt.get_reason_display() or "-"
        text = '{} <span class="numverify-explained">{} <code>{}</code></span>'
        return format_html(text, attempt.get_reason_display(), gettext(explanation), attempt.reason)

    @admin.display(description=_("duration"))
    def took(self, attempt: VerificationAttempt) -> str:
        """How long the callback took."""
        return drawing.milliseconds(attempt.timings.get(CALLBACK))

    @admin.display(description=_("timings"))
    def hops(self, attempt: VerificationAttempt) -> str:
        """How long each hop took."""
        return drawing.hops(attempt.timings)

    @admin.display(description=_("reference"), ordering="reference")
    def linked(self, attempt: VerificationAttempt) -> str:
        """The reference, with a link to what to quote to the operator."""
        name = f"admin:{attempt._meta.app_label}_{attempt._meta.model_name}_change"
        page = reverse(name, args=[attempt.pk], current_app=self.admin_site.name)
        link = '<a class="numverify-code" href="{}#quote" title="{}">{}</a>'
        return format_html(link, page, gettext("What to quote to the operator"), attempt.reference_shown)

    @admin.display(description=_("quote to the operator"))
    def quote(self, attempt: VerificationAttempt) -> str:
        """What the operator finds the calls by: the correlator, to be copied, and when they began."""
        at = (attempt.claimed_at or attempt.created_at).astimezone(UTC)
        field = '<input id="quote" class="numverify-code" size="36" readonly aria-label="x-correlator" value="{}"> {}'
        return format_html(field, attempt.correlator, f"{at:%Y-%m-%d %H:%M:%S} UTC")


class NumberColumns:
    """The columns of a VerifiedNumber; likewise."""

    @admin.display(description=_("number"))
    def masked(self, record: VerifiedNumber) -> str:
        """The number's last digits."""
        return isolated(record.phone_number.masked)
