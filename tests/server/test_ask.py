"""Questions in words through the server: their answers, their rights, the command line, and a language model."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.conftest import ROOT, Running, Served, flow, serving

SECRET = "sk-not-to-be-seen-anywhere"


def fleet() -> list[dict[str, Any]]:
    """Two agents in two domains, a third of their flows failed."""
    events = []
    for i in range(30):
        status = "error" if i % 3 == 0 else "ok"
        tool = "web_search" if i % 2 else "shell"
        more: dict[str, Any] = {"tool": tool, "status": status, "cost_usd": 0.1, "ago_s": 20.0 + i}
        events.append(flow(agent="planner", domain="professional", **more))
        events.append(flow(agent="responder", domain="support", user="zebulon", **more))
    return events


@pytest.fixture
async def asked(served: Served) -> Served:
    await served.ingest(fleet())
    return served


async def ask(served: Served, text: str, key: str = "", **more: Any) -> dict[str, Any]:
    status, reply = await served.post("/api/analytics", {"type": "ask", "text": text} | more, key)
    assert status == 200, reply
    found: dict[str, Any] = reply["analytics"]
    return found | {"confidence": reply["confidence"], "insights": reply["insights"]}


async def test_an_answer_is_that_of_the_request_it_understood(asked: Served) -> None:
    found = await ask(asked, "errors of planer by tool since yesterday")
    assert found["said"] == "errors, by tool, where agent is planner, since yesterday 00:00"
    assert found["by"] == "grammar"
    assert found["corrected"] == [{"typed": "planer", "meant": "planner"}]
    assert sorted(found["answer"]["rows"]) == [["shell", 5], ["web_search", 5]]
    itself = await asked.ask(**found["understood"])
    assert itself["analytics"]["rows"] == found["answer"]["rows"]
    assert found["confidence"] == pytest.approx(itself["confidence"], abs=0.05)


async def test_what_is_not_understood_has_a_reason_and_readings(asked: Served) -> None:
    found = await ask(asked, "duration")
    assert (found["understood"], found["answer"], found["said"], found["by"]) == (None, None, None, None)
    assert found["reason"] == "it could be duration_p50 or duration_p95"
    assert [r["request"]["metrics"] for r in found["readings"]] == [["duration_p50"], ["duration_p95"]]
    reading = await asked.ask(**found["readings"][1]["request"])
    assert reading["analytics"]["totals"]["duration_p95"]["value"] == 1000.0
    assert found["confidence"] == 0
    assert (await ask(asked, "errors of zorblax"))["unknown"] == ["zorblax"]


async def test_words_become_each_kind_of_request(asked: Served) -> None:
    async def kind(text: str) -> str:
        found = await ask(asked, text)
        assert found["answer"] is not None, found
        return str(found["understood"]["type"])

    assert await kind("slowest flows") == "flows"
    assert await kind("how is planner doing?") == "agent_analytics"
    assert await kind("what changed?") == "flow_analytics"
    assert await kind("which tools are there?") == "values"
    assert await kind("why did errors rise in the last 10 minutes") == "explain"
    assert await kind("forecast flows for the next hour") == "forecast"


async def test_what_is_understood_and_not_there_says_so(asked: Served) -> None:
    found = await ask(asked, "flow f9")
    assert found["understood"] == {"type": "flow_analytics", "flow_id": "f9"}
    assert found["answer"] is None
    assert found["reason"].startswith("no flow 'f9'")


async def test_where_the_asker_stands_counts(asked: Served) -> None:
    found = await ask(
        asked, "errors", window="now-2h", domain="support", filters=[{"dim": "tool", "values": ["shell"]}]
    )
    assert found["understood"]["window"] == {"from": "now-2h", "to": "now", "tz": "UTC"}
    assert found["said"] == "errors, where tool is shell and domain is support, last 2 hours"
    assert found["answer"]["totals"]["errors"]["value"] == 5
    status, problem = await asked.post("/api/analytics", {"type": "ask", "text": "errors", "tz": "Mars/Olympus"})
    assert (status, problem["code"]) == (400, "VALIDATION_ERROR")


async def test_a_question_of_the_past_is_answered_as_of_then(asked: Served) -> None:
    found = await ask(asked, "flows today", as_of="2026-01-06T12:00:00Z")
    assert found["understood"]["as_of"] == "2026-01-06T12:00:00Z"
    assert found["answer"]["window"]["from"] == "2026-01-06T00:00:00.000000Z"


# rights


async def test_a_key_of_one_domain_learns_of_no_other(asked: Served) -> None:
    _, key = asked.app.keys.create("support", ["read"], domains=["support"])
    found = await ask(asked, "flows by agent", key)
    assert found["answer"]["rows"] == [["responder", 30]]
    hidden = await ask(asked, "flows of planner", key)  # a live value, for others
    assert hidden["understood"] is None
    assert hidden["unknown"] == ["planner"]
    assert "planner" not in json.dumps(hidden["readings"])
    assert (await ask(asked, "flows of planner"))["answer"]["totals"]["flows"]["value"] == 30
    assert (await ask(asked, "flows of zebulon", key))["answer"]["totals"]["flows"]["value"] == 30


async def test_a_key_without_the_dataset_gets_neither_answer_nor_names(asked: Served) -> None:
    _, key = asked.app.keys.create("self", ["read"], datasets=["self"])
    found = await ask(asked, "errors by agent", key)
    assert found["understood"] is None
    assert found["readings"] == []
    status, problem = await asked.post("/api/analytics", {"type": "ask", "text": "flow f1"}, key)
    assert (status, problem["code"]) == (403, "FORBIDDEN")
    assert (await ask(asked, "process memory", key))["understood"]["metrics"] == ["self_memory"]


async def test_a_ticket_for_boards_asks_nothing(asked: Served) -> None:
    from analytics.errors import Forbidden
    from analytics.messages import Ask
    from analytics.rights import Principal

    ticket = Principal(
        key_id="t", name="t", scopes=frozenset({"read"}), boards=frozenset({"overview"}), boards_only=True
    )
    with pytest.raises(Forbidden, match="no other question"):
        await asked.app.service.answer(ticket, Ask(text="errors"))


async def test_a_new_value_is_found_before_the_vocabulary_is_old(asked: Served) -> None:
    assert (await ask(asked, "flows of newcomer"))["understood"] is None
    await asked.ingest([flow(agent="newcomer")])
    assert (await ask(asked, "flows of newcomer"))["answer"]["totals"]["flows"]["value"] == 1


# the command line


def command(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "app.py", "ask", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_asks_the_server_and_then_the_directory(running: Running) -> None:
    running.post(fleet())
    where = ("--data", str(running.data))
    shown = command("errors by agent last 3 hours", *where)
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    assert lines[0] == "errors, by agent, last 3 hours"
    assert [line.split() for line in lines[2:4]] == [["planner", "10"], ["responder", "10"]]
    assert lines[-1].startswith("confidence ")
    doubt = command("p99 duration", *where)
    assert doubt.returncode == 1
    assert doubt.stdout.splitlines()[1:] == [
        "did you mean:",
        "  p50 duration of flows, last 1 hour",
        "  p95 duration of flows, last 1 hour",
    ]
    reply = json.loads(command("errors", "--json", "--window", "now-3h", *where).stdout)
    assert reply["analytics"]["answer"]["totals"]["errors"]["value"] == 20
    assert command("errors", "--tz", "Mars/Olympus", *where).returncode == 2
    running.stop()
    alone = command("how many errors in the last 3 hours", *where)
    assert alone.returncode == 0, alone.stderr
    assert alone.stdout.splitlines()[1].split() == ["Errors", "20"]


SHOWN = (
    "slowest flows", "how is planner doing", "which tools are there", "why did errors rise in the last 10 minutes",
    "forecast flows for the next hour", "compare errors with last week", "error rate by tool over time",
)  # fmt: skip


async def test_every_kind_of_answer_is_shown(asked: Served) -> None:
    from rich.console import Console

    from analytics.answer_text import shown

    _, _, raw = await asked.get("/api/metrics")
    metrics = {m["name"]: m for m in json.loads(raw)}
    for text in SHOWN:
        _, reply = await asked.post("/api/analytics", {"type": "ask", "text": text})
        out = Console(width=120, file=io.StringIO())
        shown(out, reply, metrics)
        told = out.file.getvalue()  # type: ignore[attr-defined]
        assert told.startswith(reply["analytics"]["said"][:60])
        assert "confidence" in told


# a language model


class Recorded:
    """An OpenAI-compatible endpoint that answers what it was told to, and remembers what it was sent."""

    def __init__(self) -> None:
        self.answer: Any = {"type": None}
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append((dict(self.headers), body))
                text = outer.answer if isinstance(outer.answer, str) else json.dumps(outer.answer)
                raw = json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()
                self.send_response(outer.status)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Recorded:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with Recorded() as endpoint:
        yield endpoint


@pytest.fixture
async def filled(recorded: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    """A server that asks the recorded endpoint what its grammar does not understand."""
    monkeypatch.setenv("PLUMBLINE_ASK_MODEL_KEY", SECRET)
    async with serving(tmp_path / "data", ask_model_url=recorded.url, ask_model="tiny", self_s=0) as served:
        await served.ingest(fleet())
        yield served


BLUE = "errorz in blue for the planner, please, in a haiku"


async def test_a_model_fills_the_same_request(
    filled: Served, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    recorded.answer = {
        "type": "query", "metrics": ["errors"], "window": {"from": "now-3h"},
        "filters": [{"dim": "agent", "op": "is", "values": ["planner"]}],
    }  # fmt: skip
    found = await ask(filled, BLUE, tz="Europe/Berlin")
    assert found["by"] == "model"
    assert found["said"] == "errors, where agent is planner, last 3 hours"
    assert found["understood"]["window"]["tz"] == "Europe/Berlin"
    assert found["answer"]["totals"]["errors"]["value"] == 10
    ((headers, body),) = recorded.seen
    assert headers["Authorization"] == f"Bearer {SECRET}"
    assert body["model"] == "tiny"
    told = json.loads(body["messages"][1]["content"])
    assert told["question"] == BLUE
    assert "errors" in told["metrics"]
    assert "zebulon" not in json.dumps(body)  # no values
    assert SECRET not in caplog.text


async def test_a_model_is_not_asked_what_the_grammar_understands(filled: Served, recorded: Recorded) -> None:
    assert (await ask(filled, "errors of planner"))["by"] == "grammar"
    assert recorded.seen == []


PROPOSALS: tuple[Any, ...] = (
    {"type": None},
    {"type": "query", "metrics": ["errors_of_blue"]},
    {"type": "query", "metrics": []},
    {"type": "query", "metrics": ["errors"], "group_by": ["colour"]},
    {"type": "query", "metrics": ["errors"], "filters": [{"dim": "agent", "values": ["smurf"]}]},
    {"type": "query", "metrics": ["errors"], "window": {"from": "whenever"}},
    {"type": "query", "metrics": ["errors"], "limit": 100000},
    {"type": "query", "metrics": ["errors; DROP TABLE events"]},
    {"type": "forecast", "metric": "disk", "limit_at": 0.9},
    {"type": "forecast", "metric": "disk", "horizon": 1000},
    {"type": "flow_analytics", "flow_id": "invented"},
    {"type": "ask", "text": "errors"},
    {"type": "board", "board": "overview"},
    {"type": "rows"},
    ["errors"],
    "SELECT count(*) FROM events",
    "42",
    "not JSON at all",
)


async def test_a_proposal_that_does_not_hold_is_not_taken(filled: Served, recorded: Recorded) -> None:
    for answer in PROPOSALS:
        recorded.answer = answer
        found = await ask(filled, BLUE)
        assert found["understood"] is None, answer
        assert found["reason"], answer
    assert len(recorded.seen) == len(PROPOSALS)


async def test_a_model_that_is_down_or_leads_elsewhere_changes_nothing(
    filled: Served, recorded: Recorded, caplog: pytest.LogCaptureFixture
) -> None:
    for status in (500, 401, 302):
        recorded.status = status
        assert (await ask(filled, BLUE))["understood"] is None
    assert len(recorded.seen) == 3  # no redirect was followed
    assert SECRET not in caplog.text
    assert BLUE not in caplog.text


async def test_a_model_answers_under_the_rights_of_the_asker(filled: Served, recorded: Recorded) -> None:
    _, key = filled.app.keys.create("support", ["read"], domains=["support"])
    recorded.answer = {"type": "query", "metrics": ["flows"], "group_by": ["agent"], "domain": "professional"}
    found = await ask(filled, BLUE, key)
    assert found["answer"]["rows"] == [["responder", 30]]
    _, key = filled.app.keys.create("self", ["read"], datasets=["self"])
    assert (await ask(filled, BLUE, key))["understood"] is None
    told = json.loads(recorded.seen[-1][1]["messages"][1]["content"])
    assert "flows" not in told["metrics"]
    assert "self_memory" in told["metrics"]


async def test_the_loop_goes_on_while_a_model_thinks(recorded: Recorded, filled: Served) -> None:
    thinking, may_answer = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    model = filled.app.service._agent._interpreter._model
    post: Callable[[bytes], Any] = model._post

    def slow(body: bytes) -> Any:
        loop.call_soon_threadsafe(thinking.set)
        asyncio.run_coroutine_threadsafe(may_answer.wait(), loop).result(10)
        return post(body)

    model._post = slow
    waiting = asyncio.create_task(ask(filled, BLUE))
    await asyncio.wait_for(thinking.wait(), 10)
    assert (await ask(filled, "errors"))["answer"] is not None
    may_answer.set()
    assert (await waiting)["understood"] is None
