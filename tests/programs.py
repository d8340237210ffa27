"""Programs of this repository in processes of their own, forked from one that has imported the heavy rooms already.

What runs is the whole program with its arguments, environment and exit, as `python FILE ...` would run it; only the
second and a half of imports is paid once per test process instead of once per server.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class Program:
    """A running program: `file` is a path in the repository. `stdout` has what it says and what it complains of."""

    def __init__(self, file: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["tests.warm", __name__])
        heard, told = context.Pipe(duplex=False)
        self.stdout = os.fdopen(os.dup(heard.fileno()), encoding="utf-8", errors="replace")
        heard.close()
        task = (file, tuple(arguments), dict(environment), told)
        self._process = context.Process(target=_run, args=task, daemon=True)
        self._process.start()
        told.close()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def send_signal(self, how: signal.Signals) -> None:
        os.kill(self.pid, how)

    def wait(self, timeout_s: float) -> int:
        """Its exit code, negative for the signal that ended it. AssertionError when it goes on for longer."""
        self._process.join(timeout_s)
        assert self._process.exitcode is not None, f"it still runs after {timeout_s:g} s"
        return self._process.exitcode


def _run(file: str, arguments: Sequence[str], environment: Mapping[str, str], told: Connection) -> None:
    os.dup2(told.fileno(), 1)
    os.dup2(told.fileno(), 2)
    told.close()
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("default")
    sys.argv = [file, *arguments]
    runpy.run_path(str(ROOT / file), run_name="__main__")
