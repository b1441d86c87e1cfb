"""JSON is read and JSON is written, whatever the headers and the site's REST_FRAMEWORK say."""

from collections.abc import Iterable, Mapping
from typing import IO, Any

from django.views.decorators.debug import sensitive_variables
from rest_framework.exceptions import ParseError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from ...protocol.messages import parse_object

BODY_MAX = 64 * 1024  # bytes; the longest answer of an operator has 48 KiB where each character is escaped


class ObjectParser(BaseParser):
    """Reads an object of strict JSON, in UTF-8 (RFC 8259 8.1): what a request names as its charset may decompress."""

    media_type = "application/json"

    @sensitive_variables()
    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return the object (a dict) in ``stream``, or raise ParseError, which repeats nothing of it."""
        body = stream.read(BODY_MAX + 1)
        try:
            if len(body) > BODY_MAX:
                raise ValueError("too long")
            return parse_object(body)
        except ValueError:
            raise ParseError("The body must be a JSON object, in UTF-8, of 64 KiB at most.") from None


class JsonAlone(BaseContentNegotiation):
    """Chooses the one parser and the one renderer: neither Accept nor ``?format=`` is read."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser where the body is said to be JSON, else None: a form of another site cannot say so."""
        (parser,) = parsers
        return parser if request.content_type.partition(";")[0].strip().lower() == parser.media_type else None

    def select_renderer(
        self, request: Request, renderers: Iterable[BaseRenderer], format_suffix: str | None = None
    ) -> tuple[BaseRenderer, str]:
        """Return the renderer and its media type."""
        (renderer,) = renderers
        return renderer, renderer.media_type
