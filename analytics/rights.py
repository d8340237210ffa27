"""What a key allows, and the principal who carries it through the program."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from datetime import datetime

import msgspec

from analytics.errors import Forbidden, ValidationError, unknown

COOKIE = "plumbline_session"  # carries a login: an opaque token, HttpOnly
WALL_COOKIE = "plumbline_wall"  # the same, of a paired screen
SCOPES = {
    "read": "ask and subscribe",
    "ingest": "send events",
    "admin": "manage keys and see the server's inner state",
}


class Rights(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a key allows. None is no limit."""

    scopes: tuple[str, ...]
    domains: tuple[str, ...] | None = None
    datasets: tuple[str, ...] | None = None
    boards: tuple[str, ...] | None = None
    networks: tuple[str, ...] | None = None

    @classmethod
    def checked(
        cls,
        scopes: Iterable[str],
        domains: Iterable[str] | None,
        datasets: Iterable[str] | None,
        boards: Iterable[str] | None,
        networks: Iterable[str] | None,
    ) -> Rights:
        """Rights as a person gave them. Raises ValidationError."""
        wanted = tuple(dict.fromkeys(scopes))
        if wrong := [scope for scope in wanted if scope not in SCOPES]:
            raise ValidationError(unknown("scope", wrong[0], SCOPES))
        if not wanted:
            raise ValidationError(f"a key needs at least one scope of {', '.join(SCOPES)}")
        return cls(
            wanted, _some("domains", domains), _some("datasets", datasets), _some("boards", boards), _networks(networks)
        )

    def reach(self, address: str | None) -> bool:
        """Whether they count at an address; one that is unknown is in no network."""
        if self.networks is None:
            return True
        try:
            found = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        found = getattr(found, "ipv4_mapped", None) or found  # how a socket for both families shows IPv4
        return any(found in ipaddress.ip_network(network) for network in self.networks)

    def check_gives(self, other: Rights) -> None:
        """Whether a key of these rights may hand out a key of other ones: scopes are free, limits are passed
        on. Raises Forbidden."""
        for what in ("domains", "datasets", "boards", "networks"):
            had: tuple[str, ...] | None = getattr(self, what)
            wanted: tuple[str, ...] | None = getattr(other, what)
            inside = _inside if what == "networks" else tuple.__contains__
            if had is not None and not (wanted and all(inside(had, name) for name in wanted)):
                raise Forbidden(f"this key is bound to {what} {', '.join(had)}, and so are the keys it makes")


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who is asking, and what they may. None is no limit."""

    key_id: str
    name: str
    scopes: frozenset[str]
    domains: frozenset[str] | None = None
    datasets: frozenset[str] | None = None
    boards: frozenset[str] | None = None
    expires_at: datetime | None = None
    boards_only: bool = False  # whoever holds its ticket sees the boards, and asks nothing else

    def require(self, scope: str) -> None:
        """Raises Forbidden, naming the scope that is missing."""
        if scope not in self.scopes:
            raise Forbidden(
                f"this key has no scope {scope!r}; it has {', '.join(sorted(self.scopes))}",
                hint=f"create a key with --scopes {scope}",
                scope=scope,
            )


def _some(what: str, values: Iterable[str] | None) -> tuple[str, ...] | None:
    if values is None:
        return None
    found = tuple(dict.fromkeys(values))
    if not found or not all(found):
        raise ValidationError(f"{what}: expected at least one name; leave it out for no limit")
    return found


def _networks(values: Iterable[str] | None) -> tuple[str, ...] | None:
    found = _some("networks", values)
    try:
        return None if found is None else tuple(str(ipaddress.ip_network(value)) for value in found)
    except ValueError as error:
        raise ValidationError(f"networks: {error}", hint="for example 10.0.0.0/8 or 2001:db8::/32") from None


def _inside(networks: tuple[str, ...], network: str) -> bool:
    inner, outer = ipaddress.ip_network(network), [ipaddress.ip_network(n) for n in networks]
    return any(inner.version == n.version and inner.subnet_of(n) for n in outer)  # type: ignore[arg-type]
