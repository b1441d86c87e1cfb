"""The house: a module imports only modules of a strictly lower rank, and each third-party package has its owners."""

import ast
from pathlib import Path

import pytest

import numverify_django

PACKAGE = Path(numverify_django.__file__).parent
ROOT = PACKAGE.name
# A name stands for the module and, for a package, for all that is in it.
RANKS = {
    "protocol.exceptions": 0,
    "protocol.phone": 1,
    "protocol.messages": 2,
    "protocol.profiles": 2,
    "protocol.jose": 3,
    "protocol.authorization": 4,
    "protocol.tokens": 4,
    "protocol.verification": 4,
    "protocol.conversation": 5,
    "flights": 3,
    "connections": 3,
    "calls": 4,
    "transport": 5,
    "aio": 5,
    "running": 6,
    "hooks": 3,
    "sealing": 4,
    "roster": 4,
    "readers": 4,
    "conf": 5,
    "signals": 5,
    "routing": 6,
    "pruning": 5,
    "statements": 5,
    "models": 6,
    "session": 7,
    "limits": 7,
    "rollup": 7,
    "person": 7,
    "navigation": 7,
    "policies": 3,
    "newcomers": 3,
    "pages": 8,
    "flow": 8,
    "uses": 9,
    "backends": 8,
    "forms": 9,
    "checks": 10,
    "decorators": 9,
    "reverify": 9,
    "views": 10,
    "middleware": 10,
    "admin.drawing": 7,
    "admin.columns": 8,
    "admin.paging": 8,
    "admin.search": 8,
    "admin.summary": 8,
    "admin.export": 9,
    "admin.figures": 9,
    "admin.filters": 9,
    "admin.inlines": 9,
    "admin": 10,
    "numbers": 11,
    "urls": 12,
    "apps": 12,
    "asgi": 12,
    "tasks": 11,
    "templatetags": 10,
    "probe.asking": 7,
    "probe": 8,
    "management.person": 10,
    "management": 11,
    "contrib": 11,
}
APART = ("sandbox", "migrations")
OWNERS = {  # third-party package -> the modules that may import it
    "jwt": ["protocol.jose"],
    "phonenumbers": ["protocol.phone"],
    "requests": ["connections", "transport"],
    "aiohttp": ["aio"],
    "yarl": ["aio"],
    "urllib3": ["connections", "transport"],
    "mozilla_django_oidc": ["backends", "checks", "contrib.sso"],
    "cryptography": ["protocol.jose", "sealing"],
    "django_otp": ["contrib.otp"],
    "rest_framework": ["contrib.drf"],
    "rest_framework_simplejwt": ["contrib.drf.logins.simplejwt"],
    "flask": ["sandbox"],
    "werkzeug": ["sandbox"],
    "authlib": ["sandbox"],
    "joserfc": ["sandbox"],
    "segno": ["contrib.qr"],
}
WITHOUT_DJANGO = ("protocol", "flights", "connections", "calls", "transport", "aio", "running", "sealing", "sandbox")


def name_of(path):
    """Return the module's name below the package: ``protocol.jose``, or "" for the package itself."""
    return ".".join(part for part in path.relative_to(PACKAGE).with_suffix("").parts if part != "__init__")


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def is_in(module, names):
    """Tell whether ``module`` is one of ``names`` or stands below one."""
    return any(module == name or module.startswith(f"{name}.") for name in names)


def app_of(module):
    """Return the app of ``contrib`` that ``module`` belongs to, or None; its modules may import each other."""
    parts = module.split(".")
    return parts[1] if parts[0] == "contrib" and len(parts) > 1 else None


def rank(module):
    """Return the rank of ``module``, or None where it has none: a package's __init__, or a module apart."""
    return next((number for name, number in RANKS.items() if is_in(module, [name])), None)


def imports(module):
    """Return the full names that ``module`` imports, wherever in it they stand."""
    here = [ROOT, *module.split(".")] if module else [ROOT]
    parent = here if MODULES[module].name == "__init__.py" else here[:-1]
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = parent[: len(parent) - node.level + 1] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            found |= {f"{source}.{alias.name}" for alias in node.names}
    return found


def inside(module):
    """Return the package's own modules that ``module`` imports."""
    names = [name.removeprefix(f"{ROOT}.") for name in imports(module) if name.startswith(f"{ROOT}.")]
    return {max((known for known in MODULES if is_in(name, [known])), key=len, default=name) for name in names}


def outside(module):
    """Return the top-level packages other than ours that ``module`` imports."""
    return {name.partition(".")[0] for name in imports(module)} - {ROOT}


@pytest.mark.parametrize("module", [module for module in MODULES if rank(module) is not None])
def test_module_imports_only_lower_ranks(module):
    others = {other for other in inside(module) if app_of(other) is None or app_of(other) != app_of(module)}
    upward = {other for other in others if rank(other) is None or rank(other) >= rank(module)}
    assert not upward - {"", "protocol"}  # a package's __init__, which holds a docstring


def test_every_module_has_a_rank():
    bare = {"", "protocol", "management", "management.commands", "contrib"}
    assert {module for module in MODULES if rank(module) is None and not is_in(module, APART)} <= bare


@pytest.mark.parametrize("module", [module for module in MODULES if is_in(module, ["sandbox"])])
def test_sandbox_imports_nothing_of_the_package(module):
    assert {other for other in inside(module) if not is_in(other, ["sandbox"])} == set()


@pytest.mark.parametrize("module", [module for module in MODULES if is_in(module, WITHOUT_DJANGO)])
def test_module_knows_no_django(module):
    assert "django" not in outside(module)


@pytest.mark.parametrize("package", OWNERS)
def test_third_party_package_is_imported_by_its_owners_alone(package):
    users = {module for module in MODULES if package in outside(module)}
    assert users
    assert {module for module in users if not is_in(module, OWNERS[package])} == set()


def test_nothing_is_imported_inside_a_function():
    deferred = [
        (module, node.lineno)
        for module, path in MODULES.items()
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and (module.rpartition(".")[2], function.name) != ("apps", "ready")
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert deferred == []
