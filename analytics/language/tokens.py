"""A question as words: small letters, singulars, names cut at their joints."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_DATE = r"\d{4}-\d{2}-\d{2}(?:[t ]\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:z|[+-]\d{2}:\d{2})?)?(?!\d)|\d{4}-\d{2}(?![\d-])"
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?!\d)"
_NUMBER = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?%?|\d+\.\d+%?|\d+%"
_TOKEN = re.compile(rf"{_DATE}|{_CLOCK}|{_NUMBER}|(?<=\s)-\d+|[^\W_]+|!=|==|[^\w\s]", re.UNICODE)
_SPELT = (
    ("what's", "what is"),
    ("whats ", "what is "),
    ("how's", "how is"),
    ("’", "'"),
    ("w/o", "without"),
    ("i'd ", "i "),
)
_TO = re.compile(r"(?:(?<=\d)|(?<=[ap]m)) +[-–—] +(?=\d)")  # 8:00 - 9:30
_APOSTROPHE = re.compile(r"'s\b|(?<=s)'(?=\s|$)|(?<=\w)'(?=\w)")
_DROPPED = set("?!.;\"'()[]{}_-–—…“”`*#")
# what stays as it is although it ends in s
_WHOLE = set("status is was has this us ms hours always less vs versus across as does".split())


class Token(NamedTuple):
    """One word: as it was typed, as it is compared, and whether it was a plural."""

    typed: str
    word: str
    plural: bool = False


def tokens(text: str) -> list[Token]:
    """The words of a question in their order."""
    plain = unicodedata.normalize("NFKC", text).lower()
    for typed, meant in _SPELT:
        plain = plain.replace(typed, meant)
    plain = _TO.sub(" to ", plain)
    plain = _APOSTROPHE.sub("", plain.replace("'s ", " ").replace("n't", " not"))
    found = []
    for match in _TOKEN.finditer(plain):
        typed = match[0]
        if typed == "/":
            found.append(Token("/", "per"))
        elif typed not in _DROPPED:
            word = singular(typed)
            found.append(Token(typed, word, word != typed))
    return found


def words(name: str) -> tuple[str, ...]:
    """A name or a title as it is compared with the words of a question."""
    return tuple(token.word for token in tokens(name))


def singular(word: str) -> str:
    """Without the s of the plural, as far as that can be told without a dictionary."""
    if len(word) < 4 or not word.isalpha() or word in _WHOLE or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return f"{word[:-3]}y"
    return word[:-2] if word.endswith(("shes", "ches", "xes", "sses")) else word.removesuffix("s")


def close(typed: str, meant: str) -> bool:
    """Whether one edit leads from one word to the other: a letter more, less, other, or two swapped."""
    if typed == meant or abs(len(typed) - len(meant)) > 1:
        return False
    at = next((i for i, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b), min(len(typed), len(meant)))
    a, b = typed[at:], meant[at:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])


def inflected(typed: str, meant: str) -> bool:
    """Whether two words end otherwise: scheduled is no scheduler, and larger is not large."""
    return typed[-1:] != meant[-1:] and typed[-2:] != meant[:-3:-1]
