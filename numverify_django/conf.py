"""``NUMVERIFY``: one dict, validated into frozen values, cached, and read again when the setting changes.

Nothing is read at import. ``problems()`` lists what is wrong for the system checks; ``get()`` raises Misconfigured.
"""

import difflib
import hashlib
import hmac
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.core.signals import setting_changed
from django.http import HttpRequest
from django.utils.encoding import force_bytes
from django.utils.module_loading import import_string

from . import readers
from .protocol import jose
from .protocol.exceptions import Misconfigured
from .protocol.phone import PhoneNumber
from .protocol.profiles import PROFILES, SHARE, VERIFY, Operator, Profile
from .roster import Asked, Fixed, apart

# name -> (count, seconds) or None. Mobile carriers put crowds behind one address: alone it is no measure of anybody.
RATE_LIMITS: Mapping[str, readers.Limit] = MappingProxyType(
    {
        **{"number_address": (10, 600), "session": (20, 600), "code_number": (10, 3600)},
        **dict.fromkeys(["address", "site", "operator"]),
    }
)


class Problem(NamedTuple):
    """Something wrong in NUMVERIFY: ``code`` is the check's ID without its prefix."""

    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Settings:
    """What a site set, with the defaults of a careful one."""

    roster: Fixed | Asked = field(default_factory=Fixed)
    unknown_number: str = "create"
    default_region: str | None = None
    fallback_url: str = ""
    store_number: str = "masked"
    peppers: tuple[str, ...] = field(default=(), repr=False)
    former_peppers: tuple[str, ...] = field(default=(), repr=False)  # of before PEPPERS was set
    attempt_lifetime: int = 300  # seconds
    retention_days: int = 90
    rate_limits: Mapping[str, readers.Limit] = field(default_factory=lambda: RATE_LIMITS)
    redirect_mode: str = "redirect"
    trusted_proxies: tuple[readers.Network, ...] = ()
    allow_staff: bool = False
    login_policy: Callable[..., Any] | None = None
    number_taken: Callable[..., Any] | Literal["refuse"] = "refuse"
    reverify_after: float | None = None  # seconds
    code_sender: Callable[[PhoneNumber, str], object] | None = None
    app_login: Callable[..., Any] | None = None
    send_login_failed: bool = False
    route: Callable[[HttpRequest, PhoneNumber | None, tuple[Operator, ...]], str | None] | None = None

    @property
    def operators(self) -> tuple[Operator, ...]:
        """The operators, which a callable of the site may have to look up; Misconfigured where it fails."""
        return self.roster()

    @property
    def listed(self) -> tuple[Operator, ...]:
        """Those that stand in the settings themselves: none where a callable names them."""
        return self.roster.listed

    def operator(self, name: str) -> Operator | None:
        """Return the operator called ``name``, or None."""
        return next((operator for operator in self.operators if operator.name == name), None)

    def offered(self, name: str) -> tuple[Operator, ...]:
        """Return the operators to choose from: all of them, or the one that a form chose by ``name``."""
        return tuple(operator for operator in self.operators if not name or operator.name == name)


class Pepper(str):
    """A secret whose ``repr`` says nothing."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'********************'"


def conceal_peppers() -> None:
    """Keep PEPPERS out of Django's exception reports, which mask settings by their names and take this for none."""
    raw = getattr(django_settings, "NUMVERIFY", None)
    if isinstance(raw, dict) and isinstance(raw.get("PEPPERS"), list | tuple):
        raw["PEPPERS"] = [Pepper(item) if isinstance(item, str) else item for item in raw["PEPPERS"]]


def get() -> Settings:
    """Return the Settings, or raise Misconfigured with the first thing that is wrong."""
    settings, found = _load()
    if settings is None:
        raise Misconfigured(found[0].message)
    return settings


def problems() -> list[Problem]:
    """Return every Problem in NUMVERIFY; a callable of OPERATORS is not asked for this."""
    return _load()[1]


def served() -> tuple[Operator, ...]:
    """Return the operators, or () where nobody can tell them now: checks or the log say why."""
    try:
        return get().operators
    except Misconfigured:
        return ()


