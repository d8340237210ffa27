"""Numeric loops run compiled where numba is installed, and as the same plain Python where it is not."""

from __future__ import annotations

import importlib
import importlib.util
from bisect import bisect_left
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


def _summed(numbers: Cells, first: int, end: int) -> float:
    """The sum of the cells from `first` to before `end`."""
    total = 0.0
    for i in range(first, end):
        total += numbers[i]
    return total


def _placed(numbers: Cells, value: float, first: int, end: int) -> int:
    """Where a value belongs among the sorted cells from `first` to before `end`."""
    while first < end:
        middle = (first + end) // 2
        if numbers[middle] < value:
            first = middle + 1
        else:
            end = middle
    return first


def _put(numbers: Cells, value: float, place: int, end: int) -> None:
    """Put a value at its place: the cells from there to before `end` move one on."""
    for i in range(end, place, -1):
        numbers[i] = numbers[i - 1]
    numbers[place] = value


def _middle_of(numbers: Cells) -> float:
    """The median, the upper one of two."""
    found = np.array([x for x in numbers])  # noqa: C416
    return float(np.partition(found, len(found) // 2)[len(found) // 2])


def _list_middle_of(numbers: list[float]) -> float:
    return sorted(numbers)[len(numbers) // 2]


def _list_summed(numbers: list[float], first: int, end: int) -> float:
    return sum(numbers[first:end])


def _list_put(numbers: list[float], value: float, place: int, end: int) -> None:
    numbers[place : end + 1] = [value, *numbers[place:end]]


summed = compiled(_summed) if AVAILABLE else _list_summed
placed = compiled(_placed) if AVAILABLE else bisect_left
put = compiled(_put) if AVAILABLE else _list_put
middle_of = compiled(_middle_of) if AVAILABLE else _list_middle_of


@compiled
def within(number: float, low: float, high: float) -> float:
    """The number, or the bound that it passes."""
    return low if number < low else high if number > high else number
