"""What the log may show of a text."""

import pytest

from numverify_django.sandbox.journal import clean, hop_of


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("number-verification:verify", "number-verification:verify"),
        ("+34600000001", "•••01"),
        ("34600000001", "•••01"),
        ("tel:+34600000001", "tel:•••01"),
        ("/users/34600000001/34600000002", "/users/•••01/•••02"),
        ("1234567", "•••67"),
        ("123456", "123456"),
        ("two\nlines\r\x1b[31m", "two?lines??[31m"),
        ("x" * 300, "x" * 200),
    ],
)
def test_text_is_one_short_line_without_numbers(text, shown):
    assert clean(text) == shown


@pytest.mark.parametrize(
    ("path", "hop"),
    [
        ("/.well-known/openid-configuration", "discovery"),
        ("/jwks", "jwks"),
        ("/authorize", "authorize"),
        ("/apigateway/token", "token"),
        ("/wrong/prefix/verify/", "verify"),
        ("/v1/number-verification/share", "share"),
        ("/number-verification/v2/device-phone-number", "share"),
        ("/", None),
        ("/_sandbox/log", None),
        ("/verify/elsewhere", None),
    ],
)
def test_last_segment_names_the_hop(path, hop):
    assert hop_of(path) == hop
