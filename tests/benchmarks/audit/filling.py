"""Attempts by the million, as a site would have them after three months."""

from django.db import connections

from numverify_django.models import VerificationAttempt

DAYS = 90
PEOPLE = 100_000
ATTEMPTS_EACH = 20  # that a number has
RARE = "issuer_mismatch"  # five rows
# Of 1,000 attempts: how many of them, with which outcome and reason.
SHARES = [
    (920, "verified", ""),
    (25, "mismatch", "number_mismatch"),
    (25, "unavailable", "not_on_mobile_network"),
    (10, "unavailable", "operator_timeout"),
    (9, "refused", "account_unknown"),
    (10, "abandoned", "expired"),
    (1, "error", "id_token_invalid"),
]
USERS = """
    INSERT INTO auth_user (username, password, is_superuser, is_staff, is_active, first_name, last_name, email,
                           date_joined)
    SELECT md5(n::text), '!', false, false, true, '', '', '', now() FROM generate_series(1, %s) AS n
"""
NUMBERS = """
    INSERT INTO numverify_django_verifiednumber (user_id, number, operator, first_verified_at, last_verified_at)
    SELECT id, '+346' || lpad(id::text, 8, '0'), 'telefonica', now(), now() FROM auth_user
"""
# Nobody's digest is anybody's number's.
ATTEMPTS = """
    INSERT INTO numverify_django_verificationattempt
        (reference, created_at, expires_at, claimed_at, ended_at, number_shown, number_digest, browser_digest,
         address_digest, sealed, correlator, outcome, reason, operator, operation, use, user_id, state_digest, timings)
    SELECT upper(translate(substr(md5(n::text), 1, 7), '01', 'gh')), began, began + interval '5 minutes',
           began + interval '4 seconds', began + interval '5 seconds', '•••' || lpad((n %% 100)::text, 2, '0'),
           md5((n %% greatest(1, %(rows)s / %(each)s))::text)::uuid, md5('browser' || n)::uuid,
           md5('address' || n %% 1000000)::uuid, '', gen_random_uuid(), kind.outcome,
           CASE WHEN n %% greatest(1, %(rows)s / 5) = 7 THEN %(rare)s ELSE kind.reason END,
           CASE WHEN n %% 50 = 0 THEN 'another' ELSE 'telefonica' END, 'verify',
           CASE WHEN n %% 20 = 0 THEN 'step_up' ELSE 'login' END,
           CASE WHEN kind.outcome = 'verified' THEN 1 + n %% %(people)s END, gen_random_uuid(),
           jsonb_build_object('token', 60 + n %% 91, 'verify', 70 + n %% 143, 'callback', 150 + n %% 413)
    FROM generate_series(%(first)s, %(last)s) AS n
    CROSS JOIN LATERAL (SELECT now() - interval '1 day' * %(days)s * (1 - n::float / %(rows)s) AS began) AS moment
    JOIN shares AS kind ON n %% 1000 >= kind.low AND n %% 1000 < kind.high
"""
CHUNK = 1_000_000


def fill(name, rows, tell):
    """Put ``rows`` attempts of the last three months, and people, into the empty database called ``name``."""
    connection = connections[name]
    with connection.cursor() as cursor:
        cursor.execute("SET maintenance_work_mem = '1GB'")
        cursor.execute(USERS, [PEOPLE])
        cursor.execute(NUMBERS)
        _make_shares(cursor)
    with _without_indexes(connection), connection.cursor() as cursor:
        for first in range(1, rows + 1, CHUNK):
            last = min(rows, first + CHUNK - 1)
            numbers = {"first": first, "last": last, "rows": rows, "each": ATTEMPTS_EACH}
            numbers |= {"rare": RARE, "days": DAYS, "people": PEOPLE}
            cursor.execute(ATTEMPTS, numbers)
            tell(f"{last:,} of {rows:,} attempts")
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _make_shares(cursor):
    cursor.execute("CREATE TEMPORARY TABLE shares (low int, high int, outcome text, reason text)")
    low = 0
    for share, outcome, reason in SHARES:
        cursor.execute("INSERT INTO shares VALUES (%s, %s, %s, %s)", [low, low + share, outcome, reason])
        low += share


class _without_indexes:
    """Build the indexes at the end, at once: row by row it takes an hour."""

    def __init__(self, connection):
        self._connection = connection

    def __enter__(self):
        with self._connection.schema_editor() as editor:
            for index in VerificationAttempt._meta.indexes:
                editor.remove_index(VerificationAttempt, index)

    def __exit__(self, *failure):
        with self._connection.schema_editor() as editor:
            for index in VerificationAttempt._meta.indexes:
                editor.add_index(VerificationAttempt, index)
