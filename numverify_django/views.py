"""Thin views: parse the request, call flow, answer."""

import logging
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Any, TypeVar, cast

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, SuspiciousOperation
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.http.multipartparser import MultiPartParserError
from django.middleware.csrf import CsrfViewMiddleware
from django.utils.cache import patch_vary_headers
from django.utils.decorators import classonlymethod, method_decorator
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.debug import sensitive_variables
from django.views.generic import View

from . import conf, flow, navigation, pages, routing, session, uses
from .forms import PhoneNumberForm
from .models import Outcome, Use
from .protocol import profiles
from .protocol.exceptions import Expired, NumberVerifyError, Replayed
from .protocol.phone import PhoneNumber
from .running import Twofold, arun, run
from .session import NumberVerificationRequest

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer", bound=HttpResponseBase)
FIELDS = [*PhoneNumberForm.base_fields, "retry", "own_number"]  # of which each is sent once


class CsrfCheck(CsrfViewMiddleware):
    """Django's check, whose refusal is a page of ours: a login in another tab is enough to fail it."""

    def process_view(self, request: HttpRequest, *args: Any) -> HttpResponse | None:  # type: ignore[override]  # ours
        """Read the form first, as UTF-8: what cannot be read is answered here, and not with Django's page or a 500."""
        try:
            request.encoding = "utf-8"  # not what the request says: Django fails in "hex", "idna" and "utf-16"
            request.POST  # noqa: B018
        except (BadRequest, MultiPartParserError, SuspiciousOperation):
            return self._refuse(request, "it cannot be read", 400)
        if any(len(request.POST.getlist(name)) > 1 for name in FIELDS):
            return self._refuse(request, "a field is repeated", 400)
        return super().process_view(request, *args)

    def _reject(self, request: HttpRequest, reason: str) -> HttpResponse:
        return self._refuse(request, reason.partition(" - ")[0], 403)  # what follows quotes the request's headers

    def _refuse(self, request: HttpRequest, why: str, status: int) -> HttpResponse:
        flow.forget_query(request)  # a form posted to the callback has a code in its address
        logger.info("form refused: %s", why)
        response = pages.show_failure(request, pages.NOT_OPEN, pages.safe_next(request, ""), status=status)
        response["Referrer-Policy"] = CallbackView.referrer_policy
        return response


class EveryAlias(set[str]):
    """Has whatever alias of a database it is asked about: which there are is in the settings, unread at import."""

    def __contains__(self, alias: object) -> bool:
        return True


def outside_transactions(view: Callable[..., Answer]) -> Callable[..., Answer]:
    """Return ``view``, marked as by Django's non_atomic_requests for every database: none spans an operator call."""
    view._non_atomic_requests = EveryAlias()  # type: ignore[attr-defined]  # Django's own
    return view


