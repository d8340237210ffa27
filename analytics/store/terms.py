"""Names to SQL terms: dimensions, columns and filters. Values only ever become parameters."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec
import pyarrow as pa

from analytics.errors import NotFound, ValidationError, unknown
from analytics.prices import COMPUTED
from analytics.query import Filter, Period, Scalar
from analytics.store.costs import computed
from analytics.store.dialect import DuckDB
from analytics.workspace import Dataset, Dimension, Metric, Workspace, names_in, readable

WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
INT64 = 1 << 63
EVIDENCE, SINCE = "evidence", "evidence_since"
BOOLEANS = MappingProxyType({"true": True, "false": False})


class Term(msgspec.Struct, frozen=True):
    """Something to select, group or filter by. `log` bins per factor of ten make `sql` a bin number."""

    name: str
    sql: str
    kind: str  # text, number, bool, time or bin
    log: int = 0


class Terms:
    """Resolves the names of one dataset and collects the parameters they need. Whatever the `span`, the rows that are
    read lie inside of it. With an `as_of` it is as it was known then."""

    def __init__(
        self,
        workspace: Workspace,
        dataset: str,
        dialect: DuckDB,
        span: Period | None = None,
        as_of: datetime | None = None,
    ) -> None:
        self.workspace, self.dataset, self.dialect, self.span, self.as_of = workspace, dataset, dialect, span, as_of
        of = workspace.datasets.get(dataset) or Dataset(name=dataset)
        self.columns = {field.name: _kind(field.type) for field in readable(of)}
        self._booked = not of.columns  # whether the ledger says what counts
        self._computed = frozenset() if of.columns else frozenset(COMPUTED.names)
        self.params: dict[str, Any] = {}
        self._bound: dict[tuple[type, Any], str] = {}

    def bind(self, value: Any) -> str:
        """A parameter that stands for the value; equal values share one."""
        key = (type(value), value if not isinstance(value, list) else id(value))
        if key not in self._bound:
            name = f"p{len(self.params)}"
            self.params[name] = value
            self._bound[key] = self.dialect.parameter(name)
        return self._bound[key]

    def column(self, name: str) -> Term:
        """A column of the dataset. Raises NotFound."""
        if name not in self.columns:
            raise NotFound(unknown("column", name, self.columns))
        sql = computed(name, self) if name in self._computed else self.dialect.name(name)
        if name == EVIDENCE and self._booked and self.as_of:
            since = f"coalesce({self.dialect.name(SINCE)} <= {self.bind(naive(self.as_of))}, TRUE)"
            sql = f"CASE WHEN {sql} AND {since} THEN TRUE END"
        return Term(name, sql, self.columns[name])

    def dimension(self, name: str) -> Term:
        """A dimension of the dataset or one of its columns, by the name that was asked. Raises NotFound."""
        found = self.workspace.dimension(name, self.dataset)
        if found and found.dataset == self.dataset:
            return msgspec.structs.replace(self._declared(found), name=name)
        if name in self.columns:
            return self.column(name)
        if found:
            raise NotFound(f"no dimension {name!r} in dataset {self.dataset!r}; it belongs to {found.dataset!r}")
        here = names_in(self.workspace.dimensions, self.dataset)
        raise NotFound(unknown("dimension", name, here or self.columns))

    def number(self, name: str) -> str:
        """A measure as a double: a column of numbers or a declared dimension."""
        term = self.column(name) if name in self.columns else self.dimension(name)
        if term.kind == "text" and name not in self.columns:
            return self.dialect.number(term.sql)
        if term.kind != "number":
            raise ValidationError(f"expected a column of numbers, got {name!r} ({term.kind})")
        return f"CAST({term.sql} AS DOUBLE)"

    def measured(self, metric: Metric) -> str:
        """The number of a row that a metric runs over; of several columns their sum, where any is there."""
        parts = [self.number(name) for name in metric.columns or (metric.column or "",)]
        if len(parts) == 1:
            return parts[0]
        some = " OR ".join(f"{part} IS NOT NULL" for part in parts)
        return f"CASE WHEN {some} THEN {' + '.join(f'coalesce({part}, 0)' for part in parts)} END"

    def within(self, period: Period) -> str:
        """The rows of a half-open period."""
        time = self.dialect.name("time")
        return f"{time} >= {self.bind(naive(period.start))} AND {time} < {self.bind(naive(period.end))}"

    def between(self, start: datetime | None, end: datetime | None) -> list[str]:
        """The conditions for a row to lie between two moments, without those that hold for all that is read."""
        time, span, kept = self.dialect.name("time"), self.span, []
        if start is not None and not (span and start <= span.start):
            kept.append(f"{time} >= {self.bind(naive(start))}")
        if end is not None and not (span and end >= span.end):
            kept.append(f"{time} < {self.bind(naive(end))}")
        return kept

    def kept(self, filters: Iterable[Filter]) -> list[str]:
        """The conditions of a query: its filters, and what had been received by `as_of`."""
        kept = [self.condition(f) for f in filters]
        if self.as_of:
            kept.append(f"{self.dialect.name('received')} <= {self.bind(naive(self.as_of))}")
        return kept

    def counted(self, filters: Sequence[Filter]) -> list[str]:
        """The conditions of a query that measures: rows that are evidence of another do not count, unless a filter asks
        for them."""
        asked = any(f.dim == EVIDENCE for f in filters)
        booked = [f"{self.column(EVIDENCE).sql} IS NOT TRUE"] if self._booked and not asked else []
        return [*self.kept(filters), *booked]

    def condition(self, wanted: Filter) -> str:
        """One filter as SQL that is true for the rows to keep."""
        term, dialect = self.dimension(wanted.dim), self.dialect
        if not wanted.values:
            raise ValidationError(f"filter on {wanted.dim!r}: expected at least one value, got none")
        if wanted.op in ("is", "is_not", "contains") and len(wanted.values) > 1:
            raise ValidationError(
                f"filter on {wanted.dim!r}: expected one value for {wanted.op!r}, got {len(wanted.values)}",
                hint='use "in" or "not_in" for several',
            )
        if wanted.op == "contains":
            if not isinstance(wanted.values[0], str):
                raise ValidationError(f"filter on {wanted.dim!r}: expected text for 'contains'")
            return dialect.contains(dialect.text(term.sql), self.bind(_clean(wanted.values[0])))
        kept = [self.bind(_fit(term, value)) for value in wanted.values if value is not None]
        nulls = len(kept) < len(wanted.values)
        listed = ", ".join(kept)
        if wanted.op in ("is", "in"):
            parts = [f"{term.sql} IN ({listed})"] if kept else []
            return "(" + " OR ".join(parts + [f"{term.sql} IS NULL"] * nulls) + ")"
        if not kept:
            return f"({term.sql} IS NOT NULL)"
        differs = f"{term.sql} NOT IN ({listed})"
        return f"({differs})" if nulls else f"({term.sql} IS NULL OR {differs})"

    def where(self, conditions: Mapping[str, Any]) -> str:
        """A metric's `where` as SQL, empty when there is none."""
        filters = [
            Filter(dim, "in", list(value)) if isinstance(value, list | tuple) else Filter(dim, "is", [value])
            for dim, value in conditions.items()
        ]
        return " AND ".join(self.condition(f) for f in filters)

    def _declared(self, found: Dimension) -> Term:
        if found.attribute is not None:
            escaped = found.attribute.replace("~", "~0").replace("/", "~1")
            attributes = self.dialect.name("attributes")
            term = Term(found.name, self.dialect.attribute(attributes, self.bind("/" + escaped)), "text")
        else:
            term = self.column(found.column or found.name)
        if not found.log:
            return Term(found.name, term.sql, term.kind)
        value = self.dialect.number(term.sql) if term.kind == "text" else term.sql
        return Term(found.name, self.dialect.log_bin(value, found.log), "bin", found.log)


