"""The shipped OpenAPI documents, and what they say of an answer."""

import json
import re
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

import numverify_django

PACKAGE = Path(numverify_django.__file__).parent


class Document:
    """A document of the package; ``root`` is where the tests' site includes the URLs that it is about."""

    def __init__(self, path, root):
        self.path, self.root = PACKAGE / path, root
        self.content = yaml.safe_load(self.path.read_text())

    def operation(self, method, path):
        """Return what the document says of a request."""
        (found,) = [
            methods
            for template, methods in self.content["paths"].items()
            if re.fullmatch(self.root + re.sub(r"\{\w+\}", "[^/]+", template), path)
        ]
        return found[method.lower()]

    def told(self, response, status):
        """Return the JSON of ``response`` (of Django's test client), once it is what is said of ``status``."""
        asked = response.wsgi_request
        assert response.status_code == status, response.content.decode()
        said = self.operation(asked.method, asked.path)["responses"][str(status)]
        said = self._found(said) if "$ref" in said else said
        (kind, media), *_ = said["content"].items()
        assert (response["Content-Type"], "no-store" in response["Cache-Control"]) == (kind, True)
        schema = media["schema"] | {"components": self.content["components"]}
        Draft202012Validator(schema).validate(response.json())
        for name in said.get("headers", {}):
            assert name in response
        return json.loads(response.content)

    def _found(self, reference):
        found = self.content
        for name in reference["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        return found


PAGES = Document("openapi.yaml", "/numverify")
APPS = Document("contrib/drf/openapi.yaml", "/numverify/app")
told = PAGES.told
