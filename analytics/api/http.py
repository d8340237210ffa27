"""The HTTP API: intake, one-shot questions, the catalogue. Errors are RFC 9457 problems."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from tornado.web import HTTPError, RequestHandler, stream_request_body

from analytics import logs, messages
from analytics.api.doorman import Doorman
from analytics.errors import NotFound, PlumblineError, TooLarge, ValidationError
from analytics.rights import Principal
from analytics.service import Service, faced

JSON = "application/json"
PROBLEM = "application/problem+json"

T = TypeVar("T", bound=msgspec.Struct)


class ApiHandler(RequestHandler):
    """Base: authenticates in `prepare`, answers errors as problems, never with a traceback."""

    service: Service
    doorman: Doorman
    principal: Principal
    request_id = ""
    scope = ""  # that the key must have, beside being good

    def initialize(self, service: Service, doorman: Doorman) -> None:
        self.service = service
        self.doorman = doorman

    def set_default_headers(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")
        # an error clears the headers and comes by again: the id stays
        self.request_id = self.request_id or logs.request_id(self.request.headers.get("X-Request-Id"))
        self.set_header("X-Request-Id", self.request_id)

    def about(self) -> dict[str, str]:
        """Whose request it is, for log lines; never its query."""
        who = getattr(self, "principal", None)
        found = {"request_id": self.request_id, "path": self.request.path[:200]}
        return found | ({"principal": who.name} if who else {})

    @property
    def by(self) -> dict[str, str | None]:
        """Who acts, for the audit log."""
        return {"by": f"by {self.principal.name} ({self.principal.key_id})", "address": self.request.remote_ip}

    def prepare(self) -> None:
        self.principal = self.doorman.principal(self.request)
        if self.scope:
            self.principal.require(self.scope)

    def send(self, body: Any, status: int = 200) -> None:
        """A JSON body."""
        self.set_status(status)
        self.set_header("Content-Type", JSON)
        self.finish(msgspec.json.encode(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if isinstance(error, HTTPError):
            problem: dict[str, Any] = {"type": "about:blank", "title": self._reason, "status": status_code}
        else:
            shown = faced(error, self.about()) if error is not None else PlumblineError(self._reason)
            problem = shown.problem()
            status_code = shown.status
            if shown.status == 401:
                self.set_header("WWW-Authenticate", "Bearer")
            if "retry_after_ms" in shown.details:
                self.set_header("Retry-After", str(max(1, round(shown.details["retry_after_ms"] / 1000))))
        self.set_status(status_code)
        self.set_header("Content-Type", PROBLEM)
        self.finish(msgspec.json.encode(problem))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Expected refusals are answers, not log entries; `faced` logs the unexpected ones."""


@stream_request_body
class BodyHandler(ApiHandler):
    """A handler whose body is read only after the key was checked, and never kept beyond its limit.

    What is over the limit is read and thrown away, so that the sender sees the answer and not a reset.
    """

    max_bytes: int

    def initialize(self, service: Service, doorman: Doorman, max_bytes: int = 64 << 10) -> None:
        super().initialize(service, doorman)
        self.max_bytes = max_bytes
        self._chunks: list[bytes] = []
        self._size = 0

    def data_received(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size <= self.max_bytes:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()

    @property
    def body(self) -> bytes:
        """The whole body. Raises TooLarge."""
        if self._size > self.max_bytes:
            raise TooLarge(
                f"the body has {self._size:,} bytes, the limit is {self.max_bytes:,}",
                hint="send smaller batches, or gzip",
            )
        return b"".join(self._chunks)

    @property
    def media(self) -> str:
        return self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def coding(self) -> str:
        return self.request.headers.get("Content-Encoding", "").strip().lower()


def read(body: bytes, kind: type[T]) -> T:
    """A body as its struct. Raises ValidationError, which names the field; never repeats a value."""
    hint = f"the fields are {', '.join(kind.__struct_fields__)}"
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise ValidationError(str(error)[:200], hint=hint) from None
    except msgspec.DecodeError:
        raise ValidationError("expected one JSON object", hint=hint) from None


FORMATS = {JSON: "json", "": "json", "application/x-ndjson": "ndjson", "application/jsonl": "ndjson",
           "text/csv": "csv", "application/vnd.apache.arrow.stream": "arrow",
           "application/x-www-form-urlencoded": "json"}  # the last is what curl --data says of JSON  # fmt: skip


class IngestHandler(BodyHandler):
    """POST /api/ingest/{dataset}: JSON array, object or lines, CSV, Arrow, gzip; answered when durable."""

    async def post(self, dataset: str) -> None:
        ack, batch = await self.service.ingest(
            self.principal, dataset, self.body, format=FORMATS.get(self.media, self.media), encoding=self.coding
        )
        self.send(
            {
                "accepted": ack.accepted,
                "repeated": ack.repeated,
                "dropped": [{"reason": d.reason.code, "count": d.count, "example": d.example} for d in batch.drops],
                "cursor": ack.cursor,
            }
        )


class AnalyticsHandler(BodyHandler):
    """POST /api/analytics: any request message, one shot."""

    async def post(self) -> None:
        request = messages.decode(self.body, plain=True)
        self.set_header("Content-Type", JSON)
        self.finish(messages.encode(await self.service.answer(self.principal, request)))


ORIGINAL = {"flows": ("flow_analytics", "flow_id"), "resources": ("resource_analytics", "resource_id"),
            "agents": ("agent_analytics", "agent_id")}  # fmt: skip


class OriginalHandler(ApiHandler):
    """GET /api/analytics/{flows,resources,agents}?id=&domain=&window=: the three requests as plain links."""

    async def get(self, what: str) -> None:
        kind, id_field = ORIGINAL[what]
        found = {"id": id_field, "domain": "domain", "window": "window"}
        unknown = [a for a in self.request.query_arguments if a not in found]
        if unknown:
            raise ValidationError(f"no argument {unknown[0][:80]!r}", hint="known: id, domain, window")
        fields = {name: self.get_query_argument(arg) for arg, name in found.items() if self.get_query_argument(arg, "")}
        request = messages.from_builtins({"type": kind, **fields}, plain=True)
        self.set_header("Content-Type", JSON)
        self.finish(messages.encode(await self.service.answer(self.principal, request)))


class CatalogueHandler(ApiHandler):
    """GET /api/{datasets,dimensions,metrics,boards}: what is declared."""

    def get(self, what: str) -> None:
        self.send(self.service.catalogue(self.principal, what))


class SessionHandler(ApiHandler):
    """GET /api/session: 204 while the caller is signed in, else 401. Lets a page tell "signed out" from "gone"."""

    def get(self) -> None:
        self.set_status(204)
        self.finish()


class UnknownHandler(ApiHandler):
    """Any other address under /api and /v1."""

    def prepare(self) -> None:
        super().prepare()
        raise NotFound(f"no address {self.request.path[:200]!r}", hint="see /docs/api")
