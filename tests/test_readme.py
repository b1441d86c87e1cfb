"""README.rst is executed: ``make test`` runs, what it shows and leads to is there. test_guides.py runs its site."""

import re
import sys

from docutils import nodes

from .browser.pages import PAGES
from .test_docs import ROOT, read
from .test_guides import run

README = read("README.rst")


def test_make_test_runs_the_tests():
    # All of them would run this one again, and of a few each worker would have one.
    arguments = "--numprocesses=0 tests/protocol/test_exceptions.py"
    assert " passed" in run(f"make test VENV={sys.prefix} ARGS='{arguments}'")


def test_pictures_are_those_of_pages_that_there_are():
    shown = [node["uri"] for node in README.findall(nodes.image)]
    name = re.compile(r"docs/_static/screens/(.+)-(?:phone|desktop)-(?:light|dark)-[a-z-]+\.png")
    pages = {name.fullmatch(uri)[1] for uri in shown}

    assert len(pages) == 3
    assert pages <= set(PAGES)
    assert all((ROOT / uri).read_bytes().startswith(b"\x89PNG") for uri in shown)


def test_every_page_of_the_documentation_is_linked():
    linked = {node.get("refuri") for node in README.findall(nodes.reference)}
    # Two are parts of others, and the contents lead to those of other packages and operators.
    apart = {"changelog", "index", "coexistence", "operators"}
    pages = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("docs/**/*.rst") if path.stem not in apart}
    assert pages - linked == set()
