"""What an app sends."""

from rest_framework import serializers

CHALLENGE = r"^[A-Za-z0-9_-]{43}$"  # RFC 7636 4.2: SHA-256 in base64url
VERIFIER = r"^[A-Za-z0-9._~-]{43,128}$"  # RFC 7636 4.1
RESPONSE_MAX = 8192  # characters


class StartSerializer(serializers.Serializer):
    """A start; the fields about the number are read as those of the login page."""

    code_challenge = serializers.RegexField(CHALLENGE)
    phone_number = serializers.CharField(required=False, allow_blank=True, max_length=64, trim_whitespace=False)
    region = serializers.CharField(required=False, allow_blank=True, max_length=2)
    operator = serializers.CharField(required=False, allow_blank=True, max_length=64)
    operation = serializers.CharField(required=False, allow_blank=True, max_length=8)


class CompleteSerializer(serializers.Serializer):
    """The operator's answer: ``response`` is the query of the URL that the app was opened with."""

    code_verifier = serializers.RegexField(VERIFIER)
    response = serializers.CharField(max_length=RESPONSE_MAX, trim_whitespace=False)


class StatusSerializer(serializers.Serializer):
    """Which attempt, and the proof that it is the app's own."""

    code_verifier = serializers.RegexField(VERIFIER)
    reference = serializers.CharField(max_length=16)