@method_decorator(login_not_required, name="dispatch")
@method_decorator(csrf_exempt, name="dispatch")  # from the site's middleware, which would answer with a page of its own
@method_decorator(outside_transactions, name="dispatch")
class NumberVerificationView(View):
    """What all our pages have in common: nobody else's page may frame, cache, forge or be told about them.

    A handler that asks the operator is a coroutine. Under ASGI, with the extra ``async``, no thread waits for it.
    """

    referrer_policy = pages.REFERRER_POLICY
    view_is_async = False  # what Django would make of such handlers: run them in the event loop, database and all

    @classonlymethod
    def as_view(cls, **initkwargs: Any) -> Callable[..., HttpResponseBase]:
        """Return the view; where a class above it has a dispatch of its own, a thread waits as under WSGI."""
        view = super().as_view(**initkwargs)
        if cls.dispatch is not NumberVerificationView.dispatch:
            return view

        async def in_loop(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            answering = cls(**initkwargs)
            answering.setup(request, *args, **kwargs)
            return await arun(answering.respond(request, *args, **kwargs))

        return Twofold(view, in_loop)

    @sensitive_variables()
    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Answer, and wait for the operator in this thread."""
        return run(self.respond(request, *args, **kwargs))

    @sensitive_variables()
    async def respond(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Return the answer to a request that comes from our own page; ask the operator, where its handler does."""
        request.sensitive_post_parameters = "__ALL__"  # type: ignore[attr-defined]  # Django's own
        check = CsrfCheck(HttpResponse)
        check.process_request(request)
        response: HttpResponseBase | None = check.process_view(request, self.respond, args, kwargs)
        if response is None:
            response = await self._handled(request, *args, **kwargs)
        return check.process_response(request, self.finish(response))

    async def _handled(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        try:
            response = self.detour(request) or super().dispatch(request, *args, **kwargs)
            return await response if isawaitable(response) else response
        except NumberVerifyError as error:
            return self.refuse(request, error, pages.safe_next(request, request.POST.get("next")))

    def finish(self, response: HttpResponseBase) -> HttpResponseBase:
        """Return ``response`` with what every answer of ours says."""
        response.headers.setdefault("Referrer-Policy", self.referrer_policy)
        patch_vary_headers(response, ["Accept"])
        return pages.guard(response)

    def detour(self, request: HttpRequest) -> HttpResponse | None:
        """Return the answer that comes before the view's own, or None."""

    def refuse(self, request: HttpRequest, error: NumberVerifyError, next_url: str) -> HttpResponse:
        """Return the page of a start that ``error`` (a NumberVerifyError) refused."""
        return pages.show_refusal(request, error, next_url)


class LoginView(NumberVerificationView):
    """Ask for the number (GET), or send the browser to the operator that knows it (POST)."""

    http_method_names = ["get", "head", "post"]
    template = pages.LOGIN  # what a form that was posted here is shown on again

    def detour(self, request: HttpRequest) -> HttpResponse | None:
        """Let who has been signed in for long, and has no number, show who they are before one is theirs."""
        if request.user.is_anonymous or self.own(request) or session.has_just_come(request):
            return None
        return ask_who(request, pages.safe_next(request, request.GET.get("next") or request.POST.get("next")))

    def get(self, request: NumberVerificationRequest) -> HttpResponse:
        """Show the form; but to who comes back to it by the browser's button, that they are in."""
        self.template, next_url = pages.login_template(request), request.GET.get("next", "")
        if request.number_verification.is_fresh(conf.get().attempt_lifetime) and "confirm" not in request.GET:
            told = partial(self.told, request)
            return pages.show(request, "already.html", pages.safe_next(request, next_url), told=told)
        return self.ask(request, next_url)

    @sensitive_variables()
    def post(self, request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
        """Verify the number typed, one of the account's own, or what a failed attempt kept; or ask for it again."""
        typed = request.POST.get("phone_number")
        if "retry" in request.POST and not typed:
            kept = session.kept_values(request, request.POST["retry"])
            if not {"number", "next"} <= kept.keys():  # a number that fills a form is for that form alone
                return self.ask_again(request, request.POST.get("next", ""), pages.NOT_OPEN, 409)
            return self.begin(request, PhoneNumber(kept["number"]), kept["next"], kept["operator"])
        if not typed and (owns := self.own(request)):
            return self._confirm(request, owns)
        form = PhoneNumberForm(request.POST)
        if not form.is_valid():
            return self._show(request, form, status=400)
        return self.begin(request, *(form.cleaned_data[name] for name in ("phone_number", "next", "operator")))

    @sensitive_variables()
    def _confirm(self, request: HttpRequest, owns: list[session.Own]) -> HttpResponse | Awaitable[HttpResponse]:
        """Verify the one of ``owns`` that the person chose, or the first."""
        key, next_url = request.POST.get("own_number") or owns[0].key, request.POST.get("next", "")
        own = next((own for own in owns if own.key == key), None)
        if own is None:  # it was removed meanwhile, or is another's
            return self.ask_again(request, next_url, pages.NOT_OPEN, 409)
        return self.begin(request, own.number, next_url, request.POST.get("operator") or own.operator.name)

    @sensitive_variables()
    async def begin(self, request: HttpRequest, number: PhoneNumber | None, next_url: str, chosen: str) -> HttpResponse:
        """Do what the form is for: prove ``number`` (None: ask for it) to the operator called ``chosen``, if any."""
        operator = routing.choose(request, number, chosen)
        if operator is None:  # the settings changed since the number was kept
            return self.ask_again(request, next_url, pages.UNFINISHED, 400)
        next_url = pages.safe_next(request, next_url)
        user = request.user if request.user.is_authenticated else None
        attempt, url = await flow.begin(request, operator, number, use=self.use(request), next_url=next_url, user=user)
        return pages.leave(request, attempt, url, next_url)

    def use(self, request: HttpRequest) -> Use:
        """Return what the number is proved for."""
        return Use.STEP_UP if request.user.is_authenticated else Use.LOGIN

    def own(self, request: HttpRequest) -> list[session.Own]:
        """Return the Owns of which one is proved where nothing is typed: the first, unless another is chosen."""
        return session.own(request)

    def ask(self, request: HttpRequest, next_url: str) -> HttpResponse:
        """Show the form, empty."""
        return self._show(request, PhoneNumberForm(initial={"next": next_url}))

    def ask_again(self, request: HttpRequest, next_url: str, error: str, status: int) -> HttpResponse:
        """Show the form to who tries what is not there any more; an application is told so."""
        if navigation.wants_json(request):
            return pages.tell(pages.refusal(error), status)
        return self.ask(request, next_url)

    def _show(self, request: HttpRequest, form: PhoneNumberForm, status: int = 200) -> HttpResponse:
        context = {
            "form": form,
            "share": profiles.select(conf.get().operators, None) is not None,
            "use": self.use(request),
            "own_numbers": (owns := self.own(request)),
            "may_enrol": not owns and (conf.get().allow_staff or not getattr(request.user, "is_staff", False)),
        }
        next_url = pages.safe_next(request, form["next"].value())
        told = partial(_told_errors, form) if form.is_bound else partial(self.told, request)
        return pages.show(request, self.template, next_url, status=status, told=told, **context | self.context())

    def told(self, request: HttpRequest) -> pages.Told:
        """Return what an application is told instead of the form."""
        return pages.form(
            request,
            number=next((own.number.masked for own in self.own(request)), None),
            share=profiles.select(conf.get().operators, None) is not None,
            verified=cast(NumberVerificationRequest, request).number_verification.is_fresh(conf.get().attempt_lifetime),
        )

    def context(self) -> dict[str, Any]:
        """Return what the page of this view has otherwise."""
        return {}


def _told_errors(form: PhoneNumberForm) -> pages.Told:
    """Return what is wrong with the number, in the person's language; the other fields are the application's own."""
    errors = form.errors.get("phone_number")
    return pages.refusal("invalid_number") | {"detail": errors[0]} if errors else pages.refusal(pages.UNFINISHED)


def ask_who(request: HttpRequest, next_url: str) -> HttpResponse:
    """Return the page that asks a signed-in person to show again who they are, and then leads to ``next_url``."""
    told = partial(pages.form, request, **pages.refusal("login_required"))
    context = {"own_numbers": session.own(request), "confirm_url": pages.confirm_url(next_url)}
    return pages.show(request, "numbers/who.html", next_url, status=403, told=told, **context)


class FillView(NumberVerificationView):
    """Ask the operator for the number of this phone, for a form of the site; nobody is logged in."""

    http_method_names = ["post"]

    async def post(self, request: HttpRequest) -> HttpResponse:
        """Start a share that comes back to ``next``."""
        next_url = pages.safe_next(request, request.POST.get("next"))
        operator = routing.choose(request, None, request.POST.get("operator", ""))
        if operator is None:
            return pages.show_failure(request, pages.UNFINISHED, next_url, status=400, **_filling(next_url))
        attempt, url = await flow.begin(request, operator, None, use=Use.FILL, next_url=next_url)
        return pages.leave(request, attempt, url, next_url)

    def refuse(self, request: HttpRequest, error: NumberVerifyError, next_url: str) -> HttpResponse:
        """Lead back to the form."""
        return pages.show_refusal(request, error, next_url, **_filling(next_url))


def _filling(next_url: str) -> dict[str, Any]:
    return uses.TABLE[Use.FILL].failure(next_url)


class CallbackView(NumberVerificationView):
    """Where the operator sends the browser back to."""

    http_method_names = ["get"]  # HEAD and OPTIONS spend nothing
    referrer_policy = "no-referrer"  # its address holds the code (RFC 9700 4.2.4), and its pages no form

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse, and forget the code: it is in the address whatever the method."""
        flow.forget_query(request)
        return super().http_method_not_allowed(request, *args, **kwargs)

    async def get(self, request: HttpRequest, operator: str | None = None) -> HttpResponse:
        """Finish the attempt that this callback belongs to, or say why it cannot be."""
        if navigation.is_prefetch(request):  # which spends nothing: what failed is asked again when the person comes
            flow.forget_query(request)
            return pages.show_failure(request, pages.NOT_OPEN, "", status=400)
        if _is_without_strict_cookies(request):
            return pages.show(request, "returning.html", "")
        try:
            claimed = flow.claim(request)
        except NumberVerifyError as error:
            return self._not_ours(request, error)
        attempt, next_url = claimed.attempt, pages.safe_next(request, claimed.opened.next_url)
        with uses.ending() as ended:
            await self._verify(request, claimed)
        if ended.error is not None:
            return self._failed(request, claimed, ended.error, next_url)
        url = uses.of(attempt).destination(attempt, next_url)
        return pages.go(request, url, {"next": url, "reference": attempt.reference_shown})

    @sensitive_variables()
    async def _verify(self, request: HttpRequest, claimed: flow.Claimed) -> None:
        routing.check_callback(request, claimed.attempt.operator, claimed.opened.redirect_uri)
        purpose = uses.of(claimed.attempt)
        purpose.require(request, claimed.attempt)
        verification = await flow.verify(request, claimed, await flow.receive(claimed))
        purpose.complete(request, claimed, verification)

    def _failed(
        self, request: HttpRequest, claimed: flow.Claimed, error: NumberVerifyError, next_url: str
    ) -> HttpResponse:
        attempt, purpose = claimed.attempt, uses.of(claimed.attempt)
        try:
            flow.fail(request, attempt, error, claimed.opened)
        except DatabaseError as broken:  # the row stays claimed, and is ended by the next start or by pruning
            logger.error("attempt %s could not be ended: %s", attempt.reference_shown, type(broken).__name__)
            return pages.show_failure(request, pages.UNFINISHED, "", status=503, **purpose.failure(""))
        group = purpose.group_of(attempt.reason or error.code)  # where another ended it, this is what happened here
        if purpose.is_told_there(error):  # whoever is logged in there, it is nobody by this attempt
            told = pages.refusal(group, attempt.reference_shown)
            return pages.go(request, next_url, told, pages.status_of(group))
        if attempt.outcome != Outcome.VERIFIED:
            return pages.to_failed(request, attempt, group)
        purpose.undo(request)  # it failed after the proof was recorded
        return pages.show_failure(request, pages.UNFINISHED, "", status=503, **purpose.failure(""))

    def _not_ours(self, request: HttpRequest, error: NumberVerifyError) -> HttpResponse:
        """Answer a callback that claimed nothing: the page is the same whatever was wrong, but to whose own is late."""
        logger.info("callback without a claim: %s", error.code)
        if isinstance(error, Replayed) and request.user.is_authenticated:
            told = partial(pages.refusal, pages.NOT_OPEN)
            return pages.show(request, "already.html", pages.safe_next(request, ""), status=409, told=told)
        if isinstance(error, Expired):
            next_url = pages.safe_next(request, error.next_url)
            if uses.of(error).is_told_there(error):
                return pages.go(request, next_url, pages.refusal(pages.NOT_OPEN, error.reference), 410)
            return pages.show_failure(request, pages.NOT_OPEN, next_url, status=410, reference=error.reference)
        status = 410 if isinstance(error, Replayed) else 400
        return pages.show_failure(request, pages.group_of(error.code), "", status=status)


def _is_without_strict_cookies(request: HttpRequest) -> bool:
    """Tell whether the browser kept SameSite=Strict cookies to itself, because another site led here."""
    is_strict = str(settings.SESSION_COOKIE_SAMESITE).lower() == "strict"
    is_led = request.headers.get("Sec-Fetch-Site") == "cross-site"
    return is_strict and is_led and settings.SESSION_COOKIE_NAME not in request.COOKIES


class FailedView(NumberVerificationView):
    """Say what happened and what to do, to the browser that it happened to."""

    http_method_names = ["get", "head"]

    @sensitive_variables()
    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the page of the attempt that ``reference`` names."""
        attempt = session.attempt_called(request, request.GET.get("reference", ""))
        if attempt is None or attempt.outcome in (Outcome.PENDING, Outcome.VERIFIED):
            return pages.show_failure(request, pages.NOT_OPEN, "", status=404)
        kept = session.kept(session.browser_of(request), attempt)
        next_url = kept.get("next", "")
        context: dict[str, Any] = {"reference": attempt.reference_shown, "retry": "number" in kept}
        context |= {"operation": attempt.operation, "own_numbers": session.own(request)}
        purpose = uses.of(attempt)
        context |= purpose.failure(next_url)
        group = purpose.group_of(attempt.reason)
        told = pages.refusal(group, attempt.reference_shown) | {"retry": context["retry"]}
        return pages.show_failure(request, group, next_url, told=partial(pages.form, request, **told), **context)


class AgainView(NumberVerificationView):
    """Where a person comes back to whose form was stopped by StepUpRequired: nothing sends it for them."""

    http_method_names = ["get", "head"]

    def get(self, request: NumberVerificationRequest) -> HttpResponse:
        """Say once that the form waits to be sent; whom it does not concern, or no more, show the form's page."""
        next_url = pages.safe_next(request, request.GET.get("next"))
        is_confirmed = request.number_verification.is_fresh(conf.get().attempt_lifetime)
        if not (is_confirmed and session.noted(request, "stopped")):
            return HttpResponseRedirect(next_url)
        return pages.show(request, "again.html", next_url)
