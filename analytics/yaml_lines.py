"""YAML text to a plain tree in which every value knows its line.

Reads what people write by hand and refuses the rest: tags, duplicate keys, keys that are not text,
aliases that multiply, nesting without end.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from ruamel.yaml.nodes import Node as Composed

MAX_BYTES = 1 << 20
MAX_NODES = 20_000  # counted after aliases are followed, which is what stops an alias bomb
MAX_DEPTH = 16
REMEMBERED = 256  # texts: those of a workspace are read again whenever one of them changes
INT64 = 1 << 63

Scalar = str | int | float | bool | None
Report = Callable[[int, str], None]
TAG = "tag:yaml.org,2002:"


class Node(msgspec.Struct, frozen=True):
    """A scalar, a list of nodes, or a mapping of names to nodes. `line` counts from 1; a value
    inside a mapping has the line of its key."""

    value: Scalar | list[Node] | dict[str, Node]
    line: int

    @property
    def mapping(self) -> dict[str, Node] | None:
        return self.value if isinstance(self.value, dict) else None

    def line_of(self, *keys: str) -> int:
        """The line of the first of these keys that this mapping has, or else where it begins."""
        inside = self.mapping or {}
        return next((inside[key].line for key in keys if key in inside), self.line)


class Parsed(msgspec.Struct, frozen=True):
    """The tree of a text, None where there is none, and what is wrong with it: (line, text) each."""

    root: Node | None
    problems: tuple[tuple[int, str], ...]


class _Stop(Exception):
    """The text is hostile or broken: reading on would help nobody."""


@functools.lru_cache(REMEMBERED)
def parse(raw: bytes) -> Parsed:
    """One document as a tree. The same text is read once."""
    problems: list[tuple[int, str]] = []
    root = _tree(raw, lambda line, told: problems.append((line, told)))
    return Parsed(root, tuple(problems))


def _tree(raw: bytes, report: Report) -> Node | None:
    if len(raw) > MAX_BYTES:
        report(1, f"the file is larger than {MAX_BYTES >> 20} MiB")
        return None
    yaml = YAML(typ="safe", pure=True)
    try:
        root = yaml.compose(raw.decode("utf-8-sig"))
        return _Builder(yaml, report).node(root, 0) if root is not None else None
    except UnicodeDecodeError as error:
        report(raw.count(b"\n", 0, error.start) + 1, "expected UTF-8 text")
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        told = "expected one document, got another" if "another document" in (error.problem or "") else error.problem
        report(mark.line + 1 if mark else 1, f"not YAML: {told}")
    except YAMLError as error:
        report(1, f"not YAML: {str(error).splitlines()[0][:120]}")
    except (_Stop, RecursionError) as error:
        report(1, str(error) if isinstance(error, _Stop) else "nested too deep")
    return None


class _Builder:
    def __init__(self, yaml: YAML, report: Report) -> None:
        self._construct = yaml.constructor.construct_object
        self._report = report
        self._count = 0

    def node(self, parsed: Composed, depth: int, line: int | None = None) -> Node:
        self._count += 1
        if self._count > MAX_NODES:
            raise _Stop(f"more than {MAX_NODES} values, aliases counted each time they are used")
        if depth > MAX_DEPTH:
            raise _Stop(f"nested deeper than {MAX_DEPTH} levels")
        line = parsed.start_mark.line + 1 if line is None else line
        if isinstance(parsed, MappingNode) and parsed.tag == TAG + "map":
            return Node(self._mapping(parsed, depth), line)
        if isinstance(parsed, SequenceNode) and parsed.tag == TAG + "seq":
            return Node([self.node(item, depth + 1) for item in parsed.value], line)
        if isinstance(parsed, ScalarNode):
            return Node(self._scalar(parsed, line), line)
        self._report(line, f"the tag {_short(parsed.tag)} is not allowed; write plain values")
        return Node(None, line)

    def _mapping(self, parsed: MappingNode, depth: int) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, value in parsed.value:
            line = key.start_mark.line + 1
            if not isinstance(key, ScalarNode) or key.tag != TAG + "str":
                self._report(line, f"a name must be text, got {_short(key.value)}; quote it")
            elif key.value in found:
                self._report(line, f"{_short(key.value)} appears twice, first on line {found[key.value].line}")
            else:
                found[key.value] = self.node(value, depth + 1, line)
        return found

    def _scalar(self, parsed: ScalarNode, line: int) -> Scalar:
        if parsed.tag in (TAG + "str", TAG + "timestamp"):
            return str(parsed.value)
        if parsed.tag not in (TAG + "null", TAG + "bool", TAG + "int", TAG + "float"):
            self._report(line, f"the tag {_short(parsed.tag)} is not allowed; write plain values")
            return None
        try:
            value: Scalar = self._construct(parsed)
        except (ValueError, YAMLError):
            self._report(line, f"{_short(parsed.value)} does not read as {parsed.tag.removeprefix(TAG)}")
            return None
        if isinstance(value, int | float) and not -INT64 < value < INT64:  # infinities and NaN are outside too
            self._report(line, f"the number {_short(parsed.value)} is out of range")
            return None
        return value


def _short(value: object) -> str:
    text = value if isinstance(value, str) else "a list or mapping"
    return repr(text.removeprefix(TAG)[:40])
