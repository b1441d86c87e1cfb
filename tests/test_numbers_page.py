"""docs/numbers.rst: its code runs here, and its sentences are compared with the package."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.db.models.signals import post_delete, post_save
from django.template import Context, Template
from django.utils import timezone

from numverify_django import session, signals
from numverify_django.models import Use, VerificationAttempt, VerifiedNumber

from .test_login import GOOD, account
from .test_numbers import HOME, PASSWORD, add, person, remove_url  # noqa: F401

TEXT = (Path(__file__).parents[1] / "docs" / "numbers.rst").read_text()
FIELD = "last_name"  # what the tests' user model has in the place of a site's own ``phone``


def block(start):
    """Return the code block that begins with ``start``."""
    blocks = re.findall(r"\.\. code-block:: \w+\n\n((?:   .*\n|\n)+)", TEXT)
    (found,) = [text for text in blocks if text.lstrip().startswith(start)]
    return re.sub("^   ", "", found, flags=re.MULTILINE)


def run(start, **names):
    """Run that block; return its names."""
    exec(block(start).replace("phone=phone", f"{FIELD}=phone"), names)  # noqa: S102
    return names


@pytest.fixture
def receivers():
    """What receivers.py connects, until the test is over."""
    names = run("# receivers.py")
    yield
    for signal in (post_save, post_delete):
        assert signal.disconnect(names["keep_in_step"], sender=VerifiedNumber)
    told = {"number_linked": "new", "number_removed": "removed"}
    for name, word in told.items():
        assert getattr(signals, name).disconnect(names[f"tell_of_a_{word}_number"])
    assert signals.number_moved.disconnect(names["tell_who_had_it"])


def test_link_leads_to_the_list():
    assert f'href="{HOME}"' in Template(block("<a href")).render(Context())


def test_figures_and_names_are_the_packages():
    assert f"more than {session.RECENT // 60} minutes ago" in TEXT
    assert f"are *{Use.LINK.label}* in the admin" in " ".join(TEXT.split())
    assert '``attempt.use`` as\n``"link"``' in TEXT


def test_site_knows_of_another_way(phone, settings):
    phone.log_in(GOOD)
    Backend = run("# riverside/backends.py", __name__=__name__)["Backend"]
    globals()["Backend"] = Backend
    settings.AUTHENTICATION_BACKENDS = [PASSWORD, f"{__name__}.Backend"]
    user = get_user_model().objects.get()
    phone.client.force_login(user, f"{__name__}.Backend")
    phone.client.post(remove_url())
    assert VerifiedNumber.objects.count() == 1
    get_user_model().objects.update(email="somebody@example.org")
    phone.client.post(remove_url())
    assert VerifiedNumber.objects.count() == 0


UNUSED = {  # days since the last login, the holder's password, the operator that enrolled the number
    "unused": (400, "md5$", None),
    "used": (300, "md5$", None),
    "never used": (None, "md5$", None),
    "no password": (400, "!", None),
    "of another operator": (400, "md5$", "another"),
}


@pytest.mark.parametrize("case", UNUSED)
def test_account_that_nobody_used_lets_its_number_go(person, settings, case):  # noqa: F811
    days, password, operator = UNUSED[case]
    moves = case == "unused"
    holder = account(operator=operator, last_login=days and timezone.now() - timedelta(days=days), password=password)
    may_move = run("# riverside/accounts.py")["may_move"]
    settings.NUMVERIFY = settings.NUMVERIFY | {"NUMBER_TAKEN": may_move}
    add(person)
    assert (VerifiedNumber.objects.get().user == person.user) == moves
    assert (VerifiedNumber.objects.get().user == holder) != moves
    assert VerificationAttempt.objects.get().reason == ("" if moves else "number_taken")


@pytest.mark.filterwarnings("ignore:.*default mailer")  # Django 6.1, where a site does not name its mailers yet
@pytest.mark.usefixtures("receivers")
def test_people_are_told_and_the_field_is_kept_in_step(person, settings):  # noqa: F811
    settings.NUMVERIFY = settings.NUMVERIFY | {"NUMBER_TAKEN": lambda *asked: True}
    holder = account(email="holder@example.org")
    get_user_model().objects.filter(pk=person.user.pk).update(email="new@example.org")

    def field(user):
        return get_user_model().objects.values_list(FIELD, flat=True).get(pk=user.pk)

    assert field(holder) == "+34600000001"
    add(person)
    assert (field(holder), field(person.user)) == ("", "+34600000001")
    person.client.post(remove_url())
    assert field(person.user) == ""
    told = [(message.to, message.subject) for message in mail.outbox]
    assert told == [
        (["new@example.org"], "A number was added"),
        (["holder@example.org"], "A number was moved"),
        (["new@example.org"], "A number was removed"),
    ]
    assert [message.body for message in mail.outbox if "600000001" in message.body] == []
