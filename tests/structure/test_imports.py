"""The direction of imports: each room knows only those below it, and nothing is kept in a module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# From the ground up. A room imports from its own layer and from those below; a new one is named here.
LAYERS = (
    {"errors", "settings", "format", "running", "periodic"},
    {"events", "query", "messages", "prices", "window", "yaml_lines", "yaml_text", "yaml_edit"},
    {"workspace", "workspace_fields", "workspace_checks", "workspace_names", "workspace_reader", "workspace_live"}
    | {"workspace_budgets"}
    | {"store", "ledger", "declare", "declare_choices", "inline", "pins"}
    | {"rights", "key_text", "keys_db", "audit", "keys", "screens", "damping", "logs"}
    | {"keys_cli", "access", "terminal", "flags", "demo"},
    {"ingest", "load", "sources", "insights", "asks", "tiles", "asking", "boards", "browse", "agent", "frames", "hub"}
    | {"inventory", "critical", "flows", "flow_tree", "expecting", "explaining", "forecasting", "language", "pricing"}
    | {"agreement", "booked", "budgeting", "series"},
    {"service", "reads", "telemetry", "exports", "tables", "local", "load_cli", "ask_cli", "answer_text"},
    {"api"},
)
# Programs of their own that meet a server only through its public API.
OUTSIDE = {"client", "host", "world"}
OUTSIDE_MAY = {"errors", "events", "query", "messages"}
SCREENS = {"dashboard", "panel", "bokeh", "param"}
BEHIND_THE_SERVICE = {"agent", "hub", "ingest", "sources", "store", "keys", "keys_db", "audit", "api"}
MUTABLE = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
MUTABLE_TYPES = {"list", "dict", "set", "bytearray", "deque", "defaultdict", "Counter", "OrderedDict", "ContextVar"}


def python_files(*places: str) -> list[Path]:
    found = [ROOT / place for place in places if place.endswith(".py")]
    for place in places:
        found += sorted((ROOT / place).rglob("*.py"))
    return [path for path in found if path.exists()]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def room(path: Path) -> str:
    """`analytics/store/sql.py` belongs to the room `store`."""
    return path.relative_to(ROOT / "analytics").parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that a file imports, wherever it does so."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = ".".join(path.relative_to(ROOT).parts[: -node.level]) if node.level else ""
            base = ".".join(part for part in (package, node.module) if part)
            yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)


def against(paths: list[Path], forbidden: set[str]) -> list[str]:
    return [
        f"{name(path)}:{line} imports {what}"
        for path in paths
        for line, what in imports(path)
        if what.split(".")[0] in forbidden
    ]


def rooms_used(path: Path) -> Iterator[tuple[int, str]]:
    for line, what in imports(path):
        parts = what.split(".")
        if parts[0] == "analytics" and len(parts) > 1:
            yield line, parts[1]


def test_the_engine_knows_no_screen() -> None:
    assert against(python_files("analytics"), SCREENS) == []


def test_only_the_transports_and_screens_know_tornado() -> None:
    inside = [path for path in python_files("analytics") if room(path) != "api"]
    assert against(inside, {"tornado"}) == []


def test_product_code_never_imports_tests() -> None:
    assert against(python_files("analytics", "dashboard", "app.py"), {"tests", "pytest", "playwright"}) == []


def test_every_room_has_a_layer() -> None:
    rooms = {room(path) for path in python_files("analytics")} - {"__init__"}
    assert rooms - set().union(*LAYERS) - OUTSIDE == set()


def test_nothing_imports_upwards() -> None:
    height = {name: level for level, names in enumerate(LAYERS) for name in names}
    wrong = []
    for path in python_files("analytics"):
        here = room(path)
        for line, used in rooms_used(path):
            if here in OUTSIDE:
                fine = used in OUTSIDE | OUTSIDE_MAY
            else:
                fine = used not in OUTSIDE and height.get(used, 0) <= height.get(here, 0)
            if not fine:
                wrong.append(f"{name(path)}:{line} imports {used}")
    assert wrong == []


def test_the_dashboard_has_no_private_way_to_the_data() -> None:
    wrong = [
        f"{name(path)}:{line} imports {used}"
        for path in python_files("dashboard")
        for line, used in rooms_used(path)
        if used in BEHIND_THE_SERVICE
    ]
    assert wrong == []


def kept_state(path: Path) -> Iterator[str]:
    """Names bound to something mutable at the top of a module, and what could change them later."""
    tree = ast.parse(path.read_text())
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            called = node.value.func if isinstance(node.value, ast.Call) else None
            mutable = isinstance(node.value, MUTABLE) or (
                isinstance(called, ast.Name | ast.Attribute)
                and (called.id if isinstance(called, ast.Name) else called.attr) in MUTABLE_TYPES
            )
            for target in targets:
                if mutable and isinstance(target, ast.Name) and not target.id.isupper() and target.id != "__all__":
                    yield f"{name(path)}:{node.lineno} keeps {target.id}"
    for inner in ast.walk(tree):
        if isinstance(inner, ast.Global):
            yield f"{name(path)}:{inner.lineno} changes {', '.join(inner.names)}"


@pytest.mark.parametrize("place", ["analytics", "dashboard", "app.py"])
def test_no_module_keeps_state(place: str) -> None:
    assert [told for path in python_files(place) for told in kept_state(path)] == []


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("seen = {}", "x.py:1 keeps seen"),
        ("seen: list[int] = []", "x.py:1 keeps seen"),
        ("from collections import deque\nlast = deque()", "x.py:2 keeps last"),
        ("COUNT = 0\ndef f():\n    global COUNT\n    COUNT += 1", "x.py:3 changes COUNT"),
        ("KNOWN = {'a': 1}\n_SMALL = [1]", None),
    ],
)
def test_the_check_for_state_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str | None
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "x.py").write_text(code)
    assert list(kept_state(tmp_path / "x.py")) == ([told] if told else [])
