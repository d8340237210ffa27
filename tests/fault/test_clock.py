"""The wall clock jumps an hour forth and back: nothing stops, no age is negative, nothing is in the future."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.errors import Unauthorized
from tests.conftest import flow, rfc3339, serving, until
from tests.fault.parts import BOARD, hear, hear_until, stand, v1

HOUR = 3600.0
AGES = {"age_s", "usual_s", "freshness_s", "freshness", "lag_s", "completeness", "confidence"}


class Clock:
    """The machine's clock, set wrong by `ahead` seconds for everybody who asks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        right = time.time
        monkeypatch.setattr(time, "time", lambda: right() + self.ahead)

    def now(self) -> datetime:
        return datetime.fromtimestamp(time.time(), UTC)


def fields(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every named value at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from fields(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from fields(inner, name)
    else:
        yield name, value


def sane(message: dict[str, Any], clock: Clock) -> None:
    latest = clock.now().timestamp() * 1000
    for name, value in fields(message):
        if name in AGES and value is not None:
            assert value >= 0, (name, value)
        if name == "watermark" and value is not None:
            assert value <= latest, value


async def test_the_clock_jumps_an_hour_forth_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    async with serving(tmp_path / "data", clock.now, tick_s=0.1, min_tick_s=0.05, ping_s=1.0) as served:
        hub = served.app.service.hub
        async with await v1(served.url, served.key) as socket:
            _, snapshot = await stand(socket)
            seq, sent = snapshot["seq"], 0
            for ahead in (0.0, HOUR, 0.0, -HOUR, 0.0):
                clock.ahead = ahead
                ticks = hub.stats()["ticks"]
                await served.ingest([flow(time=rfc3339(clock.now() - timedelta(seconds=1))) for _ in range(10)])
                sent += 10
                frame = await hear_until(socket, lambda m: m.get("tiles"))
                sane(frame, clock)
                for _ in range(3):
                    frame = await hear(socket)
                    assert frame["type"] == "frame"
                    sane(frame, clock)
                assert frame["seq"] > seq
                seq = frame["seq"]
                sane(await served.ask(**BOARD), clock)
                sane(await served.ask(type="flow_analytics"), clock)
                await until(lambda: hub.stats()["ticks"] >= ticks + 10, 4.0, "the hub to tick on")  # noqa: B023
                assert len(served.app.sockets.open) == 1  # whoever is there is not taken for silent
        clock.ahead = 2 * HOUR
        whole = await served.ask(type="query", metrics=["flows"], window="now-6h")
        assert whole["analytics"]["totals"]["flows"]["value"] == sent


async def test_keys_and_sessions_end_by_the_clock_on_the_wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that ends in half an hour does so when the clock says so, and counts again when the clock is put right."""
    clock = Clock(monkeypatch)
    async with serving(tmp_path / "data", clock.now) as served:
        keys = served.app.keys
        _, short = keys.create("short", ["read"], expires_at=clock.now() + timedelta(minutes=30))
        session = keys.open_session(keys.verify(short, "127.0.0.1"))
        clock.ahead = HOUR
        with pytest.raises(Unauthorized, match="expired"):
            keys.verify(short, "127.0.0.1")
        assert keys.session(session) is None
        assert keys.verify(served.key, "127.0.0.1").name == "test"  # one without an end does not mind
        clock.ahead = -HOUR
        assert keys.verify(short, "127.0.0.1").name == "short"
        assert keys.session(session) is not None
        assert next(key.last_used for key in keys.list() if key.name == "short") is not None
