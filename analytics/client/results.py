"""What comes back: Update for every answer, Result for a table, Accepted for events taken in."""

from __future__ import annotations

import importlib
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa

from analytics.errors import PlumblineError, ValidationError
from analytics.messages import AnalyticsUpdate, Frame
from analytics.query import Period, Total

TIME = pa.timestamp("us", tz="UTC")
MOMENTS = ("time", "received", "start_time")  # columns of flows and rows


class Update(msgspec.Struct, frozen=True, kw_only=True):
    """An answer: numbers, what they mean, and how far to trust them (0 to 1). Do not change it in place.

    gap: messages before this one were missed for good. dropped: how many were left out because the reader was
    slow. error: this tick could not be answered; the numbers are those of the last one that could.
    Of a board, `analytics` is its whole state; confidence is the least of its tiles', insights are the snapshot's.
    """

    analytics: dict[str, Any] | None
    insights: list[dict[str, Any]]
    confidence: float
    confidence_parts: dict[str, Any]
    timestamp: datetime
    epoch: str | None = None
    seq: int | None = None
    dropped: int = 0
    gap: bool = False
    error: PlumblineError | None = None

    def __repr__(self) -> str:
        names = ", ".join(list(self.analytics or {})[:6])
        marks = "".join(f", {name}" for name in ("gap", "error") if getattr(self, name))
        return f"Update({self.timestamp:%H:%M:%S}, confidence {self.confidence:.2f}{marks}: {names})"

    @classmethod
    def of(cls, message: AnalyticsUpdate) -> Update:
        """A message of the wire."""
        return cls(
            analytics=message.analytics,
            insights=message.insights,
            confidence=message.confidence,
            confidence_parts=message.confidence_parts,
            timestamp=datetime.fromisoformat(message.timestamp),
            epoch=message.epoch if isinstance(message.epoch, str) else None,
            seq=message.seq if isinstance(message.seq, int) else None,
            dropped=message.dropped if isinstance(message.dropped, int) else 0,
        )

    def after(self, frame: Frame) -> Update:
        """The board's state after one more frame."""
        analytics = apply_frame(self.analytics or {}, frame)
        heads = [tile["head"] for tile in analytics.get("tiles", {}).values()]
        parts = {name: _least(h.get("parts", {}).get(name) for h in heads) for name in self.confidence_parts}
        return Update(
            analytics=analytics,
            insights=self.insights,
            confidence=_least(h.get("confidence") for h in heads) or 0.0,
            confidence_parts=parts,
            timestamp=datetime.fromtimestamp(frame.at / 1000, UTC),
            epoch=frame.epoch,
            seq=frame.seq,
            dropped=frame.dropped,
        )

    def result(self) -> Result:
        """The answer to a query as a table. Raises ValidationError when this is the answer to something else."""
        if self.analytics is None or "columns" not in self.analytics:
            raise ValidationError("this answer is no table", hint="only the answer to a query has rows")
        return Result.of(self)


def apply_frame(state: dict[str, Any], frame: Frame) -> dict[str, Any]:
    """A board's `analytics` after `frame`. Pure: what did not change is shared with the old state."""
    tiles = dict(state.get("tiles", {}))
    for name, change in frame.tiles.items():
        tiles[name] = _changed(tiles.get(name, {"head": {}, "columns": {}}), change)
    return state | frame.board | {"tiles": tiles}


def _changed(tile: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    columns = tile["columns"]
    if "columns" in change:
        drop, start = change.get("drop", 0), change.get("from", 0)
        columns = {
            name: columns.get(name, [])[drop : drop + start] + values for name, values in change["columns"].items()
        }
    return {"head": tile["head"] | change.get("head", {}), "columns": columns}


def _least(values: Any) -> float | None:
    return min((v for v in values if v is not None), default=None)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The table of a query, of flows or of rows. Times are aware UTC datetimes; absent values are None.

    totals: per metric over the whole window. window: what was really asked, `grain` in words or None.
    watermark: everything up to here has arrived. other: the last group is the fold of the rest.
    next: where the page that follows begins; None where none does.
    """

    columns: list[str]
    rows: list[list[Any]]
    totals: dict[str, Total]
    confidence: float
    confidence_parts: dict[str, Any]
    timestamp: datetime
    window: Period
    tz: str
    grain: str | None
    partial: dict[str, bool]
    watermark: datetime | None
    freshness_s: float | None
    completeness: float | None
    other: bool
    next: str | None = None

    def __repr__(self) -> str:
        return f"Result({len(self.rows)} rows of {', '.join(self.columns)}; confidence {self.confidence:.2f})"

    @classmethod
    def of(cls, update: Update) -> Result:
        """The typed form of an answer to a query."""
        told = update.analytics or {}
        window, grain, rows = told["window"], told["window"].get("grain"), told["rows"]
        times = [i for i, name in enumerate(told["columns"]) if "next" in told and name in MOMENTS]
        if grain is not None and told["columns"][:1] == ["time"]:
            times = [0]
        if times:
            rows = [[_moment(v) if i in times else v for i, v in enumerate(row)] for row in rows]
        return cls(
            columns=told["columns"],
            rows=rows,
            totals=msgspec.convert(told.get("totals", {}), dict[str, Total]),
            confidence=update.confidence,
            confidence_parts=update.confidence_parts,
            timestamp=update.timestamp,
            window=Period(datetime.fromisoformat(window["from"]), datetime.fromisoformat(window["to"])),
            tz=window.get("tz", "UTC"),
            grain=grain,
            partial=told.get("partial") or {},
            watermark=_moment(told.get("watermark")),
            freshness_s=told.get("freshness_s"),
            completeness=told.get("completeness"),
            other=bool(told.get("other")),
            next=told.get("next"),
        )

    def to_arrow(self) -> pa.Table:
        """Time as timestamp[us, UTC], metrics as float64 whatever came, dimensions as they are."""
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(self.columns)
        return pa.table({name: self._array(name, values) for name, values in zip(self.columns, columns, strict=True)})

    def to_pandas(self) -> Any:
        """A pandas DataFrame; the same types. Raises ModuleNotFoundError that says what to install."""
        _need("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """A polars DataFrame; the same types. Raises ModuleNotFoundError that says what to install."""
        return _need("polars").from_arrow(self.to_arrow())

    def _array(self, name: str, values: tuple[Any, ...]) -> pa.Array:
        if any(isinstance(v, datetime) for v in values) or (name == "time" and self.grain is not None):
            return pa.array(values, TIME)
        if name.removesuffix("_previous") in self.totals:
            return pa.array(values, pa.float64())
        if all(v is None or isinstance(v, str) for v in values):
            return pa.array(values, pa.string())  # also an empty one, so that the schema is always the same
        return pa.array(values)


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _need(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise ModuleNotFoundError(
            f"to_{package}() needs the package {package}: pip install {package}", name=package
        ) from None


class Drop(msgspec.Struct, frozen=True):
    """Events that were not kept, and why. `reason` is the server's, or an error code of ours."""

    reason: str
    count: int
    example: Any = None


class Accepted(msgspec.Struct, frozen=True):
    """What became of the events: kept durably, known already by their event_id, or dropped."""

    accepted: int
    repeated: int = 0
    dropped: list[Drop] = []
    cursor: Any = None
