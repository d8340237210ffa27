"""Programs beside ours that show its boards, JupyterLab among them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from playwright.sync_api import Page

from tests.conftest import ROOT, Running


@contextmanager
def program(*command: str, ready: str, **variables: str) -> Iterator[str]:
    """A program that runs until the end of the block, and the address that it says it is at."""
    path = os.environ | {"PYTHONPATH": str(ROOT)} | variables
    with subprocess.Popen(
        command, cwd=variables.get("HOME"), env=path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout
        try:
            said = []
            for line in process.stdout:
                said.append(line)
                if found := re.search(ready, line):
                    yield found[1].replace("localhost", "127.0.0.1")
                    break
            else:
                raise AssertionError("it did not start:\n" + "".join(said))
        finally:
            process.terminate()
            process.stdout.read()


def jupyter(folder: Path, server: Running) -> AbstractContextManager[str]:
    """A JupyterLab of its own in this folder, whose kernels may read the server."""
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"IPYTHONDIR": str(folder / "ipython"), "HOME": str(folder)}
    return program(
        sys.executable, "-m", "jupyterlab", "--no-browser", "--port=0", "--ip=127.0.0.1", "--allow-root",
        "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None",
        ready=r"(http://(?:127\.0\.0\.1|localhost):\d+)/lab",
        PLUMBLINE_URL=server.url, PLUMBLINE_KEY=server.key, **own,
    )  # fmt: skip


def open_notebook(page: Page, url: str) -> None:
    """Go to a notebook, and wait for its kernel."""
    page.goto(url)
    page.get_by_text("| Idle").wait_for(timeout=60_000)


def run_all(page: Page) -> None:
    """As a person does, by the menu."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
