"""The audit in sum: counted once a minute by one worker, whoever looks, and drawn without a script."""

import itertools
import json
import re
import threading
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import override_settings
from django.utils import timezone, translation

from numverify_django import rollup
from numverify_django.admin import drawing, summary
from numverify_django.models import AttemptHour, VerificationAttempt
from numverify_django.protocol import exceptions

from .test_admin import ATTEMPTS, make_attempt

SUMMARY = f"{ATTEMPTS}summary/"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("empty_cache")]


def make_ended(error=None, took=None, operator="sandbox", ago=timedelta(minutes=5)):
    """Make an attempt that ended, verified where there is no ``error``, after ``took`` milliseconds."""
    attempt = make_attempt(error)
    facts = {
        "operator": operator,
        "created_at": timezone.now() - ago,
        "timings": {} if took is None else {"callback": took},
    }
    if error is None:
        facts |= {"outcome": "verified", "ended_at": timezone.now()}
    VerificationAttempt.objects.filter(pk=attempt.pk).update(**facts)
    return attempt


def together(acts):
    """Call each of ``acts`` in a thread of its own, all at once."""

    def run(act):
        act()
        connection.close()

    threads = [threading.Thread(target=run, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestCount:
    def test_attempts_are_counted_by_operator_outcome_and_reason(self):
        make_attempt()
        for error in (None, None, exceptions.NumberMismatch(), exceptions.OperatorTimeout()):
            make_ended(error)
        make_ended(exceptions.OperatorTimeout(), operator="another")
        found = summary.count("24h")

        assert found.total == {"pending": 1, "verified": 2, "mismatch": 1, "unavailable": 2}
        assert {name: counts for name, counts, *_ in found.by_operator()} == {
            "another": {"unavailable": 1},
            "sandbox": {"pending": 1, "verified": 2, "mismatch": 1, "unavailable": 1},
        }
        assert found.reasons == [("operator_timeout", 2), ("number_mismatch", 1)]

    def test_success_rate_leaves_out_what_is_not_over(self):
        make_attempt()
        assert summary.success_rate(summary.count("24h").total) is None
        for error in (None, None, None, exceptions.NumberMismatch()):
            make_ended(error)

        assert summary.success_rate(summary.count("24h").total) == 0.75

    @pytest.mark.parametrize(
        ("times", "median", "late"),
        [([7], 7, 7), ([10, 20], 10, 20), (range(1, 101), 50, 95), ([5] * 19 + [900], 5, 5), ([1, 2, 3], 2, 3)],
    )
    def test_percentiles_of_an_operator(self, times, median, late):
        for took in times:
            make_ended(took=took)
        make_ended(took=3000, operator="another")
        make_ended(exceptions.OperatorTimeout())  # ended by pruning: it has no time
        ((*_, first), (*_, second)) = ((row[2:]) for row in summary.count("24h").by_operator())

        assert [row[2:] for row in summary.count("24h").by_operator()] == [(3000, 3000), (median, late)]
        assert (first, second) == (3000, late)

    def test_operator_without_a_callback_has_no_times(self):
        make_attempt()
        assert [row[2:] for row in summary.count("24h").by_operator()] == [(None, None)]

    @pytest.mark.parametrize(("window", "kept"), [("24h", 1), ("7d", 2), ("30d", 3)])
    def test_window_ends_where_it_says(self, window, kept):
        for days in (0, 2, 8, 31):
            make_ended(ago=timedelta(days=days, minutes=1))

        assert sum(summary.count(window).total.values()) == kept

    @pytest.mark.parametrize(("window", "bars"), [("24h", 25), ("7d", 8), ("30d", 31)])
    def test_every_moment_has_a_bar_and_every_attempt_is_in_one(self, settings, window, bars):
        settings.TIME_ZONE = "UTC"  # where the clocks change, a window of days has one more or one less
        for hours in range(0, 24, 5):
            make_ended(ago=timedelta(hours=hours, minutes=1))
        found = summary.count(window).by_moment()

        assert len(found) == bars
        assert sum(sum(counts.values()) for _, counts in found) == 5
        assert [name for name, _ in found] == sorted(name for name, _ in found)

    def test_days_are_those_of_the_site(self, settings):
        settings.TIME_ZONE = "Asia/Tokyo"
        make_ended(ago=timedelta(0))
        (day,) = {name for name, counts in summary.count("7d").by_moment() if counts}

        assert day == f"{timezone.now().astimezone(timezone.get_default_timezone()):%Y-%m-%d}"

    @pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "America/Sao_Paulo"])
    @pytest.mark.parametrize("window", summary.WINDOWS)
    def test_every_attempt_is_in_a_bar_wherever_the_hours_begin(self, settings, zone, window):
        settings.TIME_ZONE = zone
        for minutes in range(0, 24 * 60, 25):
            make_ended(ago=timedelta(minutes=minutes))
        found = summary.count(window)
        assert sum(sum(counts.values()) for _, counts in found.by_moment()) == sum(found.total.values()) == 58

    def test_no_day_is_lost_where_the_clocks_change(self, settings):
        settings.TIME_ZONE = "Europe/Madrid"
        for month in (3, 10):
            end = datetime(2026, month, 31, 22, 30, tzinfo=UTC).timestamp()
            days = [date.fromisoformat(name) for name in summary._names(summary.WINDOWS["30d"], end)]
            assert {later - day for day, later in itertools.pairwise(days)} == {timedelta(days=1)}
            assert days[0] == datetime.fromtimestamp(end - 30 * 86_400, timezone.get_default_timezone()).date()

    def test_site_without_time_zones_counts_too(self, settings):
        settings.USE_TZ = False
        make_attempt()
        found = summary.get("24h")

        assert sum(sum(counts.values()) for _, counts in found.by_moment()) == 1
        assert timezone.is_naive(found.counted_at)

    def test_two_queries_count_whatever_there_is(self, django_assert_num_queries):
        for operator in ("one", "two", "three"):
            make_ended(operator=operator, took=1, ago=timedelta(0))
        with django_assert_num_queries(2):  # the hours that are kept, and what began since
            summary.count("30d")

    def test_times_are_told_to_two_digits(self):
        for took in (1234, 1252):
            make_ended(took=took)
        assert [row[2:] for row in summary.count("24h").by_operator()] == [(1200, 1300)]


