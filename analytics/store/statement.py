"""The text of a measuring query, in two steps, for one pass over few cells is cheaper than many filters over all rows.

scan    the rows, one line of SQL that the compiler hands in
top     with a limit: the groups that stay, r their place; all others have no r and fold into one
cells   sums, counts and extremes per p, i, group and flags: all that adds up, without a filter
detail  the aggregates out of the cells, per p, i and group, and in the same pass the totals per p
f*      what does not add up (quantiles, distinct counts), out of the rows of one flag, per the same keys
h*      quantiles of the histograms of one flag, per the same keys
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from analytics.store import histograms
from analytics.store.dialect import DuckDB
from analytics.store.plan import Measure

WHOLE = ("quantile", "distinct", *histograms.TOLD)  # what needs all rows at once


class Aggregate(msgspec.Struct, frozen=True):
    """One aggregate function over a column of the scan, where a flag is set."""

    function: str
    value: str = ""
    flag: str = ""
    q: float = 0.0


class Statement:
    """Writes one query. `time` is the name of the time in the scan, where an aggregate needs it."""

    def __init__(
        self,
        scan: str,
        aggregates: Mapping[Aggregate, str],
        dialect: DuckDB,
        *,
        groups: int,
        compared: bool,
        grain: bool,
        time: str,
        rank: Measure,
        limit: int | None,
    ) -> None:
        self.scan, self.aggregates, self.dialect = scan, aggregates, dialect
        self.names = [f"g{k}" for k in range(groups)]
        self.compared, self.grain, self.time, self.rank = compared, grain, time, rank
        self.limit = limit if groups else None
        self.flags = sorted({a.flag for a in aggregates if a.flag})
        self.keys = ["p"] if compared else []
        self.detail = [*self.keys, *(["i"] if grain else []), *(["r"] if self.limit else self.names)]
        self.partial: dict[str, str] = {}  # an aggregate over rows -> its name in the cells

    def text(self, most: int) -> str:
        """The whole statement; at most so many rows come back."""
        added = [f"{self._merged(a)} AS {name}" for a, name in self.aggregates.items() if a.function not in WHOLE]
        whole: dict[str, list[str]] = {}
        binned: dict[tuple[str, str], list[Aggregate]] = {}
        for a, name in self.aggregates.items():
            if a.function in histograms.TOLD:
                binned.setdefault((a.flag, a.value), []).append(a)
            elif a.function in WHOLE:
                whole.setdefault(a.flag, []).append(f"{self._direct(a)} AS {name}")
        parts = [f"scan AS NOT MATERIALIZED ({self.scan})"]
        if self.limit:
            late = self.grain or any(a.function in WHOLE for a in self._behind(self.rank))
            parts += [self._top("scan"), self._cells()] if late else [self._cells("MATERIALIZED"), self._top("cells")]
        else:
            parts.append(self._cells())
        merged = self._topped("cells") if self.limit and not self.grain else "cells"
        parts.append(f"detail AS (SELECT {self._list([*self.detail, *added])} FROM {merged} {self._grouping()})")
        sources, columns = "detail", ["detail.*"]
        for k, (flag, listed) in enumerate(whole.items()):
            where = f" WHERE {flag}" if flag else ""
            source = self._topped("scan") if self.limit else "scan"
            parts.append(
                f"f{k} AS (SELECT {self._list([*self.detail, *listed])} FROM {source}{where} {self._grouping()})"
            )
            sources += f" LEFT JOIN f{k} ON {self._same('detail', f'f{k}', [*self.detail, *self._total()])}"
            columns += [f"f{k}.{each.rpartition(' ')[2]}" for each in listed]
        for k, asked in enumerate(binned.values()):
            source = self._topped("scan") if self.limit else "scan"
            grouping = self._grouping("low", "high")
            parts.append(f"h{k} AS ({self._binned(asked, source, self.detail, self._list(self.detail), grouping)})")
            sources += f" LEFT JOIN h{k} ON {self._same('detail', f'h{k}', [*self.detail, *self._total()])}"
            columns += [f"h{k}.{self.aggregates[a]}" for a in asked]
        if self.limit:
            sources += " LEFT JOIN top ON detail.r = top.r"
            columns += [f"top.{name}" for name in self.names]
        return f"WITH {', '.join(parts)} SELECT {', '.join(columns)} FROM {sources} LIMIT {most}"

    def _binned(
        self, asked: Sequence[Aggregate], source: str, keys: Sequence[str], listed: str, grouping: str, *extra: str
    ) -> str:
        """Aggregates over the histograms of one column and flag. `keys` are those of the rows; a total, where there is
        one, is told by `listed` and `grouping`."""
        flag, value = asked[0].flag, asked[0].value
        kept = " AND ".join([*([flag] if flag else []), *extra])
        rows = f"SELECT {', '.join([*keys, f'{value} AS h'])} FROM {source}{f' WHERE {kept}' if kept else ''}"
        names = [*keys, *(["t"] if " AS t" in listed else [])]
        qs = sorted({a.q for a in asked})
        found = histograms.told(self.dialect, rows, names, listed, grouping, qs)
        columns = [
            f"{a.function}{'' if a.function == 'observed' else qs.index(a.q)} AS {self.aggregates[a]}" for a in asked
        ]
        return f"SELECT {', '.join([*names, *columns])} FROM ({found})"

    def _list(self, columns: Sequence[str]) -> str:
        return ", ".join([*columns, *(f"grouping({self.detail[-1]}) AS {t}" for t in self._total())]) or "1 AS one"

    def _total(self) -> list[str]:
        """The column that tells totals from details, where there are both."""
        return ["t"] if self.detail != self.keys else []

    def _grouping(self, *within: str) -> str:
        """GROUP BY the details and the totals, and in each of them by what is `within`."""
        detail, keys = ", ".join([*self.detail, *within]), ", ".join([*self.keys, *within])
        if self._total():
            return f"GROUP BY GROUPING SETS (({detail}), ({keys}))"
        return f"GROUP BY {keys}" if keys else ""

    def _cells(self, how: str = "") -> str:
        """Per cell all partial aggregates that were asked for by now."""
        places = [
            *self.keys,
            *(["i", "r"] if self.limit and self.grain else ["i", *self.names] if self.grain else self.names),
        ]
        source = self._topped("scan") if self.limit and self.grain else "scan"
        keys = [*places, *self.flags]
        listed = [*keys, *(f"{sql} AS {name}" for sql, name in self.partial.items())]
        grouping = f" GROUP BY {', '.join(keys)}" if keys else ""
        return f"cells AS {how} (SELECT {', '.join(listed) or '1 AS one'} FROM {source}{grouping})"

    def _topped(self, source: str) -> str:
        return f"{source} LEFT JOIN top ON {self._same(source, 'top', self.names)}"

    def _same(self, left: str, right: str, columns: Sequence[str]) -> str:
        return " AND ".join(self.dialect.matches(f"{left}.{c}", f"{right}.{c}") for c in columns) or "true"

    def _top(self, source: str) -> str:
        """The groups that stay under a limit, by the first metric in the current period."""
        listed = ", ".join(self.names)
        ranked = f"SELECT {listed}, {self._ranked(self.rank, source)} AS v FROM {source} GROUP BY {listed}"
        return (
            f"top AS MATERIALIZED (SELECT {listed}, row_number() OVER (ORDER BY v DESC NULLS LAST, {listed}) AS r"
            f" FROM ({ranked}) ORDER BY r LIMIT {int(self.limit or 0)})"
        )

    def _ranked(self, measure: Measure, source: str) -> str:
        if measure.parts:
            numerator, denominator = (self._ranked(part, source) for part in measure.parts)
            return f"({numerator}) / nullif({denominator}, 0)"
        render = self._merged if source == "cells" else self._direct
        now = ["p = 0"] if self.compared else []
        by_name = {name: aggregate for aggregate, name in self.aggregates.items()}
        aggregate = by_name[measure.value]
        if aggregate.function in histograms.TOLD:
            names = ", ".join(self.names)
            binned = self._binned([aggregate], source, self.names, names, f"GROUP BY {names}, low, high", *now)
            return f"(SELECT {measure.value} FROM ({binned}) AS h WHERE {self._same(source, 'h', self.names)})"
        value = render(aggregate, *now)
        return f"{value} / nullif({render(by_name[measure.n], *now)}, 0)" if measure.aggregate == "avg" else value

    def _behind(self, measure: Measure) -> list[Aggregate]:
        if measure.parts:
            return [a for part in measure.parts for a in self._behind(part)]
        return [a for a, name in self.aggregates.items() if name == measure.value]

    def _merged(self, aggregate: Aggregate, *extra: str) -> str:
        """An aggregate out of the cells."""
        where, value = self._filter(aggregate, extra), aggregate.value
        match aggregate.function:
            case "count":
                counted = self._part(f"count({value or '*'})")
                return f"CAST(coalesce(sum({counted}){where}, 0) AS BIGINT)"
            case "squares":
                return f"sum({self._part(f'sum({value} * {value})')}){where}"
            case "largest":
                return f"max({self._part(f'max(abs({value}))')}){where}"
            case "last":
                newest = self._part(f"max({self.time}) FILTER (WHERE {value} IS NOT NULL)")
                return self.dialect.last(self._part(self.dialect.last(value, self.time, "")), newest, where)
            case function:
                return f"{function}({self._part(f'{function}({value})')}){where}"

    def _part(self, sql: str) -> str:
        return self.partial.setdefault(sql, f"x{len(self.partial)}")

    def _direct(self, aggregate: Aggregate, *extra: str) -> str:
        """An aggregate out of the rows."""
        where, value = self._filter(aggregate, extra), aggregate.value
        match aggregate.function:
            case "count":
                return f"count({value or '*'}){where}"
            case "distinct":
                return f"count(DISTINCT {value}){where}"
            case "last":
                return self.dialect.last(value, self.time, where)
            case "quantile":
                same = [a for a in self.aggregates if a.function == "quantile" and a.value == value]
                qs = sorted({a.q for a in same if a.flag == aggregate.flag})
                return self.dialect.quantiles(value, qs, where, qs.index(aggregate.q) + 1)
            case function:
                return f"{function}({value}){where}"

    @staticmethod
    def _filter(aggregate: Aggregate, extra: Sequence[str]) -> str:
        kept = " AND ".join([*([aggregate.flag] if aggregate.flag else []), *extra])
        return f" FILTER (WHERE {kept})" if kept else ""
