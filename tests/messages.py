"""``make messages``: bring the catalogues up to date with what the package says, and compile them.

What is said in Python and in templates is found as ``makemessages`` finds it, with Babel in the place of GNU gettext,
so that tests can compare (test_messages.py); the docstrings of reasons, which the admin shows, are added. One catalogue
has the messages of all our apps.
"""

import io
from itertools import chain
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

import numverify_django
from numverify_django.protocol import exceptions

PACKAGE = Path(numverify_django.__file__).parent
LOCALE = PACKAGE / "locale"
LANGUAGES = ["de", "es", "pt_BR"]
KEYWORDS = {
    **dict.fromkeys(["_", "gettext", "gettext_lazy", "gettext_noop"]),
    **dict.fromkeys(["ngettext", "ngettext_lazy"], (1, 2)),
    **dict.fromkeys(["pgettext", "pgettext_lazy"], ((1, "c"), 2)),
}
HEADER = "# Update with: make messages"
ENGLISH_ALONE = "sandbox"  # the console of the sandbox operator speaks to developers


def sources():
    """Yield (path, Python text) of all that may say something to people: templates as Django turns them into it."""
    for path in sorted(chain(PACKAGE.rglob("*.py"), PACKAGE.rglob("*.html"))):
        place = path.relative_to(PACKAGE.parent).as_posix()
        if ENGLISH_ALONE in path.parts:
            continue
        text = path.read_text()
        if path.suffix == ".html":  # of which each line stands by itself
            text = "".join(f"{line.lstrip()}\n" for line in templatize(text).splitlines())
        yield place, text


def template():
    """Return the Catalog of what is said, without any translation."""
    found = Catalog(charset="utf-8", fuzzy=False)
    for place, text in sources():
        for _line, message, _comments, context in extract("python", io.BytesIO(text.encode()), KEYWORDS):
            found.add(message, locations=[(place, None)], context=context)
    reasons = [(kind.__doc__, kind.code.replace("_", " ") if kind.outcome else "") for kind in exceptions.leaves()]
    for message in filter(None, chain.from_iterable(reasons)):
        found.add(message, locations=[("numverify_django/protocol/exceptions.py", None)])
    return found


def catalogue(language):
    """Return the Catalog of ``language`` as it is committed; an empty one where there is none."""
    path = folder(language) / "django.po"
    if not path.exists():
        return Catalog(locale=language, fuzzy=False)
    with path.open("rb") as file:
        return read_po(file, locale=language)


def folder(language):
    """Return where the catalogue of ``language`` is."""
    return LOCALE / language / "LC_MESSAGES"


def write(language, updated):
    """Write the catalogue of ``language`` (a Catalog), and what Django reads of it."""
    updated.header_comment = HEADER
    updated.project, updated.version, updated.last_translator = "numverify-django", "", "numverify-django"
    updated.msgid_bugs_address, updated.language_team = "see SECURITY.rst and README.rst", "numverify-django"
    updated.revision_date = updated.creation_date
    folder(language).mkdir(parents=True, exist_ok=True)
    with (folder(language) / "django.po").open("wb") as file:
        write_po(file, updated, width=120, omit_header=False, sort_output=True, ignore_obsolete=True)
    with (folder(language) / "django.mo").open("wb") as file:
        write_mo(file, updated)


def main():
    """Update each catalogue; what is new in it waits for its translation."""
    for language in LANGUAGES:
        updated, said = catalogue(language), template()
        said.creation_date = updated.creation_date  # an update that changes nothing changes no file
        updated.update(said, no_fuzzy_matching=True)
        updated.obsolete.clear()
        write(language, updated)
        missing = [message.id for message in updated if message.id and not all(strings(message))]
        print(f"{language}: {len(updated)} messages, {len(missing)} to translate")  # noqa: T201


def strings(message):
    """Return the translations of ``message``: several where it counts."""
    return message.string if isinstance(message.string, tuple) else (message.string,)


if __name__ == "__main__":
    main()
