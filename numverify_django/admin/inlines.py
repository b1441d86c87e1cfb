"""What the page of an account shows of its numbers and attempts, to be added to the admin of the site's user model."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.db.models.expressions import Combinable
from django.forms.models import BaseInlineFormSet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..models import VerificationAttempt, VerifiedNumber
from .columns import AttemptColumns, NumberColumns

STYLE = {"all": ["numverify/admin.css"]}
LAST = 10


class Rows(BaseInlineFormSet):  # type: ignore[type-arg]  # generic in the stubs alone
    """The rows of an account, to be looked at: whatever is posted for them is not read."""

    most: int | None = None

    def __init__(self, data: Any = None, files: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def get_queryset(self) -> QuerySet[Any]:
        """Return the first of them, ``most`` at most, asked for once."""
        if not hasattr(self, "_queryset"):
            self._queryset = super().get_queryset()[: self.most]
        return self._queryset

    def is_valid(self) -> bool:
        """There is nothing to be wrong."""
        return True

    def save(self, commit: bool = True) -> list[Any]:
        """Save nothing."""
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        return []


class LastRows(Rows):
    """The last few of many."""

    most = LAST


class ReadOnlyInline(admin.TabularInline):  # type: ignore[type-arg]  # likewise
    """Records of an account: whoever may see them only looks."""

    formset = Rows
    extra = 0
    show_change_link = True
    ordering: ClassVar[list[str | Combinable]]

    class Media:
        css = STYLE

    def has_add_permission(self, request: HttpRequest, obj: Model | None) -> bool:  # type: ignore[override]  # as Django's
        """Refuse."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Refuse: a number is unlinked on its own page."""
        return False

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Allow it to whoever may see the records in their own list; an account that is being made has none."""
        return obj is not None and super().has_view_permission(request, obj)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows of all accounts: there is no inline for whoever may not see them."""
        rows: QuerySet[Any] = self.model._default_manager.order_by(*self.ordering)
        return rows


class VerifiedNumberInline(NumberColumns, ReadOnlyInline):
    """The numbers that log in to an account, masked."""

    model = VerifiedNumber
    fields = readonly_fields = ["masked", "operator", "first_verified_at", "last_verified_at"]  # type: ignore[assignment]  # only names
    ordering = ["-last_verified_at", "-id"]


class VerificationAttemptInline(AttemptColumns, ReadOnlyInline):
    """The last attempts of an account."""

    model = VerificationAttempt
    formset = LastRows
    fields = readonly_fields = ["began", "badge", "reason", "operator", "use", "masked", "took"]  # type: ignore[assignment]  # likewise
    ordering = ["-created_at", "-id"]
    verbose_name_plural = _("last verification attempts")
