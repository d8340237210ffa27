"""`keys create | list | rotate | revoke | audit`. They work beside a running server, on the same files."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from analytics.errors import ValidationError
from analytics.keys import Keys
from analytics.terminal import faces

BY = "by the command line"
DEFAULT = Path(".plumbline")

keys_cli = typer.Typer(
    help="API keys: create, list, rotate, revoke, audit. Works while the server is running.", no_args_is_help=True
)
Data = Annotated[Path, typer.Option(help="data directory of the server", envvar="PLUMBLINE_DATA")]
Id = Annotated[str, typer.Argument(help="id from `keys list`")]


@keys_cli.command("create")
def create(
    name: Annotated[str, typer.Option(help="what or who the key is for")],
    scopes: Annotated[str, typer.Option(help="comma-separated: read, ingest, admin")] = "read",
    data: Data = DEFAULT,
    domains: Annotated[str, typer.Option(help="only these domains, comma-separated")] = "",
    datasets: Annotated[str, typer.Option(help="only these datasets, comma-separated")] = "",
    boards: Annotated[str, typer.Option(help="only these boards, comma-separated")] = "",
    networks: Annotated[str, typer.Option(help="only from these networks, such as 10.0.0.0/8, comma-separated")] = "",
    expires_days: Annotated[float, typer.Option(help="days until it expires; 0 is never")] = 0,
) -> None:
    """Create a key and print it, once, on stdout."""
    with faces(), opened(data) as keys:
        _, plaintext = keys.create(
            name,
            listed(scopes) or [],
            domains=listed(domains),
            datasets=listed(datasets),
            boards=listed(boards),
            networks=listed(networks),
            expires_at=now() + span("--expires-days", days=expires_days) if expires_days else None,
            by=BY,
        )
    typer.echo(plaintext)


@keys_cli.command("list")
def show(data: Data = DEFAULT, as_json: Annotated[bool, typer.Option("--json", help="one JSON array")] = False) -> None:
    """List keys: id, name, scopes, limits, when last used. Never the keys themselves."""
    table = Table(*map(whole, ("id", "created", "expires", "last used", "state")), "name", "scopes", "limits", box=None)
    with faces(), opened(data) as keys:
        found = keys.list()
        for key in found:
            limits = [(what, getattr(key.rights, what)) for what in ("domains", "datasets", "boards", "networks")]
            bound = "; ".join(f"{what} {','.join(values)}" for what, values in limits if values is not None)
            times = (minute(key.created_at), minute(key.expires_at), minute(key.last_used))
            table.add_row(key.id, *times, keys.state(key), key.name, ",".join(sorted(key.scopes)), bound)
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
    else:
        printed(table)


@keys_cli.command("rotate")
def rotate(
    id: Id,
    data: Data = DEFAULT,
    grace_hours: Annotated[float, typer.Option(help="hours for which the old key goes on beside the new one")] = 24,
) -> None:
    """Replace a key by a new one with the same rights, and print the new one, once, on stdout."""
    with faces(), opened(data) as keys:
        _, plaintext = keys.rotate(id, span("--grace-hours", hours=grace_hours), by=BY)
    typer.echo(plaintext)


@keys_cli.command("revoke")
def revoke(id: Id, data: Data = DEFAULT) -> None:
    """Revoke a key: it is refused from now on, and its open sockets are closed within a second."""
    with faces(), opened(data) as keys:
        keys.revoke(id, by=BY)
    typer.echo(f"revoked {id}")


@keys_cli.command("audit")
def audit(
    data: Data = DEFAULT, limit: Annotated[int, typer.Option(min=1, help="how many entries, newest first")] = 50
) -> None:
    """Who made, used first, rotated and revoked keys, and who was refused."""
    table = Table(*map(whole, ("at", "event", "key", "name")), "address", "detail", box=None)
    with faces(), opened(data) as keys:
        names = {key.id: key.name for key in keys.list()}
        for entry in keys.audit.newest(limit):
            id, address = entry.key_id or "", entry.address or ""
            table.add_row(
                f"{entry.at:%Y-%m-%d %H:%M:%S}", entry.event, id, names.get(id, ""), address, entry.detail or ""
            )
    printed(table)


def now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def opened(data: Path) -> Iterator[Keys]:
    """The keys of a data directory, made when it is new."""
    keys = Keys(data, now)
    try:
        yield keys
    finally:
        keys.close()


def listed(text: str) -> list[str] | None:
    """The names of a comma-separated option, None where it was left out."""
    return [name.strip() for name in text.split(",") if name.strip()] or None


def span(option: str, **length: float) -> timedelta:
    """A length of time as it was typed. Raises ValidationError."""
    (unit, count), *_ = length.items()
    try:
        found = timedelta(**length)
    except (OverflowError, ValueError):
        found = timedelta(-1)
    if not timedelta() <= found <= timedelta(days=36500):
        raise ValidationError(f"{option}: expected {unit} from now, 0 or more and less than a century, got {count:g}")
    return found


def minute(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "never"


def whole(header: str) -> Column:
    """A column that is never cut."""
    return Column(header, no_wrap=True)


def printed(table: Table) -> None:
    """As wide as the terminal; on one line a row where there is none, for grep and awk."""
    Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 250).print(table)
