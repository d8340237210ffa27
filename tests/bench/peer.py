"""The peer: a plain Panel app with the charts of the overview, one Bokeh figure per chart and session.

`python -m tests.bench.peer [--live]` prints its URL. It is as lean as plain Panel gets: one flat layout, no template,
no toolbars, and less on it than on ours: a KPI has its number as title and no comparison, and there are no insights.
"""

from __future__ import annotations

import logging
import math
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import panel as pn
from bokeh.models import ColumnDataSource, HoverTool
from bokeh.plotting import figure

BUCKETS, GRAIN_MS = 60, 60_000
KPIS = ("flows", "success", "p95", "spend", "tokens", "agents")
NAMES = ("researcher", "planner", "support", "analyst", "notifier")
BINS = 12  # of a decade each 6: what a fleet's durations cover
COLUMNS = ("time", "name", "agent", "domain", "status", "duration_ms")

Update = Callable[[], None]


class Charts:
    """One viewer's charts: panes to show, and what a tick does to their data."""

    def __init__(self) -> None:
        self._random = random.Random(7)
        self._at = int(time.time() * 1000) // GRAIN_MS * GRAIN_MS
        self.updates: list[Update] = []
        self.panes = [
            *(self._kpi(name) for name in KPIS),
            self._line(),
            self._bars("spend_by_agent", "#0072b2"),
            self._bars("errors_by_tool", "#d55e00"),
            self._heatmap(),
            self._table(),
        ]

    def tick(self) -> None:
        """One second's news: a new point for what has a time axis, new values for what has not."""
        self._at += 1000
        for update in self.updates:
            update()

    def _value(self, i: float) -> float:
        return 50 + 20 * math.sin(i / 7) + self._random.random() * 8

    def _times(self) -> list[int]:
        return [self._at - (BUCKETS - i) * GRAIN_MS for i in range(BUCKETS)]

    def _figure(self, name: str, width: int, height: int, **options: Any) -> Any:
        return figure(name=name, width=width, height=height, tools="", toolbar_location=None, **options)

    def _kpi(self, name: str) -> Any:
        source = ColumnDataSource({"t": self._times(), "v": [self._value(i) for i in range(BUCKETS)]})
        plot = self._figure(name, 205, 90, x_axis_type="datetime")
        plot.axis.visible = plot.grid.visible = False
        plot.line("t", "v", source=source, line_width=1.5)
        plot.title = f"{source.data['v'][-1]:.1f}"

        def update() -> None:
            value = self._value(self._at / 1000)
            source.stream({"t": [self._at], "v": [value]}, BUCKETS)
            plot.title.text = f"{value:.1f}"

        self.updates.append(update)
        return pn.pane.Bokeh(plot)

    def _line(self) -> Any:
        names = ("s0", "s1", "p0", "p1")
        source = ColumnDataSource({"t": self._times()} | {n: [self._value(i) for i in range(BUCKETS)] for n in names})
        plot = self._figure("line", 900, 296, x_axis_type="datetime")
        for name, dash in zip(names, ("solid", "solid", "dashed", "dashed"), strict=True):
            plot.line("t", name, source=source, line_dash=dash, line_width=2)
        plot.add_tools(HoverTool(mode="vline", tooltips=[("p95", "@s0"), ("p50", "@s1")]))

        def update() -> None:
            source.stream({"t": [self._at]} | {n: [self._value(self._at / 1000)] for n in names}, BUCKETS)

        self.updates.append(update)
        return pn.pane.Bokeh(plot)

    def _bars(self, name: str, color: str) -> Any:
        def values() -> dict[str, list[Any]]:
            return {"label": list(NAMES), "value": [self._value(i) for i in range(len(NAMES))]}

        source = ColumnDataSource(values())
        plot = self._figure(name, 440, 190, y_range=list(reversed(NAMES)))
        plot.hbar(y="label", right="value", height=0.6, source=source, color=color)
        self.updates.append(lambda: setattr(source, "data", values()))
        return pn.pane.Bokeh(plot)

    def _heatmap(self) -> Any:
        def cells(times: list[int]) -> dict[str, list[Any]]:
            keys = [(t, b) for t in times for b in range(BINS)]
            return {
                "left": [t for t, _ in keys],
                "right": [t + GRAIN_MS for t, _ in keys],
                "bottom": [b / 6 for _, b in keys],
                "top": [(b + 1) / 6 for _, b in keys],
                "alpha": [self._random.random() for _ in keys],
            }

        source = ColumnDataSource(cells(self._times()))
        plot = self._figure("heatmap", 440, 190, x_axis_type="datetime")
        plot.quad("left", "right", "bottom", "top", fill_alpha="alpha", line_color="white", source=source)
        self.updates.append(lambda: source.stream(cells([self._at]), BUCKETS * BINS))
        return pn.pane.Bokeh(plot)

    def _table(self) -> Any:
        def rows() -> str:
            lines = [[f"{c} {self._random.randrange(1000)}" for c in COLUMNS] for _ in range(8)]
            cells = ["".join(f"<td>{text}</td>" for text in line) for line in [COLUMNS, *lines]]
            return "<table>" + "".join(f"<tr>{row}</tr>" for row in cells) + "</table>"

        pane = pn.pane.HTML(rows(), width=1360, height=240)
        self.updates.append(lambda: setattr(pane, "object", rows()))
        return pane


def serve(live: bool) -> None:
    def page() -> Any:
        charts = Charts()
        if live:
            pn.state.add_periodic_callback(charts.tick, 1000)
        return pn.FlexBox(*charts.panes)  # a Column costs more: it does not wrap, so it needs Rows inside

    logging.getLogger("bokeh").setLevel(logging.ERROR)  # it warns of each viewer who leaves between two patches
    server = pn.serve(
        {"app": page}, port=0, address="127.0.0.1", show=False, start=False, verbose=False, title="Plain Panel"
    )
    server.start()
    print(f"http://127.0.0.1:{server.port}/app", flush=True)
    server.io_loop.start()


if __name__ == "__main__":
    serve("--live" in sys.argv)
