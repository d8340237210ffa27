"""`load claude-code` and `load codex`: beside a server and without one, once and live, looked at and resumed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from analytics import load_cli
from analytics.load import transcripts_cli
from analytics.load.sinks import Gone
from analytics.load.transcripts_cli import Asked, Job
from analytics.load.transcripts_load import Tally
from tests.conftest import ROOT, Served, request, until, wait_until
from tests.transcript_files import SECRET, Claude, Codex, text

SUMS = (
    "select count(*) as calls, sum(tokens_input)::bigint as input, sum(tokens_output)::bigint as output "
    "from {events} where kind = 'model' and evidence is not true"
)


def session(name: str = "s1", messages: int = 3) -> Claude:
    made = Claude(name, "same")
    made.prompt()
    for number in range(messages):
        made.message((10, 100 + number, 5, 1), tool="Bash" if number % 2 else "")
    return made


def run(*arguments: str) -> Any:
    from app import cli

    return CliRunner().invoke(cli, ["load", *arguments])


def folder(path: Path, *made: Claude) -> Path:
    for each in made:
        (path / "projects/home").mkdir(parents=True, exist_ok=True)
        (path / f"projects/home/{each.session}.jsonl").write_bytes(text(each.lines))
    return path


async def sums(served: Served) -> tuple[int, int, int]:
    (row,) = (await served.app.store.read(SUMS)).to_pylist()
    return row["calls"], row["input"] or 0, row["output"] or 0


def truth(*made: Claude | Codex) -> tuple[int, int, int]:
    a, b, c = ([each.truth[n] for each in made] for n in ("calls", "tokens_input", "tokens_output"))
    return sum(a), sum(b), sum(c)


async def test_through_the_running_server(served: Served, tmp_path: Path) -> None:
    made, data = session(), str(served.app.settings.data)
    config = folder(tmp_path / "config", made)
    result = await asyncio.to_thread(run, "claude-code", str(config), "--data", data)
    assert result.exit_code == 0, result.output
    assert "3 model calls, 1 tool uses, 0 turns" in result.output and "Kept 4 rows" in result.output
    assert f"{served.url}/" in result.output
    assert await sums(served) == truth(made)
    again = await asyncio.to_thread(run, "claude-code", str(config), "--data", data, "--again")
    assert "Kept 0 rows; 4 were there already" in again.output
    rows = (await served.app.store.read("select * from {events} where way = 'transcript'")).to_pylist()
    assert len(rows) == 4 and SECRET not in str(rows)
    assert all(key.revoked_at for key in served.app.keys.list() if key.name == "load")


async def test_a_call_that_others_tell_too_counts_once(served: Served, tmp_path: Path) -> None:
    made = Claude("s1", "silent")
    made.prompt()
    made.message((10, 100, 5, 1), blocks=3)
    config = folder(tmp_path / "config", made)
    path, data = config / "projects/home/s1.jsonl", str(served.app.settings.data)
    path.write_bytes(text(made.lines[:2]))
    os.utime(path, (1.7e9, 1.7e9))  # nobody has written for long, so it is told as far as it came
    await asyncio.to_thread(run, "claude-code", str(config), "--data", data)
    assert await sums(served) == (1, 16, 1)
    path.write_bytes(text(made.lines))
    os.utime(path, (1.7e9, 1.7e9))
    await asyncio.to_thread(run, "claude-code", str(config), "--data", data)
    assert await sums(served) == truth(made)
    (call,) = (await served.app.store.read("select distinct call_id from {events} where kind = 'model'")).to_pylist()
    log = {"kind": "model", "way": "log", "model": "claude-x", "tokens_input": 16, "tokens_output": 100, **call}
    key = served.app.keys.create("log", ["ingest"])[1]
    headers = {"X-API-Key": key, "Content-Type": "application/json"}
    status, *_ = await asyncio.to_thread(
        request, f"{served.url}/api/ingest/events", json.dumps([log]).encode(), headers, "POST"
    )
    assert status == 200 and await sums(served) == truth(made)


async def test_codex_through_the_server(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Codex()
    made.prompt()
    made.message((100, 20, 30), tool="shell")
    day = tmp_path / "codex/sessions/2026/01/06"
    day.mkdir(parents=True)
    (day / "rollout-1.jsonl").write_bytes(text(made.lines))
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    result = await asyncio.to_thread(run, "codex", "--data", str(served.app.settings.data))
    assert "1 model calls, 1 tool uses" in result.output, result.output
    assert await sums(served) == truth(made)


def test_without_a_server_and_on_from_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    data, made = tmp_path / "data", session()
    config = folder(tmp_path / "config", made)
    first = run("claude-code", "--data", str(data))
    assert "Kept 4 rows" in first.output, first.output
    made.message((1, 2, 3, 4))
    folder(config, made, session("s2"))
    second = run("claude-code", "--data", str(data))
    assert "Kept 5 rows; 0 were there already" in second.output, second.output


def test_a_look_sends_and_keeps_nothing(tmp_path: Path) -> None:
    config = folder(tmp_path / "config", session(), session("s2"))
    (config / "projects/copy.jsonl").write_bytes(text(session().lines) + b'{"type": "hologram"}\n')
    result = run("claude-code", str(config), "--data", str(tmp_path / "data"), "--dry-run")
    assert result.exit_code == 0, result.output
    (row,) = [line.split() for line in result.output.splitlines() if line.startswith("2026-01-06")]
    assert row == ["2026-01-06", "claude-x", "6", "96", "606", "30", "6"]
    assert "1 lines of an unknown type: hologram 1" in result.output and "Nothing was sent" in result.output
    assert not (tmp_path / "data").exists()


CASES: dict[str, tuple[list[str], str]] = {
    "nothing there": (["claude-code"], "expected {0}/config/projects"),
    "what to do": (["claude-code"], "set CLAUDE_CONFIG_DIR or give the folder"),
    "no folder": (["codex", "gone"], "there is no folder gone"),
    "both": (["claude-code", ".", "--follow", "--dry-run"], "--follow sends and --dry-run does not"),
    "for files": (["codex", "--time", "when"], "--time is for files"),
    "for sessions": (["days.csv", "--follow"], "--follow is for sessions"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "config"))
    arguments, said = CASES[name]
    result = run(*arguments, "--data", str(tmp_path / "data"))
    assert result.exit_code == 1 and said.format(tmp_path) in result.output, result.output
    assert not (tmp_path / "data").exists()


class Follower:
    """The command in a thread of its own, and how to stop it."""

    def __init__(self, config: Path, served: Served, failures: int = 0) -> None:
        self._failures, self._data = failures, served.app.settings.data
        asked = Asked(tool="claude-code", folders=[config], data=self._data, follow=True)
        console = Console(file=open(os.devnull, "w"))  # noqa: SIM115
        self._console, self.stop, self.tally = console, threading.Event(), Tally()
        self._job = Job(asked, console, lambda: load_cli.Bar(console))
        self._thread = threading.Thread(target=self._run)

    @contextmanager
    def _connect(self) -> Iterator[Any]:
        if self._failures:
            self._failures -= 1
            raise Gone("away")
        found = load_cli.server(self._data)
        assert found is not None
        with found as target:
            yield target

    def _run(self) -> None:
        self.tally = self._job.follow(self._connect, self.stop)

    async def __aenter__(self) -> Follower:
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop.set()
        await asyncio.to_thread(self._thread.join)
        self._console.file.close()


async def test_following_picks_up_what_is_written(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcripts_cli, "POLL_S", 0.01)
    monkeypatch.setattr(transcripts_cli, "RETRY_S", 0.01)
    made = session()
    config = folder(tmp_path / "config", made)

    async def kept(calls: int) -> None:
        await until(lambda: served.app.store.stats()["rows"] >= calls, what=f"{calls} rows")

    async with Follower(config, served, failures=2) as follower:
        await kept(4)
        path, grown = config / "projects/home/s1.jsonl", len(made.lines)
        made.message((7, 8, 9, 1))
        more = text(made.lines[grown:])
        with path.open("ab") as file:
            file.write(more[:40])
            file.flush()
            file.write(more[40:])
        await kept(5)
        other = session("s2", 1)
        path.write_bytes(text(other.lines))  # shorter than before
        await kept(6)
        third = session("s3", 2)
        folder(config, third)
        await kept(9)
    assert await sums(served) == truth(made, other, third)
    assert follower.tally.rows == follower.tally.accepted == 9


def test_an_interrupt_ends_it_cleanly(tmp_path: Path) -> None:
    config = folder(tmp_path / "config", session())
    command = [sys.executable, "app.py", "load", "claude-code", str(config), "--follow", "--data", str(tmp_path / "d")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "Following" not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == 0 and "Kept 4 rows" in said and "Traceback" not in said, said
    assert wait_until(lambda: list((tmp_path / "d").glob("transcripts-claude-code.json")))
