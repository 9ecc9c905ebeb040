"""SIGKILL in the middle of writes loses nothing that was acknowledged: not an object, not an audit entry."""

from __future__ import annotations

import base64
import http.client
import threading
import time
from uuid import UUID

from tests.acceptance.server import RunningServer
from tests.faults.conftest import Client, Workplace, database, workplace

KILLS = 3


class Writers:
    """Import secrets and encrypt, without pause, until the connection breaks; note what was acknowledged."""

    def __init__(self, place: Workplace, round_number: int) -> None:
        self.objects: dict[str, bytes] = {}
        self.recorded: list[UUID] = []
        self._threads = [
            threading.Thread(target=self._run, args=(place, round_number, number), daemon=True) for number in range(8)
        ]
        for thread in self._threads:
            thread.start()

    def _run(self, place: Workplace, round_number: int, number: int) -> None:
        client, count = Client(place.server, place.authorization), 0
        encrypt = {"key": {"kid": place.key}, "alg": "AES", "mode": "GCM", "plain": "YWJj"}
        try:
            while True:
                count += 1
                name, value = f"{round_number}-{number}-{count}", f"value of {count}".encode()
                secret = {"name": name, "obj_type": "SECRET", "value": base64.b64encode(value).decode()}
                reply = client("PUT", "/crypto/v1/keys", secret)
                if reply.status == 201:
                    self.objects[reply.json["kid"]] = value
                    self.recorded.append(reply.request_id)
                for _ in range(5):
                    reply = client("POST", "/crypto/v1/encrypt", encrypt)
                    if reply.status == 200:
                        self.recorded.append(reply.request_id)
        except (OSError, http.client.HTTPException, ValueError):
            client.close()  # the server died under us, perhaps in the middle of an answer

    def wait_for(self, objects: int) -> None:
        """Until so many were acknowledged, which takes a busy machine a while: then is the middle of things."""
        deadline = time.monotonic() + 60
        while len(self.objects) < objects:
            assert time.monotonic() < deadline, "the server acknowledges nothing"
            time.sleep(0.05)

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)


def test_nothing_acknowledged_is_lost(server: RunningServer) -> None:
    place = workplace(server, "sigkill")
    objects: dict[str, bytes] = {}
    recorded: set[UUID] = set()
    for number in range(KILLS):
        writers = Writers(place, number)
        writers.wait_for(11)
        server.kill()
        writers.wait()
        objects |= writers.objects
        recorded |= set(writers.recorded)
        server.start()
    client = place.client()
    for kid, value in objects.items():
        found = client("POST", "/crypto/v1/keys/export", {"kid": kid})
        assert found.status == 200
        assert base64.b64decode(found.json["value"]) == value
    with database(server) as connection:
        rows = connection.execute("SELECT request_id FROM audit_entry WHERE outcome = 'done'").fetchall()
    assert recorded <= {row[0] for row in rows}
