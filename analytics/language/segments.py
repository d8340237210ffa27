"""A question cut into items: names, times, words that steer, numbers, and what is not understood."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from analytics.language.names import LONGEST, PREPOSITIONS, Entry, Names, Phrase, Spelling, Values, everyday
from analytics.language.spans import DAYS, MONTHS, PARTS, SMALL, UNITS
from analytics.language.times import GRAINS, Found, scan
from analytics.language.tokens import Token
from analytics.language.words import (
    ADJECTIVES,
    AGGREGATE_WORDS,
    AGGREGATES,
    NOISE,
    REFUSED,
    STEERS,
    SYNONYMS,
)
from analytics.window import UNIT_NAMES

TIME_WORDS = (
    "today yesterday tomorrow since until till last past next previous before after ago between this noon midnight "
    "around near about starting coming following same earlier every half am pm hours step bucket interval resolution "
    "grain bin weekend quarter q1 q2 q3 q4 trend trending timeline graph chart plot history curve over series "
    "development evolution course"
).split()
MISTYPED = set(
    "yesterday today forecast predict explain compare since between failed slowest latest fastest latency "
    "average".split()
)
COUNTS = re.compile(r"(\d[\d,]*(?:\.\d+)?)(%|k|m|b)?")
SCALES = {"%": 0.01, "percent": 0.01, "k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "b": 1e9, "billion": 1e9}
PHRASES = {phrase: tag for tag, phrases in STEERS.items() for phrase in phrases}
STANDS = set("on of for at from over since during within today yesterday now is was are".split())  # nothing hangs on it
VALUED = {"by", "and", "vs", "is", "except", "where"}  # a value may follow
TURNS = ("name", "time", "adjective", "steer", "value", "aggregate", "number", "noise")  # at equal length


def scaled(number: str, scale: str = "") -> float:
    """`5` and `million`, `95` and `%`."""
    return round(float(number.replace(",", "")) * SCALES.get(scale, 1), 12)


class Item(NamedTuple):
    """Tokens [at, end) as one thing. kind: name (an Entry), steer (its tag), adjective (its phrase), aggregate, number
    (as a float), refused (the answer), unknown (the word)."""

    kind: str
    at: int
    end: int
    data: Any
    plural: bool = False


class Cut(NamedTuple):
    """A question in pieces, and the words that were read for others: (typed, meant)."""

    items: list[Item]
    times: list[Found]
    tokens: list[Token]
    corrected: list[tuple[str, str]]


class Cutter:
    """Cuts questions by the names of one workspace and its live values."""

    def __init__(self, names: Names, values: Values) -> None:
        self.names, self.values = names, values
        english = {word for phrase in (*PHRASES, *ADJECTIVES, *AGGREGATES, *SYNONYMS) for word in phrase.split()}
        english |= {*TIME_WORDS, *DAYS, *MONTHS, *(m[:3] for m in MONTHS), *PARTS, *GRAINS, *UNITS, *SMALL}
        english |= {*AGGREGATE_WORDS, *SCALES}
        named = names.words | values.words
        self.known = named | english | NOISE | REFUSED.keys()
        self.spelling = Spelling(named | {*DAYS, *GRAINS} | MISTYPED)

    def cut(
        self, heard: Sequence[Token], now: datetime, tz: ZoneInfo, forced: Mapping[int, Entry | None] | None = None
    ) -> Cut:
        """The items of a question; `forced` says what single tokens are taken for, None that they are passed over."""
        forced = forced or {}
        spelt, corrected = self._spelt(heard)
        words = [token.word for token in spelt]
        found = scan(words, now, tz)
        times = {each.at: each for each in found}
        items: list[Item] = []
        kept: list[Found] = []
        at = 0
        while at < len(words):
            if at in forced:
                entry = forced[at]
                items += [Item("name", at, at + 1, entry, spelt[at].plural)] if entry is not None else []
                at += 1
                continue
            item = self._longest(spelt, words, at, times.get(at))
            if item.kind == "time":
                kept.append(self._once(item.data, spelt))
            if item.kind != "noise":
                items.append(item)
            at = item.end
        return Cut(items, kept, spelt, corrected)

    def _once(self, found: Found, tokens: Sequence[Token]) -> Found:
        """`on Mondays` is no time: a window is one span."""
        said = tokens[found.at : found.end]
        several = [t.typed for t in said if t.plural and t.word in (*DAYS, *PARTS, "weekend")]
        if not several:
            return found
        return found._replace(kind="bad", data=f"{several[0]} are several; one window is asked for")

    def _spelt(self, heard: Sequence[Token]) -> tuple[list[Token], list[tuple[str, str]]]:
        """The tokens with the one known word in place of a mistyped one, and one spelling of aggregates."""
        out: list[Token] = []
        corrected = []
        at = 0
        while at < len(heard):
            pair = " ".join(token.word for token in heard[at : at + 2])
            if at + 1 < len(heard) and pair in AGGREGATES:
                out.append(Token(pair, AGGREGATES[pair]))
                at += 2
                continue
            token = heard[at]
            if out and out[-1].word == "per" and token.word in UNITS:
                token = Token(token.typed, UNIT_NAMES[UNITS[token.word]])
            if (word := AGGREGATES.get(token.word)) and token.word not in self.names.words:
                token = Token(token.typed, word)
            elif token.word not in self.known and len(meant := self.spelling.meant(token)) == 1:
                corrected.append((token.typed, meant[0]))
                token = Token(token.typed, meant[0], token.plural)
            out.append(token)
            at += 1
        return out, corrected

    def _longest(self, tokens: Sequence[Token], words: Sequence[str], at: int, time: Found | None) -> Item:
        options = [Item("time", at, time.end, time)] if time else []
        for size in range(min(LONGEST, len(words) - at), 0, -1):
            phrase = tuple(words[at : at + size])
            options += self._options(phrase, at, size, tokens, words)
        if not options:
            return self._rest(words, at)
        best = min(options, key=lambda item: (item.at - item.end, TURNS.index(item.kind)))
        return best._replace(kind="name") if best.kind == "value" else best

    def _options(self, phrase: Phrase, at: int, size: int, tokens: Sequence[Token], words: Sequence[str]) -> list[Item]:
        text, end, found = " ".join(phrase), at + size, []
        plural = tokens[end - 1].plural
        small = size == 1 and text in NOISE and not self._expects(words[at - 1] if at else "")
        if not small and (entry := self._entry(phrase, words[end : end + 1])):
            kind = "name" if entry.metrics or entry.dims else "value"
            found.append(Item(kind, at, end, entry, plural))
        if text in ADJECTIVES:
            found.append(Item("adjective", at, end, text))
        if text in PHRASES and not self._goes_on(phrase, words[end : end + 1]):
            found.append(Item("steer", at, end, PHRASES[text]))
        if size == 1 and text in AGGREGATE_WORDS:
            found.append(Item("aggregate", at, end, text))
        if size == 1 and text in NOISE:
            found.append(Item("noise", at, end, text))
        return found

    def _goes_on(self, phrase: Phrase, following: Sequence[str]) -> bool:
        """`with error` in front of `type`: its last word begins a name."""
        return len(phrase) > 1 and bool(following) and bool(self.names.dims((phrase[-1], *following)))

    def _expects(self, before: str) -> bool:
        """Whether a value may be spelt as a small word: `carrier US`, `of US`, and not what it `cost us`."""
        return before in PREPOSITIONS or PHRASES.get(before) in VALUED or bool(self.names.dims((before,)))

    def _entry(self, phrase: Phrase, following: Sequence[str]) -> Entry | None:
        """What a phrase names; one that ends in a preposition does so only where nothing hangs on it."""
        hangs = phrase[-1] in PREPOSITIONS and following and following[0] not in STANDS
        hangs = hangs and PHRASES.get(following[0]) not in ("and", "by", "vs")
        for spelling in dict.fromkeys((phrase, everyday(phrase))):
            metrics = () if hangs else self.names.metrics(spelling)
            entry = Entry(metrics, self.names.dims(spelling), self.values.find(phrase))
            if any(entry):
                return entry
        return None

    def _rest(self, words: Sequence[str], at: int) -> Item:
        word = words[at]
        if word in REFUSED:
            return Item("refused", at, at + 1, REFUSED[word])
        if word in SMALL:
            return Item("number", at, at + 1, float(SMALL.index(word) + 1))
        if number := COUNTS.fullmatch(word):
            scale = number[2] or ""
            end = at + 1
            if not scale and at + 1 < len(words) and words[at + 1] in SCALES:
                scale, end = words[at + 1], at + 2
            return Item("number", at, end, scaled(number[1], scale))
        return Item("unknown", at, at + 1, word)
