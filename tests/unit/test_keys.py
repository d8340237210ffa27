"""API keys and sessions: what lets someone in, what keeps them out, and what is never written down."""

from __future__ import annotations

import hmac
import logging
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from analytics.errors import Conflict, Forbidden, NotFound, Unauthorized, ValidationError
from analytics.key_text import KeyText, Redacting, redact
from analytics.keys import SESSION, Keys
from analytics.keys_db import Database
from analytics.rights import Principal

START = datetime(2026, 1, 6, 12, tzinfo=UTC)
HERE = "192.0.2.1"


class Clock:
    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def passes(self, **span: float) -> None:
        self.time += timedelta(**span)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keys(tmp_path: Path, clock: Clock) -> Iterator[Keys]:
    made = Keys(tmp_path / "data", clock)
    yield made
    made.close()


def test_a_key_lets_its_owner_in_with_its_rights(keys: Keys) -> None:
    key, plaintext = keys.create(
        "wall", ["read"], domains=["retail"], boards=["overview"], expires_at=START + timedelta(days=1)
    )
    assert plaintext.startswith(f"pl_live_{key.id}_")
    assert keys.verify(plaintext, HERE) == Principal(
        key_id=key.id,
        name="wall",
        scopes=frozenset({"read"}),
        domains=frozenset({"retail"}),
        boards=frozenset({"overview"}),
        expires_at=START + timedelta(days=1),
    )
    assert keys.list() == [keys.get(key.id)]


def test_a_missing_scope_is_named(keys: Keys) -> None:
    principal = keys.verify(keys.create("wall", ["read"])[1], HERE)
    principal.require("read")
    with pytest.raises(Forbidden, match="this key has no scope 'ingest'; it has read") as caught:
        principal.require("ingest")
    assert caught.value.body()["scope"] == "ingest"


def spoiled(plaintext: str) -> dict[str, str]:
    head, secret, crc = plaintext.rsplit("_", 2)
    swapped = secret[::-1]
    return {
        "empty": "",
        "cut": plaintext[:-3],
        "without its end": head + "_" + secret,
        "wrong crc": f"{head}_{secret}_{crc[::-1]}",
        "mistyped": f"{head}_{swapped}_{crc}",
        "another case": plaintext.upper(),
        "longer": plaintext + "x",
        "line end": plaintext + "\n",
        "unicode": plaintext[:-1] + "é",
        "unicode digits": plaintext.replace(plaintext[8], "٣", 1),
        "lone surrogate": plaintext[:-1] + "\ud800",
        "zero byte": plaintext + "\x00",
        "huge": plaintext * 10_000,
        "wrong secret": KeyText(head.split("_")[2], swapped).plaintext(),
        "unknown id": KeyText("z" * 10, secret).plaintext(),
    }


@pytest.mark.parametrize("how", spoiled("pl_live_aaaaaaaaaa_b_c"))
def test_a_spoiled_key_is_refused_without_being_repeated(keys: Keys, how: str) -> None:
    _, plaintext = keys.create("wall", ["read"])
    bad = spoiled(plaintext)[how]
    with pytest.raises(Unauthorized) as caught:
        keys.verify(bad, HERE)
    told = str(caught.value.body()) + repr(caught.value.__cause__)
    secret = plaintext.split("_")[3]
    assert secret not in told
    assert secret[::-1] not in told
    assert keys.audit.refusals == 1


def test_an_unknown_id_and_a_wrong_secret_are_told_the_same(keys: Keys) -> None:
    _, plaintext = keys.create("wall", ["read"])
    bad = spoiled(plaintext)
    told = []
    for how in ("unknown id", "wrong secret"):
        with pytest.raises(Unauthorized) as caught:
            keys.verify(bad[how], HERE)
        told.append(caught.value.body())
    assert told[0] == told[1]


