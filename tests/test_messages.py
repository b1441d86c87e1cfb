"""The catalogues: complete, up to date, compiled, with every placeholder and in one register each."""

import io
import re
import string
from gettext import GNUTranslations
from pathlib import Path

import django as django_itself
import pytest
from babel.messages.mofile import write_mo
from django.utils import translation
from django.utils.translation import gettext

from .messages import LANGUAGES, catalogue, folder, strings, template

# What another register says than the catalogue's Sie with infinitives, tú, or você; and what a
# page should not say: blame, apologies, and words that people of that market do not use.
REGISTER = {
    "de": [
        r"du|dich|dir|dein(e[mnrs]?)?|euch|eure?[mnrs]?|kannst|willst|musst|hast|bist|sollst|darfst|möchtest|wirst",
        r"gib|schalte|versuche? es|drücke?|tippe?|klicke?|warte|öffne|verwende|bleibe?|sende|kopiere|wähle",
        r"bitte|leider|ungültig\w*|verboten\w*|sorry|einloggen|eingeloggt|verifizier\w*|authentifizier\w*",
        r"wi-?fi|mobiltelefon\w*|mobil(funk)?nummer|netzbetreiber|provider|textnachricht\w*|referenz\w*",
    ],
    "es": [
        r"usted(es)?|sus?|suy[oa]s?|les?",
        r"pulse|presione|escriba|introduzca|ingrese|desactive|compruebe|verifique|inicie|vuelva|intente|espere|escanee",
        r"celular(es)?|computadora?s?|acá|vos|chip|operador(es)?|wi-fi|teléfonos?|dígitos?|log ?in|clic",
        r"por favor|lo sentimos|disculp\w+|in?válid[oa]s?|prohibid[oa]s?",
    ],
    "pt_BR": [
        r"tu|te|ti|contigo|teus?|tuas?|voss[ao]s?|tens|podes|queres|deves|precisas|estás|és|vais",
        r"desliga|toca|digita|tenta|escolhe|clica|carrega|senhor(a|es|as)?|sr|sra",
        r"telemóve(l|is)|utilizador\w*|ecrãs?|palavras?-passe|contact[aeo]\w*|partilh\w*|registar|ficheiros?",
        r"por favor|desculpe\w*|infelizmente|inválid[ao]s?|proibid[ao]s?|acess(ar|e|ou|a)|clique|cart(ão|ões) SIM",
    ],
}
GSM_7_BIT = {*string.ascii_letters, *string.digits, *" .,:;!?'-/()%@#_+&=\n", *"äöüÄÖÜßñÑàèéìòùÇÅåÆæØøÉ¿¡§"}
each_language = pytest.mark.parametrize("language", LANGUAGES)


def messages(language):
    return [message for message in catalogue(language) if message.id]


@each_language
def test_catalogue_has_what_is_said_and_nothing_else(language):
    said = {(message.context, message.id) for message in template() if message.id}
    assert {(message.context, message.id) for message in messages(language)} == said
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
def test_django_says_what_it_said_before(language):
    """One catalogue is made of all apps': a message without a context that Django has as well stays Django's."""
    django = Path(django_itself.__file__).parent
    for path in django.glob(f"**/locale/{language}/LC_MESSAGES/django.mo"):
        theirs = GNUTranslations(io.BytesIO(path.read_bytes()))
        ours = [(message.id, message.string) for message in messages(language) if message.context is None]
        assert [(said, text) for said, text in ours if theirs.gettext(str(said)) not in (said, str(said), text)] == []


@each_language
def test_text_messages_cost_one_part(language):
    """GSM 7-bit (3GPP TS 23.038): one letter beyond it, and a message has 70 characters instead of 160."""
    text = catalogue(language).get("%(code)s is your %(site)s login code. Never share it.").string
    assert set(text) <= GSM_7_BIT
    assert len(text % {"code": "123456", "site": "Riverside Sports Club"} + "\n\n@riverside.example #123456") < 160


@each_language
def test_people_are_addressed_in_one_way(language):
    wrong = re.compile(rf"\b({'|'.join(REGISTER[language])})\b", re.IGNORECASE)
    said = [re.sub("<[^>]*>", "", text) for message in messages(language) for text in strings(message)]
    assert [(wrong.search(text)[0], text) for text in said if wrong.search(text)] == []


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
