"""Two views and two calls, by hand: what a careful developer with this one operator in mind would write."""

import base64
import hashlib
import hmac
import secrets
from urllib.parse import urlencode

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from ..audit import log
from ..common import CLIENT_ID, ISSUER
from . import operator

BACKEND = "django.contrib.auth.backends.ModelBackend"


@require_POST
def start(request):
    """Go to the operator."""
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    begun = {"state": state, "nonce": nonce, "verifier": verifier, "number": request.POST["phone_number"]}
    request.session["begun"] = begun
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": request.build_absolute_uri(reverse("callback")),
        "scope": "openid dpv:FraudPreventionAndDetection number-verification:verify",
        "state": state,
        "nonce": nonce,
        "code_challenge": _challenge(verifier),
        "code_challenge_method": "S256",
        "prompt": "none",
    }
    return HttpResponseRedirect(f"{ISSUER}/authorize?{urlencode(query)}")


@require_GET
def callback(request):
    """Log in who has the SIM."""
    begun = request.session.pop("begun", None)
    if begun is None or not hmac.compare_digest(begun["state"], request.GET["state"]):
        raise PermissionDenied
    attempt = log.begin(begun["number"])
    token = operator.exchange(
        request.GET["code"], begun["verifier"], begun["nonce"], request.build_absolute_uri(reverse("callback"))
    )
    if not operator.verify(token, begun["number"]):
        raise PermissionDenied
    user = User.objects.filter(username=begun["number"]).first() or User.objects.create_user(begun["number"])
    login(request, user, BACKEND)
    log.end(attempt, user)
    return HttpResponseRedirect("/home/")


def _challenge(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
