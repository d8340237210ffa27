"""The live workspace: follows files and folders, and while one of them is wrong goes on with what it last said."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from analytics.workspace import Problem, Workspace, WorkspaceError, file_bytes, first_lines
from analytics.workspace_reader import labels, read

UNSETTLED_NS = 2_000_000_000  # a folder that changed so lately may have changed again within one tick of its clock

Seen = tuple[int, int, int] | None


class Found(msgspec.Struct, frozen=True):
    """What all files say now, and what is wrong with some of them. `texts` are those that count."""

    workspace: Workspace
    texts: dict[Path, bytes]
    problems: tuple[Problem, ...]


class Workspaces:
    """`current` is what the files declare together, then the *.yaml of the folders, later ones replacing
    names of earlier ones. Raises WorkspaceError at the start where one of the files is wrong; never later,
    and never for what lies in a folder: `error` tells."""

    def __init__(self, files: Sequence[Path], folders: Sequence[Path] = ()) -> None:
        self._files, self._folders = tuple(files), tuple(folders)
        self._listed: dict[Path, tuple[Seen, list[Path]]] = {}
        self._paths = self._all_paths()
        self._seen = self._look()
        problems: list[Problem] = []
        loose = self._texts(self._paths[len(self._files) :], problems)
        found = self._merged({path: file_bytes(path) for path in self._files} | loose, {}, self._files)
        self.current, self._good = found.workspace, found.texts
        self.version = 1
        self.error = _told([*problems, *found.problems])

    @property
    def files(self) -> tuple[Path, ...]:
        """All files that are followed, in the order in which they count."""
        return tuple(self._paths)

    def reload_if_changed(self) -> bool:
        """Look at files and folders; whether `current` (and so `version`) is new. Costs one stat of each
        when nothing happened; `error` says what keeps a file from counting."""
        paths, before = self._all_paths(), self._seen
        self._paths = paths
        self._seen = self._look()
        if self._seen == before:
            return False
        problems: list[Problem] = []
        texts = self._texts(paths, problems)
        good = {path: text for path, text in self._good.items() if path in paths}
        known = good | texts
        try:
            found = self._merged({path: known[path] for path in paths if path in known}, good)
        except WorkspaceError as error:
            self.error = first_lines(error.problems, 3)
            return False
        self._good, self.error = found.texts, _told([*problems, *found.problems])
        if found.workspace == self.current:
            return False
        self.current = found.workspace
        self.version += 1
        return True

    def checked(self, path: Path, text: bytes) -> Workspace:
        """What there would be if a file said this. Raises WorkspaceError."""
        texts = self._good | {path: text}
        order = sorted({*self._paths, path} - {*self._files}, key=self._place)
        return read([(p, texts[p]) for p in (*self._files, *order) if p in texts])

    def _merged(self, texts: Mapping[Path, bytes], good: Mapping[Path, bytes], must: Sequence[Path] = ()) -> Found:
        """All texts together. One that is wrong gives way to what its file last said, or to nothing; those of
        `must` do not. Raises WorkspaceError."""
        texts, problems = dict(texts), list[Problem]()
        while True:
            try:
                return Found(read(list(texts.items())), texts, tuple(problems))
            except WorkspaceError as error:
                problems += error.problems
                wrong = self._to_blame(error, texts, good, must)
                if not wrong:
                    raise
                for path in wrong:
                    _fall_back(texts, good, path)

    def _to_blame(
        self, error: WorkspaceError, texts: Mapping[Path, bytes], good: Mapping[Path, bytes], must: Sequence[Path]
    ) -> list[Path]:
        """The files whose text may give way: those with problems, else the one without which there are none."""
        named = dict(zip(labels(texts), texts, strict=True))
        may = [path for path in texts if path not in must and (path not in self._files or path in good)]
        wrong = {named[problem.file] for problem in error.problems if problem.file in named}
        if blamed := [path for path in may if path in wrong and texts[path] != good.get(path)]:
            return blamed
        for path in reversed(may):
            tried = dict(texts)
            _fall_back(tried, good, path)
            try:
                read(list(tried.items()))
            except WorkspaceError:
                continue
            return [path]
        return [path for path in may if path in wrong and path not in self._files]

    def _texts(self, paths: Iterable[Path], problems: list[Problem]) -> dict[Path, bytes]:
        texts: dict[Path, bytes] = {}
        for path in paths:
            try:
                texts[path] = file_bytes(path)
            except WorkspaceError as error:
                problems += error.problems
        return texts

    def _all_paths(self) -> list[Path]:
        return [*self._files, *(path for folder in self._folders for path in self._in(folder))]

    def _in(self, folder: Path) -> list[Path]:
        """The workspace files of a folder; it is listed again only when its own time has changed."""
        seen = _stat(folder)
        known = self._listed.get(folder)
        if known is None or known[0] != seen or (seen and time.time_ns() - seen[0] < UNSETTLED_NS):
            found = [] if seen is None else [p for p in folder.glob("*.yaml") if not p.name.startswith(".")]
            self._listed[folder] = (seen, sorted(found, key=self._place))
        return self._listed[folder][1]

    def _place(self, path: Path) -> tuple[int, str]:
        return (self._folders.index(path.parent) if path.parent in self._folders else -1, path.name)

    def _look(self) -> dict[Path, Seen]:
        return {path: _stat(path) for path in self._paths}


def _fall_back(texts: dict[Path, bytes], good: Mapping[Path, bytes], path: Path) -> None:
    if path in good and texts[path] != good[path]:
        texts[path] = good[path]
    else:
        del texts[path]


def _told(problems: Sequence[Problem]) -> str | None:
    return first_lines(tuple(dict.fromkeys(problems)), 3) if problems else None


def _stat(path: Path) -> Seen:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
