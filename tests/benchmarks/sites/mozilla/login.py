"""A verify call in the backend, and a start that remembers the number that was typed."""

import requests
from django.core.exceptions import SuspiciousOperation
from mozilla_django_oidc.auth import OIDCAuthenticationBackend
from mozilla_django_oidc.views import OIDCAuthenticationRequestView

from ..audit import log
from ..common import VERIFY_URL


class StartView(OIDCAuthenticationRequestView):
    """Begin a login by number."""

    http_method_names = ["post"]

    def post(self, request):
        """Go to the operator."""
        request.session["number"] = request.POST["phone_number"]
        return self.get(request)


class NaiveBackend(OIDCAuthenticationBackend):
    """The user's name is the number."""

    def authenticate(self, request, **kwargs):
        """Keep an audit of it."""
        attempt = log.begin(request.session["number"])
        user = super().authenticate(request, **kwargs)
        log.end(attempt, user)
        return user

    def get_userinfo(self, access_token, id_token, payload):
        """Verify the number too."""
        claims = super().get_userinfo(access_token, id_token, payload)
        number, headers = self.request.session["number"], {"Authorization": f"Bearer {access_token}"}
        answer = requests.post(VERIFY_URL, json={"phoneNumber": number}, headers=headers, timeout=10)
        answer.raise_for_status()
        if answer.json()["devicePhoneNumberVerified"] is not True:
            raise SuspiciousOperation("another SIM")
        return claims | {"phone_number": number}

    def verify_claims(self, claims):
        """Need no e-mail address."""
        return "phone_number" in claims

    def filter_users_by_claims(self, claims):
        """Find the user by number."""
        return self.UserModel.objects.filter(username=claims["phone_number"])

    def create_user(self, claims):
        """Return a new user."""
        return self.UserModel.objects.create_user(claims["phone_number"])
