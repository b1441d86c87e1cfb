"""``make screenshots``: every page on phone and desktop, light and dark, in four languages, as small PNGs.

No test, and collected only where it is named. What differs from run to run is replaced before the picture is taken.
"""

import io
from pathlib import Path

import pytest

from numverify_django.contrib.qr import picture

from .pages import PAGES
from .visitor import DEVICES

FOLDER = Path(__file__).parents[2] / "docs/_static/screens"
LANGUAGES = {"en": "en-GB", "es": "es-ES", "de": "de-DE", "pt-br": "pt-BR"}
COLOURS = 32
PICTURE = picture.svg(f"https://riverside.example/numverify/qr/{'A' * 43}/")
STEADY = r"""
([host, name, operator, picture]) => {
  const replace = (selector, text) => {
    for (const found of document.querySelectorAll(selector)) found.innerHTML = text;
  };
  replace(".numverify-hint bdi[translate]", "K7Q-4MX2");
  replace("p.numverify-code bdi", "482 913");
  replace(".numverify-picture", picture);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode;
    text.data = text.data.replaceAll(host, name).replaceAll(operator, "http://127.0.0.1:9091")
      .replace(/\b\d\d:\d\d(:\d\d)?\b/g, "14:29");
  }
}
"""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", PAGES)
def test_screenshot(browse, name, device, language):
    page = PAGES[name]
    if language != "en" and page.of == "console":
        return  # the console speaks English alone
    visitor = browse(device, **page.options, locale=LANGUAGES[language], reduced_motion="reduce")
    page.reach(visitor)
    site = "Riverside Sports Club" if page.of == "site" else "127.0.0.1:8000"
    visitor.page.evaluate(STEADY, [visitor.site.removeprefix("http://"), site, visitor.sandbox.url, PICTURE])
    for theme in ("light", "dark"):
        visitor.page.emulate_media(color_scheme=theme)
        # The caret would be hidden by a style in the page, which its policy forbids.
        shot = visitor.page.screenshot(full_page=True, caret="initial", scale="css")
        save(shot, f"{name}-{device}-{theme}-{language}")


def save(shot, name):
    """Write the PNG with few colours: a quarter of its size, and nobody sees the difference."""
    from PIL import Image

    FOLDER.mkdir(parents=True, exist_ok=True)
    few = Image.open(io.BytesIO(shot)).convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(FOLDER / f"{name}.png", optimize=True)
