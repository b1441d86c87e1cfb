"""How Sphinx builds these pages: ``make docs``."""

import re
from importlib import metadata

import django
from django.conf import settings
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

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

settings.configure(INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "numverify_django"])
django.setup()


class PageLinks(SphinxTransform):
    """Let links to files, which lead somewhere in the repository too, and mentions of docs/ lead to the pages."""

    default_priority = 500

    def apply(self):
        """Put a link to the page in the place of each."""
        for link in list(self.document.findall(nodes.reference)):
            found = LINK.fullmatch(link.get("refuri", ""))
            if found:
                link.replace_self(self.to(f"/{found[2]}" if found[1] else found[2], link.astext()))
        for text in list(self.document.findall(nodes.Text)):
            if MENTION.search(text) and not isinstance(text.parent, nodes.literal | nodes.literal_block):
                # every second part is a page's name
                parts = enumerate(MENTION.split(text))
                text.parent.replace(text, [self.to(f"/{part}") if odd % 2 else nodes.Text(part) for odd, part in parts])

    def to(self, page, title=""):
        """Return a link to ``page``, called ``title`` or as the page is."""
        facts = {"reftype": "doc", "refdomain": "std", "reftarget": page, "refdoc": self.env.docname, "refwarn": True}
        return addnodes.pending_xref("", nodes.inline("", title), refexplicit=bool(title), **facts)


def setup(app):
    """Add the links."""
    app.add_transform(PageLinks)
