"""``request.number_verification`` on every request, and the redirect that a view's StepUpRequired asks for."""

from urllib.parse import urlencode

from django.contrib.auth.views import redirect_to_login
from django.http import HttpResponseRedirect, JsonResponse
from django.urls import reverse

from . import conf, flow, pages
from .models import Use
from .protocol import profiles
from .protocol.exceptions import NumberVerifyError
from .session import NumberVerification, StepUpRequired, own_number


class NumberVerificationMiddleware:
    """Stands after AuthenticationMiddleware."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        request.number_verification = NumberVerification(request)
        return self.get_response(request)

    def process_exception(self, request, exception):
        """Answer StepUpRequired: log in, confirm on our page, or go to the operator at once."""
        if not isinstance(exception, StepUpRequired):
            return None
        try:
            return pages.guard(self._answer(request))
        except NumberVerifyError as error:
            return pages.guard(pages.show_refusal(request, error, request.get_full_path()))

    def _answer(self, request):
        here = request.get_full_path()
        if _is_fetch(request):
            return JsonResponse({"error": "step_up_required", "login_url": reverse("numverify:login")}, status=403)
        if not request.user.is_authenticated:
            return redirect_to_login(here)
        return self._confirm(request, here)

    def _confirm(self, request, here):
        number = own_number(request.user)
        is_foreign = request.headers.get("Sec-Fetch-Site") == "cross-site"  # another site's link must cost nothing
        has_own_page = pages.login_template(request) != pages.LOGIN  # a desktop has no SIM, and is offered a QR code
        if request.method != "GET" or number is None or is_foreign or has_own_page:
            query = {"next": here, "confirm": "yes"}
            return HttpResponseRedirect(f"{reverse('numverify:login')}?{urlencode(query)}")
        operator = profiles.select(conf.get().operators, number)
        attempt, url = flow.begin(request, operator, number, use=Use.STEP_UP, next_url=here, user=request.user)
        return pages.leave(request, attempt, url, here)


def _is_fetch(request):
    """Tell whether a script, a frame or a prefetch asks, which must start nothing: only a person's navigation may.

    A browser too old to say so is believed: its session cookie, SameSite=Lax, goes with no foreign subrequest.
    """
    navigates = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    is_page = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    return not (navigates and is_page) or pages.is_prefetch(request)
