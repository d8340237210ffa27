"""`app.py mcp`: the same tools over stdin and stdout, with the SDK's own client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from analytics.api.tools import TOOLS
from analytics.settings import Settings
from tests.conftest import Served
from tests.server.test_mcp import ERAS, ROOT, call, flows, refusal


def program(*flags: str, **env: str) -> StdioServerParameters:
    """The command, in an environment whose own settings are left out."""
    strict = {"PYTHONWARNINGS": "error"}
    return StdioServerParameters(command=sys.executable, args=["app.py", "mcp", *flags], cwd=ROOT, env=strict | env)


def lent(served: Served) -> list[bool]:
    """Of each key that was made for the command: whether it ended."""
    return [key.revoked_at is not None for key in served.app.keys.list() if key.name == "mcp"]


@pytest.mark.parametrize("mode", ERAS)
async def test_it_speaks_the_same_tools_with_a_key_of_its_own(served: Served, mode: str, tmp_path: Path) -> None:
    await served.ingest(flows())
    with (tmp_path / "said").open("w") as errors:
        own = program("--data", str(served.app.settings.data))
        async with Client(stdio_client(own, errlog=errors), mode=mode) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == [tool.name for tool in TOOLS]
            found, text = await call(client, "query", metrics=["flows"])
            assert found["analytics"]["totals"]["flows"]["value"] == 12
            assert text.startswith("flows: 12 flows\n")
            link, _ = await call(client, "board_link", board="overview")
            assert link["url"] == f"{served.url}/board?board=overview"
            assert (await refusal(client, "query", {"metrics": ["flowz"]}))["code"] == "NOT_FOUND"
            assert len((await client.list_resources()).resources) > 10
            assert lent(served) == [False]
    assert lent(served) == [True]
    assert (tmp_path / "said").read_text() == ""


async def started(data: Path, port: int = 0) -> Served:
    """A server that the test stops itself."""
    from app import App

    app = App(Settings(port=port, data=data, demo=False))
    await app.start()
    return Served(app)


async def test_it_takes_address_and_key_from_outside_and_outlives_the_server(tmp_path: Path) -> None:
    first = await started(tmp_path)
    outside = {"PLUMBLINE_URL": first.url, "PLUMBLINE_KEY": first.key}
    async with Client(stdio_client(program(**outside))) as client:
        await call(client, "list_metrics")
        await first.app.stop()
        assert (await refusal(client, "query", {"metrics": ["flows"]}))["code"] == "UNREACHABLE"
        second = await started(tmp_path, urlsplit(outside["PLUMBLINE_URL"]).port or 0)
        try:
            await call(client, "list_metrics")
            second.app.keys.revoke(second.app.keys.verify(first.key, None).key_id)
            error = await refusal(client, "query", {"metrics": ["flows"]})
        finally:
            await second.app.stop()
    assert error["code"] == "UNAUTHORIZED"
    assert first.key not in json.dumps(error)


async def run(*flags: str, **env: str) -> tuple[int | None, str, str]:
    """Start it with nothing to read; how it ended, and what it said where."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PLUMBLINE_")}
    pipe = asyncio.subprocess.PIPE
    command = [sys.executable, "app.py", "mcp", *flags]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, env=own | env, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
    )
    out, told = await process.communicate()
    return process.returncode, out.decode(), told.decode()


async def test_it_says_what_is_missing_and_nothing_on_stdout(tmp_path: Path) -> None:
    here = ("--data", str(tmp_path))
    code, out, told = await run(*here)
    assert (code, out, "no server serves" in told) == (2, "", True)
    code, out, told = await run(*here, "--url", "http://127.0.0.1:9")
    assert (code, out, "PLUMBLINE_KEY" in told) == (2, "", True)
    code, out, told = await run(*here, "--url", "ftp://x", PLUMBLINE_KEY="pl_live_x")
    assert (code, out, "expected a URL" in told, "pl_live" in told) == (2, "", True, False)


async def test_it_ends_with_a_signal_and_takes_its_key_along(served: Served) -> None:
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "app.py", "mcp", "--data", str(served.app.settings.data)], cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
    assert json.loads(await process.stdout.readline())["id"] == 1
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 0
    assert lent(served) == [True]
