"""The audit, to be read: no attempt can be added, changed or deleted by hand."""

import re

from django.contrib import admin
from django.db.models.constants import LOOKUP_SEP
from django.utils.translation import gettext_lazy as _

from .models import REFERENCE_LENGTH, VerificationAttempt, VerifiedNumber


class ReadOnlyAdmin(admin.ModelAdmin):
    """An admin of records: also a superuser makes none and changes none."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request):
        """Refuse."""
        return False

    def has_change_permission(self, request, obj=None):
        """Refuse."""
        return False

    def lookup_allowed(self, lookup, value, request):
        """Allow the filters alone: what is hidden or masked is not guessed by filtering, nor put into an address."""
        return lookup.partition(LOOKUP_SEP)[0] in self.list_filter


class AuditAdmin(ReadOnlyAdmin):
    """An admin of an AuditRow: from a reference to the reason."""

    list_select_related = ["user"]
    search_fields = ["reference__exact"]
    search_help_text = _("Reference, as the person quotes it")
    ordering = ["-created_at", "-id"]
    readonly_fields = ["shown"]

    def has_delete_permission(self, request, obj=None):
        """Refuse: old rows are deleted by ``numverify_prune``."""
        return False

    @admin.display(description=_("number"))
    def masked(self, row):
        """The number's last digits, also where STORE_NUMBER is ``full``."""
        return row.number_shown and f"•••{row.number_shown[-2:]}"

    @admin.display(description=_("reference"), ordering="reference")
    def shown(self, row):
        """The reference as people read it."""
        return row.reference_shown

    def get_search_results(self, request, queryset, search_term):
        """Find a reference as people quote it; numbers are not searched here, they would stand in URLs."""
        plain = re.sub("[^A-Z0-9]", "", search_term.upper())[-REFERENCE_LENGTH:]
        return super().get_search_results(request, queryset, plain)


@admin.register(VerificationAttempt)
class VerificationAttemptAdmin(AuditAdmin):
    """What an operator was asked."""

    list_display = ["created_at", "shown", "outcome", "reason", "operator", "use", "masked", "user"]
    list_filter = ["outcome", "reason", "use", "operation"]
    fields = [
        "shown",
        "outcome",
        "reason",
        "operator",
        "operation",
        "use",
        "number_shown",
        "user",
        "created_at",
        "claimed_at",
        "ended_at",
        "correlator",
    ]


@admin.register(VerifiedNumber)
class VerifiedNumberAdmin(ReadOnlyAdmin):
    """Which account a number belongs to, masked. Who may delete it unlinks it, alone or with its account."""

    list_display = ["masked", "user", "operator", "first_verified_at", "last_verified_at"]
    list_select_related = ["user"]
    fields = list_display
    readonly_fields = ["masked"]
    ordering = ["-last_verified_at"]

    @admin.display(description=_("number"))
    def masked(self, record):
        """The number's last digits."""
        return record.phone_number.masked
