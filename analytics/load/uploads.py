"""Files that people send to a running server: received, looked at, changed in how they are read, loaded, removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pyarrow as pa

from analytics.declare import declared, profile_of
from analytics.errors import Conflict, Forbidden, Internal, NotFound, Overloaded, PlumblineError, StorageFull, TooLarge
from analytics.load.assemble import Assembler
from analytics.load.datasets import check_name, free_name
from analytics.load.files import source
from analytics.load.plan import Plan, Sample, planned
from analytics.load.rejects import Rejects
from analytics.load.run import Cancelled, Load, Progress
from analytics.load.sinks import ServiceSink, Verbs
from analytics.load.values import Converter
from analytics.rights import Principal
from analytics.workspace import Workspace

KEPT = timedelta(days=1)
OPEN = 20  # uploads of one key
FILES = 100  # of one upload
SHOWN = 20  # bad rows in a preview
T = TypeVar("T")

log = logging.getLogger(__name__)


class Change(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of PUT /api/uploads/{id}: how to read it. What is left out stays; `types` maps a column to `type` or
    `type:form`; `time` null takes the time of loading."""

    dataset: str | msgspec.UnsetType = msgspec.UNSET
    title: str | msgspec.UnsetType = msgspec.UNSET
    time: str | msgspec.UnsetType | None = msgspec.UNSET
    types: dict[str, str] = {}
    delimiter: str | msgspec.UnsetType = msgspec.UNSET
    header: bool | msgspec.UnsetType | None = msgspec.UNSET


class Upload:
    """One upload. `state` is receiving, inspecting, ready, loading, done, failed or cancelled."""

    def __init__(self, id: str, principal: Principal, folder: Path, made: datetime) -> None:
        self.id, self.principal, self.folder, self.made = id, principal, folder, made
        self.state = "receiving"
        self.error: PlumblineError | None = None
        self.files: list[tuple[str, Path, int]] = []
        self.receiving = 0
        self.delimiter, self.title = "", ""
        self.header: bool | None = None
        self.plan: Plan | None = None
        self.sample: Sample | None = None
        self.look: dict[str, Any] = {}
        self.load: Load | None = None
        self.new = True

    @property
    def rejects(self) -> Path:
        return self.folder / "rejects.csv"