def test_digests_are_compared_in_constant_time_even_for_an_unknown_id(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[int, int]] = []
    compare = hmac.compare_digest

    def watched(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return compare(left, right)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    bad = spoiled(keys.create("wall", ["read"])[1])
    for how in ("unknown id", "wrong secret"):
        with pytest.raises(Unauthorized):
            keys.verify(bad[how], HERE)
    assert compared == [(32, 32), (32, 32)]


def test_a_digest_moved_to_another_key_does_not_open_it(keys: Keys, tmp_path: Path) -> None:
    reader, plaintext = keys.create("reader", ["read"])
    admin, _ = keys.create("admin", ["admin"])
    with sqlite3.connect(tmp_path / "data" / "keys.db") as other:
        other.execute("UPDATE keys SET digest = (SELECT digest FROM keys WHERE id = ?)", (reader.id,))
    other.close()
    with pytest.raises(Unauthorized):
        keys.verify(KeyText(admin.id, plaintext.split("_")[3]).plaintext(), HERE)


def test_a_revoked_key_is_out_at_once_and_its_sessions_with_it(keys: Keys) -> None:
    key, plaintext = keys.create("wall", ["read"])
    session = keys.open_session(keys.verify(plaintext, HERE))
    link = keys.one_time(key.id)
    assert keys.alive(key.id)

    keys.revoke(key.id)
    assert not keys.alive(key.id)
    assert (keys.session(session), keys.redeem(link)) == (None, None)
    with pytest.raises(Unauthorized, match="this API key was revoked"):
        keys.verify(plaintext, HERE)
    assert keys.revoke(key.id).revoked_at == START, "twice is once"


def test_an_expired_key_is_out(keys: Keys, clock: Clock) -> None:
    key, plaintext = keys.create("wall", ["read"], expires_at=START + timedelta(hours=1))
    session = keys.open_session(keys.verify(plaintext, HERE))
    clock.passes(hours=1)
    with pytest.raises(Unauthorized, match="this API key has expired"):
        keys.verify(plaintext, HERE)
    assert (keys.session(session), keys.alive(key.id)) == (None, False)


def test_rotation_leaves_time_to_change_over(keys: Keys, clock: Clock) -> None:
    old, old_text = keys.create("wall", ["read"], domains=["retail"])
    new, new_text = keys.rotate(old.id, grace=timedelta(hours=1))
    assert (new.name, new.rights) == (old.name, old.rights)
    assert keys.verify(old_text, HERE).key_id == old.id
    clock.passes(hours=1)
    assert keys.verify(new_text, HERE).key_id == new.id
    with pytest.raises(Unauthorized, match="has expired"):
        keys.verify(old_text, HERE)
    with pytest.raises(Conflict, match="has expired"):
        keys.rotate(old.id)


def test_a_rotated_key_is_not_rotated_again_for_its_expiry_is_only_a_grace(keys: Keys) -> None:
    old, _ = keys.create("wall", ["read"])
    new, _ = keys.rotate(old.id)
    with pytest.raises(Conflict, match="was rotated already") as refused:
        keys.rotate(old.id)
    assert refused.value.hint == f"rotate its successor {new.id}"
    newest, _ = keys.rotate(new.id)
    assert newest.expires_at is None
    assert [keys.state(key) for key in keys.list()] == ["replaced", "replaced", "valid"]


def test_keys_of_version_0_1_are_kept(keys: Keys, tmp_path: Path, clock: Clock) -> None:
    key, text = keys.create("wall", ["read"])
    keys.close()
    with sqlite3.connect(tmp_path / "data" / "keys.db") as file:
        file.execute("ALTER TABLE keys DROP COLUMN replaced_by")
    file.close()
    again = Keys(tmp_path / "data", clock)
    assert again.verify(text, HERE).key_id == key.id
    assert again.rotate(key.id)[0].name == "wall"
    again.close()


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::7", True),
        ("192.0.2.1", False),
        ("x", False),
        (None, False),
    ],
)
def test_a_key_bound_to_networks_counts_only_there(keys: Keys, address: str | None, inside: bool) -> None:
    key, plaintext = keys.create("plant", ["read"], networks=["10.0.0.0/8", "2001:db8::/32"])
    session = keys.open_session(Principal(key_id=key.id, name="plant", scopes=frozenset({"read"})))
    assert (keys.session(session, address) is not None) == inside
    if inside:
        assert keys.verify(plaintext, address).key_id == key.id
    else:
        with pytest.raises(Forbidden, match="may not be used from this address"):
            keys.verify(plaintext, address)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"scopes": ["raed"]}, "no scope 'raed'; did you mean 'read'?"),
        ({"scopes": []}, "a key needs at least one scope of read, ingest, admin"),
        ({"name": " "}, "a key needs a name of 1 to 100 printable characters"),
        ({"name": "a\nb"}, "a key needs a name of 1 to 100 printable characters"),
        ({"domains": []}, "domains: expected at least one name; leave it out for no limit"),
        ({"networks": ["10.0.0.1/8"]}, "networks: 10.0.0.1/8 has host bits set"),
        ({"expires_at": START}, "the key would have expired already, at 2026-01-06T12:00:00+00:00"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_created(keys: Keys, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        keys.create(**{"name": "wall", "scopes": ["read"]} | wrong)
    assert caught.value.message == told
    assert keys.list() == []


def test_an_unknown_id_names_the_nearest(keys: Keys) -> None:
    key, _ = keys.create("wall", ["read"])
    with pytest.raises(NotFound, match=f"did you mean '{key.id}'"):
        keys.revoke(key.id[:-1])


IN_ANOTHER_PROCESS = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from analytics.keys import Keys
keys = Keys(Path(sys.argv[1]), lambda: datetime(2026, 1, 6, 12, tzinfo=UTC))
match sys.argv[2:]:
    case ["create", name]: print(keys.create(name, ["read", "ingest"])[1])
    case ["revoke", key_id]: keys.revoke(key_id)
    case ["secret"]: print(keys.secret("cookie").hex())
"""


def another_process(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(directory), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def output(process: subprocess.Popen[str]) -> str:
    told, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return told.strip()


def test_a_key_made_or_revoked_by_another_process_counts_at_once(keys: Keys, tmp_path: Path) -> None:
    directory = tmp_path / "data"
    plaintext = output(another_process(directory, "create", "loader"))
    principal = keys.verify(plaintext, HERE)
    assert principal.scopes == {"read", "ingest"}
    session = keys.open_session(principal)
    assert keys.session(session) == principal

    output(another_process(directory, "revoke", principal.key_id))
    assert not keys.alive(principal.key_id)
    assert keys.session(session) is None
    with pytest.raises(Unauthorized, match="was revoked"):
        keys.verify(plaintext, HERE)


def test_processes_that_start_together_agree(tmp_path: Path) -> None:
    started = [another_process(tmp_path / "data", "secret") for _ in range(4)]
    assert len({output(process) for process in started}) == 1


def test_connections_made_at_the_same_moment_wait_for_each_other(tmp_path: Path) -> None:
    for turn in range(40):
        path, together = tmp_path / f"{turn}.db", threading.Barrier(6)

        def connect(_: int, path: Path = path, together: threading.Barrier = together) -> None:
            together.wait()
            Database(path).close()

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(connect, range(6)))


def test_nothing_secret_reaches_the_disk_and_nobody_else_may_read_it(keys: Keys, tmp_path: Path) -> None:
    key, plaintext = keys.create("wall", ["read"])
    session = keys.open_session(keys.verify(plaintext, HERE))
    link = keys.one_time(key.id)
    cookie = keys.secret("cookie")
    with pytest.raises(Unauthorized):
        keys.verify(plaintext[:-1], HERE)

    files = sorted((tmp_path / "data").iterdir())
    assert {file.name for file in files} == {"cookie", "keys.db", "keys.db-shm", "keys.db-wal", "pepper"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700
    database = b"".join(file.read_bytes() for file in files if file.name.startswith("keys.db"))
    assert key.id.encode() in database
    pepper = (tmp_path / "data" / "pepper").read_bytes()
    for secret in (plaintext.split("_")[3].encode(), session.encode(), link.encode(), cookie, pepper):
        assert secret not in database


def test_a_restart_keeps_keys_sessions_and_secrets(keys: Keys, tmp_path: Path, clock: Clock) -> None:
    _, plaintext = keys.create("wall", ["read"])
    session, cookie = keys.open_session(keys.verify(plaintext, HERE)), keys.secret("cookie")
    keys.close()
    again = Keys(tmp_path / "data", clock)
    assert again.session(session) == again.verify(plaintext, HERE)
    assert again.secret("cookie") == cookie
    again.close()


def test_a_pepper_from_elsewhere_is_named_as_the_trouble(keys: Keys, tmp_path: Path, clock: Clock) -> None:
    keys.close()
    (tmp_path / "data" / "pepper").unlink()
    with pytest.raises(Conflict, match="is not the file that keys.db was made with"):
        Keys(tmp_path / "data", clock)
    (tmp_path / "data" / "pepper").write_bytes(b"short")
    with pytest.raises(Conflict, match="should hold 32 bytes and holds 5"):
        Keys(tmp_path / "data", clock)


@pytest.mark.parametrize("name", ["../pepper", "/etc/passwd", "", "A", "a/b"])
def test_a_secret_has_a_plain_name(keys: Keys, name: str) -> None:
    with pytest.raises(ValueError, match="plain file name"):
        keys.secret(name)


def test_a_session_ends_by_log_out_or_after_thirty_days(keys: Keys, clock: Clock) -> None:
    principal = keys.verify(keys.create("wall", ["read"])[1], HERE)
    first, second = keys.open_session(principal), keys.open_session(principal)
    keys.close_session(first)
    assert (keys.session(first), keys.session(second)) == (None, principal)
    clock.passes(seconds=SESSION.total_seconds() - 1)
    assert keys.session(second) == principal
    clock.passes(seconds=1)
    assert keys.session(second) is None
    assert keys.session("\ud800 made up") is None


def test_a_login_link_works_once_and_not_for_long(keys: Keys, clock: Clock) -> None:
    key, _ = keys.create("wall", ["read"])
    link = keys.one_time(key.id)
    session = keys.redeem(link)
    assert session is not None
    assert keys.session(session) is not None
    assert keys.redeem(link) is None

    late = keys.one_time(key.id, ttl_s=60)
    clock.passes(seconds=60)
    assert (keys.redeem(late), keys.redeem("made up"), keys.redeem(session)) == (None, None, None)


def events(keys: Keys) -> list[tuple[str, str | None, str | None]]:
    return [(entry.event, entry.address, entry.detail) for entry in reversed(keys.audit.newest())]


def test_the_audit_log_tells_who_came_and_who_was_refused(keys: Keys) -> None:
    key, plaintext = keys.create("wall", ["read"])
    for address in (HERE, HERE, "192.0.2.9"):
        keys.verify(plaintext, address)
    fresh, _ = keys.rotate(key.id)
    keys.revoke(key.id)
    for _ in range(3):
        with pytest.raises(Unauthorized):
            keys.verify(plaintext, HERE)
    assert events(keys) == [
        ("create", None, None),
        ("address", HERE, None),
        ("address", "192.0.2.9", None),
        ("rotate", None, f"replaces {key.id}"),
        ("revoke", None, None),
        ("refusal", HERE, "was revoked"),
    ]
    assert keys.audit.newest()[2].key_id == fresh.id
    assert keys.audit.refusals == 3


def test_guessing_does_not_fill_the_disk(keys: Keys, clock: Clock) -> None:
    for number in range(300):
        with pytest.raises(Unauthorized):
            keys.verify("guess", f"192.0.2.{number}")
    assert (len(keys.audit.newest(1000)), keys.audit.refusals) == (100, 300)
    clock.passes(minutes=1)
    with pytest.raises(Unauthorized):
        keys.verify("guess", HERE)
    assert len(keys.audit.newest(1000)) == 101


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET detail = 'nothing happened'",
        "DELETE FROM audit",
        "REPLACE INTO audit (id, at, event) VALUES (1, 0, 'x')",
    ],
)
def test_the_audit_log_cannot_be_rewritten(keys: Keys, tmp_path: Path, statement: str) -> None:
    keys.create("wall", ["read"])
    other = sqlite3.connect(tmp_path / "data" / "keys.db")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(statement)
    other.close()
    assert events(keys) == [("create", None, None)]


def test_the_last_use_is_noted_about_once_a_minute(keys: Keys, clock: Clock) -> None:
    key, plaintext = keys.create("wall", ["read"])
    keys.verify(plaintext, HERE)
    clock.passes(seconds=59)
    keys.verify(plaintext, HERE)
    assert keys.get(key.id).last_used == START
    clock.passes(seconds=1)
    keys.verify(plaintext, HERE)
    assert keys.get(key.id).last_used == START + timedelta(minutes=1)


def test_a_good_key_gets_in_even_when_its_use_cannot_be_noted(
    keys: Keys, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key, plaintext = keys.create("wall", ["read"])

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(keys._db, "write", full)
    assert keys.verify(plaintext, HERE).key_id == key.id
    assert "was not noted: database or disk is full" in caplog.text
    assert plaintext not in caplog.text


def test_keys_are_masked_wherever_they_turn_up_in_text(keys: Keys) -> None:
    key, plaintext = keys.create("wall", ["read"])
    secret = plaintext.split("_")[3]
    assert redact(f"got {plaintext}, then nothing") == f"got pl_live_{key.id}_***, then nothing"
    for text in (
        plaintext[:-9],
        plaintext.upper(),
        f'{{"key":"{plaintext}"}}',
        f"?k={plaintext}&x=1",
        "pl_live_" + secret,
    ):
        assert secret[:20].lower() not in redact(text).lower()
    assert redact("nothing to hide") == "nothing to hide"
    assert secret not in repr(KeyText.read(plaintext))


def test_a_log_that_redacts_shows_no_key_in_message_arguments_or_traceback(keys: Keys) -> None:
    _, plaintext = keys.create("wall", ["read"])
    try:
        raise RuntimeError(plaintext)
    except RuntimeError:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "bad %s", (plaintext,), sys.exc_info())
    told = Redacting().format(record)
    assert "RuntimeError: pl_live_" in told
    assert plaintext not in told
