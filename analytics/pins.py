"""Tiles pinned to boards: into the file that declares the board, or into boards.yaml of the data directory.

A built-in board is copied there whole before its first tile, so that the program's own files are never written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from analytics import inline
from analytics.declare_choices import human, slug, untaken
from analytics.errors import Conflict, NotFound, ValidationError, unknown
from analytics.workspace import Board, Tile, WorkspaceError, file_bytes, first_lines
from analytics.workspace_live import Workspaces
from analytics.workspace_reader import SLUG
from analytics.yaml_edit import Boards
from analytics.yaml_text import flow, replace, text

FILE = "boards.yaml"
HEAD = b"# Boards with tiles that were pinned here. Change them as you like: they are followed live.\n"


class Pinned(msgspec.Struct, frozen=True, kw_only=True):
    """A tile on its board: `at` its place among the tiles, `file` where that is written, `created` whether the board
    is new."""

    board: str
    tile: dict[str, Any]
    at: int
    file: str
    created: bool = False


class Unpinned(msgspec.Struct, frozen=True, kw_only=True):
    """A tile that was taken off its board: pin it again `at` the same place to undo that. `removed` tells that the
    board had no other tile and is gone too."""

    board: str
    tile: dict[str, Any]
    at: int
    file: str
    removed: bool = False


class Pins:
    """Changes boards. `own` is the folder of workspace files in the data directory; `built_in` are the files that are
    never written. Belongs to the event loop, as the workspaces do."""

    def __init__(self, workspaces: Workspaces, own: Path, built_in: Sequence[Path]) -> None:
        self._workspaces, self._own = workspaces, own / FILE
        self._built_in = frozenset(built_in)

    def pin(self, board: str, tile: Mapping[str, Any], *, at: int | None = None, title: str = "") -> Pinned:
        """Put a tile on a board, which is made where there is none. Names in the tile may be bare; an id that is
        taken or absent becomes another. Raises ValidationError, Conflict."""
        if not SLUG.fullmatch(board):
            raise ValidationError(f"board: expected letters, digits, _ and -, at most 64, got {board[:80]!r}")
        workspace = self._workspaces.current
        known = workspace.boards.get(board)
        taken = {each.id for each in known.tiles} if known else set()
        given = {"id": untaken(_id(tile), taken, 64)} | {k: v for k, v in tile.items() if k != "id"}
        checked = inline.board(board, [given], workspace).tiles[0]
        written = _in_full(given, checked)
        path = self._file_of(board)
        with self._changing(path) as boards:
            if board not in boards:
                boards.add_board(self._built_in_source(board) or _new(board, title, written, known))
            place = boards.ids(board).index(given["id"]) if known is None else boards.add(board, written, at)
        return Pinned(board=board, tile=written, at=place, file=path.name, created=known is None)

    def unpin(self, board: str, tile: str) -> Unpinned:
        """Take a tile off a board. Raises NotFound, Conflict."""
        known = self._workspaces.current.boards
        if board not in known:
            raise NotFound(unknown("board", board, known))
        if tile not in (ids := [each.id for each in known[board].tiles]):
            raise NotFound(f"the board {board!r} has {unknown('tile', tile, ids)}")
        path = self._file_of(board)
        with self._changing(path) as boards:
            if board not in boards:
                boards.add_board(self._built_in_source(board) or _new(board, "", {}, known[board]))
            if boards.ids(board) == [tile]:
                if path != self._own:
                    hint = f"take the whole board out of {path.name}"
                    raise Conflict(f"this is the last tile of the board {board!r}", hint=hint)
                gone, at, removed = boards.tile(board, tile), 0, True
                boards.remove_board(board)
            else:
                (gone, at), removed = boards.remove(board, tile), False
                if path == self._own and boards.source(board) == self._built_in_source(board):
                    boards.remove_board(board)  # as it was before anything was pinned
        return Unpinned(board=board, tile=gone, at=at, file=path.name, removed=removed)

    def _file_of(self, board: str) -> Path:
        """The file to change: the last that declares the board, unless it is built in."""
        for path in reversed(self._workspaces.files):
            if path not in self._built_in:
                with contextlib.suppress(WorkspaceError, Conflict, UnicodeDecodeError):
                    if board in Boards(file_bytes(path)):
                        return path
        return self._own

    def _built_in_source(self, board: str) -> str | None:
        for path in reversed(self._workspaces.files):
            if path in self._built_in and board in (boards := Boards(file_bytes(path))):
                return boards.source(board)
        return None

    @contextlib.contextmanager
    def _changing(self, path: Path) -> Iterator[Boards]:
        """The boards of a file, which is replaced at once if the whole workspace holds with what was changed.
        Raises Conflict, ValidationError; then the file is as it was."""
        with _locked(path):
            before = file_bytes(path) if path.exists() else HEAD
            boards = Boards(before)
            yield boards
            if boards.raw == before:
                return
            self._check(path, boards.raw)
            try:
                replace(path, boards.raw)
            except OSError as error:
                raise _unwritable(path, error.strerror or str(error)) from None
        self._workspaces.reload_if_changed()

    def _check(self, path: Path, raw: bytes) -> None:
        try:
            self._workspaces.checked(path, raw)
        except WorkspaceError as error:
            raise Conflict(
                f"the workspace would not hold: {first_lines(error.problems, 3)}", hint=f"mend {path.name} first"
            ) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Nobody else who asks for the lock changes the file. Raises Conflict for a file that must not be replaced."""
    if path.is_symlink():
        raise Conflict(
            f"{path.name} is a symbolic link, which is never replaced", hint="start with the file it leads to"
        )
    if not path.exists():
        yield
        return
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK) or not os.access(path.parent, os.W_OK):
        raise _unwritable(path, "it is read-only")
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict(f"{path.name} is being changed by another program", hint="try again in a moment") from None
        yield


def _new(board: str, title: str, tile: Mapping[str, Any], known: Board | None) -> str:
    """The text of a board with its first tile."""
    if known is not None:
        raise Conflict(f"{known.file} declares the board {board!r} and cannot be read", hint=f"mend {known.file} first")
    title = title or human(board.replace("-", "_"))
    return f"{text(board)}:\n  title: {text(title)}\n  tiles:\n    - {flow(tile)}"


def _unwritable(path: Path, why: str) -> Conflict:
    return Conflict(f"{path.name} cannot be written: {why}", hint="make it writable, or pin to another board")


def _id(tile: Mapping[str, Any]) -> str:
    """The id that a tile asks for, or one made of what it shows."""
    given = tile.get("id")
    if isinstance(given, str) and SLUG.fullmatch(given):
        return given
    return slug(str(tile.get("title") or tile.get("metric") or tile.get("type") or "tile"))


def _in_full(tile: Mapping[str, Any], checked: Tile) -> dict[str, Any]:
    """The tile as it was given, with the full names of what it refers to."""
    full: dict[str, Any] = dict(tile)
    if "metric" in tile:
        full["metric"] = checked.metrics[0]
    for field in ("metrics", "by"):
        if field in tile:
            names = list(getattr(checked, field))
            full[field] = names if isinstance(tile[field], list) else names[0]
    if "spark" in tile:
        full["spark"] = checked.spark
    if "where" in tile:
        full["where"] = dict(zip(checked.where, tile["where"].values(), strict=True))
    return full
