"""Run the benchmarks one after another: `python -m tests.bench [NAME ...]`. Each is a module with a `main()`.

Those of insight run only when named, for they take long and have a command of their own, `make bench-insight`."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from pathlib import Path


def run(names: list[str]) -> None:
    """Run those named, or all but those of insight."""
    found = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))
    if strange := [name for name in names if name not in found]:
        sys.exit(f"no benchmark {strange[0]!r}; there are {', '.join(found) or 'none yet'}")
    for name in names or [name for name in found if not name.startswith("insight")]:
        main = getattr(importlib.import_module(f"tests.bench.{name}"), "main", None)
        if main is None:
            continue  # a module that the others share
        print(f"== {name}", flush=True)
        outcome = main()
        if inspect.iscoroutine(outcome):
            asyncio.run(outcome)


if __name__ == "__main__":
    run(sys.argv[1:])
