"""docs/reference/ equals the code."""

import ast
import re
from argparse import ArgumentParser
from dataclasses import fields
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.dispatch import Signal
from docutils import nodes

import numverify_django
from numverify_django import conf, signals, urls
from numverify_django.management import commands
from numverify_django.protocol import exceptions
from numverify_django.protocol.profiles import PROFILES, Operator, Profile
from numverify_django.sandbox.dialects import DIGITS
from numverify_django.sandbox.state import FAULT_VALUES, HOPS

from .test_docs import PAGES, ROOT, blocks, is_there, read, table

SETTINGS = read("docs/reference/settings.rst")
REASONS = read("docs/reference/reasons.rst")
CHECKS = read("docs/reference/checks.rst")
COMMANDS = read("docs/reference/commands.rst")
SANDBOX = read("docs/reference/sandbox.rst")


def value_of(text):
    return text if text in ("required", "profile") else ast.literal_eval(text)


def test_settings_table_equals_the_code():
    site_keys, _ = table(SETTINGS, "key", "default", "what it does")
    told = {key: default for key, default, _ in site_keys}
    assert told.pop("OPERATORS") == "required"
    assert told.pop("PEPPERS") == "derived from SECRET_KEY"
    assert told.pop("RATE_LIMITS") == "see below"
    defaults = {field.name.upper(): field.default for field in fields(conf.Settings)}
    assert {key: value_of(text) for key, text in told.items()} == {
        key: defaults[key] for key in conf.SITE_KEYS if key not in ("PEPPERS", "RATE_LIMITS")
    }


def test_functions_table_names_every_setting_that_may_be_one():
    (rows,) = table(read("docs/reference/classes.rst"), "setting", "is called with", "returns")
    callables = {field.name.upper() for field in fields(conf.Settings) if "Callable" in str(field.type)}
    assert {row[0] for row in rows} == callables | {"OPERATORS"}


def test_limits_table_equals_the_code():
    (rows,) = table(SETTINGS, "limit", "default", "what it limits")
    assert {name: value_of(default) for name, default, _ in rows} == conf.RATE_LIMITS


def test_operator_table_equals_the_code():
    _, operator_keys = table(SETTINGS, "key", "default", "what it does")
    told = {key: value_of(default) for key, default, _ in operator_keys}
    assert told.pop("PROFILE") == "required"
    assert told.pop("CLIENT_ID") == "required"
    # The way of authenticating is the profile's where a profile has one; no built-in one does.
    inherited = {field.name.upper() for field in fields(Profile)} - {"CLIENT_AUTH"}
    defaults = {field.name.upper(): field.default for field in fields(Operator)}
    assert told == {
        key: "profile" if key in inherited else defaults[key] for key in conf.OPERATOR_KEYS if key != "CLIENT_ID"
    }


def test_profiles_table_equals_the_code():
    (rows,) = table(SETTINGS, "profile", "what it speaks", "what you add")
    assert [row[0] for row in rows] == list(PROFILES)


def test_profile_lacks_what_the_reader_is_told_to_add():
    (rows,) = table(SETTINGS, "profile", "what it speaks", "what you add")
    for name, _, added in rows:
        assert ("API_ROOT" in added) == (PROFILES[name].api_root is None)


def test_reasons_table_equals_the_exceptions():
    (rows,) = table(REASONS, "outcome", "reason", "what happened")
    assert [(outcome, reason) for outcome, reason, _ in rows] == [
        (kind.outcome, kind.code) for kind in exceptions.leaves() if kind.outcome
    ]


def test_reasons_without_a_row_are_named():
    text = REASONS.astext()
    assert [kind.code for kind in exceptions.leaves() if not kind.outcome and kind.code not in text] == []


def test_signals_are_all_there():
    text = ROOT.joinpath("docs/reference/signals.rst").read_text()
    assert re.findall(r"^\.\. autodata:: (\w+)$", text, re.MULTILINE) == [
        name for name, value in vars(signals).items() if isinstance(value, Signal)
    ]


PATH = re.compile(r"numverify_django(?:\.\w+)*")


def is_module(path):
    """Tell whether the dotted ``path`` leads to a module, which is imported for what is in it."""
    place = ROOT.joinpath(*path.split("."))
    return place.is_dir() or place.with_suffix(".py").is_file()


