"""kill -9 under load: what was acknowledged is there, once; who watched is told that there is a gap."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
from typing import Any
from urllib.error import URLError

import pytest

from tests.conftest import Running, flow, request, wait_until
from tests.fault.parts import closed_with, stand, v1

BATCH = 50
SENDERS = 3


class Sender(threading.Thread):
    """Posts numbered batches as fast as they are acknowledged; remembers the one that was not."""

    def __init__(self, server: Running, name: str) -> None:
        super().__init__(name=name)
        self._server = server
        self.acknowledged = 0
        self.open: list[dict[str, Any]] = []

    def run(self) -> None:
        while True:
            number = self.acknowledged
            self.open = [flow(event_id=f"{self.name}-{number}-{i}") for i in range(BATCH)]
            try:
                self._server.post(self.open)
            except (URLError, OSError):
                return
            self.acknowledged += 1


def events(server: Running) -> int:
    message = {"type": "query", "metrics": ["flows"], "window": "now-1h"}
    _, _, body = request(f"{server.url}/api/analytics", json.dumps(message).encode(), {"X-API-Key": server.key})
    return int(json.loads(body)["analytics"]["totals"]["flows"]["value"] or 0)


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.soak)])
def test_kill_9_under_load_loses_and_doubles_nothing(running: Running, kills: int) -> None:
    kept = running.post([flow(event_id="first")])["accepted"]
    for kill in range(kills):
        senders = [Sender(running, f"s{kill}.{i}") for i in range(SENDERS)]
        for sender in senders:
            sender.start()
        wait_until(lambda: all(s.acknowledged > 5 for s in senders), what="acknowledgements")  # noqa: B023
        running.stop(signal.SIGKILL)
        for sender in senders:
            sender.join()
        running.start()
        kept += sum(s.acknowledged for s in senders) * BATCH
        assert kept <= events(running) <= kept + SENDERS * BATCH  # a batch may be durable before its answer is out
        for sender in senders:
            said = running.post(sender.open)
            assert said["accepted"] + said["repeated"] == BATCH
            assert said["accepted"] in (0, BATCH)  # all of a batch or nothing
        kept += SENDERS * BATCH
        assert events(running) == kept


async def test_who_comes_back_after_kill_9_is_told_of_the_gap(running: Running) -> None:
    await asyncio.to_thread(running.post, [flow("before")])
    socket = await v1(running.url, running.key)
    said, snapshot = await stand(socket)
    await asyncio.to_thread(running.stop, signal.SIGKILL)
    assert await closed_with(socket) == 1006
    await asyncio.to_thread(running.start)
    async with await v1(running.url, running.key) as socket:
        back, fresh = await stand(socket, since={"epoch": said["epoch"], "seq": snapshot["seq"]})
        assert back["recovered"] is False
        assert back["epoch"] != said["epoch"]
        assert fresh["type"] == "analytics_update"
        assert fresh["analytics"]["tiles"]["latest"]["columns"]["name"] == ["before"]
