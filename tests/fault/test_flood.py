"""A flood is limited, then cut, and nobody else feels it."""

from __future__ import annotations

import asyncio
import os
import sys
import time

import pytest
from websockets.frames import Frame, Opcode

from tests.conftest import ROOT, Served, flow
from tests.fault.parts import percentile, say, v1

ROUNDS = 40  # the burst that a bystander may send at once
BOUND_S = 0.25


@pytest.mark.parametrize(
    "frame",
    [Frame(Opcode.TEXT, b'{"type":"flow_analytics"}'), Frame(Opcode.TEXT, b"nonsense"), Frame(Opcode.PING, b"x" * 100)],
    ids=["requests", "nonsense", "pings"],
)
async def test_a_flood_is_limited_then_cut_and_others_do_not_feel_it(served: Served, frame: Frame) -> None:
    await served.ingest([flow()])
    _, key = served.app.keys.create("bystander", ["read"])
    command = [sys.executable, "-m", "tests.fault.flooder", served.url, frame.serialize(mask=True).hex()]
    pipe, env = asyncio.subprocess.PIPE, os.environ | {"PLUMBLINE_KEY": served.key}
    flooder = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=env, stdin=pipe, stdout=pipe)
    assert flooder.stdin and flooder.stdout
    heard = [await flooder.stdout.readline() for _ in range(2)]  # limited and cut, for the first time
    times = []
    async with await v1(served.url, key) as bystander:
        for i in range(ROUNDS - 2):
            started = time.monotonic()
            assert (await say(bystander, type="ping", id=i))["type"] == "pong"
            times.append(time.monotonic() - started)
        assert (await say(bystander, type="flow_analytics", id="q"))["analytics"]["flows"]["value"] == 1
    flooder.stdin.close()
    heard += (await flooder.stdout.read()).splitlines(keepends=True)
    await flooder.wait()
    said = {line.decode().strip() for line in heard}
    print(
        f"round trip beside a flood: p50 {1000 * percentile(times, 0.5):.1f} ms, p99 "
        f"{1000 * percentile(times, 0.99):.1f} ms, {len(heard)} lines"
    )
    assert {"error RATE_LIMITED", "close 4029", "end"} <= said
    assert said <= {"error RATE_LIMITED", "error VALIDATION_ERROR", "error None", "close 4029", "end"}
    assert percentile(times, 0.99) < BOUND_S
