"""`keys` on the command line: what it prints is what a script needs, and nothing more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from analytics.key_text import KeyText
from analytics.keys_cli import keys_cli


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


def run(data: Path, *words: str) -> Result:
    return CliRunner().invoke(keys_cli, [*words, "--data", str(data)])


def created(data: Path, *words: str) -> str:
    """The id of a key that was made."""
    return KeyText.read(run(data, "create", "--name", "wall", *words).stdout.removesuffix("\n")).id


def test_create_and_rotate_print_the_key_and_nothing_else(data: Path) -> None:
    id = created(data)
    rotated = run(data, "rotate", id, "--grace-hours", "2")
    assert (rotated.exit_code, rotated.stderr) == (0, "")
    assert KeyText.read(rotated.stdout.removesuffix("\n")).id != id


def test_list_tells_limits_and_states_but_no_key(data: Path) -> None:
    id = created(data, "--networks", "10.0.0.0/8", "--domains", "retail, travel", "--expires-days", "30")
    run(data, "revoke", id)
    told = run(data, "list").stdout
    assert "domains retail,travel; networks 10.0.0.0/8" in told
    assert "revoked" in told
    assert "pl_live_" not in told
    listed = json.loads(run(data, "list", "--json").stdout)
    assert [(key["id"], key["rights"]["networks"]) for key in listed] == [(id, ["10.0.0.0/8"])]


def test_audit_has_the_newest_first_and_as_many_as_asked(data: Path) -> None:
    run(data, "revoke", created(data))
    lines = run(data, "audit").stdout.splitlines()
    assert [line.split()[2] for line in lines[1:]] == ["revoke", "create"]
    assert all("by the command line" in line for line in lines[1:])
    assert len(run(data, "audit", "--limit", "1").stdout.splitlines()) == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("rotate", "nobody"), "no key 'nobody'"),
        (("revoke", "pl_live_abcdefghij_secret"), "no key 'pl_live_abcdefghij_***'"),
        (("create", "--name", "x", "--expires-days", "-1"), "--expires-days: expected days from now, 0 or more"),
        (("create", "--name", "x", "--expires-days", "nan"), "got nan"),
        (("create", "--name", "x", "--expires-days", "1e30"), "less than a century"),
        (("create", "--name", "x", "--networks", "here"), "networks: 'here' does not appear to be"),
        (("create", "--name", "x", "--scopes", "reed"), "did you mean 'read'?"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr(data: Path, words: tuple[str, ...], told: str) -> None:
    result = run(data, *words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error ")
    assert told in result.stderr
