"""The steps of the expected range as machine code, where numba is there: `pip install numba`, the extra `fast`.

Compiling takes a quarter of a minute. A process of its own does it (`python -m analytics.insights.compiled FOLDER`) and
leaves the code in a folder, from where it loads within a second; until then, and without numba, plain Python steps.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from analytics.insights import cells, expected, kernel, rarity, shift
from analytics.insights.cells import Cells

AVAILABLE = importlib.util.find_spec("numba") is not None
ROOT = Path(__file__).resolve().parents[2]
STEPS: tuple[ModuleType, ...] = (cells, rarity, shift, kernel)

log = logging.getLogger(__name__)


def _summed(numbers: Cells, first: int, end: int) -> float:
    total = 0.0
    for i in range(first, end):
        total += numbers[i]
    return total


def _placed(numbers: Cells, value: float, first: int, end: int) -> int:
    while first < end:
        middle = (first + end) // 2
        if numbers[middle] < value:
            first = middle + 1
        else:
            end = middle
    return first


def _put(numbers: Cells, value: float, place: int, end: int) -> None:
    for i in range(end, place, -1):
        numbers[i] = numbers[i - 1]
    numbers[place] = value


def _middle_of(numbers: Cells) -> float:
    found = np.array([x for x in numbers])  # noqa: C416
    return float(np.partition(found, len(found) // 2)[len(found) // 2])


LOOPS: dict[str, Callable[..., Any]] = {"summed": _summed, "placed": _placed, "put": _put, "middle_of": _middle_of}


def load(folder: Path) -> expected.Form:
    """The compiled form, from where it lies ready in `folder`, or compiled and put there."""
    numba: Any = importlib.import_module("numba")  # by name: it is not a dependency of ours
    extending: Any = importlib.import_module("numba.extending")
    sources = b"".join(Path(inspect.getfile(m)).read_bytes() for m in (*STEPS, sys.modules[__name__]))
    cache = folder / sha256(sources).hexdigest()[:16]  # code of other sources is never taken
    cache.mkdir(parents=True, exist_ok=True)
    numba.config.CACHE_DIR = str(cache)
    for module in STEPS:
        for name, function in vars(module).items():
            if isinstance(function, FunctionType) and function.__module__ == module.__name__:
                if module is cells and name in LOOPS:
                    extending.overload(function)(_given(LOOPS[name]))
                else:
                    extending.register_jitable(error_model="numpy")(function)
    form = expected.Form(np.asarray, numba.njit(cache=True, nogil=True, error_model="numpy")(kernel.run))
    expected.Expected(form=form).feed(range(2), (1.0, 2.0))
    return form


def _given(function: Callable[..., Any]) -> Any:
    """A function of the same parameters that answers with this one, as numba asks for it."""
    answer: Any = lambda *_: function  # noqa: E731
    answer.__signature__ = inspect.signature(function)
    return answer


def _command(folder: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "analytics.insights.compiled", str(folder.resolve()))


async def prepare(folder: Path, stepping: expected.Stepping) -> None:
    """Let new models step compiled as soon as it can be; a process of low priority compiles. Never an error."""
    if not AVAILABLE:
        return
    try:
        # a session of its own: Ctrl-C is for the server, which ends it
        process = await asyncio.create_subprocess_exec(*_command(folder), cwd=ROOT, start_new_session=True)
        try:
            code = await process.wait()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if code:
            raise OSError(f"compiling ended with {code}")
        stepping.form = await asyncio.to_thread(load, folder)
        log.info("expected ranges run compiled")
    except Exception as error:  # whatever it is, plain Python gives the same answers
        log.warning("expected ranges run as plain Python: %s", error)


def main() -> None:
    """Compile into the folder that the command line names."""
    if hasattr(os, "nice"):
        os.nice(10)
    load(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
