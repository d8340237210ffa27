"""Single-use tickets: how a page of another origin opens the socket without ever seeing a key.

That site's back end asks for one with its key and hands it to the page, which offers it as a
subprotocol beside `analytics.v1`. A ticket counts once, for a minute, and from one origin.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable

import msgspec

from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler
from analytics.errors import Forbidden, Overloaded, Unauthorized, ValidationError
from analytics.rights import Principal
from analytics.service import Service

TTL_S = 60.0
MOST = 10_000


class TicketRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a ticket is for: the origin of the page, and, if wished, fewer boards or domains than the key has."""

    origin: str
    boards: list[str] | None = None
    domains: list[str] | None = None


class Tickets:
    """Tickets that wait to be used, by hash; kept in memory, for a restart ends their minute anyway."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._waiting: dict[bytes, tuple[Principal, str, float]] = {}

    def issue(self, principal: Principal, origin: str) -> str:
        """A ticket for pages of `origin` (scheme://host[:port]). Raises Overloaded when too many wait."""
        now = self._monotonic()
        self._waiting = {k: v for k, v in self._waiting.items() if v[2] > now}
        if len(self._waiting) >= MOST:
            raise Overloaded("too many tickets wait to be used", retry_after_ms=1000)
        ticket = secrets.token_urlsafe(24)
        self._waiting[_hash(ticket)] = (principal, origin.lower(), now + TTL_S)
        return ticket

    def redeem(self, ticket: str, origin: str | None) -> Principal:
        """The principal of a ticket, once. Raises Unauthorized."""
        principal, bound, until = self._waiting.pop(_hash(ticket[:200]), (None, "", 0.0))
        if principal is None or until < self._monotonic():
            raise Unauthorized("this ticket was used already or is too old", hint="ask for a new one")
        if (origin or "").lower() != bound:
            raise Unauthorized("this ticket is for another origin")
        return principal


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).digest()


def narrowed(principal: Principal, boards: list[str] | None, domains: list[str] | None) -> Principal:
    """The principal with read only, and no more than these. Raises Forbidden for what it does not have."""
    for what, wanted, had in (("board", boards, principal.boards), ("domain", domains, principal.domains)):
        for name in wanted or ():
            if had is not None and name not in had:
                raise Forbidden(f"this key may not see {what} {name[:80]!r}")
    return msgspec.structs.replace(
        principal,
        scopes=frozenset({"read"}),
        boards=frozenset(boards) if boards is not None else principal.boards,
        domains=frozenset(domains) if domains is not None else principal.domains,
    )


class TicketHandler(BodyHandler):
    """POST /api/tickets: a ticket for one socket of a page of another origin."""

    tickets: Tickets

    def initialize(
        self, service: Service, doorman: Doorman, max_bytes: int = 4 << 10, tickets: Tickets | None = None
    ) -> None:
        super().initialize(service, doorman, max_bytes)
        assert tickets is not None
        self.tickets = tickets

    async def post(self) -> None:
        self.principal.require("read")
        try:
            asked = msgspec.json.decode(self.body, type=TicketRequest)
        except msgspec.MsgspecError as error:
            raise ValidationError(
                f'expected {{"origin": "https://host"}}: {error}', hint="boards and domains are optional lists"
            ) from None
        if not asked.origin.startswith(("http://", "https://")) or len(asked.origin) > 300:
            raise ValidationError("expected an origin such as https://host:port")
        ticket = self.tickets.issue(narrowed(self.principal, asked.boards, asked.domains), asked.origin.rstrip("/"))
        self.send({"ticket": ticket, "expires_in_s": TTL_S, "subprotocols": ["analytics.v1", f"ticket.{ticket}"]})
