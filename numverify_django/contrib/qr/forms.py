"""What is typed on the desktop."""

import re

from django import forms
from django.utils.translation import gettext_lazy as _

from .models import CODE_LENGTH

CODE = re.compile(rf"[0-9]{{{CODE_LENGTH}}}")
MALFORMED = _("The code must be 6 digits")


class CodeForm(forms.Form):
    """The short code that the phone shows; blanks are no part of it."""

    code = forms.CharField(
        label=_("Code from your phone"),
        required=False,
        error_messages={"null_characters_not_allowed": MALFORMED},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "off"}),
    )

    def clean_code(self) -> str:
        """Return its digits."""
        code = "".join(self.cleaned_data["code"].split())
        if not CODE.fullmatch(code):
            raise forms.ValidationError(MALFORMED)
        return code