class TestHours:
    """What is kept of an hour: counted once, when nothing in it can change any more."""

    def test_rows_of_a_closed_hour_are_read_once(self):
        make_ended(took=160, ago=timedelta(hours=3))
        before = summary.count("24h")
        VerificationAttempt.objects.all().delete()
        after = summary.count("24h")

        assert (after.operators, after.moments, after.times) == (before.operators, before.moments, before.times)
        assert after.total == {"verified": 1}

    def test_open_hours_are_read_each_time(self):
        make_ended(ago=timedelta(0))
        assert summary.count("24h").total == {"verified": 1}
        VerificationAttempt.objects.all().delete()
        assert summary.count("24h").total == {}

    @pytest.mark.parametrize(("minute", "hour"), [(0, 11), (5, 11), (6, 12), (59, 12)])
    def test_hour_is_closed_when_its_last_attempt_is_over(self, minute, hour):
        now = datetime(2026, 11, 27, 12, minute, 30, tzinfo=UTC)  # attempts live for five minutes, and one of grace
        assert rollup.closed(now) == datetime(2026, 11, 27, hour, tzinfo=UTC)

    def test_what_nobody_finished_in_a_closed_hour_has_expired(self):
        attempt = make_attempt()
        VerificationAttempt.objects.filter(pk=attempt.pk).update(created_at=timezone.now() - timedelta(hours=3))
        found = summary.count("24h")
        assert (found.total, found.reasons) == ({"abandoned": 1}, [("expired", 1)])

    def test_each_hour_is_kept_by_itself(self):
        for hours in (2, 2, 3, 30):
            make_ended(took=10, ago=timedelta(hours=hours))
        make_ended(exceptions.NumberMismatch(), took=20, ago=timedelta(hours=3))
        summary.count("24h")

        kept = [(hour.counts, hour.times) for hour in AttemptHour.objects.order_by("began_at")]
        one, two = ([[["sandbox", "verified", "", many]], {"sandbox": [[10], [many]]}] for many in (1, 2))
        with_mismatch = [
            sorted([["sandbox", "verified", "", 1], ["sandbox", "mismatch", "number_mismatch", 1]]),
            {"sandbox": [[10, 20], [1, 1]]},
        ]
        assert [[sorted(counts), times] for counts, times in kept] == [one, with_mismatch, two]

    def test_windows_add_up_the_same_hours(self):
        for hours in (1, 5, 30, 24 * 10):
            make_ended(took=10, ago=timedelta(hours=hours, minutes=1))
        counted = [sum(summary.count(window).total.values()) for window in ("24h", "7d", "30d")]
        VerificationAttempt.objects.filter(created_at__lt=timezone.now() - timedelta(hours=2, minutes=30)).delete()

        assert counted == [2, 3, 4]
        assert [sum(summary.count(window).total.values()) for window in ("24h", "7d", "30d")] == counted

    def test_pruning_counts_first_and_drops_hours_that_nobody_sums_up(self):
        make_ended(ago=timedelta(hours=3))
        now = timezone.now()
        AttemptHour.objects.create(began_at=rollup.whole(now - timedelta(days=32)), counts=[], times={})
        rollup.prune(now)

        assert AttemptHour.objects.get().counts == [["sandbox", "verified", "", 1]]

    @pytest.mark.django_db(transaction=True)
    def test_workers_that_count_at_once_keep_each_hour_once(self):
        for hours in (2, 3, 4):
            make_ended(ago=timedelta(hours=hours))
        together([lambda: summary.count("24h")] * 4)

        assert AttemptHour.objects.count() == 3
        assert summary.count("24h").total == {"verified": 3}

    def test_summary_and_list_begin_at_the_same_moment(self, admin_client):
        for minutes in range(0, 120, 7):
            make_ended(ago=timedelta(hours=24) - timedelta(minutes=minutes - 60))
        listed = admin_client.get(ATTEMPTS, {"since": "24h"}).context["cl"].result_list
        assert len(listed) == sum(summary.count("24h").total.values())

    @pytest.mark.parametrize(
        ("number", "shown"), [(0, 0), (7, 7), (99, 99), (164, 160), (165, 170), (1949, 1900), (99_600, 100_000)]
    )
    def test_two_digits_are_kept(self, number, shown):
        assert rollup.rounded(number) == shown


