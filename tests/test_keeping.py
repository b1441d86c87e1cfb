"""docs/keeping.rst is executed: its commands run, and its SQL makes a table that logins work on."""

import io
import re
import shlex
import sys
from datetime import datetime

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command, load_command_class
from django.db import connection
from docutils import nodes

from numverify_django import conf, models, pruning
from numverify_django.contrib.qr.models import QrLogin
from numverify_django.models import VerificationAttempt, VerifiedNumber
from numverify_django.person import Person
from numverify_django.protocol.phone import PhoneNumber

from .conftest import Phone
from .test_docs import read
from .test_pruning import make

PAGE = read("docs/keeping.rst")
TEXT = " ".join(PAGE.astext().split())
NUMBER, LATER = "600 000 001", "600 000 011"
MONTH = "numverify_attempts_2027_01"


def blocks(language):
    """Return the texts of the code blocks in ``language``."""
    return [node.astext() for node in PAGE.findall(nodes.literal_block) if language in node["classes"]]


def commands(*languages):
    """Return the command lines of ours in these blocks, each as its name and arguments."""
    lines = [line for language in languages for text in blocks(language) for line in text.splitlines()]
    found = [line.partition("manage.py ")[2] for line in lines if "manage.py " in line]
    return [shlex.split(line) for line in found]


# Commands


def test_every_command_is_one_that_a_test_runs():
    assert [" ".join(command) for command in commands("console")] == [
        "numverify_prune",
        "numverify_prune --dry-run",
        "numverify_prune --seconds 600 --verbosity 0",
        "numverify_forget -",
        "numverify_export - --output person.json",
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("command", commands("console"), ids=" ".join)
def test_command_runs(command, monkeypatch, tmp_path, capsys):
    make(VerificationAttempt, **models.number_columns(PhoneNumber("+34600000001")))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{NUMBER}\nyes\n"))
    call_command(*command)

    assert (tmp_path / "person.json").exists() == ("--output" in command)
    assert (capsys.readouterr().out == "") == ("0" in command or "--output" in command)


def test_scheduled_commands_are_what_the_page_types():
    scheduled = commands("text", "ini")
    assert scheduled == [commands("console")[2]] * 2
    for name, *arguments in scheduled:
        load_command_class("numverify_django", name).create_parser("manage.py", name).parse_args(arguments)


def test_snippets_of_python_are_python(settings, monkeypatch):
    task, peppers = blocks("python")
    assert "from numverify_django.tasks import prune" in task  # test_tasks.py runs it
    monkeypatch.setenv("NUMVERIFY_PEPPER", "n" * 32)
    monkeypatch.setenv("NUMVERIFY_PEPPER_BEFORE", "o" * 32)
    names, derived = {"NUMVERIFY": dict(django_settings.NUMVERIFY)}, conf.get().peppers
    exec(f"import os\n{peppers}", names)  # noqa: S102
    settings.NUMVERIFY = names["NUMVERIFY"]
    assert conf.get().peppers == ("n" * 32, "o" * 32)
    assert conf.get().former_peppers == derived  # of SECRET_KEY


def test_figures_are_those_of_the_code():
    assert f"deleted {pruning.BATCH:,} and ended {pruning.BATCH_WRITTEN:,} in a transaction" in TEXT


@pytest.mark.django_db
def test_models_that_are_named_are_all_of_ours():
    named = {literal.astext() for literal in PAGE.findall(nodes.literal)}
    assert {rows.model.__name__ for rows in Person(PhoneNumber("+34600000001")).records()} - named == set()


# Partitions


def execute(sql):
    """Run ``sql`` in the test's transaction, which is rolled back."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(sql)
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


@pytest.fixture
def partitioned(phone):
    """A site with one login so far, whose attempts are partitioned then; the page's scripts by their names."""
    if connection.vendor != "postgresql":
        pytest.skip("partitions are PostgreSQL's")
    scripts = {re.match(r"-- (\w+)\.sql", text)[1]: text for text in blocks("postgresql")}
    phone.log_in(NUMBER)
    execute(scripts["partitions"])
    execute(scripts["months"])
    return scripts


def partition_of(attempt):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT tableoid::regclass FROM {attempt._meta.db_table} WHERE id = %s", [attempt.pk])  # noqa: S608
        return cursor.fetchone()[0]


class TestPartitions:
    def test_rows_of_before_are_kept_and_logins_work(self, partitioned, phone, sandbox):
        before = VerificationAttempt.objects.get()
        user, other = phone.user_id, Phone(sandbox)
        phone.client.logout()
        assert phone.log_in(NUMBER).status_code == other.log_in(LATER).status_code == 302

        assert (phone.user_id, VerifiedNumber.objects.count()) == (user, 2)
        assert other.user_id not in (None, user)
        assert set(VerificationAttempt.objects.values_list("outcome", flat=True)) == {"verified"}
        assert VerificationAttempt.objects.count() == len({*VerificationAttempt.objects.values_list("pk")}) == 3
        assert min(VerificationAttempt.objects.values_list("pk", flat=True)) == before.pk

    def test_callback_is_good_once(self, partitioned, sandbox):
        phone = Phone(sandbox)
        callback = phone.come_back(phone.start(NUMBER))
        assert [phone.client.get(callback).status_code for _ in range(2)] == [302, 409]

    def test_table_has_the_indexes_of_the_model(self, partitioned):
        with connection.cursor() as cursor:
            found = connection.introspection.get_constraints(cursor, VerificationAttempt._meta.db_table)
        for index in VerificationAttempt._meta.indexes:
            assert found[index.name]["columns"] == [name for name, _ in index.fields_orders]
        assert found["numverify_state"]["columns"] == ["state_digest", "created_at"]
        assert [made["columns"] for made in found.values() if made["primary_key"]] == [["id", "created_at"]]
        assert [made["foreign_key"] for made in found.values() if made["foreign_key"]] == [("auth_user", "id")]

    def test_month_has_its_rows_and_is_dropped_with_them(self, partitioned):
        there, after = (
            make(VerificationAttempt, since=datetime.fromisoformat(day))[0]
            for day in ("2027-01-31T23:59:59+00:00", "2027-02-01T00:00:00+00:00")
        )
        (login,) = make(QrLogin, since=datetime.fromisoformat("2027-02-01T00:00+00:00"), attempt=there)
        assert (partition_of(there), partition_of(after)) == (MONTH, "numverify_attempts_2027_02")
        execute(partitioned["drop"])

        login.refresh_from_db()
        assert login.attempt is None
        assert not VerificationAttempt.objects.filter(pk=there.pk).exists()
        assert VerificationAttempt.objects.filter(pk=after.pk).exists()

    def test_month_that_nobody_made_loses_no_login(self, partitioned):
        (late,) = make(VerificationAttempt, since=datetime.fromisoformat("2031-01-01T00:00+00:00"))
        assert partition_of(late) == "numverify_attempts_rest"

    def test_pruning_and_forgetting_go_on(self, partitioned, capsys):
        make(VerificationAttempt, 3)
        call_command("numverify_prune")
        assert capsys.readouterr().out == "Rows ended: 3, erased: 0, deleted: 3.\n"
        assert Person(PhoneNumber("+34600000001")).forget()["numverify_django.VerificationAttempt"] == 1
        assert VerificationAttempt.objects.get().number_digest is None
