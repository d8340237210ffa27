"""The two forms of the expected range: plain Python, and the same compiled where numba is installed."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from analytics.insights import cells, compiled
from analytics.insights.expected import PLAIN, Expected, Stepping


def test_the_loops_that_are_compiled_are_those_of_plain_python() -> None:
    random = np.random.default_rng(1)
    for size in (1, 2, 7, 40):
        numbers = np.sort(random.integers(0, 20, size)).astype(float)
        plain = numbers.tolist()
        first, end = size // 3, size - size // 5
        for value in (-1.0, 7.0, 7.5, 30.0):
            place = cells.placed(plain, value, first, end)
            assert compiled.LOOPS["placed"](numbers, value, first, end) == place
            fuller, listed = np.append(numbers, 99.0), [*plain, 99.0]
            compiled.LOOPS["put"](fuller, value, place, end)
            cells.put(listed, value, place, end)
            assert fuller.tolist() == listed
        assert compiled.LOOPS["summed"](numbers, first, end) == cells.summed(plain, first, end)
        shuffled = random.permutation(numbers)
        assert compiled.LOOPS["middle_of"](shuffled) == cells.middle_of(shuffled.tolist())


async def test_without_numba_plain_python_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    stepping = Stepping()
    await compiled.prepare(tmp_path / "compiled", stepping)
    assert stepping.form is PLAIN and not (tmp_path / "compiled").exists()


async def test_what_cannot_be_compiled_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(compiled, "AVAILABLE", True)
    monkeypatch.setattr(compiled, "_command", lambda _: (sys.executable, "-c", "raise SystemExit(3)"))
    with caplog.at_level(logging.WARNING):
        await compiled.prepare(tmp_path, stepping := Stepping())
    assert stepping.form is PLAIN
    assert "plain Python: compiling ended with 3" in caplog.text


@pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed: the extra `fast`")
async def test_new_models_step_compiled_and_say_the_same(tmp_path: Path) -> None:
    values = 100 + 30 * np.sin(np.arange(1500) * 2 * np.pi / 40) + np.random.default_rng(2).normal(0, 3, 1500)
    values[800:830] += 80
    values[1000:1010] = np.nan
    old = Expected(lower=0)
    first = old.feed(range(700), values[:700].tolist())
    await compiled.prepare(tmp_path, stepping := Stepping())
    assert stepping.form is not PLAIN
    rest, new = old.feed(range(700, 1500), values[700:].tolist()), Expected(lower=0, form=stepping.form)
    assert np.array_equal(new.feed(range(1500), values.tolist()), np.vstack([first, rest]), equal_nan=True)
    assert new.marks == old.marks != []