def used(text):
    """Return the paths of what the Python ``text`` takes from our package: by import, of a module, or in a string."""
    nodes = list(ast.walk(ast.parse(text)))
    froms = [node for node in nodes if isinstance(node, ast.ImportFrom) and PATH.fullmatch(node.module or "")]
    names = {part.asname or part.name: f"{node.module}.{part.name}" for node in froms for part in node.names}
    modules = {name: path for name, path in names.items() if is_module(path)}
    found = {path for path in names.values() if not is_module(path)}
    for node in nodes:
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") in modules:
            found.add(f"{modules[node.value.id]}.{node.attr}")
        if isinstance(node, ast.Constant) and PATH.fullmatch(str(node.value)):
            found.add(node.value)
    return found


CLASSES = ROOT.joinpath("docs/reference/classes.rst").read_text()
LISTED = set(re.findall(r"``(numverify_django[.\w]*)``", CLASSES))
DESCRIBED = set(re.findall(r"^ *\.\. auto\w+:: (numverify_django\S+)$", CLASSES, re.MULTILINE))
SIGNALS = {f"{signals.__name__}.{name}" for name, value in vars(signals).items() if isinstance(value, Signal)}


@pytest.mark.parametrize("page", PAGES)
def test_what_the_pages_have_a_site_use_is_listed(page):
    document = read(page)
    named = {node.astext() for node in document.findall(nodes.literal) if PATH.fullmatch(node.astext())}
    named = {path for path in named if is_there(path) and not is_module(path)}
    assert named.union(*map(used, blocks(document, "python"))) - LISTED - DESCRIBED - SIGNALS == set()


def test_what_is_listed_is_there():
    assert [path for path in LISTED if not (is_module(path) or is_there(path))] == []


PACKAGE = Path(numverify_django.__file__).parent


def reached(name, functions, seen=frozenset()):
    """Return the names of the ``functions`` of a module that a call of ``name`` may come to."""
    named = {node.id for node in ast.walk(functions[name]) if isinstance(node, ast.Name)}
    seen = seen | {name}
    for other in named & functions.keys() - seen:
        seen = reached(other, functions, seen)
    return seen


def codes(function):
    return re.findall(r"'(?:numverify\.)?([EW]\d{3})'", ast.unparse(function))


def raised():
    """Return the code of each check in the sources (E001), and whether ``check --deploy`` alone makes it."""
    found = dict.fromkeys(codes(ast.parse((PACKAGE / "conf.py").read_text())), False)  # which check_settings tells
    for path in [PACKAGE / "checks.py", *PACKAGE.glob("contrib/*/checks.py")]:
        functions = {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}
        for name, function in functions.items():
            registered = "".join(map(ast.unparse, function.decorator_list))
            for other in reached(name, functions) if registered.startswith("register(") else ():
                for code in codes(functions[other]):
                    found[code] = found.get(code, True) and "deploy=True" in registered
    return found


def test_checks_table_equals_the_code():
    (rows,) = table(CHECKS, "check", "when", "what it found")
    told = {name: when == "deploy" for name, when, _ in rows}
    assert told == raised()


def test_commands_table_equals_the_code():
    (rows,) = table(COMMANDS, "command", "options", "what it does")
    names = {path.stem for path in Path(commands.__file__).parent.glob("numverify_*.py")}
    assert {row[0] for row in rows} == names


@pytest.mark.parametrize("name", [row[0] for row in table(COMMANDS, "command", "options", "what it does")[0]])
def test_options_of_a_command_are_all_there(name):
    parser = ArgumentParser(add_help=False)
    load_command_class("numverify_django", name).add_arguments(parser)
    own = [action.option_strings[0] for action in parser._actions if action.option_strings]
    (told,) = [row[1] for row in table(COMMANDS, "command", "options", "what it does")[0] if row[0] == name]
    assert told.split(", ") == own


def test_addresses_table_equals_the_urls():
    (rows,) = table(COMMANDS, "name", "what is there")
    assert [row[0] for row in rows] == [pattern.name for pattern in urls.urlpatterns]


def test_digits_table_equals_the_sandbox():
    (rows,) = table(SANDBOX, "digit", "answer")
    assert [tuple(row) for row in rows] == [(digit.digit, digit.text) for digit in DIGITS]


def test_fault_keys_table_equals_the_sandbox():
    (rows,) = table(SANDBOX, "key", "what it does")
    assert [row[0] for row in rows] == list(FAULT_VALUES)
    assert all(hop in rows[0][1] for hop in HOPS)
