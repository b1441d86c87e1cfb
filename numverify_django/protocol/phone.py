"""Phone numbers: a value object over ``phonenumbers``."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache, partial
from typing import NamedTuple, Self

import phonenumbers
from phonenumbers import PhoneNumberFormat, PhoneNumberType

E164 = re.compile(r"\+[1-9][0-9]{4,14}")
# What people type. phonenumbers itself would also read letters, extensions, parameters and foreign digits.
# After + no country begins with 0: of such a number it would make a national one.
SEPARATORS = "()./ \\u00a0\\u2010\\u2011-"
TYPED = re.compile(rf"\(?(?:\+(?![{SEPARATORS}]*0))?[0-9{SEPARATORS}]+")
TYPED_MAX = 40
REGIONS = frozenset(phonenumbers.SUPPORTED_REGIONS)  # ISO 3166-1
MOBILE = {PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE}
NON_GEOGRAPHIC = "001"  # satellite and other networks without a country


class InvalidNumber(ValueError):
    """What was typed cannot be a mobile number; ``code`` is ``characters``, ``impossible`` or ``not_mobile``."""

    def __init__(self, code: str) -> None:
        super().__init__(f"not a mobile number: {code}")
        self.code = code


@dataclass(frozen=True, slots=True, repr=False)
class PhoneNumber:
    """A number in E.164 with its ``+``; its repr and str are masked.

    Raises ValueError where the text does not match the specification's pattern ``^\\+[1-9][0-9]{4,14}$``.
    """

    e164: str

    def __post_init__(self) -> None:
        if not isinstance(self.e164, str) or not E164.fullmatch(self.e164):
            raise ValueError("not a number in E.164")

    @classmethod
    def parse(cls, text: str, region: str | None = None) -> Self:
        """Return the mobile number that a person typed, nationally (needs ``region``, ISO 3166-1) or with ``+``.

        Raises InvalidNumber.
        """
        text = text.strip(" \u00a0")  # no more: strip() would also drop control characters
        if len(text) > TYPED_MAX or not TYPED.fullmatch(text):
            raise InvalidNumber("characters")
        try:
            number = phonenumbers.parse(text, region)
        except phonenumbers.NumberParseException as error:
            raise InvalidNumber("impossible") from error
        if not phonenumbers.is_possible_number(number):
            raise InvalidNumber("impossible")
        if not _is_mobile(number):
            raise InvalidNumber("not_mobile")
        return cls(phonenumbers.format_number(number, PhoneNumberFormat.E164))

    @classmethod
    def example(cls, region: str | None = None) -> str:
        """Return how a mobile number is spelled: nationally in ``region``, else with its ``+`` (str)."""
        example = partial(phonenumbers.example_number_for_type, num_type=PhoneNumberType.MOBILE)
        national = region and example(region)  # one region has none
        spelling = PhoneNumberFormat.NATIONAL if national else PhoneNumberFormat.INTERNATIONAL
        return phonenumbers.format_number(national or example("ES"), spelling)  # type: ignore[arg-type]  # ES has one

    @property
    def ending(self) -> str:
        """The last two digits, by which a page names a number to its owner."""
        return self.e164[-2:]

    @property
    def masked(self) -> str:
        """The last two digits, the most that is ever shown or stored in the clear."""
        return f"•••{self.ending}"

    @property
    def tel_uri(self) -> str:
        """The number as ``tel:+34...`` (RFC 3966)."""
        return f"tel:{self.e164}"

    @property
    def sha256(self) -> str:
        """The hashedPhoneNumber of the dialects that have one: lower-case hex over E.164 with its ``+``."""
        return hashlib.sha256(self.e164.encode()).hexdigest()

    def __repr__(self) -> str:
        return f"<PhoneNumber {self.masked}>"

    __str__ = __repr__


class Region(NamedTuple):
    """A country whose numbers a form takes: how they are written."""

    code: str  # ISO 3166-1
    prefix: str  # with its +
    trunk: str  # what people write before a national number and drop after the prefix, or ""
    groups: tuple[int, ...]  # digits that stand together after the prefix


@cache
def regions(prefixes: tuple[str, ...] = ()) -> tuple[Region, ...]:
    """Return the Regions, by code, with numbers that begin with one of ``prefixes`` ("+34"); without any, all."""
    return tuple(
        region(code)
        for code in sorted(REGIONS)
        if not prefixes or any(_overlap(prefix, _prefix_of(code)) for prefix in prefixes)
    )


def _prefix_of(code: str) -> str:
    return f"+{phonenumbers.country_code_for_region(code)}"


def _overlap(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)


@cache
def region(code: str) -> Region:
    """Return the Region called ``code`` (ISO 3166-1, one of REGIONS)."""
    number = phonenumbers.example_number_for_type(code, PhoneNumberType.MOBILE)
    written = phonenumbers.format_number(number, PhoneNumberFormat.INTERNATIONAL) if number else ""
    groups = tuple(map(len, re.findall("[0-9]+", written)[1:]))
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(code)
    return Region(code, _prefix_of(code), metadata.national_prefix or "", groups)  # type: ignore[union-attr]  # has one


def _is_mobile(number: phonenumbers.PhoneNumber) -> bool:
    """Tell whether the numbering plan knows ``number`` as one that a SIM on a country's network can have."""
    return (
        phonenumbers.region_code_for_number(number) not in (None, NON_GEOGRAPHIC)
        and phonenumbers.number_type(number) in MOBILE
    )
