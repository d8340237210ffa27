"""The command line. Builds every object and serves; the only file that knows all rooms."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import json
import logging
import os
import secrets
import signal
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from tornado.ioloop import PeriodicCallback

from analytics.errors import PlumblineError, ValidationError
from analytics.settings import Setting, Settings

ROOT = Path(__file__).resolve().parent
WORKSPACES = ROOT / "assets" / "workspaces"
VOCABULARIES = ROOT / "assets" / "vocabularies"
OWNER = "owner"  # the key behind the one-time link that `serve` prints
DEMO = "demo fleet"

cli = typer.Typer(
    name="plumbline",
    help="Live analytics for fleets of AI agents and the services around them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
keys_cli = typer.Typer(help="API keys: create, list, revoke. Works while the server is running.", no_args_is_help=True)
cli.add_typer(keys_cli, name="keys")


def utc_now() -> datetime:
    return datetime.now(UTC)


class App:
    """One Plumbline process: every object, wired once, read top to bottom."""

    def __init__(self, settings: Settings, now: Callable[[], datetime] = utc_now) -> None:
        # heavy rooms are imported here so that `keys create` starts fast
        from analytics.agent import AnalyticsAgent
        from analytics.api.doorman import Doorman
        from analytics.api.tickets import Tickets
        from analytics.api.websocket import SocketLimits, Sockets
        from analytics.hub import Hub
        from analytics.ingest.intake import Intake
        from analytics.ingest.limits import Limits
        from analytics.ingest.reasons import Counters
        from analytics.ingest.vocabulary import load
        from analytics.keys import Keys
        from analytics.service import Service
        from analytics.sources import Sources
        from analytics.store.duckdb import DuckDBStore
        from analytics.workspace import Workspaces

        self.settings = settings
        self.now = now
        settings.data.mkdir(parents=True, exist_ok=True)
        self.keys = Keys(settings.data, now)
        self.workspaces = Workspaces([*sorted(WORKSPACES.glob("*.yaml")), *settings.workspace])
        self.sources = Sources()
        self.store = DuckDBStore(
            settings.data / "plumbline.duckdb",
            lambda: self.workspaces.current,
            readers=settings.readers,
            deadline_s=settings.deadline_s,
            memory_limit=settings.memory_limit,
        )
        self.counters = Counters()
        intake = Intake(
            load(sorted(VOCABULARIES.glob("*.yaml"))),
            limits=Limits(packed_max=settings.ingest_mb << 20, unpacked_max=settings.unpacked_mb << 20),
            now=now,
            counters=self.counters,
        )
        agent = AnalyticsAgent(
            self.store,
            lambda: self.workspaces.current,
            self.sources,
            workspace_error=lambda: self.workspaces.error,
        )
        self.service = Service(
            agent=agent,
            hub_factory=lambda ask: Hub(
                ask,
                epoch=secrets.token_hex(6),
                now=now,
                interval_s=settings.tick_s,
                min_interval_s=settings.min_tick_s,
            ),
            intake=intake,
            store=self.store,
            sources=self.sources,
            workspace=lambda: self.workspaces.current,
            now=now,
            deadline_s=2 * settings.deadline_s,
        )
        self.doorman = Doorman(self.keys, settings.origin)
        limits = SocketLimits(
            message_bytes=settings.message_kb << 10,
            subscriptions=settings.socket_subscriptions,
            in_flight=settings.socket_in_flight,
            messages_per_s=settings.messages_per_s,
            burst=settings.message_burst,
            buffer_bytes=settings.socket_buffer_kb << 10,
            ping_s=settings.ping_s,
            key_messages_per_s=settings.key_messages_per_s,
            slow_s=settings.slow_s,
            lifetime_s=settings.lifetime_h * 3600,
            sockets=settings.sockets,
            sockets_per_key=settings.sockets_per_key,
        )
        self.sockets = Sockets(limits, self.keys.alive)
        self.tickets = Tickets()
        self.server: Any = None
        self.children: list[subprocess.Popen[bytes]] = []
        self._callbacks: list[PeriodicCallback] = []

    @property
    def url(self) -> str:
        host = self.settings.host if self.settings.host not in ("0.0.0.0", "::", "") else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.port}"

    def routes(self) -> list[tuple[Any, ...]]:
        """The API's addresses; the dashboard adds its own."""
        from analytics.api import http, otlp, tickets, websocket

        common = {"service": self.service, "doorman": self.doorman}
        intake = common | {"max_bytes": self.settings.ingest_mb << 20}
        sockets = common | {"sockets": self.sockets, "tickets": self.tickets}
        return [
            (r"/api/analytics/ws", websocket.AnalyticsSocket, sockets),
            (r"/api/analytics", http.AnalyticsHandler, common),
            (r"/api/analytics/(flows|resources|agents)", http.OriginalHandler, common),
            (r"/api/ingest/([^/]+)", http.IngestHandler, intake),
            (r"/v1/(traces|metrics|logs)", otlp.OtlpHandler, intake),
            (r"/api/(datasets|metrics|boards)", http.CatalogueHandler, common),
            (r"/api/tickets", tickets.TicketHandler, common | {"tickets": self.tickets}),
            (r"/api/session", http.SessionHandler, common),
            (r"/healthz", http.HealthHandler, common),
            (r"/(?:api|v1)(?:/.*)?", http.UnknownHandler, common),
        ]

    async def start(self) -> None:
        """Open the store, listen, start ticking."""
        from dashboard.server import build_server

        await self.store.open()
        await self._learn()
        self.server = build_server(
            self.settings,
            keys=self.keys,
            workspace=lambda: self.workspaces.current,
            routes=self.routes(),
            assets=ROOT / "assets",
            max_body_bytes=2 * (self.settings.ingest_mb << 20),
        )
        self.server.start()
        tick = PeriodicCallback(self.service.hub.tick, self.settings.tick_s * 1000)
        reload = PeriodicCallback(self._reload, 1000)
        sweep = PeriodicCallback(self.sockets.sweep, 500)
        self._callbacks = [tick, reload, sweep]
        for callback in self._callbacks:
            callback.start()

    async def _learn(self) -> None:
        """Bring the sources' rhythm back from the last hour of events."""
        since = (self.now() - timedelta(hours=1)).replace(tzinfo=None)
        recent = await self.store.read(
            "select time, source, kind, domain from {events} where time > ?", [since], deadline_s=30.0
        )
        self.sources.observe("events", recent, self.now())

    def _reload(self) -> None:
        self.workspaces.reload_if_changed()

    def login_link(self) -> str:
        """A link that signs its opener in once."""
        owner = next((k for k in self.keys.list() if k.name == OWNER and k.revoked_at is None), None)
        if owner is None:
            owner, _ = self.keys.create(OWNER, ["read", "ingest", "admin"])
        return f"{self.url}/login/once/{self.keys.one_time(owner.id)}"

    def start_demo(self) -> None:
        """Start the demo fleet and the host sampler as a program of their own, with a key of their own."""
        host = self.settings.host_metrics if self.settings.host_metrics is not None else self.settings.demo
        if not (self.settings.demo or host):
            return
        for old in self.keys.list():
            if old.name == DEMO and old.revoked_at is None:
                self.keys.revoke(old.id)
        _, key = self.keys.create(DEMO, ["ingest"])
        command = [sys.executable, "-m", "analytics.world", "--url", self.url]
        command += ["--seed", str(self.settings.demo_seed), "--live", self._demo_start()]
        command += ["--host"] if host else []
        command += [] if self.settings.demo else ["--no-fleet"]
        self.children.append(subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PLUMBLINE_KEY": key}))

    def _demo_start(self) -> str:
        """When this data directory's demo went live: the same world after a restart, so that nothing counts twice."""
        path = self.settings.data / "demo.json"
        seed = self.settings.demo_seed
        with contextlib.suppress(OSError, ValueError, KeyError):
            kept = json.loads(path.read_text())
            if kept["seed"] == seed:
                return str(kept["live"])
        live = self.now().replace(microsecond=0).isoformat()
        path.write_text(json.dumps({"seed": seed, "live": live}))
        return live

    async def stop(self) -> None:
        """Stop in order: senders, ticks, sockets, server, store."""
        for child in self.children:
            child.terminate()
        for callback in self._callbacks:
            callback.stop()
        await self.sockets.drain()
        await self.service.hub.close()
        if self.server is not None:
            self.server.stop()
            await self.server._http.close_all_connections()
        await self.store.close()
        for child in self.children:
            try:
                await asyncio.to_thread(child.wait, 3)
            except subprocess.TimeoutExpired:
                child.kill()
        self.keys.close()


async def serve_until_stopped(settings: Settings) -> None:
    """Run until SIGINT or SIGTERM."""
    app = App(settings)
    stopped = asyncio.Event()
    try:
        await app.start()
        loop = asyncio.get_running_loop()
        for sig in (signal.SIGINT, signal.SIGTERM):  # after get_server, which installs its own
            loop.add_signal_handler(sig, stopped.set)
        app.start_demo()
        _greet(app)
        await stopped.wait()
    finally:
        await app.stop()


def _greet(app: App) -> None:
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"\n  [bold]Plumbline[/] is live at [bold]{app.url}[/]")
    out.print(f"  Open once to sign in:  {app.login_link()}")
    if app.settings.demo:
        out.print("  The demo fleet is sending; start with --no-demo for an empty server.")
    out.print("  Keys for programs:     python app.py keys create --name NAME --scopes read,ingest")
    out.print("  Stop with Ctrl-C.\n")
    sys.stdout.flush()


