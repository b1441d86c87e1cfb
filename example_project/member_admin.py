"""The admin's page of a member, with the numbers and the last attempts."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User

from numverify_django.admin import VerificationAttemptInline, VerifiedNumberInline

admin.site.unregister(User)


@admin.register(User)
class MemberAdmin(UserAdmin):
    inlines = [VerifiedNumberInline, VerificationAttemptInline]