def naive(moment: datetime) -> datetime:
    """As the engine keeps it: UTC without saying so."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def low(number: int, per_decade: int) -> float:
    """The lower bound of a log-spaced bin."""
    return float(10.0 ** (number / per_decade))


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_timestamp(kind):
        return "time"
    return "text" if pa.types.is_string(kind) else "number"


def _clean(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValidationError("a filter value is not valid Unicode text") from None
    return text


def _fit(term: Term, value: Scalar) -> Any:
    """The value as the column's type; text, as a link has it, is read as one. Raises ValidationError when it
    cannot be one."""
    try:
        if term.kind == "text":
            return _clean(value) if isinstance(value, str) else _said(value)
        if term.kind == "bool":
            value = BOOLEANS.get(value.lower()) if isinstance(value, str) else value
            if isinstance(value, bool):
                return value
        if term.kind == "time" and isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        if term.kind in ("number", "bin"):
            number = _number(value)
            if number is not None and (term.kind == "number" or number > 0):
                return number if term.kind == "number" else round(math.log10(number) * term.log)
    except (ValueError, OverflowError):
        pass
    expected = {"bool": "true or false", "time": "an RFC 3339 time", "bin": "a bin's lower bound"}.get(
        term.kind, "a number"
    )
    raise ValidationError(f"filter on {term.name!r}: expected {expected}, got {str(value)[:60]!r}")


def _number(value: Scalar) -> int | float | None:
    """A whole number as it is, for a double holds only 53 bits of it; None for what is no number."""
    if isinstance(value, str):
        value = int(value) if WHOLE.fullmatch(value) else float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if isinstance(value, int) and abs(value) < INT64 else float(value)


def _said(value: Scalar) -> str:
    """A JSON scalar as the text it is stored under."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
