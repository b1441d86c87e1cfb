"""Django's authentication by a code."""

from asgiref.sync import sync_to_async
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.views.decorators.debug import sensitive_variables

from ... import conf, session
from ...models import VerifiedNumber
from ...protocol.exceptions import PolicyRefused
from . import codes
from .models import CodeDevice, CodeLogin


class OneTimeCodeBackend(ModelBackend):
    """Log in the account that a code was sent to; passwords are no business of it."""

    needs_number = True

    @sensitive_variables()
    def authenticate(  # type: ignore[override]  # Django asks whoever takes credentials of these names
        self, request: HttpRequest, code_login: CodeLogin, token: str
    ) -> AbstractBaseUser | None:
        """Return the user of ``code_login`` if ``token`` is its code, else None: one of its tries is spent.

        Raises Refused where the code is right and the account may not log in any more, or LOGIN_POLICY does not let it.
        """
        device = self._spend(code_login, token, session.browser_of(request))
        if device is None:
            return None
        found = VerifiedNumber.objects.filter(pk=device.number_id, user=device.user_id).select_related("user").first()
        record = codes.require_account(found)
        code_login.verified_number, code_login.operator = record, record.operator
        policy = conf.get().login_policy
        if policy is not None and policy(request, record.user, code_login) is not True:
            raise PolicyRefused
        return record.user

    async def aauthenticate(  # type: ignore[override]  # likewise
        self, request: HttpRequest, code_login: CodeLogin, token: str
    ) -> AbstractBaseUser | None:
        """Do the same from asynchronous code."""
        return await sync_to_async(self.authenticate)(request, code_login, token)

    @sensitive_variables()
    def _spend(self, code_login: CodeLogin, token: str, browser: str | None) -> CodeDevice | None:
        """Return the CodeDevice that accepted ``token``, or None; either is on record when this returns."""
        with transaction.atomic():
            if not code_login.take_try():  # a write comes first: SQLite would let two begin by reading
                return None
            which = {"browser_digest": code_login.browser_digest, "reference": code_login.reference}
            device = CodeDevice.objects.select_for_update().filter(**which).first()
            is_right = device is not None and device.accepts(token, browser)
            code_login.note_try(is_right)
        return device if is_right else None
