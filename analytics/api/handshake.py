"""How a socket is opened: by key, cookie or ticket, and from which pages."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from tornado.websocket import WebSocketHandler

from analytics.api.doorman import Doorman
from analytics.api.sockets import V1, Close, Sockets
from analytics.api.tickets import Tickets
from analytics.errors import PlumblineError, Unauthorized
from analytics.rights import Principal
from analytics.service import Service, faced

TICKET = "ticket."
EMBED = "embed"  # the argument by which our page /embed says whose frame it is in


class Handshake(WebSocketHandler):
    """Finds out who opens a socket. A page with a bad ticket is let in, to be closed with the reason at once."""

    __slots__ = ("_unwelcome", "doorman", "principal", "service", "sockets", "tickets", "token")

    def initialize(self, service: Service, doorman: Doorman, sockets: Sockets, tickets: Tickets) -> None:
        self.service = service
        self.doorman = doorman
        self.sockets = sockets
        self.tickets = tickets
        self.principal: Principal
        self.token = ""  # an embedded board's, for its figures
        self._unwelcome: tuple[int, str] | None = None

    def prepare(self) -> None:
        ticket = self._offered_ticket()
        try:
            self.principal = self._by_ticket(ticket) if ticket else self._by_key_or_cookie()
            self.principal.require("read")
            self.sockets.check_room(self.principal)
        except PlumblineError as error:
            if ticket is None:
                raise
            # a page cannot see why an upgrade was refused: accept, and close with the reason
            code = Close.LIMIT if error.status in (429, 503) else Close.BAD_KEY
            self._unwelcome = (code, error.message[:100])

    def _by_ticket(self, ticket: str) -> Principal:
        """A page of the ticket's site, or our own page /embed in a frame of it, which says whose frame it is in."""
        parent = self.get_query_argument(EMBED, None)
        if parent is None:
            return self.tickets.redeem(ticket, self._origin())
        if self._origin() is None or not self.doorman.origin_allowed(self.request):
            raise Unauthorized("only the page /embed of this server shows boards in frames")
        found = self.tickets.redeem_embedded(ticket, parent, lambda origin: self.doorman.ours(origin, self.request))
        self.token = secrets.token_urlsafe(24)
        return found

    def _by_key_or_cookie(self) -> Principal:
        if EMBED in self.request.query_arguments:
            raise Unauthorized("an embedded board comes with a ticket")
        return self.doorman.principal(self.request)

    def _offered_ticket(self) -> str | None:
        offered = [p.strip() for p in self.request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        return next((p.removeprefix(TICKET) for p in offered if p.startswith(TICKET)), None)

    def _origin(self) -> str | None:
        return self.request.headers.get("Origin")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None))[1]
        shown = faced(error) if isinstance(error, PlumblineError) else None
        problem: dict[str, Any] = (
            shown.problem() if shown else {"type": "about:blank", "title": self._reason, "status": status_code}
        )
        self.set_status(shown.status if shown else status_code)
        self.set_header("Content-Type", "application/problem+json")
        if "retry_after_ms" in problem:
            self.set_header("Retry-After", str(max(1, round(problem["retry_after_ms"] / 1000))))
        self.finish(msgspec.json.encode(problem))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if not isinstance(value, PlumblineError):
            super().log_exception(typ, value, tb)

    def check_origin(self, origin: str) -> bool:
        if self._offered_ticket() is not None:  # bound to its origin, or refused already
            return True
        return self.doorman.key_in(self.request) is not None or self.doorman.origin_allowed(self.request)

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        return V1 if V1 in subprotocols else None
