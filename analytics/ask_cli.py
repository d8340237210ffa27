"""`ask "..."`: a question in words, its echo and its answer. Works beside a running server, and without one."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Protocol

import msgspec
import typer
from rich.console import Console

from analytics.access import access
from analytics.errors import Conflict, ValidationError
from analytics.keys_cli import DEFAULT, Data
from analytics.messages import Ask
from analytics.running import server_of
from analytics.terminal import faces
from analytics.window import zone

KEY = "ask"
NOT_UNDERSTOOD = 1  # exit code; 2 is an error
Asking = Callable[[Ask], dict[str, Any]]


class Program(Protocol):
    """What is needed of app.App where no server runs."""

    store: Any
    service: Any
    workspaces: Any
    keys: Any


def ask_command(program: Callable[[Path], Program]) -> Callable[..., None]:
    """The command; `program` builds the objects of a data directory that no server serves."""

    def ask(
        question: Annotated[list[str], typer.Argument(help='such as "p95 duration by tool since yesterday"')],
        window: Annotated[str, typer.Option(help="what counts where the words name no time, such as now-3h")] = "",
        tz: Annotated[str, typer.Option(help="time zone in which words such as yesterday are meant")] = "",
        as_json: Annotated[bool, typer.Option("--json", help="print the reply as JSON")] = False,
        data: Data = DEFAULT,
    ) -> None:
        """Ask in words: prints what was understood, the answer, and how far to trust it."""
        from analytics.answer_text import shown

        with faces(), server(data) or local(program, data) as (asking, metrics):
            clock = tz or local_zone()
            reply = asking(Ask(text=" ".join(question), tz=clock, window=window or None))
            if as_json:
                typer.echo(json.dumps(reply, ensure_ascii=False, indent=2))
            else:
                wide = None if sys.stdout.isatty() else 120
                shown(Console(highlight=False, width=wide), reply, metrics, clock)
        if reply["analytics"]["understood"] is None:
            raise typer.Exit(NOT_UNDERSTOOD)

    return ask


def server(data: Path) -> contextlib.AbstractContextManager[tuple[Asking, Mapping[str, Any]]] | None:
    """The server that serves a data directory, if one does."""
    return _through(data) if server_of(data) else None


@contextlib.contextmanager
def _through(data: Path) -> Iterator[tuple[Asking, Mapping[str, Any]]]:
    from analytics.load.sinks import ServerSink

    with access("", data, KEY) as (address, key), contextlib.closing(ServerSink(address, key)) as sink:
        metrics = {metric["name"]: metric for metric in sink.call("GET", "/api/metrics")}
        yield lambda request: sink.call("POST", "/api/analytics", msgspec.json.encode(request)), metrics


@contextlib.contextmanager
def local(program: Callable[[Path], Program], data: Path) -> Iterator[tuple[Asking, Mapping[str, Any]]]:
    """The store of this process. Raises Conflict where another one has it open."""
    from analytics.rights import Principal

    principal = Principal(key_id=KEY, name=KEY, scopes=frozenset({"read"}))
    with asyncio.Runner() as runner:
        app = runner.run(_built(program, data))
        try:
            try:
                runner.run(app.store.open())
            except Conflict as error:
                hint = "a server has it open and does not answer; stop it, or wait for it"
                raise Conflict(error.message, hint=hint) from None
            metrics = msgspec.to_builtins(app.workspaces.current.metrics)

            def asking(request: Ask) -> dict[str, Any]:
                reply = runner.run(app.service.answer(principal, request))
                told: dict[str, Any] = json.loads(msgspec.json.encode(reply))
                return told

            yield asking, metrics
        finally:
            runner.run(app.store.close())
            app.keys.close()


async def _built(program: Callable[[Path], Program], data: Path) -> Program:
    return program(data)  # inside a loop: its parts belong to one


def local_zone() -> str:
    """The IANA name of this machine's time zone, UTC where it cannot be told."""
    named = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime").partition("/zoneinfo/")[2]
    try:
        return zone(named).key
    except ValidationError:
        return "UTC"
