"""The limits of intake: each a setting with its default and meaning."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Sizes in bytes unless named otherwise."""

    packed_max: int = 16 * 2**20  # one body as it came
    unpacked_max: int = 64 * 2**20  # the same decompressed
    event_max: int = 2**20  # any one text of an event; larger ones are dropped
    text_max: int = 1024  # characters kept of a text column
    attributes_max: int = 32 * 2**10  # attributes of one event; larger ones are trimmed
    depth_max: int = 32  # levels of nesting in attributes
    ahead_s: float = 600.0  # how far a sender's clock may be ahead
