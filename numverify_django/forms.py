"""The one question a person is asked."""

from django import forms
from django.utils.text import get_text_list
from django.utils.translation import gettext_lazy as _

from . import conf
from .protocol import profiles
from .protocol.phone import InvalidNumber, PhoneNumber


class PhoneNumberForm(forms.Form):
    """A mobile number: ``cleaned_data`` has a PhoneNumber that an operator serves, or None: one is to tell it."""

    phone_number = forms.CharField(
        label=_("Mobile number"),
        help_text=_("Works on mobile data. Turn Wi-Fi and VPN off first."),
        required=False,
        strip=False,  # of control characters as well, which no number has
        error_messages={"null_characters_not_allowed": _("Use digits only")},
        widget=forms.TextInput(attrs={"type": "tel", "autocomplete": "tel"}),
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)
    operator = forms.CharField(required=False, widget=forms.HiddenInput)
    operation = forms.ChoiceField(
        choices=[(profiles.VERIFY, ""), (profiles.SHARE, "")], required=False, widget=forms.HiddenInput
    )

    def clean(self):
        """Read the number, and see that there is an operator to ask."""
        data = super().clean()
        settings = conf.get()
        operators = settings.offered(data.get("operator"))
        if not operators:
            self.add_error("operator", "This site has no such operator.")
        typed = "" if data.get("operation") == profiles.SHARE else data.get("phone_number", "").strip(" \u00a0")
        if self.errors:
            return data
        try:
            data["phone_number"] = PhoneNumber.parse(typed, settings.default_region) if typed else None
        except InvalidNumber as error:
            self.add_error("phone_number", _explain(error.code, settings.default_region))
            return data
        may_share = data.get("operation") != profiles.VERIFY
        if not (typed or may_share) or profiles.select(operators, data["phone_number"]) is None:
            self.add_error("phone_number", _where(operators) if typed else _("Enter your mobile number"))
        return data


def _explain(code, region):
    """Return what to do about an InvalidNumber of this ``code``."""
    if code == "characters":
        return _("Use digits only")
    if code == "not_mobile":
        return _("Enter the number of a mobile, like %(example)s") % {"example": PhoneNumber.example(region)}
    return _("Enter a mobile number with all its digits, like %(example)s") % {"example": PhoneNumber.example(region)}


def _where(operators):
    """Return which numbers this site's operators serve."""
    served = sorted({prefix for operator in operators for prefix in operator.prefixes})
    return _("Enter a mobile number that begins with %(prefixes)s") % {"prefixes": get_text_list(served, _("or"))}
