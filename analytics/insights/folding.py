"""From the rows that were read to cells: values of dimensions as small numbers, rare ones folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from analytics.insights.contrast import XX, XY, YY, Cells, Floats, Form, Ints, N, X, Y, cells_of
from analytics.insights.explain import strengths

SUMS = ("n", "x", "y", "xx", "xy", "yy")
TOP = 30  # values of a dimension that can be a cause; the rest fold
COVERED = 0.5  # of the rows, by the values that do not fold; a dimension with less is as good as an id
TOLD = 0.02  # a dimension of which so little of the outcome is open is the outcome by another name

Labels = list[Any]


def fold(table: pa.Table, dims: int, form: Form, scale: tuple[float, float]) -> tuple[Cells, list[Labels]]:
    """The cells of a table with the columns p, g0 to gN and SUMS, and the values behind the numbers.

    scale: what turns a sum of x into the metric's unit, per period.
    """
    period = table["p"].to_numpy().astype(np.int64)
    sums = np.array([np.nan_to_num(table[name].cast(pa.float64()).to_numpy()) for name in SUMS])
    if form == "ratio" and _binary(sums):
        form = "share"
    numbered = [_numbered(table[f"g{d}"], sums[N]) for d in range(dims)]
    codes, labels = [code for code, _ in numbered], [values for _, values in numbered]
    by = np.array(scale)[period]
    sums[[X, XY]] *= by
    sums[XX] *= by * by
    return cells_of(form, codes, [max(len(values), 1) for values in labels], period, sums), labels


def chosen(cells: Cells, labels: Sequence[Labels], most: int, *, asked: bool = False) -> tuple[Cells, list[int]]:
    """The cells by the dimensions worth a search: more than one value, few enough unless somebody asked for them, and
    not the outcome itself; of too many those with the strongest contrast."""
    rows = cells.rows()
    kept = [
        d
        for d, values in enumerate(labels)
        if len(values) > 1
        and (asked or rows[cells.codes[d] >= 0].sum() >= COVERED * rows.sum())
        and (asked or not (cells.form == "share" and _is_outcome(cells, d)))
    ]
    narrow = cells._replace(codes=tuple(cells.codes[d] for d in kept), cards=tuple(cells.cards[d] for d in kept))
    if len(kept) > most:
        strong = sorted(np.argsort(strengths(narrow))[-most:])
        return chosen(narrow, [labels[kept[k]] for k in strong], most)[0], [kept[k] for k in strong]
    return narrow, kept


def scaled(sums: Floats, scale: tuple[float, float]) -> Floats:
    """Sums per period with x in the metric's unit; y and n stay."""
    by = np.array([[1.0, s, 1.0, s * s, s, 1.0] for s in scale])
    shown: Floats = sums * by[:, :, np.newaxis]
    return shown


def known(value: float) -> float | None:
    """A number, or None where there is none."""
    return None if np.isnan(value) else float(value)


def _numbered(column: pa.ChunkedArray, rows: Floats) -> tuple[Ints, Labels]:
    """A column's values by falling frequency from 0, -1 for all beyond TOP, and the values themselves."""
    encoded = column.combine_chunks().dictionary_encode(null_encoding="encode")
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values = encoded.dictionary.to_pylist()
    order = np.argsort(-np.bincount(codes, rows, len(values)), kind="stable")[:TOP]
    place = np.full(len(values), -1, np.int64)
    place[order] = np.arange(len(order))
    return place[codes], [values[i] for i in order]


def _binary(sums: Floats) -> bool:
    """Whether each row is one of y, and one or none of x."""
    same = np.allclose(sums[X], sums[XX]) and np.allclose(sums[Y], sums[YY]) and np.allclose(sums[X], sums[XY])
    return bool(same and (sums[X] <= sums[Y]).all())


def _is_outcome(cells: Cells, d: int) -> bool:
    """Whether a dimension decides the share by itself, as the type of an error does."""
    x, y = cells.by(cells.codes[d] + 1, cells.cards[d] + 1).sum(axis=0)[[X, Y]]
    whole = min(x.sum(), y.sum() - x.sum())
    return bool(np.minimum(x, y - x).sum() < TOLD * whole)
