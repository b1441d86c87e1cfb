"""The catalogues: complete, up to date, compiled, with every placeholder and in one register each."""

import io
import re

import pytest
from babel.messages.mofile import write_mo
from django.utils import translation
from django.utils.translation import gettext

from .messages import LANGUAGES, catalogue, folder, strings, template

# What another register says than the catalogue's tú, Sie with infinitives, or você.
REGISTER = {
    "de": r"du|dich|dir|dein\w*|euch|euer\w*|gib|tippe?|schalte|versuche|drücke|warte|bitte|leider",
    "es": r"usted(es)?|pulse|escriba|introduzca|desactive|compruebe|vuelva|inicie|por favor",
    "pt_BR": r"tu|teus?|tuas?|telemóvel|utilizador\w*|ecrã|palavra-passe|contacto|por favor",
}
each_language = pytest.mark.parametrize("language", LANGUAGES)


def messages(language):
    return [message for message in catalogue(language) if message.id]


@each_language
def test_catalogue_has_what_is_said_and_nothing_else(language):
    assert {message.id for message in messages(language)} == {message.id for message in template() if message.id}
    assert list(catalogue(language).obsolete) == []


@each_language
def test_every_message_is_translated_and_sure(language):
    assert [message.id for message in messages(language) if message.fuzzy or not all(strings(message))] == []


@each_language
def test_placeholders_and_tags_are_kept(language):
    wrong = catalogue(language)
    assert [(message.id, *map(str, problems)) for message, problems in wrong.check()] == []
    for message in messages(language):
        source = message.id[1] if message.pluralizable else message.id
        assert [text for text in strings(message) if marks(text) != marks(source)] == [], message.id


def marks(text):
    """Return the placeholders and tags of ``text``."""
    return sorted(re.findall(r"%\(\w+\)[sd]|%%|<[^>]+>", text))


@each_language
def test_message_ends_as_its_source_does(language):
    for message in messages(language):
        source = message.id[1] if message.pluralizable else message.id
        ends = {text[-1] if text[-1] in ".:?…" else "" for text in strings(message)}
        assert ends == {source[-1] if source[-1] in ".:?…" else ""}, message.id


@each_language
def test_what_django_reads_is_what_was_translated(language):
    compiled = io.BytesIO()
    write_mo(compiled, catalogue(language))
    assert (folder(language) / "django.mo").read_bytes() == compiled.getvalue(), "make messages"


@each_language
def test_people_are_addressed_in_one_way(language):
    found = re.compile(rf"\b({REGISTER[language]})\b", re.IGNORECASE)
    assert [text for message in messages(language) for text in strings(message) if found.search(text)] == []


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("de", "Mit dem Handy anmelden"),
        ("es", "Inicia sesión con tu móvil"),
        ("es-mx", "Inicia sesión con tu móvil"),
        ("pt-br", "Entre com o celular"),
    ],
)
def test_django_speaks_it(language, said):
    with translation.override(language):
        assert gettext("Log in with your phone") == said
