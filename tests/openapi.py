"""The shipped OpenAPI document, and what it says of an answer."""

import json
import re
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

import numverify_django

PATH = Path(numverify_django.__file__).parent / "openapi.yaml"
DOCUMENT = yaml.safe_load(PATH.read_text())
ROOT = "/numverify"  # where the tests' site includes our URLs


def _found(reference):
    found = DOCUMENT
    for name in reference["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return found


def operation(method, path):
    """Return what the document says of a request."""
    (found,) = [
        methods
        for template, methods in DOCUMENT["paths"].items()
        if re.fullmatch(ROOT + re.sub(r"\{\w+\}", "[^/]+", template), path)
    ]
    return found[method.lower()]


def told(response, status):
    """Return the JSON of ``response`` (of Django's test client), once it is what the document says of ``status``."""
    asked = response.wsgi_request
    assert response.status_code == status, response.content.decode()
    said = operation(asked.method, asked.path)["responses"][str(status)]
    said = _found(said) if "$ref" in said else said
    (kind, media), *_ = said["content"].items()
    assert (response["Content-Type"], "no-store" in response["Cache-Control"]) == (kind, True)
    Draft202012Validator(media["schema"] | {"components": DOCUMENT["components"]}).validate(response.json())
    for name in said.get("headers", {}):
        assert name in response
    return json.loads(response.content)
