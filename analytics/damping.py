"""Brute-force damping: an address that keeps sending wrong keys is told to wait, longer each time.

Every key is checked before anyone is told to wait, and a right one always passes. A secret has 190 random
bits, so slowing guesses down protects nothing; shutting out the right keys behind a shared address (an
office, a proxy) would be the one attack that works. What damping does is tell a broken client to stop,
and a guesser nothing about its keys: unknown, expired and revoked ones are all refused in the same words.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

FREE = 10  # refused keys that are answered plainly
WITHIN_S = 60.0  # ... when they come within this
LONGEST_S = 300.0
FORGET_S = 600.0  # of quiet, after which an address starts afresh
MOST = 10_000  # addresses remembered


class Damping:
    """Counts refused keys by address. `monotonic` gives seconds."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._seen: OrderedDict[str, tuple[int, float, float]] = OrderedDict()  # refusals, since, last

    def __len__(self) -> int:
        return len(self._seen)

    def refused(self, address: str | None) -> float:
        """Note a refused key; gives the seconds to wait, 0 while the address is within its free ones."""
        now, origin = self._monotonic(), network(address)
        count, since, last = self._seen.pop(origin, (0, now, now))
        if now - last > FORGET_S or (count <= FREE and now - since > WITHIN_S):
            count, since = 0, now
        self._seen[origin] = (count + 1, since, now)
        while len(self._seen) > MOST or now - next(iter(self._seen.values()))[2] > FORGET_S:
            self._seen.popitem(last=False)
        beyond = count - FREE  # that is one less than there are beyond the free ones
        return 0.0 if beyond < 0 else min(LONGEST_S, 2.0 ** min(beyond, 20))


def network(address: str | None) -> str:
    """Who counts as one: an IPv4 address, or the /64 that one holder of IPv6 addresses has."""
    try:
        found = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    found = getattr(found, "ipv4_mapped", None) or found
    return str(found) if found.version == 4 else str(ipaddress.ip_network((int(found), 64), strict=False))
