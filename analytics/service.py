"""The verbs: ingest, answer, subscribe, catalogue. Every transport calls this, and only this.

Scope is checked here, once, for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import msgspec
import pyarrow as pa

from analytics.agent import AnalyticsAgent
from analytics.asking import Answer, rfc3339
from analytics.errors import Forbidden, Internal, NotFound, PlumblineError, Timeout, ValidationError, unknown
from analytics.hub import Hub, Subscriber
from analytics.ingest.counters import Counters
from analytics.ingest.intake import Batch, Intake
from analytics.language.interpreter import Rights
from analytics.load.datasets import Datasets
from analytics.load.run import Declaration
from analytics.messages import ANSWERABLE, AnalyticsUpdate, BoardRequest, Question, Request, Subscribe, tag
from analytics.query import Filter
from analytics.reads import read_by, shown_on
from analytics.rights import Principal
from analytics.sources import Sources
from analytics.store.base import Ack, Store
from analytics.telemetry import SELF
from analytics.workspace import Board, Dataset, Dimension, Metric, Workspace

log = logging.getLogger(__name__)


class Service:
    """What Plumbline can do, for a principal. Built in app.py; belongs to one event loop."""

    def __init__(
        self,
        *,
        agent: AnalyticsAgent,
        hub_factory: Callable[[Any], Hub],
        intake: Intake,
        counters: Counters,
        store: Store,
        sources: Sources,
        workspace: Callable[[], Workspace],
        datasets: Datasets,
        now: Callable[[], datetime],
        deadline_s: float = 10.0,
    ) -> None:
        self._datasets = datasets
        self._agent = agent
        self._intake = intake
        self._counters = counters
        self._store = store
        self._sources = sources
        self._workspace = workspace
        self._now = now
        self._deadline_s = deadline_s
        self.observe: Callable[[str, str, float], None] = lambda type, code, seconds: None
        self.hub = hub_factory(self._stand)
        store.on_commit(self._committed)

    async def ingest(
        self, principal: Principal, dataset: str, body: bytes, *, format: str, encoding: str = ""
    ) -> tuple[Ack, Batch]:
        """Take events in; returns after they are durable. Raises Forbidden, NotFound, ValidationError,
        TooLarge, UnsupportedMedia, Overloaded, StorageFull."""
        with self._observed("ingest"):
            self._may_write(principal, dataset)
            batch = await asyncio.to_thread(
                self._intake.ingest,
                body,
                format=format,
                encoding=encoding,
                source=principal.name,
                dataset=dataset,
                declared=self._workspace().datasets[dataset],
            )
            if batch.dropped:  # those refused came from whoever sent the rest of the batch
                senders = frozenset(batch.table["source"].unique().to_pylist()) or frozenset({principal.name})
                for drop in batch.drops:
                    why = {"reason": drop.reason.code, "example": drop.example}
                    self._sources.dropped(drop.count, self._now(), dataset=dataset, senders=senders, **why)
            if batch.table.num_rows == 0:
                return Ack(0, 0, self._store.stats()["rows"]), batch
            if format.startswith("otlp-metrics"):  # shielded: whoever hangs up, what was told is kept or taken back
                return await asyncio.shield(self._append_counted(dataset, batch.table)), batch
            return await self._store.append(dataset, batch.table), batch

    async def _append_counted(self, dataset: str, points: pa.Table) -> Ack:
        """Keep points and their increments in one batch, acknowledged and refused together."""
        counted = await asyncio.to_thread(self._counters.count, points)
        try:
            return await self._store.append(dataset, pa.concat_tables([points, counted.rows]))
        except BaseException:
            self._counters.take_back(counted)
            raise

    async def keep(self, principal: Principal, dataset: str, table: pa.Table) -> Ack:
        """Keep rows of a load, which are in the dataset's schema already. Raises as `ingest` does."""
        with self._observed("ingest"):
            self._may_write(principal, dataset, "admin")
            return await self._store.append(dataset, table)

    async def declare(self, principal: Principal, dataset: str, declaration: Declaration) -> bool:
        """Make a dataset with columns of its own; whether it is new. Raises Forbidden, ValidationError, Conflict,
        StorageFull."""
        self._may_make(principal, dataset)
        return await self._datasets.declare(dataset, declaration)

    async def forget(self, principal: Principal, dataset: str) -> None:
        """Drop such a dataset, its rows and its board. Raises Forbidden, NotFound, Conflict."""
        self._may_make(principal, dataset)
        await self._datasets.forget(dataset)

    async def answer(self, principal: Principal, request: Request) -> AnalyticsUpdate:
        """Answer one question. Raises Forbidden, NotFound, ValidationError, Timeout."""
        if not isinstance(request, ANSWERABLE):
            raise ValidationError(f"a {type(request).__name__} is not answered here", hint="send it on the socket")
        with self._observed(tag(type(request))):
            allowed = self._allowed(principal, request)
            answer = await self._ask(request, allowed, {}, partial(self._allowed, principal))
        return AnalyticsUpdate(
            analytics=answer.analytics,
            insights=answer.insights,
            confidence=round(answer.confidence.headline, 4),
            confidence_parts=answer.confidence.parts(),
            timestamp=rfc3339(self._now()),
            id=msgspec.UNSET if request.id is None else request.id,
        )

    async def subscribe(
        self, principal: Principal, message: Subscribe, subscriber: Subscriber, ready: Callable[[int, bool], None]
    ) -> Callable[[], None]:
        """Stand a query, or come back to one; what follows `ready(seq, recovered)` is the snapshot or what was
        missed. The scope is checked again each time. Returns the way to leave it."""
        with self._observed("subscribe"):
            allowed = self._allowed(principal, message.request)
            return await self.hub.subscribe(
                message.request, allowed, message.sub, subscriber, ready, mode=message.mode, since=message.since
            )

    def catalogue(self, principal: Principal, what: str) -> list[dict[str, Any]]:
        """Declarations of `datasets`, `dimensions`, `metrics` or `boards` that the principal may see."""
        principal.require("read")
        workspace = self._workspace()
        found: dict[str, Any] = getattr(workspace, what)
        return [msgspec.to_builtins(x) for x in found.values() if self._may_see(principal, x, workspace)]

    def _may_see(self, principal: Principal, declared: Any, workspace: Workspace) -> bool:
        match declared:
            case Board(name=name) if principal.boards is not None and name not in principal.boards:
                return False
            case _ if principal.datasets is None:
                return True
            case Board():
                return shown_on(declared, workspace) <= principal.datasets
            case Dataset(name=name) | Dimension(dataset=name) | Metric(dataset=name):
                return name in principal.datasets
        return False

    def _may_make(self, principal: Principal, dataset: str) -> None:
        principal.require("admin")
        if principal.datasets is not None and dataset not in principal.datasets:
            raise Forbidden(f"this key may not make or drop dataset {dataset!r}")

    def _may_write(self, principal: Principal, dataset: str, scope: str = "ingest") -> None:
        principal.require(scope)
        workspace = self._workspace()
        if dataset not in workspace.datasets:
            raise NotFound(unknown("dataset", dataset, workspace.datasets))
        if principal.datasets is not None and dataset not in principal.datasets:
            raise Forbidden(f"this key may not write to dataset {dataset!r}")
        if dataset == SELF:
            raise Forbidden(f"the dataset {dataset!r} holds Plumbline's own readings; nobody else writes to it")

    def _allowed(self, principal: Principal, request: Question) -> tuple[Filter, ...]:
        principal.require("read")
        if principal.boards_only and not isinstance(request, BoardRequest):
            raise Forbidden("this ticket shows its boards and answers no other question")
        if isinstance(request, BoardRequest) and principal.boards is not None:
            if request.board not in principal.boards:
                raise Forbidden(f"this key may not see board {request.board!r}")
            if request.tiles is not None:
                raise Forbidden("this key may see its boards and bring no tiles of its own")
        if principal.datasets is not None:
            for dataset in sorted(read_by(request, self._workspace()) - principal.datasets):
                raise Forbidden(f"this key may not read dataset {dataset!r}")
        if principal.domains is None:
            return ()
        if request.domain is not None and request.domain not in principal.domains:
            raise Forbidden(f"this key may not see domain {request.domain!r}")
        return (Filter(dim="domain", op="in", values=[*sorted(principal.domains)]),)

    @contextlib.contextmanager
    def _observed(self, type: str) -> Iterator[None]:
        """Tell `observe` how one request ended and how long it took."""
        started, code = time.perf_counter(), "OK"
        try:
            yield
        except PlumblineError as error:
            code = error.code
            raise
        except BaseException as error:
            code = "CANCELLED" if isinstance(error, asyncio.CancelledError) else Internal.code
            raise
        finally:
            self.observe(type, code, time.perf_counter() - started)

    async def _stand(self, request: Question, allowed: tuple[Filter, ...], memo: dict[Any, Any]) -> Answer:
        """What the hub asks for its subscribers, observed apart from what a principal asks."""
        with self._observed("standing"):
            return await self._ask(request, allowed, memo)

    async def _ask(
        self, request: Question, allowed: tuple[Filter, ...], memo: dict[Any, Any], rights: Rights | None = None
    ) -> Answer:
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._agent.answer(request, now=self._now(), allowed=allowed, memo=memo, rights=rights)
        except TimeoutError:
            raise Timeout(
                f"no answer within {self._deadline_s:g} s", hint="ask for a shorter window or a coarser grain"
            ) from None

    def _committed(self, dataset: str, table: Any) -> None:
        self._sources.observe(dataset, table, self._now())
        if dataset != SELF:  # looking at ourselves wakes nobody; a board of it follows at its own pace
            self.hub.data_changed()


def faced(error: BaseException, about: Mapping[str, Any] | None = None) -> PlumblineError:
    """Any exception as one that may be shown: ours as it is, others as a reference into the log, where `about`
    says whose request it was."""
    if isinstance(error, PlumblineError):
        return error
    hidden = Internal.hidden()
    reference = hidden.details["reference"]
    said = {"about": {"reference": reference, **(about or {})}}
    log.error("unexpected error, reference %s", reference, exc_info=error, extra=said)
    return hidden
