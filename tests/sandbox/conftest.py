"""A site's client in front of the sandbox, which stands at its beginning."""

import pytest
import requests

from .relying_party import RelyingParty


@pytest.fixture(scope="session")
def demo_client(running_sandbox):
    """The demo client, on connections that are kept from test to test."""
    with requests.Session() as http:
        http.trust_env = False
        yield RelyingParty(running_sandbox.url, running_sandbox.client(), http)


@pytest.fixture
def site(sandbox, demo_client):
    """The demo client, of which the sandbox remembers nothing yet."""
    return demo_client
