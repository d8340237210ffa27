"""OTLP/HTTP intake: /v1/traces, /v1/metrics, /v1/logs in protobuf and JSON, with partial success."""

from __future__ import annotations

from typing import Any

from analytics.api.http import BodyHandler
from analytics.errors import UnsupportedMedia
from analytics.ingest.replies import error_body, explained, partial_success
from analytics.service import faced

MEDIA = {"application/x-protobuf": "protobuf", "application/json": "json"}


class OtlpHandler(BodyHandler):
    """One signal's intake. Errors are google.rpc.Status bodies in the request's own encoding."""

    async def post(self, signal: str) -> None:
        encoding = MEDIA.get(self.media)
        if encoding is None:
            raise UnsupportedMedia(
                f"expected application/x-protobuf or application/json, got {self.media[:80]!r}",
                hint="set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf",
            )
        _, batch = await self.service.ingest(
            self.principal, "events", self.body, format=f"otlp-{signal}-{encoding}", encoding=self.coding
        )
        self.set_header("Content-Type", self.media)
        self.finish(partial_success(signal, batch.dropped, explained(batch.drops), json=encoding == "json"))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        if self.media not in MEDIA or error is None:
            super().write_error(status_code, **kwargs)
            return
        shown = faced(error, self.about())
        self.set_status(shown.status)
        self.set_header("Content-Type", self.media)
        self.finish(error_body(shown, json=MEDIA[self.media] == "json"))
