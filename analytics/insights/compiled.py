"""Numeric loops run compiled where numba is installed, and as the same plain Python where it is not."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])
Cells = Any  # float64 numbers by index: an array for compiled code; a list for plain Python, which reads lists faster

AVAILABLE = importlib.util.find_spec("numba") is not None


def compiled(function: Function) -> Function:
    """The function, compiled at its first call (and kept on disk for the next process) if numba is there."""
    if not AVAILABLE:
        return function
    numba = importlib.import_module("numba")  # by name: it is not a dependency of ours

    return numba.njit(cache=True)(function)  # type: ignore[no-any-return]


def cells(n: int, value: float = 0.0) -> Cells:
    """n numbers in the form that the functions here read fastest."""
    return np.full(n, value) if AVAILABLE else [value] * n


def _summed(numbers: Cells) -> float:
    return numbers.sum()  # type: ignore[no-any-return]


summed = compiled(_summed) if AVAILABLE else sum
