"""Every page on a phone and a desktop: what axe says, the title, the keyboard, a narrow window and a calm one."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT

from .pages import PAGES
from .visitor import DEVICES

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
# Colours know nothing of the width, nor the layout of the colours.
LOOKS = [("phone", "light"), ("desktop", "dark")]
# What Tab stops at: of a group of radio buttons the one that is chosen.
STOPS = """
() => {
  const stops = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']";
  window.stops = [...document.querySelectorAll(stops)].filter(
    (stop) => stop.checkVisibility() && !(stop.type === "radio" && !stop.checked));
  return window.stops.length;
}
"""
# Which of them has the focus, and whether that is seen.
FOCUS = """
() => {
  const focused = document.activeElement, style = getComputedStyle(focused), box = focused.getBoundingClientRect();
  const isOutlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const isInside = box.top < innerHeight && box.bottom > 0;
  return [window.stops.indexOf(focused), isOutlined && isInside];
}
"""


AXE = """
([tags, exclude]) => axe.run({exclude}, {
  runOnly: {type: "tag", values: tags}, resultTypes: ["violations"], preload: false,  // which sets styles
}).then(({violations}) => violations.flatMap(({id, nodes}) =>
  nodes.map(({html, failureSummary}) => `${id}: ${html}: ${failureSummary}`)))
"""


# What is Django's in its admin.
DJANGOS = ["#header", ".breadcrumbs", "#nav-sidebar", "#changelist-filter", "#result_list thead", ".paginator"]
DJANGOS += ["#user_form > div > fieldset", ".inline-group thead"]


@pytest.mark.parametrize("name", PAGES)
def test_page_is_accessible(browse, name):
    visitor = browse("phone", **PAGES[name].options, reduced_motion="reduce")
    page = visitor.page
    PAGES[name].reach(visitor)
    page.evaluate(AXE_SCRIPT)  # the policy lets no script tag in, but what a debugger evaluates

    assert_words(visitor, PAGES[name])
    assert page.evaluate("document.getAnimations().length") == 0
    for device, theme in LOOKS:  # one way there for both: our styles know nothing but the width
        page.set_viewport_size(DEVICES[device]["viewport"])
        assert_axe_finds_nothing(page, theme, DJANGOS if PAGES[name].of == "admin" else [])
    if PAGES[name].of != "admin":  # whose frame is Django's
        assert_keyboard(page)
        assert_narrow(page)


def assert_axe_finds_nothing(page, theme, exclude):
    """Neither in the light nor in the dark."""
    page.emulate_media(color_scheme=theme)
    page.evaluate("Promise.all(document.getAnimations().map(({finished}) => finished))")  # Django's links fade over
    assert page.evaluate(AXE, [TAGS, exclude]) == [], theme


def assert_words(visitor, page):
    """One h1, and a title that says the state and the site."""
    assert visitor.page.locator("h1").all_inner_texts() == [page.heading]
    title = visitor.page.title().removeprefix("Error: ")
    ends = {"site": f" - {visitor.site.removeprefix('http://')}", "admin": " | Django site admin", "console": ""}
    assert page.heading in title
    assert title.endswith(ends[page.of])
    assert visitor.page.title().startswith("Error: ") is page.name.endswith("-error")


def assert_keyboard(page):
    """Tab goes through the page as it is read, and shows where it is."""
    for number in range(page.evaluate(STOPS)):
        page.keyboard.press("Tab")
        assert page.evaluate(FOCUS) == [number, True]


def assert_narrow(page):
    """At 200 % on a phone nothing is cut off or has to be scrolled sideways."""
    page.set_viewport_size({"width": 180, "height": 380})
    assert page.evaluate("document.documentElement.scrollWidth") == 180
