"""An engine without a server: a copy of a DuckDB file of Plumbline's, or rows, with a store and an agent of one's own.

What a notebook uses to show a frame, and a script to ask it: `with Local(frame) as local: local.answer(request)`.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import msgspec
import pyarrow as pa

from analytics import running, window
from analytics.agent import AnalyticsAgent
from analytics.asking import Answer, rfc3339
from analytics.errors import Conflict, NotFound, ValidationError
from analytics.messages import Question
from analytics.sources import Sources
from analytics.store.duckdb import DuckDBStore
from analytics.tables import declared
from analytics.workspace import Board, Tile, Workspace, load

T = TypeVar("T")
NAME = "data"  # of the dataset made of rows, and of its board
TIMED = ("line", "heatmap")  # tiles that say nothing where no row has a time
HINT = "give the plumbline.duckdb of a data directory"
MINUTE = timedelta(minutes=1)


class Local:
    """data: the path of a plumbline.duckdb that no server holds open, or rows as `analytics.tables` reads them, whose
    time column is `time`. workspaces: YAML files to know beside the file's own.

    A file is copied, so nothing here changes it. The work is done by an event loop on a thread of its own.
    Raises ValidationError, NotFound, Conflict.
    """

    def __init__(self, data: Any, time: str | None = None, *, workspaces: Sequence[Path]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="plumbline-local", daemon=True)
        self._thread.start()
        folder = Path(tempfile.mkdtemp(prefix="plumbline-"))
        self._end = weakref.finalize(self, _ended, self._loop, self._thread, folder)
        _before_exit(weakref.WeakMethod(self.close))
        self.timeless = False
        self.told = ""  # what the data is, for people
        self._store: DuckDBStore | None = None
        self._sources = Sources()
        try:
            if isinstance(data, str | Path):
                self.workspace = load([*workspaces, *self._copied(Path(data).expanduser(), folder)])
                self._run(self._open(folder, None))
            else:
                self.workspace = self._declared(data, time, folder, workspaces)
            self._agent = AnalyticsAgent(self._opened, lambda: self.workspace, self._sources)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Local:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def begin(self, request: Question) -> Future[Answer]:
        """Ask; the future has the answer, or raises what the agent raises."""
        return self._begun(self._agent.answer(request, now=datetime.now(UTC)))

    def answer(self, request: Question) -> Answer:
        """Ask and wait. Raises what the agent raises."""
        return self.begin(request).result()

    def home(self, board: Board) -> str:
        """The window of a board that holds data: its own, or one as long that ends where the data does."""
        now = datetime.now(UTC)
        span = window.resolve(window.parse(board.window, board.window), now)
        datasets = {tile.dataset for tile in board.tiles}
        ends = [end for dataset in datasets if (end := self._run(self._newest(dataset))) is not None]
        if not ends or max(ends) >= span.start or not board.window.startswith("now"):
            return board.window
        end = max(ends).replace(second=0, microsecond=0) + MINUTE
        return f"{end - timedelta(seconds=span.seconds):%Y-%m-%dT%H:%M:%SZ} to {end:%Y-%m-%dT%H:%M:%SZ}"

    def close(self) -> None:
        """End the engine and its thread, and forget the copy. Twice is once."""
        if self._end.alive:
            self._run(self._shut())
            self._end()

    # steps

    @property
    def _opened(self) -> DuckDBStore:
        assert self._store is not None
        return self._store

    def _begun(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if not self._end.alive:
            work.close()
            raise Conflict("this board is closed")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._begun(work).result()

    async def _open(self, folder: Path, rows: pa.Table | None) -> None:
        self._store = DuckDBStore(folder / "plumbline.duckdb", lambda: self.workspace)
        await self._store.open()
        if rows is not None:
            await self._store.append(NAME, rows)

    async def _shut(self) -> None:
        under_way = asyncio.all_tasks() - {asyncio.current_task()}
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        if self._store is not None:
            await self._store.close()

    async def _newest(self, dataset: str) -> datetime | None:
        table = await self._opened.read("SELECT max(time) AS t FROM {events}", dataset=dataset)
        found: datetime | None = table["t"][0].as_py()
        return found and found.replace(tzinfo=UTC)

    def _copied(self, path: Path, folder: Path) -> list[Path]:
        """Copy the file while nobody writes to it; gives back the workspace files beside it."""
        if not path.is_file():
            raise NotFound(f"no file {str(path)!r}", hint=HINT)
        try:
            with contextlib.closing(duckdb.connect(str(path), read_only=True)) as held:
                found = held.execute("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'pl_about'").fetchone()
                if found is None:
                    raise ValidationError(
                        f"{str(path)!r} holds no data of Plumbline's", hint="give its rows: data=a DataFrame"
                    )
                for suffix in ("", ".wal"):  # committed rows may still be in the log
                    if path.with_name(path.name + suffix).exists():
                        shutil.copyfile(path.with_name(path.name + suffix), folder / f"plumbline.duckdb{suffix}")
        except (duckdb.IOException, duckdb.ConnectionException) as error:
            raise _refused(path, str(error)) from None
        self.told = path.name
        return sorted((path.parent / "workspaces").glob("*.yaml"))

    def _declared(self, data: Any, time: str | None, folder: Path, workspaces: Sequence[Path]) -> Workspace:
        now = datetime.now(UTC)
        made = declared(NAME, data, time, now=now)
        file = folder / f"{NAME}.yaml"
        file.write_text(made.yaml, "utf-8")
        self.workspace = load([*workspaces, file])
        self._run(self._open(folder, made.rows))
        self.timeless = not made.time
        left = f"; {made.untimed:,} without a time are left out" if made.untimed else ""
        self.told = f"{made.rows.num_rows:,} rows{left}"
        board = msgspec.structs.replace(self.workspace.boards[NAME], file="")
        if self.timeless:
            tiles = tuple(_untimed(tile) for tile in board.tiles if tile.type not in TIMED)
            span = f"{rfc3339(now - MINUTE)} to {rfc3339(now + MINUTE)}"
            board = msgspec.structs.replace(board, tiles=tiles, window=span)
        return msgspec.structs.replace(self.workspace, boards=self.workspace.boards | {NAME: board})


def _untimed(tile: Tile) -> Tile:
    return msgspec.structs.replace(tile, columns=tuple(column for column in tile.columns if column != "time"))


def _refused(path: Path, why: str) -> Conflict | ValidationError:
    if "lock" not in why and "different configuration" not in why:
        return ValidationError(f"{str(path)!r} is not a DuckDB file", hint=HINT)
    url = running.server_of(path.parent)
    by = f"the server at {url}" if url else "another process"
    hint = f"ask the server instead: Board(..., url={url or 'http://...'!r}, key=...)"
    return Conflict(f"{path.name} is in use by {by}", hint=hint)


def _before_exit(close: weakref.WeakMethod[Callable[[], None]]) -> None:
    """End it with the program, and before the threads that it needs for that."""
    register = getattr(threading, "_register_atexit", atexit.register)
    register(lambda: (found := close()) and found())


def _ended(loop: asyncio.AbstractEventLoop, thread: threading.Thread, folder: Path) -> None:
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    if not thread.is_alive():
        loop.close()
    shutil.rmtree(folder, ignore_errors=True)
