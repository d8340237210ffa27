"""Assets are found by name in memory: nothing outside is within reach."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import pytest

from dashboard.assets import Assets

OWN = Path(__file__).parents[2] / "assets"


@pytest.fixture(scope="module")
def assets() -> Assets:
    return Assets(OWN)


def test_an_asset_is_served_for_ever_under_the_hash_of_its_group(assets: Assets) -> None:
    _, _, folder, name = assets.url("board.js").split("/")
    found = assets.find(folder, name)
    assert found is not None
    asset, current = found
    assert current and asset.kind == "text/javascript"
    assert asset.packed is not None and gzip.decompress(asset.packed) == asset.body == (OWN / "board.js").read_bytes()
    outdated = assets.find("app-0000", name)
    assert outdated is not None and not outdated[1]


def test_the_style_sheet_starts_with_the_colours_of_the_theme(assets: Assets) -> None:
    _, _, folder, name = assets.url("app.css").split("/")
    found = assets.find(folder, name)
    assert found is not None and found[0].body.startswith(b":root")


@pytest.mark.parametrize(
    "name", ["../app.py", "workspaces/agents.yaml", "templates/page.html", "", "/etc/passwd", "%2e%2e"]
)
def test_nothing_else_is_an_asset(assets: Assets, name: str) -> None:
    folder = assets.url("board.js").split("/")[2]
    assert assets.find(folder, name) is None
    assert assets.find("other-1", "board.js") is None


def test_modules_import_only_what_is_served(assets: Assets) -> None:
    for file in OWN.glob("*.js"):
        for line in file.read_text("utf-8").splitlines():
            if line.startswith("import ") and '"./' in line:
                assets.url(line.split('"./')[1].split('"')[0])


def test_no_script_writes_markup() -> None:
    for file in OWN.glob("*.js"):
        text = file.read_text("utf-8")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert word not in text, f"{file.name} uses {word}"


def test_nothing_is_fetched_from_elsewhere() -> None:
    for file in [*OWN.glob("*.js"), *OWN.glob("*.css"), *OWN.glob("templates/*.html")]:
        found = set(re.findall(r"https?://[^\s\"'`<>)]+", file.read_text("utf-8")))
        assert found <= {"http://www.w3.org/2000/svg"}, file.name
