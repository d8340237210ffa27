"""The client's decisions, without a network: an injected clock, messages in, messages out."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import pytest

from analytics.client import State, Unreachable, Update
from analytics.client.core import Core
from analytics.errors import Forbidden, NotFound, PlumblineError, RateLimited, TooLarge, Unauthorized
from analytics.messages import BoardRequest, Message, Ping, QueryRequest

QUERY = QueryRequest(metrics=["flows"])
LIMITS = {"messages_per_s": 20, "burst": 40, "in_flight": 16, "message_bytes": 4096}


class Wire:
    """A core with its clock in hand, and what it said."""

    def __init__(self, **options: Any) -> None:
        self.now = 100.0
        self.states: list[State] = []
        self.core = Core(random=Random(3), clock=lambda: self.now, on_state=self.states.append, **options)
        self.core.connecting()

    def hear(self, **message: Any) -> None:
        self.core.received(json.dumps(message))

    def welcome(self, epoch: str = "e1", **limits: int) -> None:
        self.core.heard()
        self.hear(
            type="welcome", v=1, conn="c", epoch=epoch, ping_s=20, principal="p", limits=LIMITS | limits
        )  # fmt: skip

    def said(self) -> list[dict[str, Any]]:
        """All that may go out now."""
        out = []
        while (data := self.core.next()[0]) is not None:
            out.append(json.loads(data))
        return out

    def ask(self, **options: Any) -> list[Message | PlumblineError]:
        """One query; the list gets its reply."""
        got: list[Message | PlumblineError] = []
        self.core.call(QUERY, got.append, **options)
        return got

    def answer(self, number: int) -> None:
        self.hear(type="analytics_update", id=number, analytics={}, insights=[], confidence=1, confidence_parts={},
                  timestamp="2026-01-06T12:00:00Z")  # fmt: skip

    def refuse(self, number: int | None, code: str, **details: Any) -> None:
        self.hear(type="error", error={"code": code, "message": "no"} | details, **({"id": number} if number else {}))


class Reader:
    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.ends: list[Exception | None] = []

    def put(self, update: Update) -> None:
        self.updates.append(update)

    def end(self, error: Exception | None) -> None:
        self.ends.append(error)


def test_replies_find_their_call_in_any_order() -> None:
    wire = Wire()
    one, two = wire.ask(), wire.ask()
    assert wire.said() == []  # nothing before the welcome
    wire.welcome()
    first, second = (m["id"] for m in wire.said())
    wire.answer(second)
    assert (len(one), len(two)) == (0, 1)
    wire.answer(first)
    wire.answer(first)  # a reply to nobody
    assert len(one) == 1


def test_the_client_stays_below_the_servers_limits() -> None:
    wire = Wire()
    got = [wire.ask() for _ in range(60)]
    wire.welcome()
    sent = wire.said()
    assert len(sent) == 16  # in flight
    for message in sent:
        wire.answer(message["id"])
    while more := wire.said():
        sent += more
        for message in more:
            wire.answer(message["id"])
    assert len(sent) == 36  # the burst, a tenth below what is allowed
    wire.now += 1
    assert len(wire.said()) == 16
    assert sum(map(len, got)) == 36


def test_a_request_over_the_limit_is_refused_here() -> None:
    wire = Wire()
    wire.welcome()
    with pytest.raises(TooLarge, match="4,096"):
        wire.core.call(QueryRequest(metrics=["m" * 5000]), lambda reply: None)


@pytest.mark.parametrize("code", ["VALIDATION_ERROR", "NOT_FOUND", "FORBIDDEN", "TIMEOUT", "INTERNAL", "TOO_LARGE"])
def test_what_would_fail_again_is_not_repeated(code: str) -> None:
    wire = Wire()
    wire.welcome()
    got = wire.ask()
    wire.refuse(wire.said()[0]["id"], code)
    assert isinstance(got[0], PlumblineError)
    assert got[0].code == code
    assert wire.said() == []


def test_rate_limited_waits_as_told_and_asks_again() -> None:
    wire = Wire()
    wire.welcome()
    got = wire.ask()
    asked = wire.said()
    wire.refuse(asked[0]["id"], "RATE_LIMITED", retry_after_ms=2000)
    assert wire.said() == []
    wait = wire.core.next()[1]
    assert wait is not None
    assert 2 <= wait <= 2.5
    wire.now += wait
    assert wire.said() == asked
    wire.answer(asked[0]["id"])
    assert len(got) == 1


def test_a_wait_beyond_the_deadline_is_the_error_at_once() -> None:
    wire = Wire()
    wire.welcome()
    got = wire.ask(deadline=wire.now + 1)
    wire.refuse(wire.said()[0]["id"], "RATE_LIMITED", retry_after_ms=5000)
    assert isinstance(got[0], RateLimited)


def test_a_refusal_without_an_id_repeats_whatever_is_unanswered() -> None:
    wire = Wire()
    wire.welcome()
    got = [wire.ask(), wire.ask()]
    asked = wire.said()
    wire.answer(asked[0]["id"])
    wire.refuse(None, "RATE_LIMITED", retry_after_ms=1000)
    assert wire.said() == []
    wire.now += 1.5
    assert wire.said() == asked[1:]
    assert list(map(len, got)) == [1, 0]


def test_a_storm_of_overload_is_answered_with_a_tenth_more() -> None:
    wire = Wire(retries=1000)
    wire.welcome(in_flight=1000, messages_per_s=10**6, burst=10**6)
    asked = 0
    for _ in range(500):
        wire.ask()
        while sent := wire.said():
            asked += len(sent)
            for message in sent:
                wire.refuse(message["id"], "OVERLOADED")
            wire.now += 60
    assert asked <= 500 * 1.1 + 10


def test_a_lost_connection_is_tried_again_and_so_are_its_requests() -> None:
    wire = Wire()
    wire.welcome()
    got = wire.ask()
    asked = wire.said()
    pause = wire.core.lost(Unreachable("connection refused"))
    assert pause is not None
    assert 0 <= pause <= 0.25
    assert wire.states[-1] == State("reconnecting", "connection refused", 1)
    assert wire.said() == []
    wire.welcome("e2")
    assert wire.said() == asked
    assert got == []


def test_pauses_grow_until_a_connection_has_lasted() -> None:
    wire = Wire()
    for attempt in range(1, 6):
        wire.core.lost(Unreachable("refused"))
        assert wire.core.state.attempt == attempt
    wire.welcome()
    wire.core.lost(Unreachable("closed at once"))
    assert wire.core.state.attempt == 6
    wire.welcome()
    wire.now += 6
    wire.core.lost(Unreachable("closed later"))
    assert wire.core.state.attempt == 1


def test_bounded_gives_up_and_says_why() -> None:
    wire = Wire(attempts=2)
    got = wire.ask()
    assert wire.core.lost(Unreachable("refused")) is not None
    assert wire.core.lost(Unreachable("refused")) is not None
    assert wire.core.lost(Unreachable("refused")) is None
    assert wire.core.state == State("failed", "gave up after 2 attempts: refused")
    assert isinstance(got[0], Unreachable)
    with pytest.raises(Unreachable, match="gave up"):
        wire.ask()


def test_a_final_refusal_ends_calls_and_subscriptions() -> None:
    wire, reader = Wire(), Reader()
    got = wire.ask()
    wire.core.subscribe(BoardRequest(board="b"), "latest", reader)
    assert wire.core.lost(Unauthorized("this key was revoked"), final=True) is None
    assert wire.core.state == State("failed", "this key was revoked")
    assert isinstance(got[0], Unauthorized)
    assert isinstance(reader.ends[0], Unauthorized)


def test_going_away_waits_as_told_and_hangs_up_when_all_is_answered() -> None:
    wire = Wire()
    wire.welcome()
    wire.ask()
    number = wire.said()[0]["id"]
    wire.hear(type="going_away", reconnect_after_ms=3000)
    wire.ask()
    assert wire.said() == []
    answered = [wire.core.done]
    wire.answer(number)
    assert [*answered, wire.core.done] == [False, True]
    pause = wire.core.lost(Unreachable("the server is going away"))
    assert pause is not None
    assert 3 <= pause <= 3.75
    wire.welcome()
    assert len(wire.said()) == 1


def test_silence_is_asked_about_and_then_the_end() -> None:
    wire = Wire()
    wire.welcome()
    said = []
    for _ in range(3):
        said.append(wire.core.silence())
        wire.now += 20.5
    assert said == ["fine", "ask", "dead"]
    wire.core.heard()
    assert wire.core.silence() == "fine"


def test_what_is_not_understood_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    wire = Wire()
    wire.welcome()
    wire.core.received(b"\xff")
    wire.hear(type="news_of_a_later_version")
    wire.refuse(None, "VALIDATION_ERROR")
    assert len(caplog.records) == 3
    assert wire.core.state.name == "connected"


# subscriptions


class Board:
    """A wire with one standing board subscription at seq 5, `v` = 5."""

    def __init__(self) -> None:
        self.wire, self.reader = Wire(), Reader()
        self.topic = self.wire.core.subscribe(BoardRequest(board="b"), "latest", self.reader)
        self.wire.welcome()
        self.accept(False, 5)
        self.snapshot(5)

    def accept(self, recovered: bool, seq: int, epoch: str = "e1") -> dict[str, Any]:
        sent = [m for m in self.wire.said() if m["type"] == "subscribe"][-1]
        self.wire.hear(type="subscribed", id=sent["id"], sub=sent["sub"], epoch=epoch, seq=seq, recovered=recovered)
        return sent

    def snapshot(self, seq: int, epoch: str = "e1", **more: Any) -> None:
        tile = {"head": {"value": seq}, "columns": {"v": [seq]}}
        self.wire.hear(type="analytics_update", sub=self.topic.name, epoch=epoch, seq=seq, insights=[], confidence=1,
                       confidence_parts={}, timestamp="2026-01-06T12:00:00Z",
                       analytics={"tiles": {"a": tile}}, **more)  # fmt: skip

    def frame(self, seq: int, epoch: str = "e1") -> None:
        tiles = {"a": {"drop": 0, "from": 0, "columns": {"v": [seq]}, "head": {"value": seq}}}
        self.wire.hear(type="frame", sub=self.topic.name, epoch=epoch, seq=seq, at=0, tiles=tiles)

    def seen(self) -> list[tuple[int, bool]]:
        """(value of the tile, gap) of every update."""
        return [(u.analytics["tiles"]["a"]["head"]["value"], u.gap) for u in self.reader.updates if u.analytics]


def test_frames_follow_the_snapshot_and_repeats_are_passed_over() -> None:
    board = Board()
    for seq in (6, 6, 5, 7):
        board.frame(seq)
    assert board.seen() == [(5, False), (6, False), (7, False)]


def test_a_recovered_subscription_goes_on_without_a_gap() -> None:
    board = Board()
    board.frame(6)
    board.wire.core.lost(Unreachable("gone"))
    board.wire.welcome()
    assert board.accept(True, 6)["since"] == {"epoch": "e1", "seq": 6}
    for seq in (6, 7, 8):
        board.frame(seq)
    assert board.seen() == [(5, False), (6, False), (7, False), (8, False)]


def test_a_subscription_that_was_not_recovered_marks_the_gap_once() -> None:
    board = Board()
    board.wire.core.lost(Unreachable("gone"))
    board.wire.welcome("e2")
    assert board.accept(False, 1, "e2")["since"] == {"epoch": "e1", "seq": 5}
    board.frame(9)  # of before: no snapshot yet
    board.snapshot(1, "e2")
    board.frame(2, "e2")
    assert board.seen() == [(5, False), (1, True), (2, False)]


def test_a_missing_frame_asks_for_a_snapshot() -> None:
    board = Board()
    board.frame(8)
    types = [m["type"] for m in board.wire.said()]
    assert types == ["unsubscribe", "subscribe"]
    board.frame(9)
    board.snapshot(9)
    board.frame(10)
    assert board.seen() == [(5, False), (9, True), (10, False)]


def test_what_the_server_left_out_for_a_slow_reader_is_no_gap() -> None:
    board = Board()
    board.snapshot(9, dropped=3)
    board.snapshot(12, dropped=1)
    assert board.seen() == [(5, False), (9, False), (12, True)]
    assert [u.dropped for u in board.reader.updates] == [0, 3, 1]


def test_a_failed_tick_is_said_and_the_subscription_stands() -> None:
    board = Board()
    board.wire.hear(type="error", sub=board.topic.name, error={"code": "TIMEOUT", "message": "slow"})
    board.frame(6)
    told = board.reader.updates[1].error
    assert told is not None
    assert told.code == "TIMEOUT"
    assert board.reader.updates[2].error is None
    assert board.reader.ends == []


def test_a_refused_subscription_ends_and_an_overloaded_one_waits() -> None:
    wire, good, bad = Wire(), Reader(), Reader()
    wire.welcome()
    wire.core.subscribe(BoardRequest(board="good"), "latest", good)
    wire.core.subscribe(BoardRequest(board="bad"), "latest", bad)
    first, second = wire.said()
    wire.refuse(first["id"], "OVERLOADED", retry_after_ms=1000)
    wire.refuse(second["id"], "NOT_FOUND")
    assert isinstance(bad.ends[0], NotFound)
    assert good.ends == []
    wire.now += 2
    assert [m["sub"] for m in wire.said()] == [first["sub"]]


def test_rights_are_checked_again_on_resume() -> None:
    board = Board()
    board.wire.core.lost(Unreachable("gone"))
    board.wire.welcome()
    sent = board.wire.said()[0]
    board.wire.refuse(sent["id"], "FORBIDDEN")
    assert isinstance(board.reader.ends[0], Forbidden)


def test_an_unsubscribed_topic_is_silent_and_not_taken_up_again() -> None:
    board = Board()
    board.wire.core.unsubscribe(board.topic)
    board.frame(6)
    assert board.seen() == [(5, False)]
    assert board.reader.ends == [None]
    board.wire.core.lost(Unreachable("gone"))
    board.wire.welcome()
    assert board.wire.said() == []


def test_closed_is_closed() -> None:
    board = Board()
    got = board.wire.ask()
    board.wire.core.close()
    assert isinstance(got[0], Unreachable)
    assert board.reader.ends == [None]
    assert board.wire.core.state == State("closed")
    with pytest.raises(Unreachable, match="closed"):
        board.wire.core.call(Ping(), lambda reply: None)
