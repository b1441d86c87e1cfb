"""Explain what survived ``mutmut run``, and fail for what nobody has explained: ``make mutants``.

A survivor is fine where only the words of one of our exceptions changed, or where EQUIVALENT says why the broken copy
does the same. Anything else is a gap in the tests; so is a timeout, which on a busy machine proves nothing.
"""

import ast
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

from numverify_django.protocol import exceptions

MUTMUT = [sys.executable, "-m", "mutmut"]
WORDS = "only the words of an exception"
EQUIVALENT = {  # (function, what stood there, what stands there now) -> why it is the same
    ("_refusal", "response.status < 300", "response.status <= 300"): "300 to 399 returned above",
    ("_refusal", "response.status < 300", "response.status < 301"): "300 to 399 returned above",
    ("_refusal", "error = None", 'error = ""'): "neither is one of ERRORS",
    ("refusal", "code = None", 'code = ""'): "neither is one of the profile's codes",
    ("_check_expires_in", '"expires_in", 1)', '"expires_in", 2)'): "a missing lifetime passes as any that is positive",
    ("challenge", 'b"="', 'b"XX=XX"'): "32 bytes end in a letter whose last two bits are 0, and X is none of them",
    ("parse_share", "answer[:1]", "answer[:2]"): "they differ where the second character is no digit: never E.164",
}


class _WithoutWords(ast.NodeTransformer):
    """Drop the texts that our exceptions are made with."""

    def visit_Call(self, node):
        self.generic_visit(node)
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if isinstance(getattr(exceptions, name, None), type):
            node.args = [given for given in node.args if not _is_text(given)]
        return node


def _is_text(node):
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | None))


@cache
def functions(module):
    """Return the functions of a module as mutmut wrote it, the broken copies among them: name -> source."""
    source = Path("mutants", *module.split(".")).with_suffix(".py").read_text(encoding="utf-8")
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef)]
    return {node.name: "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno]) for node in nodes}


def explain(mutant):
    """Return why no test need tell ``mutant`` from what it was made of, or None."""
    module, _, broken = mutant.rpartition(".")
    mangled = broken.rpartition("__mutmut_")[0]
    name = mangled.removeprefix("x_")
    before, after = (functions(module)[copy].replace(copy, name) for copy in (f"{mangled}__mutmut_orig", broken))
    if len({ast.dump(_WithoutWords().visit(ast.parse(source))) for source in (before, after)}) == 1:
        return WORDS
    known = {before.replace(was, now): why for (where, was, now), why in EQUIVALENT.items() if where == name}
    return known.get(after)


def main():
    """Print each mutant that was not killed with its reason, and how many there are; return the exit status."""
    told = subprocess.run([*MUTMUT, "results", "--all", "true"], stdout=subprocess.PIPE, text=True, check=True).stdout
    counts = Counter()
    for mutant, _, status in (line.strip().rpartition(": ") for line in told.splitlines() if ": " in line):
        if status == "killed":
            counts["killed"] += 1
            continue
        reason = (explain(mutant) if status == "survived" else None) or "UNEXPLAINED"
        counts[reason if reason in (WORDS, "UNEXPLAINED") else "equivalent"] += 1
        print(f"{mutant}: {status}: {reason}", flush=True)  # noqa: T201
        if reason == "UNEXPLAINED":
            subprocess.run([*MUTMUT, "show", mutant], check=True)
    print(counts.total(), "mutants:", ", ".join(f"{number} {what}" for what, number in counts.items()))  # noqa: T201
    return 1 if counts["UNEXPLAINED"] or not counts else 0


if __name__ == "__main__":
    sys.exit(main())
