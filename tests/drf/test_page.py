"""docs/apps.rst: its settings hold, and its commands run against a site on a socket."""

import re
import shutil

import pytest
from docutils import nodes

from ..test_api_page import run, shape
from ..test_docs import read

PAGE = read("docs/apps.rst")


def block(start):
    """Return the code block that begins with ``start``."""
    (found,) = [node.astext() for node in PAGE.findall(nodes.literal_block) if node.astext().startswith(start)]
    return found


@pytest.mark.django_db(transaction=True)
def test_commands_do_what_the_page_shows(settings, configure, live_server, tmp_path):
    assert shutil.which("openssl"), "openssl is missing"
    names = {"INSTALLED_APPS": [], "NUMVERIFY": {"OPERATORS": {"telefonica": {}}}}
    exec(block("# settings.py\n"), names)  # noqa: S102
    exec(block("# settings.py, in production"), names)  # noqa: S102
    assert set(names["INSTALLED_APPS"]) <= set(settings.INSTALLED_APPS)
    link = names["NUMVERIFY"]["OPERATORS"]["telefonica"]["APP_REDIRECT_URI"]
    assert link.startswith("https://")
    configure(site={"APP_LOGIN": names["NUMVERIFY"]["APP_LOGIN"]}, APP_REDIRECT_URI="http://127.0.0.1/app/done/")

    answers, expected = run(PAGE, live_server.url, tmp_path)
    assert [shape(answer) for answer in answers] == [shape(answer) for answer in expected]


@pytest.mark.django_db
def test_hook_of_the_page_gets_what_it_uses(admin_user):
    names = {}
    exec(block("# riverside/apps_login.py"), names)  # noqa: S102
    assert names["log_in"](None, admin_user, None).keys() == {"token", "member"}


def test_logins_of_the_table_are_there():
    named = set(re.findall(r"(\w+)\.log_in", PAGE.astext()))
    for name in named - {"riverside"}:
        module = __import__(f"numverify_django.contrib.drf.logins.{name}", fromlist=["log_in"])
        assert callable(module.log_in)
    assert named == {"token", "simplejwt", "session"}