SITE_KEYS: Mapping[str, readers.Reader[Any]] = {
    "UNKNOWN_NUMBER": readers.one_of("create", "deny"),
    "DEFAULT_REGION": readers.optional(readers.region),
    "FALLBACK_URL": readers.url_or_name,
    "STORE_NUMBER": readers.one_of("masked", "full"),
    "PEPPERS": readers.peppers,
    "ATTEMPT_LIFETIME": readers.positive(3600),
    "RETENTION_DAYS": readers.positive(36_500),
    "RATE_LIMITS": readers.limits(RATE_LIMITS),
    "REDIRECT_MODE": readers.one_of("redirect", "interstitial"),
    "TRUSTED_PROXIES": readers.networks,
    "ALLOW_STAFF": readers.flag,
    "REVERIFY_AFTER": readers.optional(readers.positive(31_622_400)),
    "LOGIN_POLICY": readers.optional(readers.callable_or_path),
    "NUMBER_TAKEN": readers.decision,
    "CODE_SENDER": readers.optional(readers.callable_or_path),
    "APP_LOGIN": readers.optional(readers.callable_or_path),
    "SEND_LOGIN_FAILED": readers.flag,
    "ROUTE": readers.optional(readers.callable_or_path),
}
OPERATOR_KEYS: Mapping[str, readers.Reader[Any]] = {
    "ISSUER": readers.text,
    "DISCOVERY_URL": readers.text,
    "AUTHORIZATION_ENDPOINT": readers.text,
    "TOKEN_ENDPOINT": readers.text,
    "JWKS_URI": readers.text,
    "API_ROOT": readers.text,
    "CLIENT_ID": readers.text,
    "CLIENT_SECRET": readers.text,
    "PRIVATE_KEY": readers.text,
    "KEY_ID": readers.text,
    "CLIENT_AUTH": readers.one_of("client_secret_basic", "client_secret_post", "private_key_jwt"),
    "ASSERTION_ALG": readers.one_of(*jose.KEY_TYPES),
    "ASSERTION_AUDIENCE": readers.one_of("endpoint", "issuer"),
    "ID_TOKEN": readers.one_of("required", "absent"),
    "ID_TOKEN_ALG": readers.one_of(*jose.KEY_TYPES),
    "RESPONSE_ISS": readers.optional(readers.flag),
    "PKCE": readers.flag,
    "PURPOSE": readers.optional(readers.purpose),
    "SCOPES": readers.optional(readers.scopes),
    "OPERATION": readers.one_of(VERIFY, SHARE),
    "HASHED": readers.flag,
    "LOGIN_HINT": readers.one_of("none", "tel", "plain"),
    "SEND_DEVICE": readers.flag,
    "REDIRECT_URI": readers.optional(readers.url),
    "APP_REDIRECT_URI": readers.optional(readers.url),
    "PREFIXES": readers.prefixes,
    "TIMEOUT": readers.positive(50),
    "ALLOW_LOOPBACK": readers.flag,
}


@lru_cache(maxsize=1)
def _load() -> tuple[Settings | None, list[Problem]]:
    """Return the Settings (or None) and the list of Problems."""
    raw = getattr(django_settings, "NUMVERIFY", None)
    raw = raw if isinstance(raw, dict) else {}
    found: list[Problem] = []
    values = _read(raw, SITE_KEYS, "NUMVERIFY", found, apart={"OPERATORS"})
    roster, wrong = _roster(raw.get("OPERATORS"))
    found.extend(wrong)
    if "peppers" in values:
        values["former_peppers"] = _former_peppers()
    else:
        values["peppers"] = _derived_peppers()
    if not found:
        settings = Settings(roster=roster, **values)
        found = list(_too_short_a_memory(settings))
    return (None, found) if found else (settings, [])


def _roster(source: Any) -> tuple[Fixed | Asked, list[Problem]]:
    """Return what tells the operators, and the Problems of those that stand in the settings."""
    if not (callable(source) or isinstance(source, str)):
        operators, found = read_operators(source)
        return Fixed(operators), found
    try:
        return Asked(readers.callable_or_path(source), read_operators), []
    except (ValueError, TypeError, ImportError):
        hint = "Set it to a dict, or to a callable that returns one, or to the dotted path of that."
        return Fixed(), [Problem("E003", "NUMVERIFY['OPERATORS'] leads to no callable.", hint)]


def read_operators(raw: Any) -> tuple[tuple[Operator, ...], list[Problem]]:
    """Return the operators in ``raw`` (name -> operator keys), or (), and every Problem in it.

    A site that keeps operators elsewhere may ask this before it saves one.
    """
    if not isinstance(raw, dict) or not raw:
        hint = "Set NUMVERIFY = {'OPERATORS': {'telefonica': {'PROFILE': 'telefonica', 'CLIENT_ID': ..., ...}}}."
        return (), [Problem("E001", "NUMVERIFY['OPERATORS'] names no operator.", hint)]
    found: list[Problem] = []
    operators = tuple(filter(None, (_operator(name, keys, found) for name, keys in raw.items())))
    operators = apart(operators)
    found.extend(_taken_for_another(operators))
    return ((), found) if found else (operators, [])


