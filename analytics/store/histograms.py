"""Quantiles of histograms as SQL: between which two values the observation of a rank lies, whatever the buckets.

An observation lies in its bucket, so the r-th of all lies between the r-th of the lower ends and the r-th of the upper
ends. That holds for buckets of every kind beside each other: other bounds, other scales, and none that were told. The
value is the middle between both, so that half of what is between them is the most that it can be off.
"""

from __future__ import annotations

from collections.abc import Sequence

from analytics.store.dialect import DuckDB
from analytics.store.intervals import quantile_sql

# the value, the most it can be off, the same with what a sample leaves open, and the observations behind
TOLD = ("middle", "within", "reach", "observed")


def told(dialect: DuckDB, rows: str, keys: Sequence[str], listed: str, grouping: str, qs: Sequence[float]) -> str:
    """Columns `keys`, observed, and for each of `qs`, numbered from 0, the first three of TOLD: "middle0".

    rows: a statement with the keys and a histogram `h`, as the dialect packs it. listed, grouping: the keys as its
    groups have them, and GROUP BY with low and high.
    """
    over = f"PARTITION BY {', '.join(keys)}" if keys else ""
    placed = f"{listed}, " if keys else ""
    counted = f"SELECT {placed}low, high, sum(n) AS n FROM ({dialect.buckets(rows)}) {grouping}"
    ranked = (
        f"SELECT *, sum(n) OVER ({over}) AS observed, sum(n) OVER ({over} ORDER BY low) AS lows,"
        f" sum(n) OVER ({over} ORDER BY high) AS highs FROM ({counted})"
    )
    ends = [f"{sql} AS {name}{k}" for k, q in enumerate(qs) for name, sql in _ends(q)]
    ranged = ", ".join([*keys, "observed", *ends])
    found = [
        sql
        for k in range(len(qs))
        for sql in (
            f"CASE WHEN isfinite(low{k}) AND isfinite(high{k}) THEN low{k} / 2 + high{k} / 2 END AS middle{k}",
            f"high{k} / 2 - low{k} / 2 AS within{k}",
            f"greatest(middle{k} - least{k}, most{k} - middle{k}) AS reach{k}",
        )
    ]
    grouped = ", ".join([*keys, "observed"])
    return f"SELECT {grouped}, {', '.join(found)} FROM (SELECT {ranged} FROM ({ranked}) GROUP BY {grouped})"


def _ends(q: float) -> list[tuple[str, str]]:
    """The least and the most that the quantile can be: of these observations, and of all that they are a sample of."""
    rank, share = f"greatest(1, {_rank(repr(q))})", quantile_sql(q, "observed")
    first, last = _rank(f"({q!r} - {share})"), _rank(f"({q!r} + {share})")
    return [
        ("low", f"min(low) FILTER (lows >= {rank})"),
        ("high", f"min(high) FILTER (highs >= {rank})"),
        ("least", f"coalesce(min(low) FILTER (lows >= {first} AND {first} >= 1), '-inf'::DOUBLE)"),
        ("most", f"coalesce(min(high) FILTER (highs >= {last}), 'inf'::DOUBLE)"),
    ]


def _rank(share: str) -> str:
    return f"ceil({share} * observed - 1e-9)"