class TestRollUp:
    def test_it_is_counted_once_in_a_minute(self, django_assert_num_queries):
        make_ended()
        first = summary.get("24h")
        make_ended()
        with django_assert_num_queries(0):
            assert summary.get("24h").total == first.total == {"verified": 1}

    def test_it_is_never_older_than_a_minute(self):
        summary.get("24h")
        text = json.loads(cache.get("numverify_django.summary.24h"))
        cache.set("numverify_django.summary.24h", json.dumps(text | {"at": time.time() - 60}), None)
        make_ended()

        assert summary.get("24h").total == {"verified": 1}

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda known: "",
            lambda known: b"\xff",
            lambda known: 7,
            lambda known: "[" * 100_000,
            lambda known: "null",
            lambda known: json.dumps([]),
            lambda known: json.dumps(known | {"more": 1}),
            lambda known: json.dumps({name: value for name, value in known.items() if name != "times"}),
            lambda known: json.dumps(known | {"window": "7d"}),
            lambda known: json.dumps(known | {"window": []}),
            lambda known: json.dumps(known | {"at": True}),
            lambda known: json.dumps(known | {"at": float("nan")}),
            lambda known: json.dumps(known | {"reasons": 7}),
            lambda known: json.dumps(known | {"reasons": ["ab"]}),
            lambda known: json.dumps(known | {"operators": [["a", "verified", -1]]}),
            lambda known: json.dumps(known | {"operators": [["a", "verified", True]]}),
            lambda known: json.dumps(known | {"operators": [["a", ["b"], 1]]}),
            lambda known: json.dumps(known | {"times": [["a", 1, None]]}),
        ],
    )
    def test_broken_entry_is_a_miss(self, admin_client, spoil):
        summary.get("24h")
        known = json.loads(cache.get("numverify_django.summary.24h"))
        cache.set("numverify_django.summary.24h", spoil(known))
        make_ended()

        assert summary.known("24h") is None
        assert admin_client.get(SUMMARY).status_code == 200
        assert summary.get("24h").total == {"verified": 1}

    def test_who_comes_while_it_is_counted_does_not_wait(self, admin_client, django_assert_num_queries):
        cache.add("numverify_django.turn.24h", True)
        with django_assert_num_queries(0):
            assert summary.get("24h") is None
        page = admin_client.get(SUMMARY).content.decode()
        assert "The figures are being counted. Open this page again in a moment." in page
        assert admin_client.get(ATTEMPTS).status_code == 200

    def test_worker_that_failed_keeps_nobody_from_counting(self):
        def fail(execute, *args):
            raise KeyError

        with pytest.raises(KeyError), connection.execute_wrapper(fail):
            summary.get("24h")
        assert summary.get("24h") is not None

    @pytest.mark.parametrize("backend", ["dummy.DummyCache", "memcached.PyMemcacheCache"])
    def test_cache_that_is_down_stops_nobody(self, settings, backend, caplog):
        if backend.startswith("memcached"):
            settings.CACHES = {"default": {"BACKEND": "tests.test_admin_summary.Down"}}
        else:
            settings.CACHES = {"default": {"BACKEND": f"django.core.cache.backends.{backend}"}}
        make_ended()

        assert summary.get("24h").total == {"verified": 1}
        assert caplog.messages == [] or set(caplog.messages) == {"the cache failed: ConnectionError"}


