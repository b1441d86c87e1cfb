"""What the audit is filtered by; none of it asks the table which values it has."""

from datetime import timedelta

from django.contrib.admin import SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .. import conf
from . import search, summary

SPANS = {"1h": (_("1 hour"), timedelta(hours=1))} | {
    name: (window.title, window.length) for name, window in summary.WINDOWS.items()
}


class Since(SimpleListFilter):
    """How long ago an attempt began at most."""

    title = _("time")
    parameter_name = "since"

    def lookups(self, request, model_admin):
        """Offer the spans."""
        return [(name, title) for name, (title, length) in SPANS.items()]

    def queryset(self, request, queryset):
        """Keep what began within the span."""
        if self.value() is None:
            return queryset
        if self.value() not in SPANS:
            raise IncorrectLookupParameters
        return queryset.filter(created_at__gte=self._begin(timezone.now()))

    def _begin(self, now):
        """Return when the span begins; one of the summary's is what the summary counts."""
        name = self.value()
        return summary.since(name, now) if name in summary.WINDOWS else now - SPANS[name][1]


class Operator(SimpleListFilter):
    """Which operator was asked."""

    title = _("operator")
    parameter_name = "operator"

    def lookups(self, request, model_admin):
        """Offer those that are configured, and those that the last summaries saw."""
        configured = [operator.name for operator in conf.served()]
        seen = {row[0] for found in map(summary.known, summary.WINDOWS) if found for row in found.operators}
        return [(name, name) for name in [*configured, *sorted(seen - set(configured))]]

    def queryset(self, request, queryset):
        """Keep what went to it."""
        return queryset if self.value() is None else queryset.filter(operator=self.value())


class Number(SimpleListFilter):
    """Which number was searched for: a key of this session stands in the address in its place."""

    title = _("number")
    parameter_name = "found"

    def lookups(self, request, model_admin):
        """Show what is being looked for, masked; nothing where nothing is."""
        if self.value() is None:
            return []
        self.found = search.recall(request, self.value())
        return [(self.value(), self.found.shown if self.found else _("This search is over."))]

    def queryset(self, request, queryset):
        """Keep the attempts that have one of its digests: older ones may have been made with an older pepper."""
        if self.value() is None:
            return queryset
        return queryset.filter(number_digest__in=self.found.digests) if self.found else queryset.none()


def chosen(changelist):
    """Return (title, choice) for each filter of ``changelist`` that is in use; what is none of its choices is "?"."""
    used = [
        spec for spec in changelist.filter_specs if set(spec.expected_parameters()) & changelist.filter_params.keys()
    ]
    return [
        (spec.title, next((choice["display"] for choice in spec.choices(changelist) if choice["selected"]), "?"))
        for spec in used
    ]
