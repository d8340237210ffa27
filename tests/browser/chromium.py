"""A Chromium for the browser tests: one that is here, else Playwright's, else the system's packages.

Run it to make sure of one; it prints which. Tests call `find()`. The headless shell comes first: the same engine
without a window's toolbar around every page, which costs as much as the page.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ON_PATH = (
    "chromium-headless-shell",
    "chrome-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
)
CACHES = ("~/.cache/ms-playwright", "~/Library/Caches/ms-playwright")
IN_CACHE = (
    "chromium_headless_shell-*/*/*headless*shell",
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/*.app/Contents/MacOS/*",
)
DOWNLOAD_S, PACKAGES_S = 240, 900
ADVICE = """No Chromium, and no way to get one was open. Install it with your system's packages (on Debian:
apt-get install chromium), or name one: PLUMBLINE_CHROMIUM=/path/to/chromium make test"""


def find() -> Path | None:
    """A Chromium that starts, or None. PLUMBLINE_CHROMIUM, where set, is the only candidate."""
    candidates = sorted(_candidates(), key=lambda path: "headless" not in path.name)
    return next((path for path in candidates if _version(path)), None)


def ensure() -> Path | None:
    """A Chromium that starts, installed now where there was none."""
    for install in (None, _download, _packages):
        if install is not None:
            install()
        if (found := find()) or os.environ.get("PLUMBLINE_CHROMIUM"):
            return found
    return None


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("PLUMBLINE_CHROMIUM"):
        yield Path(named)
        return
    yield from (Path(found) for name in ON_PATH if (found := shutil.which(name)))
    for cache in (os.environ.get("PLAYWRIGHT_BROWSERS_PATH", ""), *CACHES):
        if cache:
            for pattern in IN_CACHE:
                yield from sorted(Path(cache).expanduser().glob(pattern), reverse=True)


def _version(path: Path) -> str | None:
    """What it calls itself; None where it does not start, as with a stub or a missing library."""
    try:
        told = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() if told.returncode == 0 else None


def _download() -> None:
    patience = {"PLAYWRIGHT_DOWNLOAD_CONNECTION_TIMEOUT": "10000"}  # ms; a closed network may never answer
    _try([sys.executable, "-m", "playwright", "install", "chromium"], DOWNLOAD_S, patience)


def _packages() -> None:
    if shutil.which("apt-get") is None:
        return
    sudo = [] if os.geteuid() == 0 else ["sudo", "-n"]
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    if _try([*sudo, "apt-get", "update"], PACKAGES_S, quiet):
        _try([*sudo, "apt-get", "install", "-y", "--no-install-recommends", "chromium"], PACKAGES_S, quiet)


def _try(command: list[str], timeout_s: float, environment: dict[str, str]) -> bool:
    """Whether a command succeeded in time; its whole process group ends with it."""
    print("Chromium: trying", " ".join(command), file=sys.stderr)
    try:
        process = subprocess.Popen(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
    except OSError as error:
        print("Chromium:", error, file=sys.stderr)
        return False
    try:
        _, told = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        told = f"gave up after {timeout_s:g} s"
    if process.returncode != 0:
        first = next((line for line in told.splitlines() if line.strip()), "no reason given")
        print(f"Chromium: that failed: {first}", file=sys.stderr)
    return process.returncode == 0


if __name__ == "__main__":
    chosen = ensure()
    if chosen is None:
        named = os.environ.get("PLUMBLINE_CHROMIUM")
        sys.exit(f"PLUMBLINE_CHROMIUM={named} does not start" if named else ADVICE)
    print(f"Chromium: {chosen}, {_version(chosen)}")
