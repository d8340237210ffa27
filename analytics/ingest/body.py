"""From what came over the wire to plain bytes, with both sizes bounded."""

from __future__ import annotations

import zlib

from analytics.errors import TooLarge, UnsupportedMedia, ValidationError

ENCODINGS = ("", "identity", "gzip")


def unpacked(body: bytes, encoding: str, *, packed_max: int, unpacked_max: int) -> bytes:
    """The decompressed body. Raises TooLarge, UnsupportedMedia, ValidationError (a broken gzip)."""
    if encoding not in ENCODINGS:
        raise UnsupportedMedia(f"cannot read the content encoding {encoding[:40]!r}", hint="send gzip or none")
    if len(body) > packed_max:
        raise TooLarge(f"the body has {len(body):,} bytes, the limit is {packed_max:,}", hint="send smaller batches")
    return gunzipped(body, unpacked_max) if encoding == "gzip" else body


def gunzipped(body: bytes, limit: int) -> bytes:
    """All members of a gzip body; stops as soon as `limit` is passed, so that a bomb costs no memory."""
    parts: list[bytes] = []
    size = 0
    rest = body
    while rest:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(rest, limit - size + 1)
        except zlib.error:
            raise ValidationError("the body is said to be gzip but does not decompress") from None
        size += len(part)
        if size > limit:
            raise TooLarge(f"the body unpacks to more than {limit:,} bytes", hint="send smaller batches")
        if not member.eof:
            raise ValidationError("the gzip body ends early", hint="send the whole body")
        parts.append(part)
        rest = member.unused_data.lstrip(b"\0")
    return b"".join(parts)
