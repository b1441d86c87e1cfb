"""What an app sends."""

from typing import Any

from django.core.validators import RegexValidator
from rest_framework import serializers

CHALLENGE = r"^[A-Za-z0-9_-]{43}\Z"  # RFC 7636 4.2: SHA-256 in base64url
VERIFIER = r"^[A-Za-z0-9._~-]{43,128}\Z"  # RFC 7636 4.1
RESPONSE_MAX = 8192  # characters


class Text(serializers.CharField):
    """A text as it was sent; a number is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: object) -> str:
        """Return the text, or raise ValidationError."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class StartSerializer(serializers.Serializer[None]):
    """A start; the fields about the number are read as those of the login page."""

    code_challenge = Text(validators=[RegexValidator(CHALLENGE)])
    phone_number = Text(required=False, allow_blank=True, max_length=64)
    region = Text(required=False, allow_blank=True, max_length=2)
    operator = Text(required=False, allow_blank=True, max_length=64)
    operation = Text(required=False, allow_blank=True, max_length=8)


class CompleteSerializer(serializers.Serializer[None]):
    """The operator's answer: ``response`` is the query of the URL that the app was opened with."""

    code_verifier = Text(validators=[RegexValidator(VERIFIER)])
    response = Text(max_length=RESPONSE_MAX)


class StatusSerializer(serializers.Serializer[None]):
    """Which attempt, and the proof that it is the app's own."""

    code_verifier = Text(validators=[RegexValidator(VERIFIER)])
    reference = Text(max_length=16)