def _taken_for_another(operators: tuple[Operator, ...]) -> Iterator[Problem]:
    """Yield a Problem for each whose answers nothing tells from another's before its code is spent (RFC 9700 4.4.2).

    What a discovery document leaves open is seen at the start of a login.
    """
    for one in operators:
        is_silent = one.response_iss is False or (one.response_iss is None and one.is_complete)
        if one.shares_callback and is_silent:
            where = f"NUMVERIFY['OPERATORS']['{one.name}']"
            hint = (
                f"Set REDIRECT_URI to its own callback, which ends in callback/{one.name}/, and register that with the "
                "operator in place of the other; APP_REDIRECT_URI, where it is set, to a link of its own. Or set "
                "RESPONSE_ISS to True if the operator sends iss."
            )
            text = f"{where} shares its callback, or its link of an app, with another operator and sends no iss."
            yield Problem("E012", text, hint)


def _too_short_a_memory(settings: Settings) -> Iterator[Problem]:
    """Yield a Problem where pruning deletes what limits are counted on, or what is still open."""
    seconds = [limit[1] for limit in settings.rate_limits.values() if limit]
    if settings.retention_days * 86_400 < max([*seconds, settings.attempt_lifetime]):
        hint = "Raise it, or shorten them: limits are counted on the rows that numverify_prune deletes."
        yield Problem("E011", "NUMVERIFY['RETENTION_DAYS'] is shorter than RATE_LIMITS or ATTEMPT_LIFETIME.", hint)


def _read(
    raw: dict[Any, Any],
    keys: Mapping[str, readers.Reader[Any]],
    where: str,
    found: list[Problem],
    apart: Collection[str] = frozenset(),
) -> dict[str, Any]:
    """Return the field values in the dict ``raw``; add a Problem to ``found`` for each unknown key and wrong value."""
    values = {}
    for key, value in raw.items():
        if key in apart:
            continue
        if key not in keys:
            found.append(_unknown(key, [*keys, *apart], where))
            continue
        try:
            values[key.lower()] = keys[key](value)
        except (ValueError, TypeError, ImportError) as error:
            # the value itself may be a secret: only what it should be is told
            told = (
                str(error) if str(error).startswith("must be") else "must be a callable, or lead to one by dotted path"
            )
            found.append(Problem("E003", f"{where}['{key}'] {told}.", f"Correct {where}['{key}']."))
    return values


