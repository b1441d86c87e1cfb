"""The audit, to be read: no attempt can be added, changed or deleted by hand."""

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.options import IncorrectLookupParameters, ShowFacets
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST

from ..models import REFERENCE_LENGTH, VerificationAttempt, VerifiedNumber
from . import export, figures, filters, search, summary
from .columns import AttemptColumns, AuditColumns, NumberColumns
from .inlines import STYLE, VerificationAttemptInline, VerifiedNumberInline
from .paging import KeysetChangeList

__all__ = [
    "AuditAdmin",
    "VerificationAttemptAdmin",
    "VerificationAttemptInline",
    "VerifiedNumberAdmin",
    "VerifiedNumberInline",
]

EXPORTS_SHOWN = 5


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # generic in the stubs alone
    """An admin of records: also a superuser makes none and changes none."""

    show_full_result_count = False
    show_facets = ShowFacets.NEVER  # each would count the whole table
    list_per_page = 50
    sortable_by = ()
    change_list_template = "admin/numverify_django/change_list.html"
    lookups = frozenset({"outcome__exact", "reason__exact"})  # the parameters that filter

    class Media:
        css = STYLE

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[KeysetChangeList]:
        """Return what pages by date: ``ordering`` is one, and the primary key."""
        return KeysetChangeList

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow the filters alone: what is hidden or masked is not guessed by filtering, nor put into an address."""
        return lookup in self.lookups


class AuditAdmin(AuditColumns, ReadOnlyAdmin):
    """An admin of an AuditRow: from a reference to the reason."""

    list_select_related = ["user"]
    search_fields = ["reference__exact"]
    search_help_text = _("Reference, as the person quotes it")
    ordering = ["-created_at", "-id"]
    readonly_fields = ["shown", "kept"]

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: old rows are deleted by ``numverify_prune``."""
        return False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find a reference as people quote it; numbers are not searched here, they would stand in URLs."""
        plain = re.sub("[^A-Z0-9]", "", search_term.upper())[-REFERENCE_LENGTH:]
        return super().get_search_results(request, queryset, plain)


@admin.register(VerificationAttempt)
class VerificationAttemptAdmin(AttemptColumns, AuditAdmin):
    """What an operator was asked, one by one and in sum."""

    list_display = ["began", "linked", "badge", "reason", "operator", "use", "masked", "took", "user"]
    change_list_template = "admin/numverify_django/verificationattempt/change_list.html"
    list_filter = [filters.Since, "outcome", filters.Operator, "use", "reason", filters.Number]  # an index for each
    lookups = frozenset(f"{name}__exact" for name in ("outcome", "reason", "use")) | frozenset(
        made.parameter_name for made in (filters.Since, filters.Operator, filters.Number)
    )
    readonly_fields = ["badge", "explained", "shown", "kept", "hops", "quote"]
    fieldsets = [
        (None, {"fields": ["shown", "badge", "explained", "operator", "operation", "use", "kept", "user"]}),
        (_("What happened"), {"fields": ["created_at", "claimed_at", "ended_at", "hops", "quote"]}),
    ]

    def has_export_permission(self, request: HttpRequest) -> bool:
        """Tell whether the audit may be taken away: a permission of its own."""
        return self.has_view_permission(request) and request.user.has_perm(
            f"{self.opts.app_label}.export_{self.opts.model_name}"
        )

    def get_urls(self) -> list[URLPattern]:
        """Add the pages of our own."""
        own = {"summary": self.summary_view, "search": self.search_view, "export": self.export_view}
        wrap = self.admin_site.admin_view
        return [path(f"{name}/", wrap(view), name=self._url_name(name)) for name, view in own.items()] + (
            super().get_urls()
        )

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list, and above it the last day in short."""
        self._require(self.has_view_permission(request))
        context: dict[str, Any] = {"may_export": self.has_export_permission(request)}
        if not request.GET:
            context["in_short"] = figures.in_short(summary.get("24h"))
        return super().changelist_view(request, context | (extra_context or {}))

    def summary_view(self, request: HttpRequest) -> HttpResponse:
        """Show the audit in sum."""
        self._require(self.has_view_permission(request))
        window = request.GET.get("window")
        window = window if window in summary.WINDOWS else "24h"
        context = {
            **self.admin_site.each_context(request),
            "title": _("Summary"),
            "opts": self.opts,
            "window": window,
            "windows": {name: known.title for name, known in summary.WINDOWS.items()},
            "summary": figures.of(summary.get(window), self._list_url()),
            "exports": export.recorded(EXPORTS_SHOWN),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "admin/numverify_django/verificationattempt/summary.html", context)

    @method_decorator(require_POST)
    @method_decorator(sensitive_post_parameters())
    @sensitive_variables()
    def search_view(self, request: HttpRequest) -> HttpResponse:
        """Lead to the attempts of a number or reference that was posted; the address has no number."""
        self._require(self.has_view_permission(request))
        term = request.POST.get("term", "")
        if number := search.number_in(term):
            return HttpResponseRedirect(f"{self._list_url()}?{urlencode({'found': search.remember(request, number)})}")
        if reference := search.reference_in(term):
            audit = search.model_of(reference, self.admin_site)._meta.label_lower.replace(".", "_")
            listed = reverse(f"admin:{audit}_changelist", current_app=self.admin_site.name)
            return HttpResponseRedirect(f"{listed}?{urlencode({'q': reference})}")
        messages.error(request, _("This is neither a number nor a reference."))
        return HttpResponseRedirect(self._list_url())

    @method_decorator(require_POST)
    def export_view(self, request: HttpRequest) -> HttpResponseRedirect | StreamingHttpResponse:
        """Send the attempts of the list, as its address filters them, once that is on record."""
        self._require(self.has_export_permission(request))
        began = timezone.now()
        try:
            changelist = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            return HttpResponseRedirect(self._list_url())
        attempts = changelist.queryset.filter(created_at__lte=began)
        export.record(request.user, attempts.count(), _filters_of(changelist))  # type: ignore[arg-type]  # who may is signed in
        response = StreamingHttpResponse(export.lines(attempts), content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = (
            f'attachment; filename="verification-attempts-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"'
        )
        return response

    def _require(self, is_allowed: bool) -> None:
        if not is_allowed:
            raise PermissionDenied

    def _url_name(self, page: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{page}"

    def _list_url(self) -> str:
        return reverse(f"admin:{self._url_name('changelist')}", current_app=self.admin_site.name)


def _filters_of(changelist: ChangeList) -> str:
    """Return what ``changelist`` is filtered by, as text without anything that somebody typed."""
    found = [f"{title}: {choice}" for title, choice in filters.chosen(changelist)]
    if changelist.query:
        found.append(f"{_('reference')}: {search.reference_in(changelist.query) or '?'}")
    return "; ".join(found) or str(_("all attempts"))


@admin.register(VerifiedNumber)
class VerifiedNumberAdmin(NumberColumns, ReadOnlyAdmin):
    """Which account a number belongs to, masked. Who may delete it unlinks it, alone or with its account."""

    list_display = ["masked", "user", "operator", "first_verified_at", "last_verified_at"]
    list_select_related = ["user"]
    fields = list_display  # type: ignore[assignment]  # only names
    readonly_fields = ["masked"]
    ordering = ["-first_verified_at", "-id"]
