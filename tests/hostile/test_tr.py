"""TR: the token response."""

import pytest

from .operator import Reply


@pytest.mark.usefixtures("everywhere")
@pytest.mark.parametrize("status", [307, 308])
def test_tr_01_redirected_token_endpoint_receives_no_secret(trial, status):
    trial.operator.token = lambda operator, received: Reply(b"", status, {"Location": f"{trial.evil.url}/token"})
    page = trial.log_in()

    assert "The check didn't finish" in page.content.decode()
    trial.refused("redirect_refused", calls=["discovery", "token"])
