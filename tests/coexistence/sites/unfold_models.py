"""What Unfold's admin shows: an account with our inlines, and our admins as Unfold's where SITE_ADMINS says so."""

import os

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from unfold.admin import ModelAdmin

from numverify_django import admin as ours
from numverify_django.models import VerificationAttempt, VerifiedNumber


class AttemptAdmin(ours.VerificationAttemptAdmin, ModelAdmin):
    """The audit."""


class NumberAdmin(ours.VerifiedNumberAdmin, ModelAdmin):
    """The numbers."""


class AccountAdmin(UserAdmin, ModelAdmin):
    """An account, with its numbers and attempts."""

    inlines = [ours.VerifiedNumberInline, ours.VerificationAttemptInline]


admin.site.unregister(User)
admin.site.register(User, AccountAdmin)
if os.environ["SITE_ADMINS"] == "unfold":
    admin.site.unregister([VerificationAttempt, VerifiedNumber])
    admin.site.register(VerificationAttempt, AttemptAdmin)
    admin.site.register(VerifiedNumber, NumberAdmin)
