"""Lists of any length: each page begins where another ends.

There is no page number: the database would read everything before it. The address has the row at which a page begins
or ends, by its date and primary key.
"""

from datetime import UTC, datetime
from typing import Any, Literal

from django.conf import settings
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ChangeList
from django.db import connections
from django.db.models import Model, Q, QuerySet
from django.db.models.expressions import Combinable
from django.http import HttpRequest
from django.utils import timezone
from django.utils.translation import gettext as _

from .drawing import figure

BEFORE, AFTER = "before", "after"  # rows older than the one named, or newer; AFTER nothing are the oldest
COUNTED = 10_000  # rows; of what is more PostgreSQL only says so: it would read them all


class KeysetChangeList(ChangeList):
    """The rows of an admin whose ``ordering`` is a date and the primary key, newest first."""

    queryset: QuerySet[Any]

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[str | Combinable]:
        """Return the one order that an index has for every filter: no column of the list sorts it."""
        return self.model_admin.ordering  # type: ignore[return-value]  # a list

    def get_queryset(self, request: HttpRequest, **kwargs: Any) -> QuerySet[Any]:  # type: ignore[override]  # Django passes it by name
        """Return the rows of all pages, and take what names a page from the parameters of filters."""
        self.bounds = {name: self.filter_params.pop(name)[-1] for name in (BEFORE, AFTER) if name in self.filter_params}
        for name in self.bounds:
            self.params.pop(name, None)  # which a search keeps
        return super().get_queryset(request, **kwargs)

    def get_results(self, request: HttpRequest) -> None:
        """Fetch one page, and one row more to know whether there is another."""
        self.result_list, self.has_newer, self.has_older = self._page()
        self.multi_page = self.has_newer or self.has_older
        self.result_count = self._count()
        self.show_full_result_count, self.full_result_count = False, None
        self.show_admin_actions, self.can_show_all = True, False
        self.paginator = self.model_admin.get_paginator(request, self.result_list, self.list_per_page)

    def _count(self) -> int:
        """Return how many rows there are on all pages; COUNTED + 1 are more where ``_is_capped``."""
        if not self.multi_page:
            return len(self.result_list)
        rows = self.queryset.order_by()
        return (rows[: COUNTED + 1] if self._is_capped else rows).count()

    def _page(self) -> tuple[list[Model], bool, bool]:
        """Return the rows of the page, newest first, and whether there are newer and older ones.

        Where the page has gone meanwhile, it is the newest.
        """
        if AFTER in self.bounds:
            rows, has_more = self._first(self._beyond(self.bounds[AFTER], "gt").reverse())
            if has_more:
                return rows[::-1], True, bool(self.bounds[AFTER])
        elif self.bounds.get(BEFORE):
            rows, has_more = self._first(self._beyond(self.bounds[BEFORE], "lt"))
            if rows:
                return rows, True, has_more
        rows, has_more = self._first(self.queryset)
        return rows, False, has_more

    def _first(self, queryset: QuerySet[Any]) -> tuple[list[Model], bool]:
        rows = list(queryset[: self.list_per_page + 1])
        return rows[: self.list_per_page], len(rows) > self.list_per_page

    def _beyond(self, bound: str, side: Literal["lt", "gt"]) -> QuerySet[Any]:
        """Return the rows on one ``side`` ("lt", "gt") of ``bound``, which is text, or nothing for all."""
        if not bound:
            return self.queryset
        date, (at, pk) = self._date, _parse(bound)
        beyond = Q(**{f"{date}__{side}": at}) | Q(**{date: at, f"pk__{side}": pk})
        return self.queryset.filter(beyond, **{f"{date}__{side}e": at})  # which an index finds

    @property
    def _is_capped(self) -> bool:
        return connections[self.queryset.db].vendor == "postgresql"

    @property
    def _date(self) -> str:
        return self.model_admin.ordering[0].removeprefix("-")  # type: ignore[index, union-attr]  # a list of names

    def _bound(self, row: Model) -> str:
        return f"{getattr(row, self._date).isoformat()},{row.pk}"

    @property
    def counted(self) -> str:
        """How many rows there are, as people read it."""
        if self._is_capped and self.result_count > COUNTED:
            return _("More than %(count)s") % {"count": figure(COUNTED)}
        return figure(self.result_count)

    @property
    def links(self) -> list[tuple[str, str | None]]:
        """The other pages: (name, address), newest first; the address is None where there is no such page."""
        first, last = (self._bound(self.result_list[end]) for end in (0, -1)) if self.multi_page else ("", "")
        link = self.get_query_string
        newer = [link(), link({AFTER: first})] if self.has_newer else [None, None]
        older = [link({BEFORE: last}), link({AFTER: ""})] if self.has_older else [None, None]
        return list(zip([_("Newest"), _("Newer"), _("Older"), _("Oldest")], [*newer, *older], strict=True))


def _parse(bound: str) -> tuple[datetime, int]:
    """Return the date and primary key in ``bound``, or raise IncorrectLookupParameters."""
    date, _, pk = bound.partition(",")
    try:
        at = datetime.fromisoformat(date)
        if timezone.is_aware(at) != settings.USE_TZ:
            raise ValueError("a date of another kind")
        return (at.astimezone(UTC) if settings.USE_TZ else at), int(pk)
    except (ValueError, OverflowError) as error:
        raise IncorrectLookupParameters(error) from error
