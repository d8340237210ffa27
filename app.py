"""The command line. Builds every object and serves; the only file that knows all rooms."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import secrets
import shutil
import signal
import ssl
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from analytics import running
from analytics.access import access
from analytics.ask_cli import ask_command
from analytics.errors import Conflict, Timeout
from analytics.flags import with_settings
from analytics.keys_cli import DEFAULT, Data, keys_cli
from analytics.load_cli import load_command
from analytics.periodic import Every
from analytics.settings import Settings
from analytics.terminal import faces

ROOT = Path(__file__).resolve().parent
WORKSPACES = ROOT / "assets" / "workspaces"
EXAMPLES = ROOT / "assets" / "examples"  # what only the demo has
DOCS = ROOT / "assets" / "docs"
VOCABULARIES = ROOT / "assets" / "vocabularies"
OWNER = "owner"  # the key behind the one-time link that `serve` prints
ASK_MODEL_KEY = "PLUMBLINE_ASK_MODEL_KEY"  # a secret: no setting, so that no flag and no --help shows it
SELF_KEPT = timedelta(days=2)
ASKED_S = 30.0  # until a command gives up on a server

log = logging.getLogger(__name__)

cli = typer.Typer(
    name="plumbline",
    help="Live analytics for fleets of AI agents and the services around them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
cli.add_typer(keys_cli, name="keys")
cli.command("ask")(ask_command(lambda data: App(Settings(data=data))))
cli.command("load")(load_command(lambda data: App(Settings(data=data))))


def utc_now() -> datetime:
    return datetime.now(UTC)


class App:
    """One Plumbline process: every object, wired once, read top to bottom."""

    def __init__(self, settings: Settings, now: Callable[[], datetime] = utc_now) -> None:
        # heavy rooms are imported here so that `keys create` starts fast
        from analytics.agent import AnalyticsAgent
        from analytics.api.doorman import Doorman
        from analytics.api.health import Readiness
        from analytics.api.mcp import Mcp
        from analytics.api.sockets import SocketLimits, Sockets
        from analytics.api.tickets import Tickets, origin_of
        from analytics.demo import Demo
        from analytics.hub import Hub
        from analytics.ingest import counters  # its Counters count what metric points say, those below our own rows
        from analytics.ingest.intake import Intake
        from analytics.ingest.limits import Limits
        from analytics.ingest.reasons import Counters
        from analytics.ingest.vocabulary import load
        from analytics.insights.expected import Stepping
        from analytics.keys import Keys
        from analytics.language.model import Model
        from analytics.load.datasets import Datasets
        from analytics.load.uploads import Uploads
        from analytics.pins import Pins
        from analytics.screens import Screens
        from analytics.service import Service
        from analytics.sources import Sources
        from analytics.store.duckdb import DuckDBStore
        from analytics.telemetry import SELF, Telemetry
        from analytics.workspace_live import Workspaces

        self.settings = settings
        self.now = now
        settings.data.mkdir(parents=True, exist_ok=True)
        self.keys = Keys(settings.data, now)
        own = settings.data / "workspaces"  # what is made here: datasets of loaded files, boards with pinned tiles
        own.mkdir(exist_ok=True)
        built_in = [*sorted(WORKSPACES.glob("*.yaml")), *([EXAMPLES / "budgets.yaml"] if settings.demo else [])]
        self.workspaces = Workspaces([*built_in, *settings.workspace], [own])
        self.pins = Pins(self.workspaces, own, built_in)
        self.screens = Screens(settings.data, self.keys, now, boards=lambda: self.workspaces.current.boards)
        self.version = ""  # of program and assets, once they are read
        self.sources = Sources()
        self.store = DuckDBStore(
            settings.data / "plumbline.duckdb",
            lambda: self.workspaces.current,
            readers=settings.readers,
            deadline_s=settings.deadline_s,
            memory_limit=settings.memory_limit,
            keep={SELF: SELF_KEPT},
        )
        self.counters = Counters()
        intake = Intake(
            load(sorted(VOCABULARIES.glob("*.yaml")), keep_text=settings.keep_text),
            limits=Limits(packed_max=settings.ingest_mb << 20, unpacked_max=settings.unpacked_mb << 20),
            now=now,
            counters=self.counters,
        )
        self.increments = counters.Counters(intake.vocabulary.usage)
        self.stepping = Stepping()
        agent = AnalyticsAgent(
            self.store,
            lambda: self.workspaces.current,
            self.sources,
            workspace_error=lambda: self.workspaces.error,
            model=Model(settings.ask_model_url, settings.ask_model or "", os.environ.get(ASK_MODEL_KEY, ""))
            if settings.ask_model_url
            else None,
            stepping=self.stepping,
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
            counters=self.increments,
            store=self.store,
            sources=self.sources,
            workspace=lambda: self.workspaces.current,
            datasets=Datasets(own, self.workspaces, self.store, now),
            now=now,
            deadline_s=2 * settings.deadline_s,
        )
        self.uploads = Uploads(
            settings.data / "uploads",
            self.service,
            lambda: self.workspaces.current,
            now,
            max_bytes=settings.upload_mb << 20,
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
        self.embedders = sorted({origin_of(text) for text in settings.embed_origin})
        self.tickets = Tickets(self.embedders)
        self.telemetry = Telemetry(
            store=self.store,
            hub=self.service.hub.stats,
            counters=self.counters,
            connections=lambda: Counter(socket["state"] for socket in self.sockets.list()),
        )
        self.service.observe = self.telemetry.observe
        self.mcp = Mcp(DOCS)
        self.readiness = Readiness(
            store=self.store,
            hub=self.service.hub.stats,
            disk_free=lambda: shutil.disk_usage(settings.data).free,
            workspace_error=lambda: self.workspaces.error,
        )
        self.server: Any = None
        self.demo = Demo(settings, self.keys, now)
        self._callbacks: list[Every] = []
        self._watch: asyncio.Task[None] | None = None
        self._compile: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        host = self.settings.host if self.settings.host not in ("0.0.0.0", "::", "") else "127.0.0.1"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.server.port}"

    def routes(self) -> list[tuple[Any, ...]]:
        """The API's addresses; the dashboard adds its own."""
        from analytics.api import (
            documents,
            export,
            health,
            http,
            keys,
            mcp,
            otlp,
            pins,
            screens,
            tickets,
            uploads,
            websocket,
        )

        common = {"service": self.service, "doorman": self.doorman}
        intake = common | {"max_bytes": self.settings.ingest_mb << 20}
        sockets = common | {"sockets": self.sockets, "tickets": self.tickets}
        talk = common | {"mcp": self.mcp, "max_bytes": self.settings.message_kb << 10}
        return [
            (r"/api/analytics/ws", websocket.AnalyticsSocket, sockets),
            (r"/api/analytics", http.AnalyticsHandler, common),
            (r"/api/analytics/(flows|resources|agents)", http.OriginalHandler, common),
            (r"/api/export", export.ExportHandler, common | {"turns": export.Turns()}),
            (r"/api/ingest/([^/]+)", http.IngestHandler, intake),
            (r"/v1/(traces|metrics|logs)", otlp.OtlpHandler, intake),
            (r"/mcp", mcp.McpHandler, talk),
            (r"/api/(datasets|dimensions|metrics|boards)", http.CatalogueHandler, common),
            (r"/api/tickets", tickets.TicketHandler, common | {"tickets": self.tickets}),
            (r"/api/(openapi|asyncapi)\.json", documents.DocumentHandler, common),
            *uploads.routes(self.service, self.doorman, self.uploads),
            *keys.routes(self.doorman, self.keys, self.sockets),
            *pins.routes(self.doorman, self.pins, self.keys.audit),
            *screens.routes(
                self.doorman,
                self.screens,
                self.sockets,
                version=lambda: self.version,
                secure=self.settings.secure_cookie,
            ),
            (r"/api/session", http.SessionHandler, common),
            (r"/api/connections(?:/([^/]+))?", health.ConnectionsHandler, common | {"sockets": self.sockets}),
            (r"/healthz", health.HealthHandler, common),
            (r"/readyz", health.ReadyHandler, common | {"readiness": self.readiness}),
            (r"/metrics", health.MetricsHandler, common | {"telemetry": self.telemetry}),
            (r"/(?:api|v1)(?:/.*)?", http.UnknownHandler, common),
        ]

    async def start(self) -> None:
        """Open the store, listen, start ticking."""
        from analytics.api.documents import asyncapi, openapi
        from analytics.insights import compiled
        from dashboard.assets import Assets
        from dashboard.server import build_server

        files = Assets(ROOT / "assets")
        self.version = files.version
        await self.store.open()
        await self.uploads.clear()
        await self._learn()
        self.server = build_server(
            self.settings,
            keys=self.keys,
            verify=self.doorman.verify,
            workspace=lambda: self.workspaces.current,
            routes=self.routes(),
            files=files,
            docs_folder=DOCS,
            screens=self.screens,
            screen=self.doorman.screen,
            embedders=self.embedders,
            embedded=self.sockets.embedded,
            max_body_bytes=2 * (self.settings.ingest_mb << 20),
            documents=lambda: (openapi(), asyncapi()),
        )
        self.server.start()
        tick = Every(self.settings.tick_s, self.service.hub.tick)
        reload = Every(1.0, self._reload)
        sweep = Every(0.5, self.sockets.sweep)
        self._callbacks = [tick, reload, sweep, Every(60.0, self.uploads.sweep)]
        if self.settings.self_s > 0:
            record = Every(self.settings.self_s, lambda: self.telemetry.record(self.now()))
            self._callbacks.append(record)
        self._watch = asyncio.create_task(self.telemetry.watch_loop())
        self._compile = asyncio.create_task(compiled.prepare(self.settings.data / "compiled", self.stepping))
        for callback in self._callbacks:
            callback.start()
        running.announce(self.settings.data, self.url)

    async def _learn(self) -> None:
        """Bring the sources' rhythm back from the last hour of events, and the counters' last points."""
        since = (self.now() - timedelta(hours=1)).replace(tzinfo=None)
        for name, dataset in self.workspaces.current.datasets.items():
            heard = "time, source" if dataset.columns else "time, source, kind, domain"
            recent = f"select {heard} from {{events}} where time > ?"
            try:
                table = await self.store.read(recent, [since], dataset=name, deadline_s=30.0)
            except Conflict as error:  # a file of the data directory declares it anew; the others go on
                log.warning("%s", error)
                continue
            self.sources.observe(name, table, self.now())
        read = functools.partial(self.store.read, deadline_s=30.0)
        try:
            await self.increments.learn(read, self.now().replace(tzinfo=None))
        except (Conflict, Timeout) as error:
            log.warning("counters that began before now are measured from their next point: %s", error)

    def _reload(self) -> None:
        self.workspaces.reload_if_changed()

    def login_link(self) -> str:
        """A link that signs its opener in once."""
        owner = next((k for k in self.keys.list() if k.name == OWNER and k.revoked_at is None), None)
        if owner is None:
            owner, _ = self.keys.create(OWNER, ["read", "ingest", "admin"])
        return f"{self.url}/login/once/{self.keys.one_time(owner.id)}"

    async def stop(self) -> None:
        """Stop in order: senders, ticks, sockets, server, store."""
        self.demo.stop()
        for callback in self._callbacks:
            callback.stop()
        if self._watch is not None:
            self._watch.cancel()
        if self._compile is not None:
            self._compile.cancel()
            await asyncio.wait([self._compile])
        running.withdraw(self.settings.data)
        await self.uploads.close()
        await self.mcp.stop()
        await self.sockets.drain()
        await self.service.hub.close()
        if self.server is not None:
            self.server.stop()
            await self.server._http.close_all_connections()
        await self.store.close()
        await self.demo.gone()
        self.screens.close()
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
        app.demo.start(app.url)
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
    python = os.path.relpath(sys.executable)
    python = "python" if python.startswith("..") else python
    out.print(f"  Keys for programs:     {python} app.py keys create --name NAME --scopes read,ingest")
    out.print("  Stop with Ctrl-C.\n")
    sys.stdout.flush()


