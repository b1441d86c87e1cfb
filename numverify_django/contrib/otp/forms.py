"""The two questions: which number, and which code."""

import re
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from ...forms import PhoneNumberForm
from .models import LENGTH

CODE = re.compile(f"[0-9]{{{LENGTH}}}")
BLANKS = re.compile(r"[\s-]+")  # as messages and people group digits
SIX_DIGITS = _("The code must be 6 digits")


class NumberForm(PhoneNumberForm):
    """The number to send a code to, of the countries that the site's operators serve."""

    operator = operation = None  # type: ignore[assignment]  # so Django leaves out a field of the class above

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["phone_number"].help_text = ""

    def clean(self) -> dict[str, Any]:
        """Read the number; here nobody else can tell it."""
        data = super().clean()
        if not self.errors and data["phone_number"] is None:
            self.add_error("phone_number", _("Enter your mobile number"))
        return data


class CodeForm(forms.Form):
    """The code, and which one it is."""

    code = forms.CharField(
        label=_("Code"),
        strip=False,
        error_messages={"required": SIX_DIGITS, "null_characters_not_allowed": SIX_DIGITS},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code"}),
    )
    reference = forms.CharField(required=False, widget=forms.HiddenInput)
    next = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_code(self) -> str:
        """Return the digits without blanks."""
        code = BLANKS.sub("", self.cleaned_data["code"])
        if not CODE.fullmatch(code):
            raise forms.ValidationError(SIX_DIGITS)
        return code
