"""The audit that a developer adds to a login of their own."""

from django.conf import settings
from django.db import models


class Attempt(models.Model):
    """One try to prove a number."""

    created_at = models.DateTimeField(auto_now_add=True, db_index=True)
    ended_at = models.DateTimeField(null=True)
    number_shown = models.CharField(max_length=16)
    operator = models.CharField(max_length=64)
    outcome = models.CharField(max_length=16, default="pending")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.SET_NULL, null=True)

    def __str__(self):
        return f"{self.created_at} {self.outcome}"