class Down:
    """A cache that cannot be reached."""

    def __init__(self, *args):
        pass

    def fail(self, *args, **kwargs):
        raise ConnectionError("of a text that nobody should see")

    get = set = add = delete = clear = fail

    def close(self):
        """Django closes it after each request."""


@pytest.mark.django_db(transaction=True)
def test_of_ten_workers_one_counts():
    make_ended()
    counted, results, barrier = [], [], threading.Barrier(10)

    def note(execute, sql, *args):
        if "GROUP BY" in sql:
            counted.append(sql)
            time.sleep(0.05)
        return execute(sql, *args)

    def run():
        barrier.wait()
        with connection.execute_wrapper(note):
            results.append(summary.get("24h"))
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(counted) == 1  # the pass of one of them
    assert {found and str(found.total) for found in results} <= {None, "Counter({'verified': 1})"}
    assert any(results)


class TestPage:
    @pytest.fixture(autouse=True)
    def attempts(self):
        for took in (100, 200, 300):
            make_ended(took=took)
        make_ended(exceptions.OperatorTimeout(), took=1500)
        make_ended(exceptions.NumberMismatch(), ago=timedelta(days=3))

    def test_figures_stand_beside_their_operator(self, admin_client):
        page = admin_client.get(SUMMARY).content.decode()

        cells = re.search(r"<tr>\s*<th scope=\"row\"><a[^>]*>sandbox</a>(.*?)</tr>", page, re.DOTALL)[1]
        assert re.findall("<td>(.*?)</td>", cells) == [
            "4",
            "75.0%",
            "200\N{NO-BREAK SPACE}ms",
            "1,500\N{NO-BREAK SPACE}ms",
        ]

    def test_time_of_the_count_is_shown(self, admin_client):
        page = admin_client.get(SUMMARY)
        assert f"as of {summary.known('24h').counted_at:%H:%M:%S}" in page.content.decode()

    @pytest.mark.parametrize("window", summary.WINDOWS)
    def test_links_lead_to_the_attempts_that_were_counted(self, admin_client, window):
        page = admin_client.get(SUMMARY, {"window": window}).content.decode()
        links = re.findall(rf'<a href="({ATTEMPTS}\?[^"]*)">([^<]*)</a></th><td>(\d+)</td>', page)

        assert len(links) == (2 if window == "24h" else 3)
        for path, _, count in links:
            found = admin_client.get(path.replace("&amp;", "&")).context["cl"]
            assert len(found.result_list) == int(count)

    def test_bars_are_drawn_with_their_table(self, admin_client):
        page = admin_client.get(SUMMARY, {"window": "7d"}).content.decode()
        svg = re.search('<svg class="numverify-chart".*?</svg>', page, re.DOTALL)[0]
        table = re.search("<details>.*?</details>", page, re.DOTALL)[0]

        pieces = re.findall(r'<rect class="numverify-(\w+)" x="\d+" y="\d+" width="\d+" height="(\d+)"/>', svg)
        assert sorted(outcome for outcome, height in pieces) == ["mismatch", "unavailable", "verified"]
        heights = {outcome: int(height) for outcome, height in pieces}
        assert abs(heights["verified"] - 3 * heights["unavailable"]) <= 2
        assert 'role="img" aria-label="Attempts by time and outcome; the table has the figures"' in svg
        assert len(re.findall('<tr><th scope="row">', table)) == len(summary.known("7d").by_moment())

    def test_unknown_window_is_the_first(self, admin_client):
        page = admin_client.get(SUMMARY, {"window": "<script>"}).content.decode()
        assert 'href="?window=24h" aria-current="page"' in page

    def test_empty_audit_has_a_page(self, admin_client):
        VerificationAttempt.objects.all().delete()
        page = admin_client.get(SUMMARY).content.decode()

        assert ["No attempts." in page, "Nothing failed." in page, "Nobody exported anything." in page] == [True] * 3

    def test_figures_are_those_of_the_language(self, admin_client):
        page = admin_client.get(SUMMARY, headers={"Accept-Language": "de"})
        assert page.status_code == 200
        with translation.override("de"):
            assert (drawing.figure(1234.5, 1), drawing.percent(0.755)) == ("1.234,5", "75,5\N{NO-BREAK SPACE}%")
            chart = drawing.chart([("2026-11-24", {"verified": 1234})], "x")
        assert re.findall(r'="[\d]+[.,]\d', chart) == []  # coordinates are no figures

    def test_list_shows_the_last_day_in_short(self, admin_client):
        page = admin_client.get(ATTEMPTS).content.decode()

        assert re.search(r"Last 24 hours: <b>4</b> attempts, <b>75.0%</b> verified", page)
        assert f'href="{SUMMARY}"' in page

    @pytest.mark.parametrize("path", [SUMMARY, ATTEMPTS])
    @pytest.mark.parametrize("is_known", [False, True])
    def test_page_asks_the_database_eight_times_at_most(self, client, django_assert_max_num_queries, path, is_known):
        user = get_user_model().objects.create_user("clerk", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename="view_verificationattempt"))
        client.force_login(user)
        if is_known:
            client.get(path)
        with django_assert_max_num_queries(8):
            assert client.get(path).status_code == 200

    def test_whoever_may_not_see_the_audit_sees_no_sum(self, client):
        client.force_login(get_user_model().objects.create_user("clerk", is_staff=True))
        assert client.get(SUMMARY).status_code == 403


@pytest.mark.parametrize(
    ("number", "top"),
    [(0, 1), (1, 1), (2, 2), (3, 4), (5, 6), (7, 8), (9, 10), (10, 10), (11, 20), (99, 100), (101, 200), (3001, 4000)],
)
def test_axis_ends_at_a_round_number(number, top):
    assert drawing._round_up(number) == top


def test_command_counts_what_it_deletes():
    make_ended(ago=timedelta(days=20))
    with override_settings(NUMVERIFY=settings.NUMVERIFY | {"RETENTION_DAYS": 10}):
        call_command("numverify_prune", verbosity=0)

    assert not VerificationAttempt.objects.exists()
    assert summary.count("30d").total == {"verified": 1}


def test_audit_is_shown_while_the_settings_are_wrong(admin_client):
    make_ended()
    with override_settings(NUMVERIFY={"OPERATORS": {}}):
        assert [admin_client.get(path).status_code for path in (ATTEMPTS, SUMMARY)] == [200, 200]
