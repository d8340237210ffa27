"""One tick, one query, one encoding; slow readers are skipped, told, and given a snapshot."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from analytics.asking import Answer
from analytics.errors import NotFound, Timeout
from analytics.hub import CHUNK, RING, Hub
from analytics.insights.confidence import Confidence
from analytics.messages import BoardRequest, Position, Question
from analytics.query import Filter

BOARD = BoardRequest(board="overview")


class Reader:
    """A subscriber that may be slow."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.slow = False
        self.cut = False

    def overflow(self) -> None:
        self.cut = True

    def send(self, data: bytes) -> bool:
        if self.slow:
            return False
        self.raw.append(data)
        return True

    @property
    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(r) for r in self.raw]


class Asked:
    """An agent that counts how often it is asked."""

    def __init__(self) -> None:
        self.times = 0
        self.fails: Exception | None = None

    async def __call__(self, request: Question, allowed: tuple[Filter, ...], memo: dict[Any, Any]) -> Answer:
        self.times += 1
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        tile = {"head": {"value": self.times}, "columns": {"t": [1, 2], "v": [1, self.times]}}
        return Answer(analytics={"tiles": {"a": tile}}, insights=[], confidence=Confidence(1, 1, 1))


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def hub(asked: Asked) -> Hub:
    return Hub(asked, epoch="e", now=lambda: datetime.now(UTC), interval_s=0.0, min_interval_s=0.0)


async def join(
    hub: Hub, name: str = "b", allowed: tuple[Filter, ...] = (), **how: Any
) -> tuple[Reader, Callable[[], None]]:
    reader = Reader()
    return reader, await hub.subscribe(BOARD, allowed, name, reader, **how)


async def news(hub: Hub, times: int = 1) -> None:
    for _ in range(times):
        hub.data_changed()
        await hub.tick()


async def test_a_thousand_viewers_cost_one_query_and_one_encoding(hub: Hub, asked: Asked) -> None:
    readers = [(await join(hub))[0] for _ in range(1000)]
    assert asked.times == 1
    hub.data_changed()
    await hub.tick()
    assert asked.times == 2
    assert len({id(r.raw[-1]) for r in readers}) == 1  # the very same bytes
    assert readers[0].heard[-1]["tiles"] == {
        "a": {"drop": 0, "from": 1, "columns": {"t": [2], "v": [2]}, "head": {"value": 2}}
    }


async def test_viewers_who_arrive_together_share_the_first_answer(hub: Hub, asked: Asked) -> None:
    await asyncio.gather(*(join(hub) for _ in range(50)))
    assert asked.times == 1


async def test_another_right_to_see_is_another_query(hub: Hub, asked: Asked) -> None:
    await join(hub)
    await join(hub, allowed=(Filter(dim="domain", values=["support"]),))
    assert asked.times == 2
    assert hub.stats()["standing"] == 2


async def test_boards_of_other_tiles_times_and_comparisons_are_other_queries(hub: Hub, asked: Asked) -> None:
    one = [{"id": "a", "type": "kpi", "metric": "flows"}]
    requests = [
        BoardRequest(board="mine", tiles=one),
        BoardRequest(board="mine", tiles=[{"id": "b", "type": "kpi", "metric": "flows"}]),
        BoardRequest(board="mine", tiles=one, compare="week"),
        BoardRequest(board="mine", tiles=one, as_of=datetime(2026, 1, 6, tzinfo=UTC)),
    ]
    for request in requests:
        await hub.subscribe(request, (), "b", Reader())
    assert asked.times == hub.stats()["standing"] == 4
    turned = [{"metric": "flows", "type": "kpi", "id": "a"}]
    await hub.subscribe(BoardRequest(board="mine", tiles=turned), (), "b", Reader())
    assert asked.times == 4


async def test_without_news_a_frame_is_only_a_heartbeat(hub: Hub, asked: Asked) -> None:
    reader, _ = await join(hub)
    await hub.tick()
    assert asked.times == 1
    frame = reader.heard[-1]
    assert frame["type"] == "frame"
    assert "tiles" not in frame
    assert frame["seq"] == reader.heard[0]["seq"] + 1


