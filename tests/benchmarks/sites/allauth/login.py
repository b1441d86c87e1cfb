"""A verify call in the adapter, and a start that remembers the number that was typed."""

import requests
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.providers.openid_connect.views import login
from django.core.exceptions import PermissionDenied

from ..audit import log
from ..common import VERIFY_URL


def start(request):
    """Begin a login by number."""
    request.session["number"] = request.POST["phone_number"]
    return login(request, "operator")


class NaiveAdapter(DefaultSocialAccountAdapter):
    """Verify the number once allauth has the tokens."""

    def pre_social_login(self, request, sociallogin):
        """Let in who has the SIM, and keep an audit of it."""
        number = request.session["number"]
        attempt = log.begin(number)
        headers = {"Authorization": f"Bearer {sociallogin.token.token}"}
        answer = requests.post(VERIFY_URL, json={"phoneNumber": number}, headers=headers, timeout=10)
        answer.raise_for_status()
        if answer.json()["devicePhoneNumberVerified"] is not True:
            raise PermissionDenied
        log.end(attempt, sociallogin.user if sociallogin.is_existing else None)
