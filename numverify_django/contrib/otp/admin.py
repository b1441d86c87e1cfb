"""The audit of codes, to be read."""

from django.contrib import admin

from ...admin import AuditAdmin
from .models import CodeLogin


@admin.register(CodeLogin)
class CodeLoginAdmin(AuditAdmin):
    """Who asked for a code, and what became of it."""

    list_display = ["began", "shown", "outcome", "reason", "masked", "tries", "user"]
    list_filter = ["outcome", "reason"]
    fields = ["shown", "outcome", "reason", "kept", "tries", "user", "created_at", "expires_at", "ended_at"]