def serve(settings: Settings) -> None:
    """Serve boards, API and intake on one port."""
    from analytics.logs import formatter

    with faces():
        handler = logging.StreamHandler()
        handler.setFormatter(formatter(settings.log_format))
        logging.basicConfig(level=settings.log_level.upper(), handlers=[handler])
        asyncio.run(serve_until_stopped(settings))


cli.command("serve")(with_settings(serve))


@cli.command("mcp")
def model_context(
    url: Annotated[str, typer.Option(help="the server; that of --data unless told", envvar="PLUMBLINE_URL")] = "",
    data: Data = DEFAULT,
) -> None:
    """Speak the Model Context Protocol on stdin and stdout, for a client that starts it. Asks a running server, with
    the key in PLUMBLINE_KEY or one of its own that ends with it."""
    from analytics.client.arguments import base
    from analytics.client.http import Http

    with faces(), contextlib.ExitStack() as stack:
        address, key = stack.enter_context(access(url, data, "mcp"))
        tls = ssl.create_default_context() if address.startswith("https") else None
        http = Http(base(address), {"X-API-Key": key, "Content-Type": "application/json"}, ASKED_S, tls)
        stack.callback(http.close)
        from analytics.api.mcp_stdio import FarDesk, talk  # slow; by now it is worth it

        def leave() -> None:
            stack.close()
            os._exit(0)

        asyncio.run(talk(FarDesk(base(address), http.exchange), DOCS, leave))


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
