"""The one question a person is asked."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.conf import settings as django_settings
from django.utils.text import get_text_list
from django.utils.translation import get_language, get_language_bidi
from django.utils.translation import gettext_lazy as _

from . import conf
from .protocol import profiles
from .protocol.phone import InvalidNumber, PhoneNumber, Region, region, regions

if TYPE_CHECKING:
    from django.utils.functional import _StrOrPromise

OWN_COUNTRY = {"de", "es", "fr", "it", "nl", "pl", "pt"}  # languages that share their code with a country of theirs


def offered_regions() -> tuple[Region, ...]:
    """Return the Regions whose numbers this site's operators serve."""
    operators = conf.get().operators
    if not all(operator.prefixes for operator in operators):
        return regions()
    return regions(tuple(sorted({prefix for operator in operators for prefix in operator.prefixes})))


def region_choices() -> list[tuple[str, str]]:
    """Return what a person chooses a Region from."""
    return [(offered.code, f"{offered.code} {offered.prefix}") for offered in offered_regions()]


def preferred_region() -> str:
    """Return the code of the offered Region that a form begins with: that of a language which is not the site's own.

    Else it is DEFAULT_REGION: a site in Spanish may be one of Mexico.
    """
    codes = [offered.code for offered in offered_regions()]
    wanted = [_region_of(get_language()), conf.get().default_region]
    if _base(get_language()) == _base(django_settings.LANGUAGE_CODE):
        wanted.reverse()
    return next((code for code in wanted if code in codes), codes[0])


class RegionSelect(forms.Select):
    """A choice of Regions; a script finds on each how its numbers are written."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the option with what the script needs."""
        option = super().create_option(name, value, *args, **kwargs)
        shown = region(value)
        option["attrs"] |= {"data-groups": " ".join(map(str, shown.groups))}
        option["attrs"] |= {"data-trunk": shown.trunk} if shown.trunk else {}  # there may be hundreds of options
        return option


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
    region = forms.ChoiceField(
        choices=region_choices, initial=preferred_region, label=_("Country"), required=False, widget=RegionSelect
    )
    next = forms.CharField(required=False, widget=forms.HiddenInput)
    operator = forms.CharField(required=False, widget=forms.HiddenInput)
    operation = forms.ChoiceField(
        choices=[(profiles.VERIFY, ""), (profiles.SHARE, "")], required=False, widget=forms.HiddenInput
    )

    def clean(self) -> dict[str, Any]:
        """Read the number, and see that there is an operator to ask."""
        data: dict[str, Any] = super().clean()  # type: ignore[assignment]  # None is of forms that override it
        settings = conf.get()
        operators = settings.offered(data.get("operator", ""))
        if not operators:
            self.add_error("operator", "This site has no such operator.")
        typed = "" if data.get("operation") == profiles.SHARE else data.get("phone_number", "").strip(" \u00a0")
        if self.errors:
            return data
        region = data["region"] or settings.default_region
        try:
            data["phone_number"] = PhoneNumber.parse(typed, region) if typed else None
        except InvalidNumber as error:
            self.add_error("phone_number", _explain(error.code, region))
            return data
        may_share = data.get("operation") != profiles.VERIFY
        if not (typed or may_share) or profiles.select(operators, data["phone_number"]) is None:
            self.add_error("phone_number", _where(operators) if typed else _("Enter your mobile number"))
        return data


def _region_of(language: str | None) -> str:
    """Return the country that ``language`` ("pt-br") tells of, or an empty text."""
    base, _dash, territory = (language or "").upper().partition("-")
    return territory or (base if base.lower() in OWN_COUNTRY else "")


def _base(language: str | None) -> str:
    return (language or "").partition("-")[0].lower()


def _explain(code: str, region: str | None) -> "_StrOrPromise":
    """Return what to do about an InvalidNumber of this ``code``."""
    if code == "characters":
        return _("Use digits only")
    if code == "not_mobile":
        return _("Enter the number of a mobile, like %(example)s") % {"example": _isolated(PhoneNumber.example(region))}
    example = _isolated(PhoneNumber.example(region))
    return _("Enter a mobile number with all its digits, like %(example)s") % {"example": example}


def _where(operators: Iterable[profiles.Operator]) -> str:
    """Return which numbers this site's operators serve."""
    served = map(_isolated, sorted({prefix for operator in operators for prefix in operator.prefixes}))
    return _("Enter a mobile number that begins with %(prefixes)s") % {"prefixes": get_text_list(list(served), _("or"))}


def _isolated(number: str) -> str:
    """Return ``number`` (text) so that it reads from left to right also in a right-to-left sentence (UAX 9)."""
    return f"\N{LEFT-TO-RIGHT ISOLATE}{number}\N{POP DIRECTIONAL ISOLATE}" if get_language_bidi() else number
