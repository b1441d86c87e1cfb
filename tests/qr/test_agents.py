"""Who asks is told in a few names of ours, whatever a browser says of itself."""

import pytest

from numverify_django.contrib.qr import agents
from numverify_django.contrib.qr.agents import Browser, System

WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {WEBKIT}"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"
AGENTS = {
    f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36": (Browser.CHROME, System.WINDOWS, True),
    f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0": (Browser.EDGE, System.WINDOWS, True),
    f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36 OPR/124.0.0.0": (Browser.OPERA, System.WINDOWS, True),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0": (
        Browser.FIREFOX,
        System.WINDOWS,
        True,
    ),
    f"{MAC} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15": (
        Browser.SAFARI,
        System.MACOS,
        True,
    ),
    f"Mozilla/5.0 (X11; Linux x86_64) {WEBKIT} Chrome/142.0.0.0 Safari/537.36": (Browser.CHROME, System.LINUX, True),
    f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {WEBKIT} Chrome/142.0.0.0 Safari/537.36": (
        Browser.CHROME,
        System.CHROMEOS,
        True,
    ),
    f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} Chrome/142.0.0.0 Mobile Safari/537.36": (
        Browser.CHROME,
        System.ANDROID,
        False,
    ),
    f"Mozilla/5.0 (Linux; Android 10; K) {WEBKIT} SamsungBrowser/29.0 Chrome/136.0.0.0 Mobile Safari/537.36": (
        Browser.SAMSUNG,
        System.ANDROID,
        False,
    ),
    "Mozilla/5.0 (Android 15; Mobile; rv:144.0) Gecko/144.0 Firefox/144.0": (Browser.FIREFOX, System.ANDROID, False),
    f"{IPHONE} Version/18.6 Mobile/15E148 Safari/604.1": (Browser.SAFARI, System.IOS, False),
    f"{IPHONE} CriOS/142.0.0.0 Mobile/15E148 Safari/604.1": (Browser.CHROME, System.IOS, False),
    f"{IPHONE} FxiOS/144.0 Mobile/15E148 Safari/605.1.15": (Browser.FIREFOX, System.IOS, False),
    "curl/8.14.1": ("", "", False),
    "": ("", "", False),
    "\x00\u202e<script>": ("", "", False),
}


@pytest.mark.parametrize(("agent", "told"), AGENTS.items(), ids=[str(number) for number in range(len(AGENTS))])
def test_agent_is_told_by_name(agent, told):
    headers = {"User-Agent": agent}
    assert (agents.browser_of(headers), agents.system_of(headers), agents.is_desktop(headers)) == told


def test_browser_that_says_it_is_mobile_is_believed():
    desktop = {"User-Agent": f"{WINDOWS} Chrome/142.0.0.0 Safari/537.36"}
    assert agents.is_desktop(desktop | {"Sec-CH-UA-Mobile": "?0"})
    assert not agents.is_desktop(desktop | {"Sec-CH-UA-Mobile": "?1"})


def test_what_comes_late_is_not_read():
    assert agents.browser_of({"User-Agent": "x" * agents.READ + "Firefox/144.0"}) == ""


def test_no_header_at_all_is_no_desktop():
    assert (agents.browser_of({}), agents.is_desktop({})) == ("", False)
