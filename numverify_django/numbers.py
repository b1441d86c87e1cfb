"""A signed-in person's numbers: shown, added, changed and removed.

To change a number is to add the new one and then to remove the old one: each step stands for itself.
"""

from collections.abc import Coroutine
from functools import partial
from typing import Any

from django.contrib.auth import logout
from django.contrib.auth.views import redirect_to_login
from django.db import router, transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from . import backends, conf, pages, session, signals
from .models import Use, VerificationAttempt, VerifiedNumber
from .protocol.exceptions import NumberVerifyError
from .protocol.phone import PhoneNumber
from .views import LoginView, NumberVerificationView, ask_who


class SignedIn:
    """Somebody is signed in here, and who changes something logged in not long ago: a session may be a thief's."""

    changes = True

    def detour(self, request: HttpRequest) -> HttpResponse | None:
        """Send a stranger to log in; let who has been here for long show again who they are."""
        if not request.user.is_authenticated:
            login = redirect_to_login(request.get_full_path())
            return pages.go(request, login.url, pages.refusal("login_required"), 403)
        if self.changes and not session.has_just_come(request):
            return ask_who(request, request.get_full_path())
        return None

    def refuse(self, request: HttpRequest, error: NumberVerifyError, next_url: str) -> HttpResponse:
        """Lead back to the form."""
        return pages.show_refusal(request, error, next_url, again_url=request.path)


class NumbersView(SignedIn, NumberVerificationView):
    """List them."""

    http_method_names = ["get", "head"]
    changes = False

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show each, and what was just done."""
        done = {name: session.noted(request, name) for name in ("added", "removed")}
        logs_in = conf.get().allow_staff or not session.is_staff(request.user)
        context = done | {"numbers": _numbers(request), "logs_in": logs_in, "told": partial(_told, request, **done)}
        return pages.show(request, "numbers/list.html", "", **context)


class AddNumberView(SignedIn, LoginView):
    """Ask for a number to add (GET), or send the browser to the operator that knows it (POST)."""

    template = "numbers/add.html"

    def get(self, request: HttpRequest) -> HttpResponse:
        """Show the form."""
        return self.ask(request, request.GET.get("next", ""))

    def begin(
        self, request: HttpRequest, number: PhoneNumber | None, next_url: str, chosen: str
    ) -> Coroutine[Any, Any, HttpResponse]:
        """Prove ``number`` (None: ask for it), and come back to the list unless the form leads elsewhere."""
        return super().begin(request, number, next_url or _home(), chosen)

    def use(self, request: HttpRequest) -> Use:
        """Return what the number is proved for."""
        return Use.LINK

    def own(self, request: HttpRequest) -> list[session.Own]:
        """Return none: the account's own numbers are what it has already."""
        return []

    def context(self) -> dict[str, Any]:
        """Return what this page has otherwise."""
        return {"action_url": reverse("numverify:add_number"), "cancel_url": _home()}


class RemoveNumberView(SignedIn, NumberVerificationView):
    """Ask whether a number is to be removed (GET), and remove it (POST); never the last way in."""

    http_method_names = ["get", "head", "post"]

    def get(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Ask, and say what was added on the way here: then the number is being changed."""
        record = _numbers(request).filter(pk=pk).first()
        if record is None:
            return pages.go(request, _home(), pages.refusal("not_found"), 404)
        is_last_way = _is_last_way(request, record)
        context: dict[str, Any] = {"record": record, "is_last_way": is_last_way, "cancel_url": _home()}
        context["added"] = session.noted(request, "added")
        context["told"] = partial(pages.form, request, number=_of(record), is_last_way=is_last_way)
        return pages.show(request, "numbers/remove.html", "", **context)

    def post(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Remove it, unless it is gone by now or would lock its owner out."""
        record = _removed(request, pk)
        if record is None:
            url = reverse("numverify:remove_number", args=[pk])
            return pages.go(request, url, pages.refusal("not_removed"), 409)
        number = record.phone_number
        session.note_once(request, removed=number.ending)
        signals.number_removed.send_robust(VerifiedNumber, request=request, user=request.user, number=number)
        return pages.go(request, _home(), {"next": _home()})


class LoginAgainView(NumberVerificationView):
    """Log out, and show every way in: who cannot confirm with the SIM of a number shows so who they are."""

    http_method_names = ["post"]

    def post(self, request: HttpRequest) -> HttpResponse:
        """Do that, and lead back afterwards."""
        next_url = pages.safe_next(request, request.POST.get("next"))
        logout(request)
        login_url = redirect_to_login(next_url).url
        return pages.go(request, login_url, {"next": login_url})


def _told(request: HttpRequest, **done: Any) -> pages.Told:
    """Return what an application is told of the numbers, and of what was just done."""
    return pages.form(request, numbers=[_of(record) for record in _numbers(request)], **done)


def _of(record: VerifiedNumber) -> dict[str, Any]:
    return {
        "id": record.pk,
        "number": record.phone_number.masked,
        "operator": record.operator,
        "first_verified_at": record.first_verified_at,
        "last_verified_at": record.last_verified_at,
    }


def _numbers(request: HttpRequest) -> QuerySet[VerifiedNumber]:
    return VerifiedNumber.objects.filter(user=request.user.pk).order_by("-last_verified_at", "-pk")


def _removed(request: HttpRequest, pk: int) -> VerifiedNumber | None:
    """Remove the number of this key and return its record, or None; tabs that remove two at once take turns."""
    with transaction.atomic(using=router.db_for_write(VerifiedNumber)):
        _numbers(request).order_by().update(number=F("number"))  # SQLite locks by no reading
        record = _numbers(request).filter(pk=pk).first()
        if record is None or _is_last_way(request, record):
            return None
        VerifiedNumber.objects.filter(pk=pk).delete()
        # Which would add it again, as a first number.
        VerificationAttempt.objects.cancel(request.user, backends.CONFIRMING)  # type: ignore[arg-type]  # signed in
        return record


def _is_last_way(request: HttpRequest, record: VerifiedNumber) -> bool:
    served = [operator.name for operator in conf.get().operators]
    others = _numbers(request).filter(operator__in=served).exclude(pk=record.pk)
    return not others.exists() and not backends.ours().has_other_way(request, request.user)  # type: ignore[arg-type]  # so too


def _home() -> str:
    return reverse("numverify:numbers")
