"""Start, complete and status: the API of a login in an app."""

import logging
import math
from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import TooManyFieldsSent
from django.db import DatabaseError
from django.forms.utils import ErrorList
from django.http import QueryDict
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.views import APIView, exception_handler

from ... import conf, flow, pages, routing, session, uses
from ...forms import PhoneNumberForm
from ...models import GRACE, Outcome, Use, VerificationAttempt
from ...protocol.exceptions import Expired, Limited, Misconfigured, NumberVerifyError, Replayed, StateUnknown
from ...running import run
from ...views import outside_transactions
from . import journey, media, serializers

logger = logging.getLogger(__name__)


@method_decorator(login_not_required, name="dispatch")
@method_decorator(outside_transactions, name="dispatch")
@method_decorator(pages.guarded, name="dispatch")
@method_decorator(sensitive_post_parameters(), name="dispatch")
class AppView(APIView):
    """What the three have in common: JSON alone, which no other site's form can send, and no cookie tells who asks.

    What REST_FRAMEWORK sets is for the site's own views: these answer as openapi.yaml says, within RATE_LIMITS.
    """

    http_method_names = ["post"]
    authentication_classes = []
    permission_classes = []
    throttle_classes = []
    parser_classes = [media.ObjectParser]
    renderer_classes = [JSONRenderer]
    content_negotiation_class = media.JsonAlone
    versioning_class = None
    serializer_class: type[Serializer[None]]
    answer: Callable[..., Response]  # takes the request, and what the serializer let through

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response | None]:
        """Return the one of Django REST framework."""
        return exception_handler

    def perform_authentication(self, request: Request) -> None:
        """Let nobody be signed in; backends and hooks expect an AnonymousUser, whatever UNAUTHENTICATED_USER is."""
        request.user = AnonymousUser()

    @sensitive_variables()
    def post(self, request: Request) -> Response:
        """Answer, once what was sent has its form."""
        sent = self.serializer_class(data=request.data)
        sent.is_valid(raise_exception=True)
        return self.answer(request, **sent.validated_data)


class StartView(AppView):
    """Begin to prove a number for the app whose ``code_challenge`` this is."""

    serializer_class = serializers.StartSerializer

    @sensitive_variables()
    def answer(self, request: Request, code_challenge: str, **fields: str) -> Response:
        """Return where the app sends the system's browser, and for how long the answer is waited for (seconds)."""
        try:
            form = PhoneNumberForm(fields)
            if not form.is_valid():
                return _refused_form(form.errors.get("phone_number"))
            return self._begin(request, form.cleaned_data, journey.browser_of(code_challenge))
        except NumberVerifyError as error:
            return _refused_at_once(error)

    @sensitive_variables()
    def _begin(self, request: Request, chosen: dict[str, Any], app: str) -> Response:
        _login_hook()
        number = chosen["phone_number"]
        operator = routing.choose(request, number, chosen["operator"])
        if operator is None:  # it was there when the form was read
            return _refused(pages.UNFINISHED, 400)
        asking = flow.begin(request, operator, number, use=Use.APP, next_url="", app=app)
        attempt, url = run(asking)
        if url is None:
            return _refused(pages.group_of(attempt.reason), 503, attempt.reference_shown)
        facts = {"authorization_url": url, "reference": attempt.reference_shown}
        return Response(facts | {"expires_in": conf.get().attempt_lifetime}, 201)