async def test_a_slow_reader_is_skipped_and_then_gets_a_snapshot_that_says_so(hub: Hub) -> None:
    slow, _ = await join(hub)
    quick, _ = await join(hub)
    slow.slow = True
    for _ in range(3):
        hub.data_changed()
        await hub.tick()
    assert len(quick.raw) == 4
    slow.slow = False
    hub.data_changed()
    await hub.tick()
    update = slow.heard[-1]
    assert update["type"] == "analytics_update"
    assert update["dropped"] == 3
    assert update["seq"] == quick.heard[-1]["seq"]
    hub.data_changed()
    await hub.tick()
    assert slow.raw[-1] == quick.raw[-1]


async def test_an_engine_that_fails_is_said_and_the_query_stands(hub: Hub, asked: Asked) -> None:
    reader, _ = await join(hub)
    asked.fails = Timeout("no answer within 5 s")
    hub.data_changed()
    await hub.tick()
    assert reader.heard[-1]["error"]["code"] == "TIMEOUT"
    asked.fails = None
    hub.data_changed()
    await hub.tick()
    assert reader.heard[-1]["type"] == "frame"


async def test_what_cannot_be_answered_does_not_stand(hub: Hub, asked: Asked) -> None:
    asked.fails = NotFound("no board")
    with pytest.raises(NotFound):
        await join(hub)
    assert hub.stats()["standing"] == 0


async def test_the_last_to_leave_ends_the_query(hub: Hub) -> None:
    leaving = [(await join(hub))[1] for _ in range(3)]
    for leave in leaving:
        assert hub.stats()["standing"] == 1
        leave()
        leave()
    assert hub.stats()["standing"] == 0


async def test_a_late_viewer_continues_from_its_snapshot(hub: Hub) -> None:
    early, _ = await join(hub)
    for _ in range(2):
        hub.data_changed()
        await hub.tick()
    late, _ = await join(hub)
    assert late.heard[0]["seq"] == early.heard[-1]["seq"]
    hub.data_changed()
    await hub.tick()
    assert late.raw[-1] == early.raw[-1]


async def test_who_comes_back_gets_exactly_what_was_missed(hub: Hub) -> None:
    stays, _ = await join(hub)
    goes, leave = await join(hub)
    await news(hub)
    position = Position(epoch="e", seq=goes.heard[-1]["seq"])
    leave()
    await news(hub, 3)
    said: list[tuple[int, bool]] = []
    back, _ = await join(hub, since=position, ready=lambda seq, recovered: said.append((seq, recovered)))
    assert said == [(position.seq, True)]
    assert back.raw == stays.raw[-3:]
    await news(hub)
    assert back.raw[-1] == stays.raw[-1]


async def test_a_query_rests_for_those_who_come_back(hub: Hub, asked: Asked) -> None:
    first, leave = await join(hub)
    leave()
    await news(hub, 3)
    assert asked.times == 1  # nobody listens, nobody asks
    back, _ = await join(hub, since=Position(epoch="e", seq=first.heard[-1]["seq"]))
    assert back.raw == []  # it missed nothing
    await news(hub)
    assert back.heard[-1]["tiles"]["a"]["columns"]["v"] == [2]


@pytest.mark.parametrize("position", [Position(epoch="another start", seq=2), Position(epoch="e", seq=99)])
async def test_what_cannot_be_replayed_is_a_snapshot_and_said_so(hub: Hub, position: Position) -> None:
    await join(hub)
    said: list[bool] = []
    back, _ = await join(hub, since=position, ready=lambda _, recovered: said.append(recovered))
    assert said == [False]
    assert back.heard[0]["type"] == "analytics_update"


async def test_the_ring_forgets(hub: Hub) -> None:
    reader, _ = await join(hub)
    seq = reader.heard[0]["seq"]
    await news(hub, RING + 1)
    said: list[bool] = []
    await join(hub, since=Position(epoch="e", seq=seq), ready=lambda _, recovered: said.append(recovered))
    assert said == [False]


async def test_a_log_that_overflows_is_ended_not_thinned(hub: Hub) -> None:
    reader, _ = await join(hub, mode="log")
    reader.slow = True
    await news(hub)
    assert reader.cut


async def test_a_large_audience_does_not_hold_the_loop(hub: Hub) -> None:
    for _ in range(1000):
        await join(hub)
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await news(hub)
    task.cancel()
    assert turns >= 1000 // CHUNK
