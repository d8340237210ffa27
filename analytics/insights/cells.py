"""Numbers by index, and the few loops over them that plain Python has built in and machine code does not."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

Cells = Any  # float64: a list, which plain Python reads fastest; an array for compiled code


def summed(numbers: Cells, first: int, end: int) -> float:
    """The sum of the cells from `first` to before `end`."""
    return float(sum(numbers[first:end]))


def placed(numbers: Cells, value: float, first: int, end: int) -> int:
    """Where a value belongs among the sorted cells from `first` to before `end`."""
    return bisect_left(numbers, value, first, end)


def put(numbers: Cells, value: float, place: int, end: int) -> None:
    """Put a value at its place: the cells from there to before `end` move one on."""
    numbers[place : end + 1] = [value, *numbers[place:end]]


def middle_of(numbers: Cells) -> float:
    """The median, the upper one of two."""
    return float(sorted(numbers)[len(numbers) // 2])


def within(number: float, low: float, high: float) -> float:
    """The number, or the bound that it passes."""
    return low if number < low else high if number > high else number
