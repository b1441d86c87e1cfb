"""How Sphinx builds these pages: ``make docs``."""

import re
from importlib import metadata

import django
from django.conf import settings
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.util.logging import getLogger

project = "numverify_django"
author = "The numverify_django developers"
copyright = f"2026, {author}"
release = version = metadata.version("numverify-django")

extensions = ["sphinx.ext.autodoc", "sphinx.ext.doctest"]
html_theme = "furo"
html_title = f"{project} {release}"
html_copy_source = False
smartquotes = False  # "--preload" is no dash
autodoc_member_order = "bysource"

LINK = re.compile(r"(docs/)?([./\w-]+)\.rst")
MENTION = re.compile(r"\bdocs/([\w-]+)\.rst")
TEST = re.compile(r"\.\./(tests/[\w/]+)\.py")
ELSEWHERE = re.compile(r"https?://|mailto:")

settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "numverify_django"])
django.setup()


class PageLinks(SphinxTransform):
    """Let links to files, which lead somewhere in the repository too, and mentions of docs/ lead to the pages.

    A link to any other file, which would lead nowhere, is a warning.
    """

    default_priority = 500

    def apply(self):
        """Put a link to the page in the place of each."""
        for link in list(self.document.findall(nodes.reference)):
            file = link.get("refuri", "")
            if found := LINK.fullmatch(file):
                link.replace_self(self.to(f"/{found[2]}" if found[1] else found[2], link.astext()))
            elif found := TEST.fullmatch(file):
                link["refuri"] = f"{found[1]}.html"
            elif file and not ELSEWHERE.match(file):
                getLogger(__name__).warning("%s has no page", file, location=link)
        for text in list(self.document.findall(nodes.Text)):
            if MENTION.search(text) and not isinstance(text.parent, nodes.literal | nodes.literal_block):
                # every second part is a page's name
                parts = enumerate(MENTION.split(text))
                text.parent.replace(text, [self.to(f"/{part}") if odd % 2 else nodes.Text(part) for odd, part in parts])

    def to(self, page, title=""):
        """Return a link to ``page``, called ``title`` or as the page is."""
        facts = {"reftype": "doc", "refdomain": "std", "reftarget": page, "refdoc": self.env.docname, "refwarn": True}
        return addnodes.pending_xref("", nodes.inline("", title), refexplicit=bool(title), **facts)


def tests(app):
    """Yield a page with the code of each test that a page of ours leads to."""
    texts = [page.read_text() for page in app.srcdir.glob("*.rst")]
    for name in sorted({name for text in texts for name in TEST.findall(text)}):
        code = app.builder.highlighter.highlight_block(app.srcdir.parent.joinpath(f"{name}.py").read_text(), "python")
        yield name, {"title": f"{name}.py", "body": f"<h1>{name}.py</h1>{code}"}, "page.html"


def setup(app):
    """Add the links, and the pages of tests."""
    app.add_transform(PageLinks)
    app.connect("html-collect-pages", tests)
