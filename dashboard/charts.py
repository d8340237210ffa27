"""Chart types: one function from a tile to a lean Bokeh figure. Adding a type is an entry in CHARTS.

Bokeh draws, assets/kinds.js decides: ranges, ticks and their labels are set there from each snapshot, so
no figure carries code, guesses a range or sends anything back. Both find models by name: "tile:ID" (data),
"points:ID" (between gaps, or circled), "band:ID" (what was expected), "gaps:ID" (silences), "notes:ID" (labels),
"figure:ID", "partial:ID", "zero:ID", "axis:x:ID", "axis:y:ID".
Colours are roles of theme.py; `Sketch.paint` remembers who wears which, so that a theme changes in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bokeh.core.properties import value
from bokeh.models import (
    BasicTickFormatter,
    BoxAnnotation,
    ColumnDataSource,
    FixedTicker,
    Grid,
    LinearAxis,
    Model,
    Plot,
    Quad,
    Range1d,
    Scatter,
    Span,
    Text,
    VArea,
    VSpan,
)
from bokeh.models import Line as LineGlyph

from analytics.workspace import Tile
from dashboard.theme import FONT, PALETTES

M = TypeVar("M", bound=Model)
MAX_SERIES = 6
AXIS_LEFT = 52  # px, the same in every chart so that plots above each other line up
AXIS_BOTTOM = 26
DASHES = ((), (), (), (7, 3), (2, 3), (7, 3, 2, 3))  # from the fourth on, colours alone could be mistaken


class Sketch:
    """A figure under construction: the plot, its theme, and the list of painted properties."""

    def __init__(self, tile: Tile, theme: str) -> None:
        self.tile = tile
        self.palette = PALETTES[theme]
        self.paints: list[tuple[str, str, str]] = []
        self.plot = self.name(
            Plot(
                x_range=Range1d(0, 1),
                y_range=Range1d(0, 1),
                min_height=tile.height + AXIS_BOTTOM,
                sizing_mode="stretch_both",
                toolbar_location=None,
                min_border=0,
                min_border_left=AXIS_LEFT,
                min_border_right=6,
                min_border_top=6,
                min_border_bottom=AXIS_BOTTOM,
                outline_line_color=None,
                background_fill_color=None,
                border_fill_color=None,
                output_backend="canvas",
            ),
            "figure",
        )

    def name(self, model: M, kind: str) -> M:
        model.name = f"{kind}:{self.tile.id}"
        return model

    def paint(self, model: Model, **roles: str) -> None:
        """Give properties the colour of a role, now and at each change of theme."""
        if model.name is None:
            self.name(model, f"m{len(self.paints)}")
        for prop, role in roles.items():
            setattr(model, prop, self.palette[role])
            self.paints.append((str(model.name), prop, role))

    def source(self, kind: str, *columns: str) -> ColumnDataSource:
        return self.name(ColumnDataSource({c: [] for c in columns}), kind)

    def axes(self) -> None:
        """Grid behind, labels left and below, no lines: the numbers carry the eye, not the frame."""
        for side, axis_kind in (("below", "axis:x"), ("left", "axis:y")):
            axis = self.name(
                LinearAxis(
                    ticker=FixedTicker(ticks=[]),
                    formatter=BasicTickFormatter(),
                    axis_line_color=None,
                    major_tick_line_color=None,
                    minor_tick_line_color=None,
                    major_label_text_font=FONT,
                    major_label_text_font_size="11px",
                    major_label_standoff=4,
                ),
                axis_kind,
            )
            self.paint(axis, major_label_text_color="faint")
            self.plot.add_layout(axis, side)
            if side == "left":
                grid = Grid(axis=axis, dimension=1)
                self.paint(grid, grid_line_color="grid")
                self.plot.add_layout(grid)


def line(tile: Tile, theme: str) -> Sketch:
    """Lines s0..s5, the previous period dashed behind them, an expected band, the last bucket hatched.

    Of the groups of a dimension no previous period is drawn: six pale lines say nothing.
    """
    sketch = Sketch(tile, theme)
    sketch.axes()
    plot, count = sketch.plot, series_count(tile)
    ghosts = 0 if tile.by else count
    columns = [*(f"s{i}" for i in range(count)), *(f"p{i}" for i in range(ghosts))]
    source = sketch.source("tile", "t", *columns)
    if not tile.by:
        ranges(sketch)
    partial = sketch.name(
        BoxAnnotation(visible=False, fill_alpha=0, line_alpha=0, hatch_pattern="/", hatch_scale=7, hatch_weight=1.4),
        "partial",
    )
    sketch.paint(partial, hatch_color="hatch")
    plot.add_layout(partial)
    zero = sketch.name(Span(location=0, dimension="width", line_width=1, visible=False), "zero")
    sketch.paint(zero, line_color="ghost")
    plot.add_layout(zero)
    for i in range(ghosts):
        ghost = LineGlyph(x="t", y=f"p{i}", line_width=1.2, line_dash=[4, 4])
        sketch.paint(ghost, line_color="ghost")
        plot.add_glyph(source, ghost)
    for i in reversed(range(count)):  # the first metric is the subject: drawn last, on top
        width = 2.0 if i == 0 else 1.8
        glyph = LineGlyph(x="t", y=f"s{i}", line_width=width, line_join="round", line_dash=list(DASHES[i]))
        sketch.paint(glyph, line_color=series_role(tile, i))
        plot.add_glyph(source, glyph)
    points = Scatter(x="t", y="v", size="size", fill_color="fill", line_color="line", line_width=2)
    plot.add_glyph(sketch.source("points", "t", "v", "size", "fill", "line"), points)
    notes(sketch)
    return sketch


def ranges(sketch: Sketch) -> None:
    """Behind the lines: the band of what was expected of the first series, and gaps in which nobody sent, hatched."""
    band = VArea(x="t", y1="lo", y2="hi", fill_alpha=0.11)
    sketch.paint(band, fill_color=series_role(sketch.tile, 0))
    sketch.plot.add_glyph(sketch.source("band", "t", "lo", "hi"), band)
    gap = Quad(left="left", right="right", bottom="low", top="high", fill_alpha=0, line_alpha=0, hatch_pattern="\\",
               hatch_scale=9, hatch_weight=1.4)  # fmt: skip
    sketch.paint(gap, hatch_color="ghost")
    sketch.plot.add_glyph(sketch.source("gaps", "left", "right", "low", "high"), gap)


def notes(sketch: Sketch) -> None:
    """Labels, and a dashed line through those of a moment; colours come as columns, by tone."""
    source = sketch.source("notes", "t", "y", "line", "text", "color", "align", "offset", "down")
    sketch.plot.add_glyph(source, VSpan(x="line", line_color="color", line_dash=[3, 3], line_width=1.2))
    sketch.plot.add_glyph(
        source,
        Text(
            x="t",
            y="y",
            text="text",
            text_color="color",
            text_align="align",
            text_baseline="top",
            x_offset="offset",
            y_offset="down",
            text_font=value(FONT),
            text_font_size="11px",
            text_font_style="bold",
            background_fill_color="color",
            background_fill_alpha=0.12,
            padding=5,
            border_radius=5,
        ),
    )


def heatmap(tile: Tile, theme: str) -> Sketch:
    """One rectangle per time bucket and bin; the more rows behind it, the more opaque."""
    sketch = Sketch(tile, theme)
    sketch.axes()
    source = sketch.source("tile", "left", "right", "bottom", "top", "alpha", "t", "low", "high", "n")
    cells = Quad(left="left", right="right", bottom="bottom", top="top", fill_alpha="alpha", line_alpha=1, line_width=1)
    sketch.paint(cells, fill_color=f"c{tile.color}", line_color="card")
    sketch.plot.add_glyph(source, cells)
    return sketch


def series_count(tile: Tile) -> int:
    """How many lines a tile may have; how many groups of a dimension there are is known with the data only."""
    return MAX_SERIES if tile.by else min(len(tile.metrics), MAX_SERIES)


def series_role(tile: Tile, index: int) -> str:
    """Which palette place a tile's n-th series wears: blue, then green, then the rest of the set."""
    order = ("c1", "c3", "c2", "c4", "c5", "c6")
    return order[(index + tile.color - 1) % len(order)]


CHARTS: dict[str, Callable[[Tile, str], Sketch]] = {"line": line, "heatmap": heatmap}
