"""What the audit is filtered by; none of it asks the table which values it has."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.contrib.admin import ModelAdmin, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import conf
from . import search, summary

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

SPANS = {"1h": (_("1 hour"), timedelta(hours=1))} | {
    name: (window.title, window.length) for name, window in summary.WINDOWS.items()
}


class Since(SimpleListFilter):
    """How long ago an attempt began at most."""

    title = _("time")
    parameter_name = "since"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> "list[tuple[str, _StrOrPromise]]":
        """Offer the spans."""
        return [(name, title) for name, (title, length) in SPANS.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what began within the span."""
        if (name := self.value()) is None:
            return queryset
        if name not in SPANS:
            raise IncorrectLookupParameters
        return queryset.filter(created_at__gte=self._begin(name, timezone.now()))

    def _begin(self, name: str, now: datetime) -> datetime:
        """Return when the span ``name`` begins; one of the summary's is what the summary counts."""
        return summary.since(name, now) if name in summary.WINDOWS else now - SPANS[name][1]


class Operator(SimpleListFilter):
    """Which operator was asked."""

    title = _("operator")
    parameter_name = "operator"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> "list[tuple[str, _StrOrPromise]]":
        """Offer those that are configured, and those that the last summaries saw."""
        configured = [operator.name for operator in conf.served()]
        seen = {row[0] for found in map(summary.known, summary.WINDOWS) if found for row in found.operators}
        return [(name, name) for name in [*configured, *sorted(seen - set(configured))]]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep what went to it."""
        return queryset if self.value() is None else queryset.filter(operator=self.value())


class Number(SimpleListFilter):
    """Which number was searched for: a key of this session stands in the address in its place."""

    title = _("number")
    parameter_name = "found"

    def lookups(self, request: HttpRequest, model_admin: "ModelAdmin[Any]") -> "list[tuple[str, _StrOrPromise]]":
        """Show what is being looked for, masked; nothing where nothing is."""
        if (key := self.value()) is None:
            return []
        self.found = search.recall(request, key)
        return [(key, self.found.shown if self.found else _("This search is over."))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """Keep the attempts that have one of its digests: older ones may have been made with an older pepper."""
        if self.value() is None:
            return queryset
        return queryset.filter(number_digest__in=self.found.digests) if self.found else queryset.none()


def chosen(changelist: ChangeList) -> list[tuple[object, object]]:
    """Return (title, choice) for each filter of ``changelist`` that is in use; what is none of its choices is "?"."""
    used = [
        spec for spec in changelist.filter_specs if set(spec.expected_parameters()) & changelist.filter_params.keys()
    ]
    return [
        (spec.title, next((choice["display"] for choice in spec.choices(changelist) if choice["selected"]), "?"))
        for spec in used
    ]