def _unknown(key: object, known: list[str], where: str) -> Problem:
    close = difflib.get_close_matches(str(key).upper(), known, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Known keys: {', '.join(sorted(known))}."
    if key in OPERATOR_KEYS:
        hint = "It is a key of an operator: put it into that dict."
    return Problem("E002", f"{where} has an unknown key '{key}'.", hint)


def _operator(name: Any, raw: Any, found: list[Problem]) -> Operator | None:
    """Return the Operator in ``raw``, or None with Problems added to ``found``."""
    where = f"NUMVERIFY['OPERATORS']['{name}']"
    if not isinstance(name, str) or not 0 < len(name) <= 64:
        found.append(Problem("E003", f"{where}: its name must be a string of 1 to 64 characters.", f"Rename {where}."))
        return None
    if not isinstance(raw, dict):
        found.append(Problem("E003", f"{where} must be a dict.", f"Correct {where}."))
        return None
    before = len(found)
    profile = _profile(raw.get("PROFILE"), where, found)
    values = _read(raw, OPERATOR_KEYS, where, found, apart={"PROFILE"})
    if profile is None or len(found) > before:
        return None
    missing = list(_missing(profile, values, where))
    if not missing:
        operator = _build(name, profile, values)
        missing = list(_contradictions(operator, where))
    found.extend(missing)
    return None if missing else operator


def _profile(value: Any, where: str, found: list[Problem]) -> Profile | None:
    """Return the Profile that ``value`` names or leads to, or None with a Problem added to ``found``."""
    try:
        profile = PROFILES.get(value) or import_string(value)
    except (ImportError, AttributeError, TypeError, ValueError):
        profile = None
    if isinstance(profile, Profile):
        return profile
    close = difflib.get_close_matches(str(value), PROFILES, n=1)
    hint = f"Did you mean '{close[0]}'?" if close else f"Choose one of {', '.join(PROFILES)}, or a dotted path."
    found.append(Problem("E004", f"{where}['PROFILE'] is no profile.", hint))
    return None


def _build(name: str, profile: Profile, values: dict[str, Any]) -> Operator:
    """Return the Operator: the site's values over the profile's over the general defaults."""
    inherited = {item.name for item in fields(Profile)} & {key.lower() for key in OPERATOR_KEYS}
    defaults = {key: value for key in inherited if (value := getattr(profile, key)) is not None}
    if "issuer" in values:  # another place than the profile's, which its discovery tells
        for key in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            defaults.pop(key, None)
    if values.get("private_key"):
        defaults["client_auth"] = "private_key_jwt"
    merged = defaults | values
    merged.setdefault("allow_loopback", django_settings.DEBUG)
    return Operator(name=name, profile=profile, **merged)


def _missing(profile: Profile, values: dict[str, Any], where: str) -> Iterator[Problem]:
    """Yield a Problem for each key without which this operator cannot be talked to."""

    def given(key: str) -> Any:
        return values.get(key, getattr(profile, key, None))

    if not given("client_id"):
        yield Problem("E005", f"{where} has no CLIENT_ID.", "Set it to what the operator gave you.")
    if not given("api_root"):
        yield Problem("E005", f"{where} has no API_ROOT.", "Set it to what stands before /number-verification/.")
    if given("issuer"):
        return
    if not (given("authorization_endpoint") and given("token_endpoint")):
        yield Problem("E005", f"{where} has no ISSUER.", "Set it, or AUTHORIZATION_ENDPOINT and TOKEN_ENDPOINT.")
        return
    needs_issuer = {
        "ID tokens": given("id_token") == "required",
        "iss in the callback": given("response_iss") is True,
        "ASSERTION_AUDIENCE": values.get("assertion_audience") == "issuer",
    }
    if any(needs_issuer.values()):
        what = " and ".join(name for name, needed in needs_issuer.items() if needed)
        yield Problem("E005", f"{where} has no ISSUER, which {what} must name.", "Set it.")


def _contradictions(operator: Operator, where: str) -> Iterator[Problem]:
    """Yield a Problem for each setting that cannot be true together with another."""
    yield from _credential_problems(operator, where)
    yield from _address_problems(operator, where)
    if operator.hashed and not operator.profile.accepts_hash:
        hint = "Remove HASHED, or choose a profile whose dialect has hashedPhoneNumber."
        yield Problem("E008", f"{where} sets HASHED, and its profile takes no hashed numbers.", hint)
    if operator.scopes and operator.id_token == "required" and "openid" not in operator.scopes:  # noqa: S105
        hint = "Add 'openid' to SCOPES: without it an operator sends no ID token."
        yield Problem("E010", f"{where} requires an ID token, and its SCOPES do not ask for one.", hint)
    if operator.send_device and not operator.profile.accepts_device:
        hint = "Remove SEND_DEVICE, or choose a profile whose dialect has a device."
        yield Problem("E008", f"{where} sets SEND_DEVICE, and its profile takes no device.", hint)
    if operator.id_token == "absent" and not operator.pkce:  # noqa: S105
        yield Problem("E009", f"{where} has neither ID token nor PKCE.", "Set PKCE to True or ID_TOKEN to 'required'.")


def _credential_problems(operator: Operator, where: str) -> Iterator[Problem]:
    if operator.client_auth != "private_key_jwt":
        if not operator.client_secret:
            yield Problem("E006", f"{where} has no CLIENT_SECRET.", "Set it, or PRIVATE_KEY and KEY_ID.")
        return
    if not (operator.private_key and operator.key_id):
        hint = f"Set {where}['PRIVATE_KEY'] (PEM) and {where}['KEY_ID'], or another CLIENT_AUTH."
        yield Problem("E006", f"{where} signs requests but has no PRIVATE_KEY or no KEY_ID.", hint)
        return
    try:
        jose.sign({}, operator.private_key, operator.assertion_alg, operator.key_id)
    except Misconfigured as error:
        yield Problem("E006", f"{where}: {error}.", "Give a PEM key of the type that ASSERTION_ALG signs with.")


def _address_problems(operator: Operator, where: str) -> Iterator[Problem]:
    names = ("issuer", "discovery_url", "authorization_endpoint", "token_endpoint", "jwks_uri", "api_root")
    for name in names:
        url = getattr(operator, name)
        try:
            if url is not None:
                operator.check_url(url)
        except Misconfigured:
            yield Problem("E007", f"{where}['{name.upper()}'] is not a public https URL.", _address_hint(operator))


def _address_hint(operator: Operator) -> str:
    if operator.allow_loopback:
        return "Use https, or for an operator on this machine the same scheme, host and port as ISSUER."
    return "Use https. For an operator on this machine set ALLOW_LOOPBACK, which only DEBUG implies."


def _derived_peppers() -> tuple[str, ...]:
    """Return peppers from SECRET_KEY and its fallbacks, for a site that sets none; a check says what that means."""
    keys = [django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS]
    return tuple(hmac.new(force_bytes(key), b"numverify_django.pepper", hashlib.sha256).hexdigest() for key in keys)


def _former_peppers() -> tuple[str, ...]:
    try:
        return _derived_peppers()
    except ImproperlyConfigured:  # an image is built, and checked, without SECRET_KEY
        return ()


def _reset(*, setting: str, **kwargs: Any) -> None:
    if setting in {"NUMVERIFY", "SECRET_KEY", "SECRET_KEY_FALLBACKS", "DEBUG"}:
        _load.cache_clear()
        conceal_peppers()


setting_changed.connect(_reset, dispatch_uid="numverify_django.conf")
