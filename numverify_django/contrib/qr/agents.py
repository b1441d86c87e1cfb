"""Which browser and system ask, as coarsely as a person knows them.

What a browser says of itself is whatever its owner likes, and a stranger's words must not stand on a phone that decides
whom to let in. So this reads no text out of it: it chooses among a few names, or none.
"""

from collections.abc import Iterable, Mapping

from django.db.models import TextChoices

READ = 512  # characters of a User-Agent


class Browser(TextChoices):
    EDGE = "edge", "Edge"
    OPERA = "opera", "Opera"
    SAMSUNG = "samsung", "Samsung Internet"
    FIREFOX = "firefox", "Firefox"
    CHROME = "chrome", "Chrome"
    SAFARI = "safari", "Safari"


class System(TextChoices):
    WINDOWS = "windows", "Windows"
    IOS = "ios", "iOS"
    MACOS = "macos", "macOS"
    ANDROID = "android", "Android"
    CHROMEOS = "chromeos", "ChromeOS"
    LINUX = "linux", "Linux"


DESKTOPS = {System.WINDOWS, System.MACOS, System.CHROMEOS, System.LINUX}
# In this order: most browsers claim to be those below them as well.
BROWSER_MARKS = [
    (Browser.EDGE, ("Edg/", "EdgA/", "EdgiOS/")),
    (Browser.OPERA, ("OPR/", "OPT/")),
    (Browser.SAMSUNG, ("SamsungBrowser/",)),
    (Browser.FIREFOX, ("Firefox/", "FxiOS/")),
    (Browser.CHROME, ("Chrome/", "CriOS/")),
    (Browser.SAFARI, ("Safari/",)),
]
SYSTEM_MARKS = [
    (System.WINDOWS, ("Windows NT",)),
    (System.IOS, ("iPhone", "iPad", "iPod")),
    (System.MACOS, ("Macintosh",)),
    (System.ANDROID, ("Android",)),
    (System.CHROMEOS, ("CrOS",)),
    (System.LINUX, ("Linux", "X11")),
]


def browser_of(headers: Mapping[str, str]) -> str:
    """Return the Browser that these request headers tell of, or an empty text."""
    return _marked(headers, BROWSER_MARKS)


def system_of(headers: Mapping[str, str]) -> str:
    """Return the System that these request headers tell of, or an empty text."""
    return _marked(headers, SYSTEM_MARKS)


def is_desktop(headers: Mapping[str, str]) -> bool:
    """Tell whether these request headers are a desktop's, as far as they tell: a guess, which a person can correct."""
    says_mobile = headers.get("Sec-CH-UA-Mobile") == "?1" or "Mobi" in _agent(headers)
    return system_of(headers) in DESKTOPS and not says_mobile


def _marked(headers: Mapping[str, str], marks: Iterable[tuple[str, tuple[str, ...]]]) -> str:
    agent = _agent(headers)
    return next((name for name, found in marks if any(mark in agent for mark in found)), "")


def _agent(headers: Mapping[str, str]) -> str:
    return headers.get("User-Agent", "")[:READ]
