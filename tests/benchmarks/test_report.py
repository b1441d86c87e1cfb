"""The table says of each goal whether it holds, and takes the place of the one before."""

import pytest

from . import report, statements

VALUES = {"ours": 10, "mozilla": 100, "allauth": 120, "floor": 8}


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        ({}, ""),
        ({"most": {"ours": 10}}, "holds"),
        ({"most": {"ours": 9}}, "MISSED"),
        ({"most": {"mozilla": 0.1, "floor": 1.25}}, "holds"),
        ({"most": {"mozilla": 0.1, "floor": 1.2}}, "MISSED"),
        ({"least": {"mozilla": 0.2}}, "MISSED"),
    ],
)
def test_goal_holds_for_our_value_and_for_its_ratios(goal, verdict):
    assert report.Row("a figure", VALUES, **goal).verdict == verdict


def test_line_has_what_the_headings_name():
    row = report.Row("a figure", VALUES, " ms", most={"mozilla": 0.2, "ours": 12})
    cells = ["a figure", "<= 0.2 of (a), <= 12 ms", "10 ms", "100 ms", "120 ms", "8 ms", "0.1", "1.25", "holds"]
    assert row.cells() == cells
    assert len(report.HEADINGS) == len(cells)


def test_page_keeps_what_stands_around_the_table(tmp_path, monkeypatch):
    page = tmp_path / "page.rst"
    page.write_text(
        "before\n\n.. make bench writes what follows\n\nold\n\n.. make bench wrote what precedes\n\nafter\n"
    )
    monkeypatch.setattr(report, "PAGE", page)
    report.write("new")

    assert (
        page.read_text()
        == "before\n\n.. make bench writes what follows\n\nnew\n\n.. make bench wrote what precedes\n\nafter\n"
    )


def test_statement_is_own_where_any_table_is_neither_of_sessions_nor_of_accounts():
    session = 'SELECT "django_session"."session_key" FROM "django_session" WHERE "django_session"."session_key" = %s'
    joined = 'SELECT "auth_user"."id" FROM "auth_user" INNER JOIN "site_number" ON ("auth_user"."id" = "a"."b")'
    assert statements.own([session, joined]) == [joined]
    assert statements.shortened(session) == "SELECT ... FROM django_session WHERE session_key = %s"
