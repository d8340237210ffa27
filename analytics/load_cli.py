"""`load FILE...`: any table into a dataset with a board of its own; `load claude-code`, `load codex`: the sessions of a
tool. Works beside a running server, and without one."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Protocol
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from analytics.errors import Conflict, ValidationError
from analytics.keys import Keys
from analytics.keys_cli import BY, DEFAULT, Data
from analytics.running import server_of
from analytics.terminal import faces

KEY = "load"
COLUMNS_SHOWN = 60
TOOLS = ("claude-code", "codex")  # whose sessions are read


class Program(Protocol):
    """What is needed of app.App where no server runs."""

    store: Any
    service: Any
    workspaces: Any
    keys: Any


class Target:
    """Where rows go, and what is there already."""

    def __init__(self, sink: Any, datasets: dict[str, Any], boards: set[str], url: str) -> None:
        self.sink, self.datasets, self.boards, self.url = sink, datasets, boards, url


def load_command(program: Callable[[Path], Program]) -> Callable[..., None]:
    """The command; `program` builds the objects of a data directory that no server serves."""

    def load(
        files: Annotated[
            list[str],
            typer.Argument(
                help="CSV, JSON lines, JSON or Parquet, also packed; globs, URLs, or - for stdin; or claude-code or "
                "codex, and the folder of its sessions unless it is the usual one"
            ),
        ],
        dataset: Annotated[str, typer.Option(help="name of the dataset; made of the file's name unless told")] = "",
        time: Annotated[str, typer.Option(help="column of the rows' time, or several such as year+month+day")] = "",
        type: Annotated[
            list[str],
            typer.Option(
                help="COLUMN=TYPE: text, integer, number, boolean or time, also as it is written: day=time:%d/%m/%Y"
            ),
        ] = [],  # noqa: B006  # typer takes no None for a list
        delimiter: Annotated[str, typer.Option(help="one character, or tab; found unless told")] = "",
        header: Annotated[
            bool | None,
            typer.Option("--header/--no-header", help="whether the first row names the columns; found unless told"),
        ] = None,
        title: Annotated[str, typer.Option(help="title of the new dataset and its board")] = "",
        rejects: Annotated[
            Path | None, typer.Option(help="where bad rows are written; beside the file unless told")
        ] = None,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask before loading")] = False,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be made, and load nothing")] = False,
        follow: Annotated[bool, typer.Option("--follow", help="sessions: stay, and send what is written")] = False,
        text: Annotated[bool, typer.Option("--text", help="sessions: keep prompts and completions too")] = False,
        again: Annotated[bool, typer.Option("--again", help="sessions: read from the start")] = False,
        data: Data = DEFAULT,
    ) -> None:
        """Load files into a dataset with dimensions, metrics and a first board of their own, or the sessions of a
        tool into the events."""
        tool = files[0] if files[0] in TOOLS else ""
        table: dict[str, Any] = {"--dataset": dataset, "--time": time, "--type": type, "--delimiter": delimiter}
        table |= {"--header": header is not None, "--title": title, "--rejects": rejects}
        sessions = {"--follow": follow, "--text": text, "--again": again}
        with faces(1):
            if wrong := next((name for name, value in (table if tool else sessions).items() if value), ""):
                raise ValidationError(f"{wrong} is for {'files' if tool else 'sessions'}, not for {files[0][:80]}")
        if tool:
            asked = {"follow": follow, "text": text, "again": again, "dry_run": dry_run}
            with faces(1):
                _sessions(program, tool, [Path(name).expanduser() for name in files[1:]], data, asked)
            return
        with faces(1), spooled(files) as named:
            job = Job(Options(dataset, time, types(type), delimiter, header, title, rejects, yes, dry_run), named, data)
            job.look()
            if dry_run:
                return
            with server(data) or local(program, data) as target:
                job.load(target)

    return load


def _sessions(
    program: Callable[[Path], Program], tool: str, folders: list[Path], data: Path, asked: dict[str, bool]
) -> None:
    from analytics.load.transcripts_cli import Asked, run

    out, err = Console(highlight=False, soft_wrap=not sys.stdout.isatty()), Console(stderr=True, highlight=False)
    what = Asked(tool=tool, folders=folders, data=data, **asked)
    run(what, lambda: server(data), lambda: local(program, data), lambda: Bar(err), out)


class Options(msgspec.Struct):
    """What was asked for."""

    dataset: str
    time: str
    types: dict[str, str]
    delimiter: str
    header: bool | None
    title: str
    rejects: Path | None
    yes: bool
    dry_run: bool


class Job:
    """One run of the command."""

    def __init__(self, asked: Options, files: list[Any], data: Path) -> None:
        self._asked, self._files, self._data = asked, files, data
        self._err = Console(stderr=True, highlight=False)
        self._out = Console(highlight=False, soft_wrap=not sys.stdout.isatty())

    def look(self) -> None:
        """Infer, and show what was found."""
        from analytics.load.plan import planned

        asked = self._asked
        with self._err.status(f"Looking at {_names(self._files)}"):
            self.plan, self.sample = planned(
                self._files,
                dataset=asked.dataset,
                time=asked.time,
                types=asked.types,
                delimiter=asked.delimiter,
                header=asked.header,
            )
        self._show()

    def load(self, target: Target) -> None:
        """Ask, load, report. Raises PlumblineError."""
        from analytics.declare import dataset_name
        from analytics.load.datasets import free_name
        from analytics.load.rejects import Rejects
        from analytics.load.run import Load

        if self._asked.dataset and dataset_name(self.plan.dataset) != self.plan.dataset:
            raise ValidationError(
                f"--dataset: expected small letters, digits and _, got {self.plan.dataset[:80]!r}",
                hint=f"such as {dataset_name(self.plan.dataset)}",
            )
        if not self._asked.dataset:
            name = free_name(self.plan.dataset, target.datasets, target.boards)
            self.plan = msgspec.structs.replace(self.plan, dataset=name)
        there = target.datasets.get(self.plan.dataset)
        self.plan = self.sample.counted(self.plan.into(there)) if there is not None else self.plan
        if not self._asked.yes and sys.stdin.isatty() and sys.stdout.isatty():
            there = "more rows for the dataset" if self.plan.dataset in target.datasets else "the new dataset"
            typer.confirm(f"Load this into {there} {self.plan.dataset}?", default=True, abort=True)
        path = self._asked.rejects or self._rejects_path()
        with Bar(self._err) as bar:
            load = Load(self.plan, self.sample, target.sink, Rejects(path), title=self._asked.title, heard=bar.heard)
            result = load.run()
        self._report(target, load, result, path)

    def _show(self) -> None:
        plan = self.plan
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in ("column", "type", "examples", "note"):
            table.add_column(name, no_wrap=name != "note", overflow="ellipsis")
        preview = self.sample.preview()
        for field in plan.fields[:COLUMNS_SHOWN]:
            examples = ", ".join(dict.fromkeys(v for v in preview[field.field] if v is not None))
            note = [field.note] if field.note else []
            if field.misfits:
                note.append(f"{field.misfits:,} of {field.values:,} do not fit")
            if field.field == plan.time:
                note.insert(0, "the rows' time")
            table.add_row(_plain(field.field), field.read_as, _plain(examples[:36]), _plain("; ".join(note)))
        self._out.print(table)
        if len(plan.fields) > COLUMNS_SHOWN:
            self._out.print(f"... and {len(plan.fields) - COLUMNS_SHOWN} more columns")
        if plan.time is None:
            self._out.print("No column holds a time, so all rows get that of loading; choose one with --time COLUMN.")
        elif "+" in plan.time and plan.time not in preview:
            self._out.print(f"The rows' time is made of {_plain(plan.time)}.")
        for field in plan.fields:
            if field.choices and field.note and field.type != "integer":
                else_ = shlex.quote(f"{field.field}={field.choices[0]}")
                self._out.print(f"To read {_plain(field.field)} in the other way: --type {_plain(else_)}")

    def _rejects_path(self) -> Path:
        first = self._files[0]
        beside = first.path.parent if first.name == first.path.name else Path()
        return Path(beside / f"{first.name}.rejects.csv")

    def _report(self, target: Target, load: Any, result: Any, path: Path) -> None:
        out, rate = self._out, result.rows / max(result.elapsed_s, 1e-9)
        took = f"{_span(result.elapsed_s)} ({rate:,.0f} rows/s)"
        out.print(f"Loaded {result.accepted:,} rows into {self.plan.dataset} in {took}")
        if result.repeated:
            out.print(f"{result.repeated:,} rows were there already; they are not kept twice")
        if load.rejects.total:
            out.print(f"[yellow]{load.rejects.total:,} rows were not kept[/]; see {path}")
            for told in load.rejects.told():
                out.print(f"  {told['count']:,} {told['reason']}: line {told['line']}: {_plain(told['example'])}")
        if load.rejects.unwritten:
            out.print(f"  the file holds the first {load.rejects.total - load.rejects.unwritten:,} of them")
        where = f"{target.url}/board?board={self.plan.dataset}"
        out.print(
            f"The board: {where}"
            if target.url
            else f"The board, once the server runs: /board?board={self.plan.dataset}"
        )


class Bar:
    """Progress on a terminal; on none, nothing."""

    def __init__(self, console: Console) -> None:
        rate, left = TextColumn("{task.fields[rate]}"), TextColumn("{task.fields[left]}")
        self._bar = Progress(
            TextColumn("{task.description:8}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"), rate, left,
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("Checking", rate="", left="")

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def heard(self, progress: Any) -> None:
        rate = f"{progress.rate:,.0f} rows/s" if progress.stage == "loading" and progress.rate else ""
        left = f"{_span(progress.remaining_s)} left" if progress.remaining_s is not None else ""
        what = "Checking" if progress.stage == "checking" else "Loading"
        self._bar.update(
            self._task, description=what, completed=progress.done, total=max(progress.total, 1), rate=rate, left=left
        )


def types(given: list[str]) -> dict[str, str]:
    """--type options as a mapping. Raises ValidationError."""
    found = {}
    for each in given:
        name, equals, type = each.rpartition("=") if each.count("=") == 1 else each.partition("=")
        if not equals or not name or not type:
            raise ValidationError(f"--type: expected COLUMN=TYPE, got {each[:80]!r}", hint="such as --type zip=text")
        found[name] = type
    return found


@contextlib.contextmanager
def spooled(names: list[str]) -> Iterator[list[Any]]:
    """The files that are meant; stdin and URLs are written to a temporary file first, for they are read twice.
    Raises ValidationError."""
    from analytics.load.files import source, sources

    with tempfile.TemporaryDirectory(prefix="plumbline-") as folder:
        found = []
        for i, name in enumerate(names):
            if name != "-" and not name.startswith(("http://", "https://")):
                found += sources([name])
                continue
            path = Path(folder) / str(i)
            with path.open("wb") as file:
                if name == "-":
                    shutil.copyfileobj(sys.stdin.buffer, file)
                else:
                    _fetched(name, file)
            shown = "stdin" if name == "-" else Path(urlsplit(name).path).name or "data"
            found.append(source(path, shown))
        yield found


def _fetched(url: str, file: Any) -> None:
    try:
        with urlopen(url, timeout=30) as reply:
            shutil.copyfileobj(reply, file)
    except (URLError, OSError, ValueError) as error:
        raise ValidationError(f"{url[:200]} cannot be read: {getattr(error, 'reason', error)}") from None


@contextlib.contextmanager
def _through(url: str, data: Path) -> Iterator[Target]:
    """A running server, by a key that counts for the time of the load."""
    from analytics.load.sinks import ServerSink
    from analytics.workspace import Dataset

    keys = Keys(data, lambda: datetime.now(UTC))
    until = datetime.now(UTC) + timedelta(days=1)
    key, plaintext = keys.create(KEY, ["read", "ingest", "admin"], expires_at=until, by=BY)
    sink = ServerSink(url, plaintext)
    try:
        datasets = {d.name: d for d in msgspec.convert(sink.call("GET", "/api/datasets"), list[Dataset])}
        boards = {board["name"] for board in sink.call("GET", "/api/boards")}
        yield Target(sink, datasets, boards, url)
    finally:
        sink.close()
        keys.revoke(key.id, by=BY)
        keys.close()


def server(data: Path) -> contextlib.AbstractContextManager[Target] | None:
    """The server that serves a data directory, if one does."""
    url = server_of(data)
    return _through(url, data) if url else None


@contextlib.contextmanager
def local(program: Callable[[Path], Program], data: Path) -> Iterator[Target]:
    """The store of this process. Raises Conflict where another one has it open."""
    from analytics.load.sinks import ServiceSink
    from analytics.rights import Principal

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="store", daemon=True)
    thread.start()

    def call(work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def built() -> Program:
        return program(data)

    app = call(built())
    try:
        try:
            call(app.store.open())
        except Conflict as error:
            raise Conflict(
                error.message, hint="a server has it open and does not answer; stop it, or wait for it"
            ) from None
        principal = Principal(key_id=KEY, name=KEY, scopes=frozenset({"read", "ingest", "admin"}))
        workspace = app.workspaces.current
        yield Target(ServiceSink(app.service, principal, loop), workspace.datasets, set(workspace.boards), "")
    finally:
        call(app.store.close())
        app.keys.close()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _names(files: list[Any]) -> str:
    return files[0].name if len(files) == 1 else f"{len(files)} files"


def _plain(text: str) -> str:
    """Without what a terminal or rich would take as markup."""
    return "".join(c if c.isprintable() else " " for c in text).replace("[", "\\[")


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
