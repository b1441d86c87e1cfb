"""A site's adapter for allauth: where it wants to know again who is there, a phone will do; and its LOGIN_POLICY."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.utils import is_mfa_enabled
from django.urls import reverse


class AccountAdapter(DefaultAccountAdapter):
    """Takes a fresh proof for a password that was typed again, and offers it to who has no password."""

    def is_reauthentication_required(self, **kwargs):
        """Tell whether ``app`` must know again who is there."""
        is_fresh = self.request.number_verification.is_fresh(300)
        return not is_fresh and super().is_reauthentication_required(**kwargs)

    def get_reauthentication_methods(self, user):
        """Return allauth's ways, and ours after them."""
        ours = {"id": "numverify", "description": "Use your phone", "url": reverse("numverify:login")}
        return [*super().get_reauthentication_methods(user), ours]


def no_second_factor_is_left_out(request, user, attempt):
    """Refuse a login by SIM to who has a second factor of allauth's: its own login asks for that."""
    return attempt.user_id is not None or not is_mfa_enabled(user)
