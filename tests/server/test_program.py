"""The program as it is started by hand: imports, first lines, an answer, and its end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT, request


def test_it_starts_says_where_it_is_and_ends_at_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "app.py", "serve", "--data", str(tmp_path / "data"), "--port", "0", "--no-demo"]
    strict = os.environ | {"PYTHONWARNINGS": "default"}
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=strict
    ) as program:
        assert program.stdout
        said = []
        for line in program.stdout:
            said.append(line)
            if "Ctrl-C" in line:
                break
        url = next(line for line in said if "is live at" in line).split()[-1]
        assert request(f"{url}/readyz")[0] == 200
        program.send_signal(signal.SIGINT)
        rest = program.stdout.read()
        assert program.wait(15) == 0, rest
    assert "Traceback" not in rest
    assert "Warning" not in "".join(said) + rest
