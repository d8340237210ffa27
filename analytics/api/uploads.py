"""`/api/uploads`, and `PUT` and `DELETE /api/datasets/{name}`: data from files. For the scope `admin`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

import msgspec
from msgspec import Meta
from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from analytics.api.doorman import Doorman
from analytics.api.http import ApiHandler, BodyHandler
from analytics.errors import NotFound, StorageFull, TooLarge, ValidationError
from analytics.load.run import Declaration, Progress
from analytics.load.uploads import Change, Upload, Uploads
from analytics.service import Service

CHUNK = 1 << 20
DECLARATION_BYTES = 1 << 20


class Made(msgspec.Struct):
    """A dataset that is declared."""

    dataset: Annotated[str, Meta(description="its name")]
    new: Annotated[bool, Meta(description="whether it was not there before")]
    board: Annotated[str, Meta(description="the address of its board")]


class UploadFile(msgspec.Struct):
    """A file of an upload."""

    name: Annotated[str, Meta(description="as it was sent")]
    size: Annotated[int, Meta(description="bytes")]


class UploadColumn(msgspec.Struct):
    """A column of the files, and how it is read."""

    field: Annotated[str, Meta(description="what the file calls it")]
    name: Annotated[str, Meta(description="what the dataset calls it")]
    type: Annotated[str, Meta(description="text, integer, number, boolean or time")]
    form: Annotated[str, Meta(description="how its values are written; empty in the plain way")]
    read_as: Annotated[str, Meta(description="both, as a change takes it: type or type:form")]
    note: Annotated[str, Meta(description="what a person should know of it")]
    values: Annotated[int, Meta(description="values in the sample")]
    nulls: Annotated[int, Meta(description="rows of the sample without one")]
    misfits: Annotated[int, Meta(description="values of the sample that do not fit")]
    choices: Annotated[tuple[str, ...], Meta(description="other likely ways to read it")]


class RejectShown(msgspec.Struct):
    """A row that cannot be kept."""

    file: Annotated[str, Meta(description="of which file")]
    line: Annotated[int, Meta(description="where; of Parquet the row")]
    reason: Annotated[str, Meta(description="why, as one word")]
    expected: Annotated[str, Meta(description="what was expected, and what came")]
    raw: Annotated[str, Meta(description="how it looks")]


class RejectCount(msgspec.Struct):
    """One reason, and how often."""

    reason: Annotated[str, Meta(description="as one word")]
    meaning: Annotated[str, Meta(description="what it means")]
    count: Annotated[int, Meta(description="rows")]
    line: Annotated[int, Meta(description="where the first one is")]
    example: Annotated[str, Meta(description="what was expected there")]


class RejectsShown(msgspec.Struct):
    """The rows that cannot be kept."""

    total: Annotated[int, Meta(description="how many so far")]
    reasons: Annotated[list[RejectCount], Meta(description="the most frequent first")]
    first: Annotated[list[RejectShown], Meta(description="the first 20")]


class Makes(msgspec.Struct):
    """What a load would make."""

    new: Annotated[bool, Meta(description="whether the dataset is not there yet")]
    dimensions: Annotated[int, Meta(description="to filter and group by")]
    metrics: Annotated[int, Meta(description="to measure")]
    tiles: Annotated[int, Meta(description="of its board")]


class UploadShown(msgspec.Struct):
    """An upload. What follows from looking at the files is there from the state `ready` on."""

    id: Annotated[str, Meta(description="to ask for it with")]
    state: Annotated[str, Meta(description="receiving, inspecting, ready, loading, done, failed or cancelled")]
    error: Annotated[dict[str, Any] | None, Meta(description="code, message and hint of a failure")]
    files: Annotated[list[UploadFile], Meta(description="those that came whole")]
    dataset: Annotated[str | None, Meta(description="where its rows go")]
    title: Annotated[str, Meta(description="title of a new dataset; empty: made of its name")]
    expires: Annotated[datetime, Meta(description="when it is removed")]
    progress: Annotated[Progress, Meta(description="of the load")]
    rejects: Annotated[RejectsShown | None, Meta(description="of the sample, then of the load")]
    board: Annotated[str | None, Meta(description="the address of the board, when it is done")]
    format: Annotated[str | msgspec.UnsetType, Meta(description="csv, jsonl, json, parquet or mixed")] = msgspec.UNSET
    delimiter: Annotated[str | msgspec.UnsetType | None, Meta(description="of CSV")] = msgspec.UNSET
    header: Annotated[bool | msgspec.UnsetType | None, Meta(description="whether CSV names its columns")] = (
        msgspec.UNSET
    )
    encoding: Annotated[str | msgspec.UnsetType, Meta(description="of the text")] = msgspec.UNSET
    columns: Annotated[list[UploadColumn] | msgspec.UnsetType, Meta(description="in the order of the file")] = (
        msgspec.UNSET
    )
    time: Annotated[str | msgspec.UnsetType | None, Meta(description="the field of the rows' time")] = msgspec.UNSET
    preview: Annotated[
        dict[str, list[str | None]] | msgspec.UnsetType, Meta(description="the first 20 rows by field, as written")
    ] = msgspec.UNSET
    sampled: Annotated[int | msgspec.UnsetType, Meta(description="rows that were looked at")] = msgspec.UNSET
    makes: Annotated[Makes | msgspec.UnsetType, Meta(description="what a load would make")] = msgspec.UNSET


class AdminHandler(BodyHandler):
    """Base: admins only, small JSON bodies."""

    def initialize(self, service: Service, doorman: Doorman, uploads: Uploads) -> None:  # type: ignore[override]
        super().initialize(service, doorman, DECLARATION_BYTES)
        self.uploads = uploads

    def prepare(self) -> None:
        super().prepare()
        self.principal.require("admin")

    def show(self, upload: Upload, status: int = 200) -> None:
        self.send(self.uploads.told(upload), status)


class DatasetHandler(AdminHandler):
    """PUT and DELETE /api/datasets/{name}."""

    async def put(self, name: str) -> None:
        declaration = _read(self.body, Declaration)
        new = await self.service.declare(self.principal, name, declaration)
        self.send(Made(name, new, f"/board?board={name}"), 201 if new else 200)

    async def delete(self, name: str) -> None:
        await self.service.forget(self.principal, name)
        self.set_status(204)
        self.finish()


@stream_request_body
class UploadsHandler(ApiHandler):
    """POST /api/uploads: one file, its bytes as the body, written to disk as they come."""

    def initialize(self, service: Service, doorman: Doorman, uploads: Uploads) -> None:  # type: ignore[override]
        super().initialize(service, doorman)
        self.uploads = uploads
        self._upload: Upload | None = None
        self._path: Path | None = None
        self._file: IO[bytes] | None = None
        self._chunks: list[bytes] = []
        self._held = self._size = 0
        self._failed: Exception | None = None

    def prepare(self) -> None:
        super().prepare()
        self.principal.require("admin")
        limit = self.uploads.max_bytes
        # what is over the limit is read and thrown away, so that the sender sees the answer and not a reset
        self.request.connection.set_max_body_size(1 << 40)  # type: ignore[union-attr]
        if int(self.request.headers.get("Content-Length", "0")) > limit:
            self._failed = self._too_large()
            return
        self._upload, self._path = self.uploads.open(
            self.principal, self.get_query_argument("id", None), self.get_query_argument("name", "data")
        )

    async def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._failed is None and self._size > self.uploads.max_bytes:
            self._failed = self._too_large()
        if self._failed is not None:
            self._chunks.clear()
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held >= CHUNK:
            await self._flush()

    async def post(self) -> None:
        try:
            if self._failed is None:
                await self._flush()
            if self._failed is not None:
                raise self._failed
        except Exception:
            await self._abandon()
            raise
        assert self._upload is not None and self._path is not None
        await self._close()
        upload, self._upload = self._upload, None
        more = self.get_query_argument("more", "") == "1"
        self.uploads.received(upload, self.get_query_argument("name", "data"), self._path, self._size, more)
        self.send(self.uploads.told(upload), 201)

    def on_connection_close(self) -> None:
        asyncio.get_running_loop().create_task(self._abandon())

    def on_finish(self) -> None:
        if self._upload is not None:
            asyncio.get_running_loop().create_task(self._abandon())

    async def _flush(self) -> None:
        """Write what is held; a disk that is full is told when the body has ended."""
        chunks, self._chunks, self._held = self._chunks, [], 0
        try:
            await asyncio.to_thread(self._write, chunks)
        except OSError as error:
            self._failed = StorageFull(
                f"the file cannot be kept: {error.strerror}", hint="make room on the server's disk"
            )

    def _write(self, chunks: list[bytes]) -> None:
        assert self._path is not None
        if self._file is None:
            self._file = self._path.open("xb")
        self._file.writelines(chunks)

    async def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            await asyncio.to_thread(file.close)

    async def _abandon(self) -> None:
        upload, self._upload = self._upload, None
        if upload is not None and self._path is not None:
            with contextlib.suppress(OSError):
                await self._close()
            await self.uploads.lost(upload, self._path)

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"the file is larger than {self.uploads.max_bytes:,} bytes",
            hint="load it on the server with `python app.py load FILE`, or raise --upload-mb",
        )


class UploadHandler(AdminHandler):
    """GET, PUT and DELETE /api/uploads/{id}."""

    def get(self, id: str) -> None:
        self.show(self.uploads.find(self.principal, id))

    async def put(self, id: str) -> None:
        self.show(await self.uploads.change(self.principal, id, _read(self.body, Change)))

    async def delete(self, id: str) -> None:
        await self.uploads.remove(self.principal, id)
        self.set_status(204)
        self.finish()


class LoadHandler(AdminHandler):
    """POST /api/uploads/{id}/load."""

    def post(self, id: str) -> None:
        self.show(self.uploads.start_load(self.principal, id), 202)


class RejectsHandler(AdminHandler):
    """GET /api/uploads/{id}/rejects: the rows that were not kept, as CSV."""

    async def get(self, id: str) -> None:
        upload = self.uploads.find(self.principal, id)
        if upload.state == "loading" or not await asyncio.to_thread(upload.rejects.exists):
            raise NotFound(
                "there are no rejects to get", hint="they are there when the load is over and rows were refused"
            )
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        name = "".join(c if c.isalnum() or c in "._-" else "_" for c in upload.files[0][0])
        self.set_header("Content-Disposition", f'attachment; filename="{name}.rejects.csv"')
        with contextlib.suppress(StreamClosedError):
            with upload.rejects.open("rb") as file:
                while chunk := await _in_thread(file, CHUNK):
                    self.write(chunk)
                    await self.flush()
            self.finish()


def _in_thread(file: IO[bytes], size: int) -> Awaitable[bytes]:
    return asyncio.to_thread(file.read, size)


def _read(body: bytes, kind: Any) -> Any:
    """A body as its struct. Raises ValidationError, which names the field."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)[:200], hint=f"the fields are {', '.join(kind.__struct_fields__)}") from None
    except msgspec.DecodeError:
        raise ValidationError("expected one JSON object") from None


def routes(service: Service, doorman: Doorman, uploads: Uploads) -> list[tuple[Any, ...]]:
    """The addresses of this room."""
    shared = {"service": service, "doorman": doorman, "uploads": uploads}
    return [
        (r"/api/datasets/([^/]+)", DatasetHandler, shared),
        (r"/api/uploads", UploadsHandler, shared),
        (r"/api/uploads/([^/]+)", UploadHandler, shared),
        (r"/api/uploads/([^/]+)/load", LoadHandler, shared),
        (r"/api/uploads/([^/]+)/rejects", RejectsHandler, shared),
    ]
