"""The critical path, on flows small enough to walk by eye."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.critical import Interval, critical_path


def path(tree: dict[str, list[str]], roots: tuple[str, ...] = ("flow",), **spans: tuple[int, int]) -> dict[str, int]:
    return critical_path({name: Interval(*span) for name, span in spans.items()}, tree, roots)


def test_one_span_is_its_own_path() -> None:
    assert path({}, flow=(0, 100)) == {"flow": 100}


def test_calls_one_after_the_other_are_all_on_it_and_the_gaps_are_the_parents() -> None:
    found = path({"flow": ["a", "b"]}, flow=(0, 100), a=(10, 40), b=(50, 90))
    assert found == {"flow": 30, "a": 30, "b": 40}


def test_of_calls_at_the_same_time_the_last_to_finish_counts() -> None:
    found = path({"flow": ["short", "long"]}, flow=(0, 100), short=(0, 60), long=(0, 95))
    assert found == {"flow": 5, "long": 95}


def test_the_walk_goes_on_before_the_start_of_the_last_to_finish() -> None:
    # while b ran, c was not waited for: before b it is a that ended last
    found = path({"flow": ["a", "b", "c"]}, flow=(0, 100), a=(0, 40), b=(45, 100), c=(30, 60))
    assert found == {"flow": 5, "a": 40, "b": 55}


def test_below_a_call_the_same_walk_begins_at_its_end() -> None:
    found = path({"flow": ["agent"], "agent": ["tool"]}, flow=(0, 100), agent=(5, 95), tool=(20, 60))
    assert found == {"flow": 10, "agent": 50, "tool": 40}


def test_what_a_child_does_outside_its_parent_is_not_on_the_path() -> None:
    late = path({"flow": ["late"]}, flow=(0, 100), late=(80, 300))
    assert late == {"flow": 80, "late": 20}
    assert path({"flow": ["elsewhere"]}, flow=(0, 100), elsewhere=(500, 700)) == {"flow": 100}


def test_a_call_without_duration_holds_nothing_up() -> None:
    assert path({"flow": ["mark"]}, flow=(0, 100), mark=(50, 50)) == {"flow": 100}


def test_a_microsecond_of_rounding_does_not_break_the_chain() -> None:
    found = path({"flow": ["a", "b"]}, flow=(0, 1000), a=(0, 501), b=(500, 1000))
    assert found == {"flow": 0, "a": 500, "b": 500}


def test_several_roots_are_walked_like_the_turns_of_one() -> None:
    assert path({}, ("one", "two"), one=(0, 40), two=(60, 100)) == {"one": 40, "two": 40}


def test_a_thousand_calls_deep() -> None:
    names = [str(i) for i in range(5000)]
    tree = {name: [inner] for name, inner in pairwise(names)}
    found = critical_path({name: Interval(0, 100) for name in names}, tree, ["0"])
    assert sum(found.values()) == 100


@st.composite
def trees(draw: st.DrawFn) -> tuple[dict[str, Interval], dict[str, list[str]]]:
    spans: dict[str, Interval] = {}
    children: dict[str, list[str]] = {}
    for i in range(draw(st.integers(1, 25))):
        start = draw(st.integers(0, 1000))
        spans[str(i)] = Interval(start, start + draw(st.integers(0, 1000)))
        if i:
            children.setdefault(str(draw(st.integers(0, i - 1))), []).append(str(i))
    return spans, children


@given(trees())
def test_the_times_on_it_add_up_to_the_duration(tree: tuple[dict[str, Interval], dict[str, list[str]]]) -> None:
    spans, children = tree
    found = critical_path(spans, children, ["0"])
    assert sum(found.values()) == spans["0"].end - spans["0"].start
    assert all(own >= 0 for own in found.values())


@pytest.mark.parametrize("roots", [[], ["none"]])
def test_nothing_has_no_path(roots: list[str]) -> None:
    assert critical_path({"none": Interval(5, 5)}, {}, roots) == {}
