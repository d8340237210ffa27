"""Changes to YAML that people wrote: every character that is not the change stays as it was.

The text is never written anew from its tree; the tree only says where to cut and where to put.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

from analytics.errors import Conflict
from analytics.yaml_text import flow, text

INDENT = 2


class Boards:
    """The boards of one workspace text. `raw` is the text as it stands after each change."""

    def __init__(self, raw: bytes) -> None:
        self._bom = raw.startswith(b"\xef\xbb\xbf")
        self._text = raw.decode("utf-8-sig")
        self._line = "\r\n" if "\r\n" in self._text else "\n"
        self._read()

    @property
    def raw(self) -> bytes:
        return self._text.encode("utf-8-sig" if self._bom else "utf-8")

    def __contains__(self, board: str) -> bool:
        return self._entry(board) is not None

    def ids(self, board: str) -> list[str]:
        """The tiles of a board, in their order; "" for one without an id."""
        return [str(_plain(item).get("id", "")) for item in self._tiles(board).value]

    def tile(self, board: str, tile: str) -> dict[str, Any]:
        """One tile as plain data."""
        return _plain(self._tiles(board).value[self.ids(board).index(tile)])

    def source(self, board: str) -> str:
        """How a board is written: its fields, as far to the left as they can be."""
        key, value = self._known(board)
        if _braced(value):
            return text(board) + ": " + self._text[value.start_mark.index : value.end_mark.index]
        start = self._line_start(key.start_mark.index)
        lines = self._text[start : _end(value, self._text)].splitlines()
        return "\n".join(line[key.start_mark.column :] for line in lines)

    def add(self, board: str, tile: Mapping[str, Any], at: int | None = None) -> int:
        """Put a tile before the `at`-th of a board, or behind the last; returns its place."""
        tiles = self._tiles(board)
        items: list[Node] = tiles.value
        at = len(items) if at is None else max(0, min(at, len(items)))
        written = flow(tile)
        if tiles.flow_style:
            if at < len(items):
                self._put(items[at].start_mark.index, f"{written}, ")
            else:
                self._put(_end(items[-1], self._text), f", {written}")
        else:
            column = self._dash(items[0]) - self._line_start(self._dash(items[0]))
            line = " " * column + "- " + written
            if at < len(items):
                self._put(self._line_start(self._dash(items[at])), line + self._line)
            else:
                self._put_line(_end(items[-1], self._text), line)
        return at

    def remove(self, board: str, tile: str) -> tuple[dict[str, Any], int]:
        """Take a tile off a board; returns it and where it was. The last one cannot go."""
        tiles, at = self._tiles(board), self.ids(board).index(tile)
        items: list[Node] = tiles.value
        if tiles.flow_style:
            last = at == len(items) - 1
            start = _end(items[at - 1], self._text) if last else items[at].start_mark.index
            self._cut(start, _end(items[at], self._text) if last else items[at + 1].start_mark.index)
        else:
            self._cut_lines(self._dash(items[at]), _end(items[at], self._text))
        return _plain(items[at]), at

    def add_board(self, source: str) -> None:
        """Declare one more board, as `source` gives it."""
        boards = self._root("boards")
        if boards is not None and not boards[1].value:  # `boards: {}`, or nothing
            self._cut_lines(boards[0].start_mark.index, boards[1].end_mark.index)
            boards = None
        if boards is not None and _braced(boards[1]):
            raise Conflict("the boards of this file are written in braces", hint="write them one below the other")
        if boards is None:
            lines, at, column = ["boards:"], len(self._text.rstrip()), INDENT
        else:
            lines, (first, _) = [], boards[1].value[0]
            at, column = _end(boards[1], self._text), first.start_mark.column
        lines += [(" " * column + line).rstrip() for line in source.splitlines()]
        self._put_line(at, self._line.join(lines))

    def remove_board(self, board: str) -> None:
        """Forget a board."""
        key, value = self._known(board)
        boards = self._root("boards")
        if boards is None or _braced(boards[1]):
            raise Conflict("the boards of this file are written in braces", hint="write them one below the other")
        self._cut_lines(key.start_mark.index, _end(value, self._text))
        if len(boards[1].value) == 1:
            self._put(self._text.index(":", boards[0].end_mark.index) + 1, " {}")

    # where things are

    def _read(self) -> None:
        try:
            self._tree = YAML(typ="safe", pure=True).compose(self._text)
        except YAMLError as error:
            raise Conflict(f"the file is not YAML: {str(error).splitlines()[0][:120]}") from None

    def _root(self, name: str) -> tuple[Node, Node] | None:
        return _field(self._tree, name)

    def _entry(self, board: str) -> tuple[Node, Node] | None:
        boards = self._root("boards")
        return None if boards is None else _field(boards[1], board)

    def _known(self, board: str) -> tuple[Node, Node]:
        entry = self._entry(board)
        if entry is None:
            raise Conflict(f"the file has no board {board!r} any more")
        return entry

    def _tiles(self, board: str) -> SequenceNode:
        key, value = self._known(board)
        found = _field(value, "tiles")
        if found is None or not isinstance(found[1], SequenceNode) or not found[1].value:
            raise Conflict(f"the board {board!r} has no list of tiles")
        if value.start_mark.index < key.end_mark.index or found[1].start_mark.index < found[0].end_mark.index:
            raise Conflict(f"the board {board!r} is an alias of another", hint="write its tiles out in the file")
        return found[1]

    def _dash(self, item: Node) -> int:
        return self._text.rindex("-", 0, item.start_mark.index)

    def _line_start(self, index: int) -> int:
        return self._text.rfind("\n", 0, index) + 1

    def _line_end(self, index: int) -> int:
        end = self._text.find("\n", index)
        return len(self._text) if end < 0 else end + 1

    # cutting and putting

    def _put(self, index: int, what: str) -> None:
        self._text = self._text[:index] + what + self._text[index:]
        self._read()

    def _put_line(self, index: int, what: str) -> None:
        """Behind the line that an index is in."""
        at = self._line_end(index)
        broken = bool(self._text[:at]) and not self._text[:at].endswith("\n")
        self._put(at, (self._line if broken else "") + what + self._line)

    def _cut(self, start: int, end: int) -> None:
        self._text = self._text[:start] + self._text[end:]
        self._read()

    def _cut_lines(self, start: int, end: int) -> None:
        self._cut(self._line_start(start), self._line_end(end))


def _braced(node: Node) -> bool:
    return isinstance(node, CollectionNode) and bool(node.flow_style)


def _field(node: Node | None, name: str) -> tuple[Node, Node] | None:
    if not isinstance(node, MappingNode):
        return None
    return next(((key, value) for key, value in node.value if key.value == name), None)


def _end(node: Node, source: str) -> int:
    """Where the last thing of a node ends; a block's own mark is where the next thing begins."""
    if isinstance(node, MappingNode | SequenceNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, source)
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        return len(source[: node.end_mark.index].rstrip())
    return int(node.end_mark.index)


def _plain(node: Node) -> dict[str, Any]:
    """A mapping as plain data."""
    found = YAML(typ="safe", pure=True).constructor.construct_document(node) if isinstance(node, MappingNode) else None
    return dict(found) if isinstance(found, Mapping) else {}
