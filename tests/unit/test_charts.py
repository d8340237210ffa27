"""Figures are lean, named, painted by role, and the same bytes in every process."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bokeh.models import CustomJS, DataRange1d, Line, Model, Tool

from analytics.workspace import TILE_TYPES, Tile, Workspace
from analytics.workspace_reader import read
from dashboard.board import Specs, describe, filters_of
from dashboard.charts import CHARTS, DASHES, Sketch
from dashboard.theme import PALETTES, SERIES, THEMES, css

ASSETS = Path(__file__).parents[2] / "assets"
FILES = sorted((ASSETS / "workspaces").glob("*.yaml"))


@pytest.fixture(scope="module")
def workspace() -> Workspace:
    return read([(file, file.read_bytes()) for file in FILES])


def sketch(kind: str, theme: str = "light") -> Sketch:
    by = ("bin",) if kind == "heatmap" else ()
    return CHARTS[kind](Tile(id="one", type=kind, metrics=("a", "b"), by=by), theme)


@pytest.mark.parametrize("kind", CHARTS)
def test_a_figure_carries_no_tools_no_code_and_guesses_no_range(kind: str) -> None:
    models: set[Model] = sketch(kind).plot.references()
    assert not [m for m in models if isinstance(m, Tool | CustomJS | DataRange1d)]
    assert len(models) < 80
    assert {"tile:one", "figure:one", "axis:x:one", "axis:y:one"} <= {m.name for m in models}


@pytest.mark.parametrize("kind", CHARTS)
def test_every_painted_property_is_found_again_by_name(kind: str) -> None:
    light, dark = sketch(kind, "light"), sketch(kind, "dark")
    assert light.paints == dark.paints
    named = {m.name: m for m in dark.plot.references() if m.name}
    for name, prop, role in dark.paints:
        assert hasattr(named[name], prop) and role in PALETTES["dark"]


def test_a_line_has_a_place_for_each_series_and_its_previous_period() -> None:
    source = next(m for m in sketch("line").plot.references() if m.name == "tile:one")
    assert source.column_names == ["t", "s0", "s1", "p0", "p1"]


def test_a_line_by_a_dimension_has_a_place_for_six_groups_and_dashes_from_the_fourth_on() -> None:
    tile = Tile(id="one", type="line", metrics=("a",), by=("agent",))
    models = CHARTS["line"](tile, "light").plot.references()
    source = next(m for m in models if m.name == "tile:one")
    assert source.column_names == ["t", "s0", "s1", "s2", "s3", "s4", "s5"]
    drawn = {m.y: tuple(m.line_dash) for m in models if isinstance(m, Line)}
    assert [drawn[f"s{i}"] for i in range(6)] == list(DASHES)
    assert len(models) < 80


def test_what_a_tile_can_be_filtered_by_is_told_with_it(workspace: Workspace) -> None:
    tile = Tile(id="one", type="latest", columns=("time", "agent", "status", "duration_ms"))
    assert filters_of(tile, workspace) == {"agent": "agent", "status": "status"}


def test_charts_are_tile_types() -> None:
    assert set(CHARTS) <= set(TILE_TYPES)


def test_a_spec_is_the_same_whatever_was_built_before_it(workspace: Workspace) -> None:
    board = workspace.boards["overview"]
    first = Specs().build(board, workspace, "light")
    sketch("line")  # moves Bokeh's own count of ids
    again = Specs().build(board, workspace, "light")
    assert first.body == again.body and first.hash == again.hash
    assert len(first.packed) < 8_000


def test_specs_are_built_once_and_found_by_hash(workspace: Workspace) -> None:
    specs, board = Specs(), workspace.boards["overview"]
    light, dark = (specs.build(board, workspace, theme) for theme in THEMES)
    assert specs.build(board, workspace, "light") is light
    assert specs.find(dark.hash) is dark and specs.find("nothing") is None
    assert light.hash != dark.hash


def test_a_spec_is_plain_data_with_a_figure_per_chart(workspace: Workspace) -> None:
    for name, board in workspace.boards.items():
        spec = json.loads(json.dumps(describe(board, workspace, "dark")))
        assert spec["board"] == name
        assert [t["id"] for t in spec["tiles"] if "figure" in t] == [t.id for t in board.tiles if t.type in CHARTS]
        assert all(t["title"] for t in spec["tiles"])


def test_no_style_of_the_whole_page_depends_on_what_it_holds() -> None:
    """`body:has(...)` has every change of text style the page anew: 50 times the cost of a tick or a tip."""
    sheets = [*ASSETS.glob("*.css"), *ASSETS.glob("css/*.css")]
    assert sheets
    for sheet in sheets:
        assert not re.search(r"(?:html|body|:root)[^\s,{]*:has\(", sheet.read_text()), sheet.name


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("role", ["ink", "dim", "faint", "accent", "good", "bad", "warn"])
@pytest.mark.parametrize("ground", ["card", "bg"])
def test_text_can_be_read(theme: str, role: str, ground: str) -> None:
    """WCAG 2.2 AA: 4.5 to 1 for text (W3C, success criterion 1.4.3)."""
    assert contrast(PALETTES[theme][role], PALETTES[theme][ground]) >= 4.5


def test_both_palettes_have_the_same_roles_and_the_style_sheet_all_of_them() -> None:
    assert PALETTES["light"].keys() == PALETTES["dark"].keys() >= set(SERIES)
    for role in PALETTES["light"]:
        assert css().count(f"--{role}:") == 2
