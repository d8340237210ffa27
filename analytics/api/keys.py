"""`/api/keys`: create, list, rotate and revoke keys, and read their audit log. For the scope `admin`."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec

from analytics.api.doorman import Doorman
from analytics.api.http import BodyHandler, read
from analytics.api.sockets import Sockets
from analytics.audit import AuditEntry
from analytics.errors import ValidationError
from analytics.keys import Key, Keys
from analytics.rights import Rights

AUDIT_MOST = 1000
BODY_BYTES = 16 << 10


class NewKey(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /api/keys. A limit left out, or null, is no limit; `expires_at` is RFC 3339 with its offset."""

    name: str
    scopes: list[str]
    domains: list[str] | None = None
    datasets: list[str] | None = None
    boards: list[str] | None = None
    networks: list[str] | None = None
    expires_at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class Rotation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Body of POST /api/keys/{id}/rotate: how many hours both keys count; 90 days at most."""

    grace_hours: Annotated[float, msgspec.Meta(ge=0, le=24 * 90)] = 24.0


class KeyShown(msgspec.Struct, kw_only=True):
    """What is told of a key. `state` is valid, replaced (rotated, in its grace), expired or revoked;
    `key` is its plaintext, there once, in the answer that made it."""

    id: str
    name: str
    state: str
    scopes: tuple[str, ...]
    domains: tuple[str, ...] | None
    datasets: tuple[str, ...] | None
    boards: tuple[str, ...] | None
    networks: tuple[str, ...] | None
    created_at: datetime
    expires_at: datetime | None
    last_used: datetime | None
    revoked_at: datetime | None
    replaced_by: str | None
    connections: int
    key: str | msgspec.UnsetType = msgspec.UNSET


class KeysHandler(BodyHandler):
    """Base of all."""

    scope = "admin"

    def initialize(self, doorman: Doorman, keys: Keys, sockets: Sockets) -> None:  # type: ignore[override]
        super().initialize(None, doorman, BODY_BYTES)  # type: ignore[arg-type]  # keys need no service
        self.keys = keys
        self.sockets = sockets

    def may_give(self, rights: Rights) -> None:
        """A key that is limited makes no key that is not. Raises Forbidden."""
        self.keys.get(self.principal.key_id).rights.check_gives(rights)

    def shown(self, key: Key, connections: int = 0, plaintext: str | None = None) -> dict[str, Any]:
        rights = {name: getattr(key.rights, name) for name in Rights.__struct_fields__}
        fields = ("id", "name", "created_at", "expires_at", "last_used", "revoked_at", "replaced_by")
        told = KeyShown(
            **{name: getattr(key, name) for name in fields},
            **rights,
            state=self.keys.state(key),
            connections=connections,
            key=msgspec.UNSET if plaintext is None else plaintext,
        )
        found: dict[str, Any] = msgspec.to_builtins(told)
        return found


class AllKeysHandler(KeysHandler):
    """GET and POST /api/keys."""

    def get(self) -> None:
        live = Counter(socket["key_id"] for socket in self.sockets.list())
        self.send([self.shown(key, live[key.id]) for key in self.keys.list()])

    def post(self) -> None:
        asked = read(self.body, NewKey)
        limits = {name: getattr(asked, name) for name in ("domains", "datasets", "boards", "networks")}
        self.may_give(Rights.checked(asked.scopes, **limits))
        key, plaintext = self.keys.create(asked.name, asked.scopes, **limits, expires_at=asked.expires_at, **self.by)
        self.send(self.shown(key, plaintext=plaintext), 201)


class KeyHandler(KeysHandler):
    """DELETE /api/keys/{id}: revoke it and cut its sockets."""

    def delete(self, key_id: str) -> None:
        key = self.keys.revoke(key_id, **self.by)
        self.sockets.close_key(key_id)
        self.send(self.shown(key))


class RotateHandler(KeysHandler):
    """POST /api/keys/{id}/rotate: a new key with the same rights; the old one goes on for its grace."""

    def post(self, key_id: str) -> None:
        asked = read(self.body or b"{}", Rotation)
        self.may_give(self.keys.get(key_id).rights)
        key, plaintext = self.keys.rotate(key_id, timedelta(hours=asked.grace_hours), **self.by)
        if not self.keys.alive(key_id):
            self.sockets.close_key(key_id)
        self.send(self.shown(key, plaintext=plaintext), 201)


class AuditHandler(KeysHandler):
    """GET /api/keys/audit?limit=: the newest entries first."""

    def get(self) -> None:
        text = self.get_query_argument("limit", "100")
        if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= AUDIT_MOST):
            raise ValidationError(f"limit: expected a number from 1 to {AUDIT_MOST:,}, got {text[:40]!r}")
        names = {key.id: key.name for key in self.keys.list()}
        self.send([shown_entry(entry, names) for entry in self.keys.audit.newest(int(text))])


def shown_entry(entry: AuditEntry, names: dict[str, str]) -> dict[str, Any]:
    """An entry with the name of its key, as far as there is such a key."""
    found: dict[str, Any] = msgspec.structs.asdict(entry)
    return found | {"name": names.get(entry.key_id or "")}


def routes(doorman: Doorman, keys: Keys, sockets: Sockets) -> list[tuple[Any, ...]]:
    """The addresses of this room."""
    shared = {"doorman": doorman, "keys": keys, "sockets": sockets}
    return [
        (r"/api/keys", AllKeysHandler, shared),
        (r"/api/keys/audit", AuditHandler, shared),
        (r"/api/keys/([^/]+)", KeyHandler, shared),
        (r"/api/keys/([^/]+)/rotate", RotateHandler, shared),
    ]
