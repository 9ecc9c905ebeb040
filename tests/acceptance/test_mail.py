"""A server without a mail server says its mails on standard error: a person invited that way gets in."""

from __future__ import annotations

import re
import time

from tests.acceptance.conftest import unique
from tests.acceptance.server import RunningServer, basic

PASSWORD = "seven tall giraffes drink 12 lakes"


def mailed(server: RunningServer, address: str) -> str:
    """The code in the mail to this address, which a thread of one of the processes sends within seconds."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        _, found, rest = server.output.partition(f"To: {address}\n")
        code = re.search(r"^[A-Za-z0-9_-]{43}$", rest, re.MULTILINE)
        if found and code:
            return code.group()
        time.sleep(0.2)
    raise AssertionError(f"no mail to {address}; the server said:\n{server.output}")


def test_an_invitation_is_sent_and_accepted(server: RunningServer) -> None:
    administrator = server.administrator_session()
    address = f"{unique('person')}@example.org"
    body = {"user_email": address}
    invited = server.request("POST", "/sys/v1/users/invite", body, authorization=administrator)
    assert invited.status == 201, invited.text
    accept = {"invite_token": mailed(server, address), "new_password": PASSWORD}
    where = f"/sys/v1/users/{invited.json['user_id']}/accept_invite"
    assert server.request("POST", where, accept).status == 204
    login = server.request("POST", "/sys/v1/session/auth", authorization=basic(address, PASSWORD))
    assert login.status == 200, login.text
    assert server.request("POST", where, accept).status == 403
    assert server.output.count(f"To: {address}\n") == 1
