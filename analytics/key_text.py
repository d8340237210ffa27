"""The text of an API key: `pl_live_<id>_<secret>_<crc>`. Making it, reading it, keeping it out of logs."""

from __future__ import annotations

import logging
import re
import secrets
import string
import zlib

import msgspec

from analytics.errors import Unauthorized

PREFIX = "pl_live_"
ID_ALPHABET = string.ascii_lowercase + string.digits
ALPHABET = string.ascii_letters + string.digits
ID_LENGTH, SECRET_LENGTH, CRC_LENGTH = 10, 32, 6  # the secret has 190 bits

_FORM = re.compile(rf"{PREFIX}([a-z0-9]{{{ID_LENGTH}}})_([A-Za-z0-9]{{{SECRET_LENGTH}}})_([A-Za-z0-9]{{{CRC_LENGTH}}})")
_TRACE = re.compile(rf"{PREFIX}(?:([a-z0-9]{{{ID_LENGTH}}})_)?[\w%.~+/=-]*", re.IGNORECASE)


class KeyText(msgspec.Struct, frozen=True):
    """The parts of a well-formed key. `id` may be shown, `secret` never."""

    id: str
    secret: str

    def __repr__(self) -> str:
        return f"KeyText({self.id}, ***)"

    @classmethod
    def fresh(cls) -> KeyText:
        return cls(_random(ID_ALPHABET, ID_LENGTH), _random(ALPHABET, SECRET_LENGTH))

    @classmethod
    def read(cls, plaintext: str) -> KeyText:
        """The parts of a key as a client sent it. Raises Unauthorized, which never repeats the key."""
        found = _FORM.fullmatch(plaintext)
        if found is None or _crc(found[1], found[2]) != found[3]:
            raise Unauthorized(
                "this is not a whole API key", hint=f"expected {PREFIX}ID_SECRET_CRC; was it cut when it was copied?"
            )
        return cls(found[1], found[2])

    def plaintext(self) -> str:
        return f"{PREFIX}{self.id}_{self.secret}_{_crc(self.id, self.secret)}"


def redact(text: str) -> str:
    """The text with everything masked that looks like a key or a piece of one; an id stays readable."""
    return _TRACE.sub(lambda found: f"{PREFIX}{found[1] + '_' if found[1] else ''}***", text)


class Redacting(logging.Formatter):
    """A log formatter that lets no key through, neither in messages nor in tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _crc(key_id: str, secret: str) -> str:
    """Tells a mistyped or cut key from a wrong one without asking the database; proves nothing else."""
    rest, text = zlib.crc32(f"{key_id}_{secret}".encode()), ""
    for _ in range(CRC_LENGTH):
        rest, digit = divmod(rest, len(ALPHABET))
        text += ALPHABET[digit]
    return text
