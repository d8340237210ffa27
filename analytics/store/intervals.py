"""How far a sample's value may be from the truth: half-widths that hold 95 times in 100, from sums alone.

They are symmetric, for a screen says "within", and they are chosen for their coverage on heavy-tailed, zero-inflated
and tiny samples, which tests/unit/test_calibration.py measures. n is the number of rows, at least 1.
"""

from __future__ import annotations

from math import inf, sqrt
from typing import Any

import numpy as np

Z = 1.959964  # two-sided 95 %
KEPT = 0.491  # the mean square of a normal variable without its largest sixth


def count(n: float) -> float:
    """Of a count: half the length of Poisson's score interval (L. Barker 2002, The American Statistician 56)."""
    return Z * sqrt(n + Z * Z / 4)


def total(value: float, squares: float, largest: float) -> float:
    """Of a sum of `value` with the sum of squares and the largest |x|: a weighted sum of Poisson counts, to the upper
    end of its gamma interval, which allows for one more row as large as the largest (M. P. Fay and E. J. Feuer 1997,
    Statistics in Medicine 16). Values of mixed sign have no gamma; there that row is added to the variance."""
    plain = Z * sqrt(squares + largest * largest)
    if value * value <= squares:
        return plain
    size, spread = abs(value) + largest, squares + largest * largest
    return max(plain, spread / (2 * size) * _chi_square(2 * size * size / spread) - abs(value))


def mean(n: int, value: float, squares: float, largest: float) -> float:
    """Of a mean: Student's t with one more row as large as the largest |x|, for the largest is what a skewed sample
    most likely lacks. Where all rows are alike, what 3 in n would move that are not, for so many a sample misses one
    time in 20 (J. A. Hanley and A. Lippman-Hand 1983, JAMA 249). inf below 2 rows."""
    if n < 2:
        return inf
    added = largest if value >= 0 else -largest
    shifted = (n * value + added) / (n + 1)
    spread = max(squares + added * added - (n + 1) * shifted * shifted, 0.0) / n
    if spread <= 1e-12 * largest * largest:
        return 3 * largest / n
    return abs(shifted - value) + _student(n - 1) * sqrt(spread / (n + 1))


def share(value: float, n: int) -> float:
    """Of a share of n rows, in points (A. Agresti and B. A. Coull 1998, The American Statistician 52)."""
    size = n + Z * Z
    near = (value * n + Z * Z / 2) / size
    return Z * sqrt(near * (1 - near) / size)


def quantile(q: float, n: int) -> float:
    """Of the share of the truth that lies below a sample's interpolated q-quantile. It is the k-th of n rows,
    k = q (n - 1) + 1, and the share below that one has the distribution Beta(k, n + 1 - k) whatever the values are
    (H. A. David and H. N. Nagaraja 2003, Order Statistics): its bias and its deviation, added."""
    centre = (q * (n - 1) + 1) / (n + 1)
    return abs(centre - q) + Z * sqrt(centre * (1 - centre) / (n + 2))


def quantile_sql(q: float, n: str) -> str:
    """The same as SQL, for a count that only the engine knows."""
    centre = f"(({q!r} * ({n} - 1) + 1) / ({n} + 1))"
    return f"(abs({centre} - {q!r}) + {Z} * sqrt({centre} * (1 - {centre}) / ({n} + 2)))"


def beside(q: float) -> float:
    """How far on either side of a quantile its neighbours are, between which its density is measured."""
    return min(q, 1 - q) / 2


def around(q: float, n: int, low: float, high: float) -> float:
    """Of a quantile in its own unit: its half-width in shares over the density between its neighbours `low` and `high`
    (M. M. Siddiqui 1960, J. Res. NBS 64B)."""
    return quantile(q, n) * (high - low) / (2 * beside(q))


def deviation(n: int, total: float, squares: float) -> float:
    """Of one reading among n like it. inf below 2 readings."""
    return Z * sqrt(max(squares - total * total / n, 0.0) / (n - 1)) if n > 1 else inf


def swing(blocks: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Of the sum of blocks that follow each other, from the steps between neighbours: a slow rise or fall counts for
    nothing (J. von Neumann 1941, Annals of Mathematical Statistics 12), nor do the largest sixth of the steps, for an
    incident is no chance."""
    steps = np.sort(np.diff(blocks) ** 2)
    usual = steps[: len(steps) - len(steps) // 6]
    return Z * sqrt(len(blocks) * float(usual.mean()) / KEPT / 2)


def _chi_square(freedom: float) -> float:
    """Its 0.975 quantile (E. B. Wilson and M. M. Hilferty 1931, PNAS 17); within 1 % from 2 degrees on."""
    step = 2 / (9 * freedom)
    return freedom * float(max(1 - step + Z * sqrt(step), 0.0) ** 3)


def _student(freedom: int) -> float:
    """Its 0.975 quantile, by the expansion in 1 / freedom (Abramowitz and Stegun 26.7.5)."""
    terms = (Z**3 + Z) / 4, (5 * Z**5 + 16 * Z**3 + 3 * Z) / 96, (3 * Z**7 + 19 * Z**5 + 17 * Z**3 - 15 * Z) / 384
    return Z + sum(term / float(freedom**power) for power, term in enumerate(terms, 1))
