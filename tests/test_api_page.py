"""docs/api.rst: its commands run against a site on a socket, and its table has every error of the document."""

import json
import re
import shutil
import subprocess

import pytest
from docutils import nodes

from .openapi import PAGES
from .test_docs import ROOT, read

PAGE = read("docs/api.rst")
DEMO = "http://127.0.0.1:8000"


def commands(page):
    """Return the commands of ``page`` from the one that sets SITE on, each with the answer that the page shows."""
    blocks = [node.astext() for node in page.findall(nodes.literal_block) if node.astext().startswith("$ ")]
    (first,) = [number for number, block in enumerate(blocks) if block.startswith("$ SITE=")]
    found = []
    for line in "\n".join(blocks[first:]).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], None))
        else:
            found[-1] = (found[-1][0], line)
    return found


def run(page, site, folder):
    """Run the commands of ``page`` against ``site``; return the answers, and those that it shows."""
    assert shutil.which("curl"), "curl is missing: apt-get install curl"
    lines, shown = zip(*commands(page), strict=True)
    script = "\n".join(f"{line}; echo" for line in lines).replace(DEMO, site)
    bash = {"input": script, "cwd": folder, "capture_output": True, "text": True, "timeout": 60}
    ran = subprocess.run(["bash", "-eu"], check=False, **bash)
    assert (ran.returncode, ran.stderr) == (0, "")
    return [[json.loads(line) for line in lines if line] for lines in (ran.stdout.splitlines(), shown)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("configure")
def test_commands_do_what_the_page_shows(configure, live_server, tmp_path):
    configure(OPERATION="share")
    answers, expected = run(PAGE, live_server.url, tmp_path)
    assert [shape(answer) for answer in answers] == [shape(answer) for answer in expected]


def shape(answer):
    """Return what an answer and its example have in common: names and types, and what is no text of chance."""
    if isinstance(answer, dict):
        return {name: shape(value) for name, value in answer.items()}
    if isinstance(answer, list):
        return [shape(value) for value in answer]
    is_fixed = answer is None or isinstance(answer, bool) or answer in ("/app/", "•••01", "01", "verified")
    return answer if is_fixed else type(answer)


def rows():
    """Return the errors of the page's table and the statuses of each."""
    cells = [[entry.astext() for entry in row.findall(nodes.entry)] for row in PAGE.findall(nodes.row)]
    return {error: set(re.findall(r"\b[45]\d\d\b", f"{status} {text}")) for error, status, text in cells[1:]}


def test_table_has_every_error_and_no_other_status():
    assert set(rows()) == set(PAGES.content["components"]["schemas"]["Refusal"]["properties"]["error"]["enum"])
    operations = [operation for methods in PAGES.content["paths"].values() for operation in methods.values()]
    said = {status for operation in operations if "responses" in operation for status in operation["responses"]}
    assert set.union(*rows().values()) == said - {"200"}


CLIENT = ROOT.joinpath("example_project/static/app.js").read_text()


def test_client_of_the_example_is_as_short_as_the_page_says():
    assert "sixty lines" in PAGE.astext()
    assert 55 <= len(CLIENT.splitlines()) <= 60


def test_client_of_the_example_is_the_one_that_the_page_shows():
    (shown,) = [node.astext() for node in PAGE.findall(nodes.literal_block) if "javascript" in node["classes"]]
    assert [part for part in shown.split("\n\n") if part not in CLIENT] == []
