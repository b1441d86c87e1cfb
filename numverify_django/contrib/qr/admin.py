"""The QR logins, to be read."""

from django.contrib import admin

from ...admin import AuditAdmin
from .models import QrLogin


@admin.register(QrLogin)
class QrLoginAdmin(AuditAdmin):
    """Who asked, what became of it, and which attempt proved the number."""

    list_display = ["began", "shown", "status", "browser", "system", "masked", "user", "attempt"]
    list_filter = ["status", "browser", "system"]
    lookups = frozenset(f"{name}__exact" for name in list_filter)
    list_select_related = ["user", "attempt"]
    fields = [
        "shown",
        "status",
        "browser",
        "system",
        "kept",
        "user",
        "attempt",
        "tries",
        "created_at",
        "expires_at",
        "ended_at",
    ]
