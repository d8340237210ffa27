"""Datasets that are made while the server runs: each a workspace file of its own in the data directory."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from pathlib import Path

from analytics.declare import dataset_name, declared, written
from analytics.errors import Conflict, NotFound, StorageFull, ValidationError, unknown
from analytics.load.run import Declaration
from analytics.store.base import Store
from analytics.workspace import Dataset, Workspace, WorkspaceError
from analytics.workspace_live import Workspaces


class Datasets:
    """Makes and forgets them. A file that a person has changed is theirs: it is not written again."""

    def __init__(self, folder: Path, workspaces: Workspaces, store: Store, now: Callable[[], datetime]) -> None:
        self._folder, self._workspaces, self._store, self._now = folder, workspaces, store, now
        self._wrote: dict[str, bytes] = {}
        self._turn = asyncio.Lock()

    async def declare(self, name: str, declaration: Declaration) -> bool:
        """Declare a dataset, or describe one anew that is unchanged since; whether it is new. Raises ValidationError,
        Conflict where the name stands for something else, StorageFull."""
        if not declaration.columns:
            raise ValidationError("a dataset needs at least one column")
        async with self._turn:
            workspace = self._workspaces.current
            check_name(name, workspace)
            there = workspace.datasets.get(name)
            if there is not None:
                _check_same(there, declaration)
                if not await asyncio.to_thread(self._is_ours, name):
                    return False
            text = declared(
                name,
                declaration.title,
                declaration.columns,
                declaration.time,
                declaration.profile,
                now=self._now(),
                origin=declaration.origin,
            )
            await self._write(name, text)
            return there is None

    async def forget(self, name: str) -> None:
        """Drop a dataset that was made here, with its rows and its board. Raises NotFound, Conflict."""
        async with self._turn:
            workspace = self._workspaces.current
            path = self._folder / f"{name}.yaml"
            if name not in workspace.datasets or dataset_name(name) != name:
                raise NotFound(unknown("dataset", name, workspace.datasets))
            if not await asyncio.to_thread(path.exists):
                raise Conflict(f"the dataset {name!r} was not made here", hint="take it out of its workspace file")
            await self._store.drop(name)
            await asyncio.to_thread(path.unlink)
            self._wrote.pop(name, None)
            self._workspaces.reload_if_changed()

    async def _write(self, name: str, text: str) -> None:
        path = self._folder / f"{name}.yaml"
        try:
            await asyncio.to_thread(self._workspaces.checked, path, text.encode())
        except WorkspaceError as error:
            raise ValidationError(f"the dataset cannot be declared: {error.problems[0].text}") from None
        try:
            await asyncio.to_thread(written, self._folder, name, text)
        except OSError as error:
            raise StorageFull(f"the dataset cannot be declared: {error.strerror}", hint="make room") from None
        self._wrote[name] = _digest(text.encode())
        self._workspaces.reload_if_changed()  # what takes long of it, reading the text, is done

    def _is_ours(self, name: str) -> bool:
        try:
            return self._wrote.get(name) == _digest((self._folder / f"{name}.yaml").read_bytes())
        except OSError:
            return False


def check_name(name: str, workspace: Workspace) -> None:
    """Whether a dataset may be called so. Raises ValidationError, Conflict where the name stands for something else."""
    if dataset_name(name) != name:
        raise ValidationError(
            f"a dataset is called by small letters, digits and _, 40 at most; got {name[:80]!r}",
            hint=f"such as {dataset_name(name)!r}",
        )
    if name not in workspace.datasets and (name in workspace.boards or name in namespaces(workspace)):
        raise Conflict(f"there is a board {name!r} already", hint="choose another name for the dataset")


def namespaces(workspace: Workspace) -> set[str]:
    """The namespaces that metrics are declared in."""
    return {name.partition(".")[0] for name in workspace.metrics if "." in name}


def free_name(wanted: str, datasets: Mapping[str, Dataset], boards: Collection[str]) -> str:
    """A name for a dataset that is made of a file: that of one with columns of its own stands, for more of it; that of
    anything else gives way."""
    found, count = wanted, 1
    while not (found in datasets and datasets[found].columns):
        if found not in datasets and found not in boards:
            break
        count += 1
        found = f"{wanted}_data" if count == 2 else f"{wanted}_data_{count - 1}"
    return found


def _check_same(there: Dataset, declaration: Declaration) -> None:
    """Raises Conflict where a dataset that is there cannot hold what is declared."""
    if not there.columns:
        raise Conflict(f"the dataset {there.name!r} holds events", hint="choose another name")
    for name, column in declaration.columns.items():
        if name not in there.columns:
            raise Conflict(
                f"the dataset {there.name!r} has no column {name!r}",
                hint="choose another name, or declare the column in its file",
            )
        if there.columns[name].type != column.type:
            raise Conflict(
                f"the column {name!r} of dataset {there.name!r} holds {there.columns[name].type}, not {column.type}"
            )


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