class Uploads:
    """All uploads. Belongs to one event loop; what takes long happens in two threads of its own."""

    def __init__(
        self,
        folder: Path,
        service: Verbs,
        workspace: Callable[[], Workspace],
        now: Callable[[], datetime],
        *,
        max_bytes: int,
    ) -> None:
        self._folder, self._service, self._workspace, self._now = folder, service, workspace, now
        self.max_bytes = max_bytes
        self._uploads: dict[str, Upload] = {}
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="load")
        self._jobs: set[asyncio.Task[None]] = set()

    async def clear(self) -> None:
        """Remove what a stopped server left; only for who holds the data directory."""
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    # receiving

    def open(self, principal: Principal, id: str | None, name: str) -> tuple[Upload, Path]:
        """A place for a file: in a new upload, or beside the files of one. Raises Forbidden, NotFound, Conflict,
        Overloaded, StorageFull."""
        if id is None:
            self._may(principal)
            mine = [u for u in self._uploads.values() if u.principal.key_id == principal.key_id]
            if len(mine) >= OPEN and not self._make_room(mine):
                raise Overloaded(f"this key has {OPEN} uploads open", hint="load or remove some of them")
            id = secrets.token_hex(8)
            upload = self._uploads[id] = Upload(id, principal, self._folder / id, self._now())
            try:
                upload.folder.mkdir(parents=True, mode=0o700)
            except OSError as error:
                raise StorageFull(f"the file cannot be kept: {error.strerror}") from None
        else:
            upload = self.find(principal, id)
            if upload.state not in ("receiving", "ready", "failed") or upload.load is not None:
                raise Conflict("this upload is being loaded", hint="start another one")
            if len(upload.files) >= FILES:
                raise TooLarge(f"one upload takes {FILES} files at most", hint="pack them, or load them in turns")
        upload.receiving += 1
        upload.state = "receiving"
        return upload, upload.folder / f"file-{secrets.token_hex(4)}"

    def received(self, upload: Upload, name: str, path: Path, size: int, more: bool) -> None:
        """A file is there whole: look at it, unless `more` come or are on their way."""
        upload.receiving -= 1
        upload.files.append((clean_name(name), path, size))
        if not upload.receiving and not more:
            self._start(upload, "inspecting", self._inspect(upload))

    async def lost(self, upload: Upload, path: Path) -> None:
        """A file did not come whole."""
        upload.receiving -= 1
        await asyncio.to_thread(path.unlink, missing_ok=True)
        if not upload.receiving and not upload.files:
            await self.remove(upload.principal, upload.id)
        elif not upload.receiving:
            self._start(upload, "inspecting", self._inspect(upload))

    # using

    def find(self, principal: Principal, id: str) -> Upload:
        """Raises Forbidden, and NotFound for what is not there or belongs to another key."""
        self._may(principal)
        upload = self._uploads.get(id)
        if upload is None or upload.principal.key_id != principal.key_id:
            raise NotFound(
                "there is no such upload", hint="uploads are removed after a day, and when the server starts anew"
            )
        return upload

    async def change(self, principal: Principal, id: str, change: Change) -> Upload:
        """Read it in another way. Raises NotFound, ValidationError, Conflict; then it stays as it was."""
        upload = self._idle(principal, id)
        plan = upload.plan
        delimiter = upload.delimiter if change.delimiter is msgspec.UNSET else change.delimiter
        header = upload.header if change.header is msgspec.UNSET else change.header
        again = plan is None or (delimiter, header) != (upload.delimiter, upload.header)

        def work() -> tuple[Plan, Sample, dict[str, Any]]:
            found, sample = plan, upload.sample
            if again or found is None or sample is None:
                old = found
                found, sample = self._planned(upload, delimiter, header)
                found = msgspec.structs.replace(found, dataset=old.dataset) if old else found
            if change.types:
                found = found.typed(change.types)
            if change.time is not msgspec.UNSET:
                found = found.timed(change.time)
            if change.dataset is not msgspec.UNSET:
                found = msgspec.structs.replace(found, dataset=change.dataset)
            found = sample.counted(self._fitted(found))
            return found, sample, self._looked(upload, found, sample)

        upload.state = "inspecting"
        try:
            upload.plan, upload.sample, upload.look = await self._threaded(work)
            upload.delimiter, upload.header, upload.error = delimiter, header, None
            if change.title is not msgspec.UNSET:
                upload.title = change.title[:100]
        finally:
            upload.state = "ready" if upload.plan else "failed"
        return upload

    def start_load(self, principal: Principal, id: str) -> Upload:
        """Carry it out. Raises NotFound, Conflict, Forbidden, ValidationError."""
        upload = self._idle(principal, id)
        if upload.plan is None or upload.sample is None:
            raise upload.error or Conflict("this upload cannot be read", hint="look at its state")
        plan = self._fitted(upload.plan)
        if plan != upload.plan:  # the dataset came or changed since it was looked at
            plan = upload.sample.counted(plan)
        if principal.datasets is not None and plan.dataset not in principal.datasets:
            raise Forbidden(f"this key may not make dataset {plan.dataset!r}")
        sink = ServiceSink(self._service, principal, asyncio.get_running_loop())
        rejects = Rejects(upload.rejects)
        upload.load = Load(plan, upload.sample, sink, rejects, title=upload.title, now=self._now)
        upload.plan = plan
        self._start(upload, "loading", self._carry_out(upload, upload.load))
        return upload

    async def remove(self, principal: Principal, id: str) -> None:
        """Stop it where it is at work, and remove its files. Raises NotFound."""
        upload = self.find(principal, id)
        if upload.load is not None and upload.state == "loading":
            upload.load.cancel()
            upload.state = "cancelled"
            return  # its own thread removes the files
        del self._uploads[id]
        await asyncio.to_thread(shutil.rmtree, upload.folder, True)

    async def sweep(self) -> None:
        """Remove what is older than a day."""
        for upload in list(self._uploads.values()):
            if self._now() - upload.made > KEPT and upload.state != "loading":
                await self.remove(upload.principal, upload.id)

    async def close(self) -> None:
        """Stop all loads; a dataset that was new is gone again then."""
        for upload in self._uploads.values():
            if upload.load is not None:
                upload.load.cancel()
        if self._jobs:
            await asyncio.wait(self._jobs, timeout=10)
        self._threads.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(shutil.rmtree, self._folder, True)

    def told(self, upload: Upload) -> dict[str, Any]:
        """All that is known of an upload, for the wire."""
        load, plan = upload.load, upload.plan
        progress = load.progress if load else Progress()
        rejects = load.rejects if load else None
        return upload.look | {
            "id": upload.id,
            "state": upload.state,
            "error": upload.error.body() if upload.error else None,
            "files": [{"name": name, "size": size} for name, _, size in upload.files],
            "dataset": plan.dataset if plan else None,
            "title": upload.title,
            "expires": upload.made + KEPT,
            "progress": progress,
            "rejects": upload.look.get("rejects") if rejects is None else rejects_told(rejects),
            "board": f"/board?board={plan.dataset}" if plan and upload.state == "done" else None,
        }

    # how

    def _may(self, principal: Principal) -> None:
        principal.require("admin")

    def _idle(self, principal: Principal, id: str) -> Upload:
        upload = self.find(principal, id)
        if upload.state not in ("ready", "failed") or upload.load is not None:
            raise Conflict(f"this upload is {upload.state}", hint="wait for it, or start another one")
        return upload

    def _make_room(self, uploads: list[Upload]) -> bool:
        """Forget the oldest one that is over."""
        over = [u for u in uploads if u.state in ("done", "failed", "cancelled")]
        if not over:
            return False
        oldest = min(over, key=lambda u: u.made)
        del self._uploads[oldest.id]
        shutil.rmtree(oldest.folder, ignore_errors=True)
        return True

    def _start(self, upload: Upload, state: str, work: Any) -> None:
        upload.state = state
        job = asyncio.create_task(work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)

    async def _threaded(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _inspect(self, upload: Upload) -> None:
        def work() -> tuple[Plan, Sample, dict[str, Any]]:
            plan, sample = self._planned(upload, upload.delimiter, upload.header)
            return plan, sample, self._looked(upload, plan, sample)

        upload.error, upload.plan = None, None
        try:
            upload.plan, upload.sample, upload.look = await self._threaded(work)
            upload.state = "ready"
        except Exception as error:
            upload.error, upload.state = shown(error), "failed"

    def _planned(self, upload: Upload, delimiter: str, header: bool | None) -> tuple[Plan, Sample]:
        files = [source(path, name) for name, path, _ in upload.files]
        plan, sample = planned(files, delimiter=delimiter, header=header)
        there = self._workspace()
        plan = msgspec.structs.replace(plan, dataset=free_name(plan.dataset, there.datasets, there.boards))
        with contextlib.suppress(PlumblineError):  # it does not fit what is there: said when it is looked at
            plan = sample.counted(self._fitted(plan))
        return plan, sample

    def _fitted(self, plan: Plan) -> Plan:
        """For a dataset that is there, in its types. Raises ValidationError, Conflict."""
        workspace = self._workspace()
        check_name(plan.dataset, workspace)
        there = workspace.datasets.get(plan.dataset)
        return plan.into(there) if there is not None else plan

    def _looked(self, upload: Upload, plan: Plan, sample: Sample) -> dict[str, Any]:
        """What a person sees before the load."""
        bad, convert = Rejects(), Converter()
        assembler = Assembler(plan, convert, self._now())
        tables = [assembler.rows(block, file, "", bad) for block, file in zip(sample.blocks, sample.files, strict=True)]
        convert.close()
        there = self._workspace().datasets.get(plan.dataset)
        profile = profile_of(pa.concat_tables(tables))
        text = declared(plan.dataset, upload.title, plan.columns, plan.time_column, profile, now=self._now())
        layouts = {input.layout.format for input in plan.inputs}
        names, layout = plan.names, plan.inputs[0].layout
        return {
            "format": layouts.pop() if len(layouts) == 1 else "mixed",
            "delimiter": layout.delimiter if layout.format == "csv" else None,
            "header": bool(layout.header) if layout.format == "csv" else None,
            "encoding": layout.encoding,
            "columns": [
                msgspec.structs.asdict(field) | {"name": names[field.field], "read_as": field.read_as}
                for field in plan.fields
            ],
            "time": plan.time,
            "preview": sample.preview(),
            "sampled": sample.rows,
            "rejects": rejects_told(sample.rejects, bad),
            "makes": {"new": there is None, **counted(text)},
        }

    async def _carry_out(self, upload: Upload, load: Load) -> None:
        try:
            await self._threaded(load.run)
            upload.state = "done"
        except Cancelled:
            upload.state = "cancelled"
        except Exception as error:
            upload.error, upload.state = shown(error), "failed"
        upload.sample = None
        for _, path, _ in upload.files:
            await asyncio.to_thread(path.unlink, missing_ok=True)


def counted(text: str) -> dict[str, int]:
    """How many dimensions, metrics and tiles a declaration makes."""
    sections: dict[str, int] = {}
    section = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            section = line.partition(":")[0]
        elif line.startswith("  ") and not line.startswith("   "):
            sections[section] = sections.get(section, 0) + 1
    tiles = sum(line.startswith("      - ") for line in text.splitlines())
    return {"dimensions": sections.get("dimensions", 0), "metrics": sections.get("metrics", 0), "tiles": tiles}


def rejects_told(*all: Rejects) -> dict[str, Any]:
    """Counts by reason, and the first of them."""
    reasons: dict[str, dict[str, Any]] = {}
    for rejects in all:
        for told in rejects.told():
            if told["reason"] in reasons:
                reasons[told["reason"]]["count"] += told["count"]
            else:
                reasons[told["reason"]] = told
    shown = sorted((reject for rejects in all for reject in rejects.first), key=lambda each: (each.file, each.line))
    return {
        "total": sum(rejects.total for rejects in all),
        "reasons": sorted(reasons.values(), key=lambda told: -told["count"]),
        "first": [
            {"file": r.file, "line": r.line, "reason": r.reason.code, "expected": r.expected, "raw": r.raw[:300]}
            for r in shown[:SHOWN]
        ],
    }


def clean_name(name: str) -> str:
    """A file's name as a person gave it, without folders and without what a screen cannot show."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(c for c in last if c.isprintable())[:200].strip() or "data"


def shown(error: Exception) -> PlumblineError:
    """An error that may be told."""
    if isinstance(error, PlumblineError):
        return error
    if isinstance(error, OSError):
        return StorageFull(f"the file cannot be read or kept: {error.strerror or error}")
    hidden = Internal.hidden()
    log.error("a load failed, reference %s", hidden.details["reference"], exc_info=error)
    return hidden