@contextlib.contextmanager
def faces() -> Iterator[None]:
    """Errors of ours as one sentence on stderr and exit code 2; never a traceback."""
    try:
        yield
    except PlumblineError as error:
        typer.echo(f"error {error.message}", err=True)
        if error.hint:
            typer.echo(f"hint  {error.hint}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            typer.echo("error this port is in use; stop the other program or choose another with --port", err=True)
            raise typer.Exit(2) from None
        typer.echo(f"error {error.strerror or error}: {error.filename or ''}".rstrip(": "), err=True)
        raise typer.Exit(2) from None


def with_settings(run: Callable[[Settings], None]) -> Callable[..., None]:
    """Give a command one flag and one PLUMBLINE_* variable per field of Settings."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    parameters = []
    for field in msgspec.structs.fields(Settings):
        kind, setting = typing.get_args(hints[field.name])[:2]
        assert isinstance(setting, Setting)
        option = typer.Option(help=setting.help, envvar=f"PLUMBLINE_{field.name.upper()}")
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        parameters.append(
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, option]
            )
        )

    def command(**values: Any) -> None:
        run(Settings(**values))

    command.__doc__ = run.__doc__
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in parameters}
    return command


def serve(settings: Settings) -> None:
    """Serve boards, API and intake on one port."""
    from analytics.key_text import Redacting

    handler = logging.StreamHandler()
    handler.setFormatter(Redacting("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
    with faces():
        asyncio.run(serve_until_stopped(settings))


cli.command("serve")(with_settings(serve))

Data = Annotated[Path, typer.Option(help="data directory of the server", envvar="PLUMBLINE_DATA")]


@keys_cli.command("create")
def keys_create(
    name: Annotated[str, typer.Option(help="what or who the key is for")],
    scopes: Annotated[str, typer.Option(help="comma-separated: read, ingest, admin")] = "read",
    data: Data = Path(".plumbline"),
    domains: Annotated[str, typer.Option(help="only these domains, comma-separated")] = "",
    datasets: Annotated[str, typer.Option(help="only these datasets, comma-separated")] = "",
    boards: Annotated[str, typer.Option(help="only these boards, comma-separated")] = "",
    expires_days: Annotated[float, typer.Option(help="days until it expires; 0 is never")] = 0,
) -> None:
    """Create a key and print it, once, on stdout."""
    from analytics.keys import Keys

    def listed(text: str) -> list[str] | None:
        return [t.strip() for t in text.split(",") if t.strip()] or None

    with faces():
        data.mkdir(parents=True, exist_ok=True)
        if expires_days < 0:
            raise ValidationError(f"expected days from now, 0 or more, got {expires_days:g}")
        keys = Keys(data, utc_now)
        expires = utc_now() + timedelta(days=expires_days) if expires_days else None
        _, plaintext = keys.create(
            name,
            listed(scopes) or [],
            domains=listed(domains),
            datasets=listed(datasets),
            boards=listed(boards),
            expires_at=expires,
        )
        keys.close()
    typer.echo(plaintext)


@keys_cli.command("list")
def keys_list(data: Data = Path(".plumbline")) -> None:
    """List keys: id, name, scopes, when last used. Never the keys themselves."""
    from analytics.keys import Keys

    with faces():
        keys = Keys(data, utc_now)
        table = Table("id", "name", "scopes", "created", "last used", "state", box=None)
        for key in keys.list():
            state = (
                "revoked" if key.revoked_at else "expired" if key.expires_at and key.expires_at < utc_now() else "valid"
            )
            used = f"{key.last_used:%Y-%m-%d %H:%M}" if key.last_used else "never"
            table.add_row(key.id, key.name, ",".join(sorted(key.scopes)), f"{key.created_at:%Y-%m-%d}", used, state)
        keys.close()
    Console(highlight=False, markup=False).print(table)


@keys_cli.command("revoke")
def keys_revoke(
    id: Annotated[str, typer.Argument(help="id from `keys list`")], data: Data = Path(".plumbline")
) -> None:
    """Revoke a key: it is refused from now on."""
    from analytics.keys import Keys

    with faces():
        keys = Keys(data, utc_now)
        keys.revoke(id)
        keys.close()
    typer.echo(f"revoked {id}")


@cli.command()
def check(files: Annotated[list[Path], typer.Argument(help="workspace YAML files")]) -> None:
    """Check workspace files: prints every mistake with file and line, or what they declare."""
    from analytics.workspace import load

    with faces():
        workspace = load([*sorted(WORKSPACES.glob("*.yaml")), *files])
    typer.echo(
        f"good: {len(workspace.datasets)} datasets, {len(workspace.dimensions)} dimensions, "
        f"{len(workspace.metrics)} metrics, {len(workspace.boards)} boards"
    )


if __name__ == "__main__":
    cli()
