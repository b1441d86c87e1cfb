"""docs/coexistence.rst: each row leads to its test, each test has its row, and the code is what the tests run."""

from pathlib import Path

import pytest
from docutils import nodes
from docutils.core import publish_doctree

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
PAGE = publish_doctree(DOCS.joinpath("coexistence.rst").read_text(), settings_overrides={"report_level": 1})
OTHERS = {"test_base.py", "test_page.py"}  # which are about no package
ELSEWHERE = {HERE.parent / "browser" / "test_policies.py"}


def blocks():
    """Return (file's name, lines) of every Python block that one of the tests' sites has as a file."""
    texts = [node.astext().splitlines() for node in PAGE.findall(nodes.literal_block) if "python" in node["classes"]]
    found = [(lines[0].removeprefix("# ").split(",")[0].split(";")[0], lines[1:]) for lines in texts]
    return [(name, lines) for name, lines in found if name != "settings.py"]


def test_every_row_leads_to_its_test_and_every_test_has_a_row():
    rows = [row for row in PAGE.findall(nodes.row) if isinstance(row.parent, nodes.tbody)]
    linked = [
        [DOCS.joinpath(node["refuri"]).resolve() for node in row.children[-1].findall(nodes.reference)] for row in rows
    ]
    tests = {path for path in HERE.glob("test_*.py") if path.name not in OTHERS} | ELSEWHERE
    assert sorted(linked) == sorted([path] for path in tests)


@pytest.mark.parametrize(("name", "lines"), blocks(), ids=[name for name, _ in blocks()])
def test_code_is_what_a_site_of_the_tests_runs(name, lines):
    run = [line.strip() for line in HERE.joinpath("sites", name).read_text().splitlines()]
    assert [line for line in lines if line.strip() not in run] == []
