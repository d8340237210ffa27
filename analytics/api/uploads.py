"""`/api/uploads`, and `PUT` and `DELETE /api/datasets/{name}`: data from files. For the scope `admin`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from pathlib import Path
from typing import IO, Any

from tornado.iostream import StreamClosedError
from tornado.web import stream_request_body

from analytics.api.doorman import Doorman
from analytics.api.http import ApiHandler, BodyHandler, read
from analytics.api.shapes import Made
from analytics.errors import NotFound, StorageFull, TooLarge
from analytics.load.run import Declaration
from analytics.load.uploads import Change, Upload, Uploads
from analytics.service import Service

CHUNK = 1 << 20
DECLARATION_BYTES = 1 << 20


class AdminHandler(BodyHandler):
    """Base: small JSON bodies."""

    scope = "admin"

    def initialize(self, service: Service, doorman: Doorman, uploads: Uploads) -> None:  # type: ignore[override]
        super().initialize(service, doorman, DECLARATION_BYTES)
        self.uploads = uploads

    def show(self, upload: Upload, status: int = 200) -> None:
        self.send(self.uploads.told(upload), status)


class DatasetHandler(AdminHandler):
    """PUT and DELETE /api/datasets/{name}."""

    async def put(self, name: str) -> None:
        declaration = read(self.body or b"{}", Declaration)
        new = await self.service.declare(self.principal, name, declaration)
        self.send(Made(name, new, f"/board?board={name}"), 201 if new else 200)

    async def delete(self, name: str) -> None:
        await self.service.forget(self.principal, name)
        self.set_status(204)
        self.finish()


@stream_request_body
class UploadsHandler(ApiHandler):
    """POST /api/uploads: one file, its bytes as the body, written to disk as they come."""

    scope = "admin"

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
        self.show(await self.uploads.change(self.principal, id, read(self.body or b"{}", Change)))

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
