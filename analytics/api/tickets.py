"""Single-use tickets: how a page of another origin opens the socket without ever seeing a key.

That site's back end asks for one with its key and hands it to the page, which offers it as a
subprotocol beside `analytics.v1`. A ticket counts once, for a minute, and from one origin. Our own page /embed
offers it too, in a frame of that origin.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable, Collection

import msgspec

from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler
from analytics.errors import Forbidden, Overloaded, Unauthorized, ValidationError
from analytics.rights import Principal
from analytics.service import Service

TTL_S = 60.0
MOST = 10_000
ORIGIN = re.compile(r"(https?)://([a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(\d{1,5}))?/?")
USUAL_PORT = {"http": "80", "https": "443"}


def origin_of(text: str) -> str:
    """An origin as browsers write it: scheme://host, and the port where it is not the usual one. Raises
    ValidationError."""
    found = ORIGIN.fullmatch(text.strip().lower()) if len(text) <= 300 else None
    if found is None or int(found[3] or 1) > 65535:
        raise ValidationError(f"expected an origin such as https://host:port, got {text[:80]!r}")
    scheme, host, port = found.groups()
    return f"{scheme}://{host}" + (f":{int(port)}" if port and port != USUAL_PORT[scheme] else "")


class TicketRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a ticket is for: the origin of the page, and, if wished, fewer boards or domains than the key has."""

    origin: str
    boards: list[str] | None = None
    domains: list[str] | None = None


class Tickets:
    """Tickets that wait to be used, by hash; kept in memory, for a restart ends their minute anyway."""

    def __init__(self, embedders: Collection[str] = (), monotonic: Callable[[], float] = time.monotonic) -> None:
        """embedders: origins whose pages may show our page /embed in a frame."""
        self._embedders = frozenset(embedders)
        self._monotonic = monotonic
        self._waiting: dict[bytes, tuple[Principal, str, float]] = {}

    def issue(self, principal: Principal, origin: str) -> str:
        """A ticket for pages of `origin` (scheme://host[:port]). Raises Overloaded when too many wait."""
        now = self._monotonic()
        self._waiting = {k: v for k, v in self._waiting.items() if v[2] > now}
        if len(self._waiting) >= MOST:
            raise Overloaded("too many tickets wait to be used", retry_after_ms=1000)
        ticket = secrets.token_urlsafe(24)
        self._waiting[_hash(ticket)] = (principal, origin, now + TTL_S)
        return ticket

    def redeem(self, ticket: str, origin: str | None) -> Principal:
        """The principal of a ticket, once. Raises Unauthorized."""
        principal, bound = self._taken(ticket)
        if (origin or "").lower() != bound:
            raise Unauthorized("this ticket is for another origin")
        return principal

    def redeem_embedded(self, ticket: str, parent: str, ours: Callable[[str], bool]) -> Principal:
        """The same for our page /embed, which says in whose frame it is: "" where its browser keeps that from it.
        Browsers open it in frames of the allowed origins only; `ours` tells whether an origin is this server."""
        principal, bound = self._taken(ticket)
        if bound not in self._embedders and not ours(bound):
            raise Unauthorized(f"pages of {bound} may not embed boards of this server")
        if parent and parent.lower() != bound:
            raise Unauthorized(f"this ticket is for pages of {bound}")
        return principal

    def _taken(self, ticket: str) -> tuple[Principal, str]:
        principal, bound, until = self._waiting.pop(_hash(ticket[:200]), (None, "", 0.0))
        if principal is None or until < self._monotonic():
            raise Unauthorized("this ticket was used already or is too old", hint="ask for a new one")
        return principal, bound


def _hash(ticket: str) -> bytes:
    return hashlib.sha256(ticket.encode("utf-8", "replace")).digest()


def narrowed(principal: Principal, boards: list[str] | None, domains: list[str] | None) -> Principal:
    """The principal with read only, and no more than these; one that is bound to boards gets these alone, for its
    ticket is in the hands of visitors. Raises Forbidden for what it does not have."""
    for what, wanted, had in (("board", boards, principal.boards), ("domain", domains, principal.domains)):
        for name in wanted or ():
            if had is not None and name not in had:
                raise Forbidden(f"this key may not see {what} {name[:80]!r}")
    shown = frozenset(boards) if boards is not None else principal.boards
    return msgspec.structs.replace(
        principal,
        scopes=frozenset({"read"}),
        boards=shown,
        boards_only=shown is not None,
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
        ticket = self.tickets.issue(narrowed(self.principal, asked.boards, asked.domains), origin_of(asked.origin))
        self.send({"ticket": ticket, "expires_in_s": TTL_S, "subprotocols": ["analytics.v1", f"ticket.{ticket}"]})
