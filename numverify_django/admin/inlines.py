"""What the page of an account shows of its numbers and attempts, to be added to the admin of the site's user model."""

from django.contrib import admin
from django.forms.models import BaseInlineFormSet
from django.utils.translation import gettext_lazy as _

from ..models import VerificationAttempt, VerifiedNumber
from .columns import AttemptColumns, NumberColumns

STYLE = {"all": ["numverify/admin.css"]}
LAST = 10


class Rows(BaseInlineFormSet):
    """The rows of an account, to be looked at: whatever is posted for them is not read."""

    most = None

    def __init__(self, data=None, files=None, **kwargs):
        super().__init__(**kwargs)

    def get_queryset(self):
        """Return the first of them, ``most`` at most, asked for once."""
        if not hasattr(self, "_queryset"):
            self._queryset = super().get_queryset()[: self.most]
        return self._queryset

    def is_valid(self):
        """There is nothing to be wrong."""
        return True

    def save(self, commit=True):
        """Save nothing."""
        self.new_objects, self.changed_objects, self.deleted_objects = [], [], []
        return []


class LastRows(Rows):
    """The last few of many."""

    most = LAST


class ReadOnlyInline(admin.TabularInline):
    """Records of an account: whoever may see them only looks."""

    formset = Rows
    extra = 0
    show_change_link = True

    class Media:
        css = STYLE

    def has_add_permission(self, request, obj):
        """Refuse."""
        return False

    def has_change_permission(self, request, obj=None):
        """Refuse."""
        return False

    def has_delete_permission(self, request, obj=None):
        """Refuse: a number is unlinked on its own page."""
        return False

    def has_view_permission(self, request, obj=None):
        """Allow it to whoever may see the records in their own list; an account that is being made has none."""
        return obj is not None and super().has_view_permission(request, obj)

    def get_queryset(self, request):
        """Return the rows of all accounts: there is no inline for whoever may not see them."""
        return self.model._default_manager.order_by(*self.ordering)


class VerifiedNumberInline(NumberColumns, ReadOnlyInline):
    """The numbers that log in to an account, masked."""

    model = VerifiedNumber
    fields = readonly_fields = ["masked", "operator", "first_verified_at", "last_verified_at"]
    ordering = ["-last_verified_at", "-id"]


class VerificationAttemptInline(AttemptColumns, ReadOnlyInline):
    """The last attempts of an account."""

    model = VerificationAttempt
    formset = LastRows
    fields = readonly_fields = ["began", "badge", "reason", "operator", "use", "masked", "took"]
    ordering = ["-created_at", "-id"]
    verbose_name_plural = _("last verification attempts")