class CompleteView(AppView):
    """End the login with the operator's answer, and give the app what it needs to be logged in."""

    serializer_class = serializers.CompleteSerializer

    @sensitive_variables()
    def answer(self, request: Request, code_verifier: str, response: str) -> Response:
        """Return what APP_LOGIN makes of the account, and the reference."""
        app = journey.browser_of(journey.challenge_of(code_verifier))
        try:
            claimed = flow.claim_for(_params(response), app)
        except Misconfigured as error:
            return _refused_at_once(error)
        except NumberVerifyError as error:
            logger.info("app without a claim: %s", error.code)
            return _refused(pages.NOT_OPEN, 410 if isinstance(error, Expired | Replayed) else 400)
        given: dict[str, Any] = {}
        with uses.ending() as ended:
            run(self._verify(request, claimed, given))
        if ended.error is None:
            return Response(given | {"reference": claimed.attempt.reference_shown})
        return self._failed(request, claimed, ended.error)

    @sensitive_variables()
    async def _verify(self, request: Request, claimed: flow.Claimed, given: dict[str, Any]) -> None:
        log_in, purpose = _login_hook(), uses.of(claimed.attempt)
        purpose.require(request, claimed.attempt)  # before anything is paid for
        verification = await flow.verify(request, claimed, await flow.receive(claimed))
        purpose.complete(request, claimed, verification)
        given.update(log_in(request, claimed.attempt.user, claimed.attempt))
        JSONRenderer().render(given)  # what is no JSON fails here, and not in a report that shows it

    def _failed(self, request: Request, claimed: flow.Claimed, error: NumberVerifyError) -> Response:
        attempt = claimed.attempt
        try:
            flow.fail(request, attempt, error)  # and keep nothing: only browsers try again with what they opened
        except DatabaseError as broken:  # the row stays claimed, and is ended by pruning
            logger.error("attempt %s could not be ended: %s", attempt.reference_shown, type(broken).__name__)
            return _refused(pages.UNFINISHED, 503)
        if attempt.outcome == Outcome.VERIFIED:  # and APP_LOGIN failed after it
            return _refused(pages.UNFINISHED, 503, attempt.reference_shown)
        group = pages.group_of(attempt.reason or error.code)  # where another ended it, this is what happened here
        return _refused(group, pages.status_of(group), attempt.reference_shown)


class StatusView(AppView):
    """Tell the app that began it how a login stands."""

    serializer_class = serializers.StatusSerializer

    @sensitive_variables()
    def answer(self, request: Request, code_verifier: str, reference: str) -> Response:
        """Return ``pending``, ``verified`` or ``failed``, and the error of the last."""
        app = journey.browser_of(journey.challenge_of(code_verifier))
        attempt = session.attempt_begun_by(app, reference)
        if attempt is None:
            return _refused("not_found", 404)
        status, error = _standing(attempt)
        return Response({"status": status, "error": error, "reference": attempt.reference_shown})


def _standing(attempt: VerificationAttempt) -> tuple[str, str | None]:
    """Return the status of ``attempt`` and its error; what nobody finished is over before pruning ends it."""
    if attempt.outcome == Outcome.VERIFIED:
        return "verified", None
    if attempt.is_over:
        return "failed", pages.group_of(attempt.reason)
    return ("failed", pages.NOT_OPEN) if attempt.expires_at < timezone.now() - GRACE else ("pending", None)


def _login_hook() -> Callable[..., dict[str, Any]]:
    found = conf.get().app_login
    if found is None:
        raise Misconfigured("APP_LOGIN is not set: an app would get nothing of a login")
    return found


def _params(response: str) -> dict[str, list[str]]:
    """Return the parameters (name -> values) of an authorization response's query, with or without its ``?``."""
    try:
        return dict(QueryDict(response.removeprefix("?")).lists())
    except TooManyFieldsSent as error:
        raise StateUnknown from error


def _refused(error: str, status: int, reference: str = "") -> Response:
    answer = Response(pages.refusal(error, reference), status)
    # By us; Django would mail ADMINS a report of each login during an outage.
    answer._has_been_logged = status == 503  # type: ignore[attr-defined]  # Django's own
    return answer


def _refused_form(errors: ErrorList | None) -> Response:
    """Return what is wrong with the number, in the person's language; the other fields are the app's own."""
    if not errors:
        return _refused(pages.UNFINISHED, 400)
    return Response(pages.refusal("invalid_number") | {"detail": errors[0]}, 400)


def _refused_at_once(error: NumberVerifyError) -> Response:
    """Return the answer where ``error`` (a NumberVerifyError) came before there was an attempt to end."""
    if isinstance(error, Misconfigured):  # the site's developer reads why in the log and in the checks
        logger.error("numverify_django is misconfigured: %s", error)
    else:
        logger.info("app refused: %s", error.code)
    if not isinstance(error, Limited):
        return _refused(pages.UNFINISHED, 503)
    answer = _refused(pages.group_of(error.code), 429)
    answer["Retry-After"] = str(math.ceil(error.retry_after))
    return answer
