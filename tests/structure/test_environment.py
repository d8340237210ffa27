"""pyproject.toml, requirements.lock and environment.yml say the same."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
CONDA_NAMES = {"python-duckdb": "duckdb", "playwright-python": "playwright"}  # where conda-forge names it otherwise


def declared() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    return {canonicalize_name(found.name): str(found.specifier) for found in map(Requirement, listed)}


def pinned() -> list[tuple[str, str]]:
    """Name and version of every pin; a package has two where an older Python takes an older one."""
    return re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def locked() -> dict[str, str]:
    return {canonicalize_name(name): version for name, version in pinned()}


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    listed = [line for line in text.splitlines() if re.match(r'\s+"[a-z][a-z0-9.-]*>=', line)]
    assert len(listed) == len(declared())
    assert [line for line in listed if not re.search(r"#\s\S.{5,}", line)] == []


def test_conda_gets_the_same_packages_in_the_same_ranges() -> None:
    listed = YAML(typ="safe").load(ROOT / "environment.yml")
    python, *others = listed["dependencies"]
    *plain, last = others
    found = [
        Requirement(entry) for entry in [*plain, *last["pip"]] if entry != "pip"
    ]  # pip brings what conda-forge does not have
    assert listed["channels"] == ["conda-forge"]
    assert python == "python=3.11"
    assert {
        canonicalize_name(CONDA_NAMES.get(entry.name, entry.name)): str(entry.specifier) for entry in found
    } == declared()


def test_the_lock_pins_every_declared_package_inside_its_range() -> None:
    pins = locked()
    outside = {
        name: pins.get(name)
        for name, wanted in declared().items()
        if name not in pins or pins[name] not in Requirement(f"x{wanted}").specifier
    }
    assert outside == {}


def test_the_lock_has_a_hash_for_every_pin_and_names_no_registry() -> None:
    text = (ROOT / "requirements.lock").read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)[1:]
    assert len(entries) == len(pinned())
    assert [entry.split("=")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"://|--(?:extra-)?index|--find-links|--trusted-host|@ file", text) == []


def test_what_runs_here_is_what_is_locked() -> None:
    pins = locked()
    assert {name: metadata.version(name) for name in declared()} == {name: pins[name] for name in declared()}
