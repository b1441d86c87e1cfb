"""``make screenshots``: every page on phone and desktop, light and dark, in four languages, as small PNGs.

No test, and collected only where it is named. What differs from run to run is replaced before the picture is taken.
"""

import io
from pathlib import Path

import pytest

from .pages import PAGES
from .visitor import DEVICES

FOLDER = Path(__file__).parents[2] / "docs/_static/screens"
LANGUAGES = {"en": "en-GB", "es": "es-ES", "de": "de-DE", "pt-br": "pt-BR"}
COLOURS = 32
STEADY = """
([host, name, operator]) => {
  const reference = document.querySelector("bdi");
  if (reference) reference.textContent = "K7Q-4MX2";
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    text.data = text.data.replaceAll(host, name).replaceAll(operator, "http://127.0.0.1:9091");
  }
}
"""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", PAGES)
def test_screenshot(browse, name, device, language):
    page = PAGES[name]
    if language != "en" and not page.is_ours:
        return  # the console speaks English alone
    visitor = browse(device, locale=LANGUAGES[language], reduced_motion="reduce")
    page.reach(visitor)
    site = "Riverside Sports Club" if page.is_ours else "127.0.0.1:8000"
    visitor.page.evaluate(STEADY, [visitor.site.removeprefix("http://"), site, visitor.sandbox.url])
    for theme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=theme)
        # The caret would be hidden by a style in the page, which its policy forbids.
        picture = visitor.page.screenshot(full_page=True, caret="initial", scale="css")
        save(picture, f"{name}-{device}-{theme}-{language}")


def save(picture, name):
    """Write the PNG with few colours: a quarter of its size, and nobody sees the difference."""
    from PIL import Image

    FOLDER.mkdir(parents=True, exist_ok=True)
    few = Image.open(io.BytesIO(picture)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)
