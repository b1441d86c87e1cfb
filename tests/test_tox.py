"""The matrix of tox is that of the classifiers, and its lowest versions are the lower bounds of setup.cfg."""

import re
from configparser import ConfigParser
from itertools import chain, product

import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from .test_docs import ROOT, read, table

SETUP = ConfigParser()
SETUP.read(ROOT / "setup.cfg")
LOWEST = ROOT / "tests" / "lowest.txt"
NEEDS = {"6.0": "3.12", "6.1": "3.12"}  # version of Django -> the oldest Python it runs on


def lines(text):
    return [line for line in text.splitlines() if line]


def bounds(extra):
    """Return the requirements of ``extra``, and of the extras that it names."""
    requirements = [Requirement(line) for line in lines(SETUP["options.extras_require"][extra])]
    own = [requirement for requirement in requirements if requirement.name == "numverify-django"]
    others = [requirement for requirement in requirements if requirement not in own]
    return [*others, *chain.from_iterable(bounds(name) for requirement in own for name in requirement.extras)]


def lowest():
    """Return name -> version of what the tests install; where two bounds differ, both hold."""
    found = {}
    for requirement in [*map(Requirement, lines(SETUP["options"]["install_requires"])), *bounds("test")]:
        (bound,) = [Version(part.version) for part in requirement.specifier if part.operator == ">="]
        found[requirement.name] = max(bound, found.get(requirement.name, bound))
    return {name: str(version) for name, version in found.items()}


def test_lowest_versions_are_the_lower_bounds():
    expected = lowest()
    expected.pop("Django")  # which tox chooses
    pinned = dict(line.split("==") for line in lines(LOWEST.read_text()) if not line.startswith("#"))
    assert pinned == expected


def expanded(entry):
    """Return the environments that ``entry`` stands for: {a,b} is either."""
    found = re.search(r"\{([^}]*)\}", entry)
    if not found:
        return [entry]
    return [name for choice in found[1].split(",") for name in expanded(entry.replace(found[0], choice, 1))]


def environments():
    return [name for entry in lines(SETUP["tox:tox"]["env_list"]) for name in expanded(entry)]


def pairs():
    """Return each pair of a Python and a Django of the classifiers that runs together."""
    told = re.findall(r"(Python|Django) :: (\d\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE)
    versions = {kind: [version for name, version in told if name == kind] for kind in ("Python", "Django")}
    every = product(versions["Python"], versions["Django"])
    return [(python, django) for python, django in every if Version(python) >= Version(NEEDS.get(django, "3.11"))]


def test_matrix_is_every_pair_of_the_classifiers_that_runs():
    names = [f"py{python}-django{django}".replace(".", "") for python, django in pairs()]
    expected = {f"{name}-{which}" for name in names for which in ("lowest", "highest")}
    assert len(names) == 7
    assert set(environments()) == expected | {"docs"}


def test_each_django_of_the_matrix_is_what_its_name_says():
    deps = dict(line.split(": ") for line in lines(SETUP["testenv"]["deps"]))
    for django, first in {"5.2": lowest()["Django"], "6.0": "6.0", "6.1": "6.1"}.items():
        name = f"django{django.replace('.', '')}"
        assert Requirement(deps[f"{name}-lowest"]) == Requirement(f"Django=={first}")
        assert str(Requirement(deps[f"{name}-highest"]).specifier) == f"~={django}.0"
    assert lowest()["Django"].startswith("5.2.")


def test_page_says_what_the_matrix_has():
    (rows,) = table(read("docs/upgrading.rst"), "Django", "Python")
    assert {(python, django) for django, pythons in rows for python in pythons.split(", ")} == set(pairs())


def test_missing_interpreter_fails():
    assert SETUP["tox:tox"]["skip_missing_interpreters"] == "false"


CI = ROOT.joinpath(".ci/run").read_text()
WORKFLOW = yaml.safe_load(ROOT.joinpath(".github/workflows/tests.yml").read_text())


def test_workflow_runs_the_whole_matrix_each_on_its_python():
    told = {entry["env"]: entry["python"] for entry in WORKFLOW["jobs"]["matrix"]["strategy"]["matrix"]["include"]}
    assert set(told) == set(environments())
    told.pop("docs")
    assert [env for env, python in told.items() if env.partition("-")[0] != f"py{python}".replace(".", "")] == []


def steps():
    """Return each step of each job that runs something."""
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]


def test_workflow_makes_what_ci_run_makes():
    made = set(re.findall(r"\bmake ([a-z][\w-]*)", CI))
    suites = {"test", "test-browser", "test-coexistence", "test-hostile", "test-servers"}
    assert suites | {"lint", "types", "docs"} <= made
    told = {name for step in steps() for name in re.findall(r"\bmake ([a-z][\w-]*)", step["run"])}
    # An environment of the matrix, and parts of each other one.
    assert made - told == {"docs", "test-browser", "test-coexistence"}


def test_workflow_runs_the_hostile_cases_in_an_event_loop_on_the_newest_versions():
    (step,) = [step for step in steps() if "NUMVERIFY_TEST_ASGI" in step.get("env", {})]
    *_, newest = [name for name in environments() if name != "docs"]
    assert newest == "py313-django61-highest"
    assert step["if"] == f"matrix.env == '{newest}'"
    assert step["run"].partition(" -- ")[2] == "tests/hostile"
    assert 'NUMVERIFY_TEST_ASGI=1 make test-hostile PYTHON="$PYTHON313"' in CI


def test_workflow_tries_the_lowest_versions_on_postgresql():
    entries = WORKFLOW["jobs"]["databases"]["strategy"]["matrix"]["include"]
    tried = {(entry["database"].partition(":")[0], entry["versions"], entry["python"]) for entry in entries}
    assert ("postgresql", "lowest", pairs()[0][0]) in tried
    assert {which for _, which, _ in tried} == {"lowest", "highest"}
    (step,) = [step for step in steps() if step.get("if") == "matrix.versions == 'lowest'"]
    (pins,) = re.findall(r"\{ grep .*; \}", step["run"])
    assert pins in CI
    assert "PIP_CONSTRAINT=" in step["run"]


def test_workflow_installs_the_redis_that_tests_start():
    """Its machines have none; without one the tests of sessions and of several machines fail there."""
    jobs = {name: "\n".join(step.get("run", "") for step in job["steps"]) for name, job in WORKFLOW["jobs"].items()}
    starting = {name for name, text in jobs.items() if "tox run" in text or "make test-servers" in text}
    assert starting == {"matrix", "databases"}
    assert [name for name in starting if "install --yes redis-server" not in jobs[name]] == []


def test_ci_run_takes_the_oldest_and_the_newest_python():
    asked = re.findall(r"find_python (3\.\d+)", CI)
    assert sorted(asked) == [pairs()[0][0], pairs()[-1][0]]


def test_workflow_builds_and_tries_the_wheel():
    assert [step["run"] for step in WORKFLOW["jobs"]["wheel"]["steps"] if "run" in step] == [".ci/run wheel"]
    assert re.search(r"^wheel\(\) \{$", CI, re.MULTILINE)


def test_actions_are_pinned_by_major_version():
    used = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert [name for name in used if not re.fullmatch(r"actions/[\w-]+@v\d+", name)] == []
