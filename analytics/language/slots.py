"""What the items of a question ask for: metrics, groups, filters and intent, before they are one request."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from analytics.language.names import Entry, Names, Value, Values
from analytics.language.segments import Cut, Item
from analytics.language.tokens import words
from analytics.language.words import ADJECTIVES, AGGREGATE_WORDS

JOINED = {"and", "vs"}
EACH = {"per", "each", "every"}  # what stands after them is no value
OPPOSITE = {"to": {"origin"}, "from": {"destination", "dest"}}  # dimensions that a direction is not said of


class Doubt(Exception):
    """Why a question is not understood. `unknown` are the words that stand in the way; each of `instead` says what
    tokens could be taken for, to read the question again."""

    def __init__(
        self, reason: str, unknown: Sequence[str] = (), instead: Sequence[dict[int, Entry | None]] = ()
    ) -> None:
        super().__init__(reason)
        self.reason, self.unknown, self.instead = reason, tuple(unknown), tuple(instead)


class Named(NamedTuple):
    """A metric, a dimension or a value of which one is meant, and where it stands."""

    options: tuple[str, ...]
    at: int
    joined: bool = False  # by "and", a comma or "vs" to the one before
    by: bool = False  # it stood after "by"


class Chosen(NamedTuple):
    """Rows to keep or to leave out. link: the word that joins it to the one before; loose: "except" was said of another
    value, and nothing joins this one to it; named: its dimension was said."""

    options: tuple[Value, ...]
    at: int
    out: bool
    contains: str = ""
    link: str = ""
    loose: bool = False
    named: bool = False


class Slots(msgspec.Struct, kw_only=True):
    """All that a question says, each thing once."""

    metrics: list[Named] = []
    groups: list[Named] = []
    bare: list[tuple[Named, bool]] = []  # dimensions on their own, and whether they stood in the plural
    filters: list[Chosen] = []
    tags: list[str] = []
    adjective: str = ""
    aggregate: str = ""
    numbers: list[tuple[float, int]] = []
    places: dict[str, tuple[int, int]] = {}  # where a tag, the adjective or the aggregate stands: tokens [at, end)

    def without(self, word: str) -> list[dict[int, Entry | None]]:
        """The question read again as if this had not been said."""
        at, end = self.places.get(word, (0, 0))
        return [dict.fromkeys(range(at, end))] if end else []

    def says(self, *tags: str) -> bool:
        return any(tag in self.tags for tag in tags)


class Filler:
    """Goes through the items once and puts each into its slot. Raises Doubt for what fits nowhere."""

    def __init__(self, cut: Cut, names: Names, values: Values) -> None:
        self.items, self.tokens = cut.items, cut.tokens
        self.names, self.values = names, values
        self.slots = Slots()
        self.out = False  # after "except"
        self.grouping = False  # after "by"
        self.fresh = False  # "except" was said of just this name
        self.open = ""  # "by" or "except" that nothing has followed yet
        self.dim = ""  # the dimension that the values after it are of
        self.kept = -1  # where the items go on after the last filter

    def fill(self) -> Slots:
        refused = next((item for item in self.items if item.kind == "refused"), None)
        if refused:
            raise Doubt(refused.data, [self._typed(refused)])
        at = 0
        while at < len(self.items):
            at = self._take(at)
        self._closed_off()
        return self.slots

    def _closed_off(self) -> None:
        if self.open:
            at, end = self.slots.places[self.open]
            word = " ".join(token.typed for token in self.tokens[at:end])
            raise Doubt(f"{word} what?", [word], self.slots.without(self.open))

    def _take(self, at: int) -> int:
        """Put one thing away; gives back where to go on."""
        item, slots = self.items[at], self.slots
        match item.kind:
            case "name":
                return self._name(at)
            case "steer":
                return self._steer(at)
            case "time":  # "by hour and agent"
                if self.open == "except":
                    self._closed_off()
                self.grouping = item.data.kind == "grain" and self.tokens[item.at].word in ("by", "per")
                self.out = False
                self.dim = ""
            case "adjective":
                if slots.adjective:
                    raise Doubt("it says in two ways what comes first")
                slots.adjective = item.data
                slots.places[item.data] = (item.at, item.end)
            case "aggregate":
                if slots.aggregate not in ("", item.data):
                    raise Doubt(f"{slots.aggregate} or {item.data}?", [item.data], slots.without(slots.aggregate))
                slots.aggregate = item.data
                slots.places[item.data] = (item.at, item.end)
            case "number":
                slots.numbers.append((item.data, at))
            case _:
                self._unknown(item)
        return at + 1

    def _steer(self, at: int) -> int:
        tag, slots = self.items[at].data, self.slots
        if tag == "sorted":
            self._sorted(at)
            return at + 1
        slots.tags.append(tag)
        slots.places.setdefault(tag, (self.items[at].at, self.items[at].end))
        if tag == "contains":
            raise Doubt("contains is said of a dimension, as in name contains report", [self._typed(self.items[at])])
        if tag in ("by", "except"):
            if self.open != tag:
                self._closed_off()
            self.open = tag
            self.grouping, self.out = tag == "by", tag == "except"
            self.dim = "" if tag == "by" else self.dim
        elif tag not in ("and", "is"):
            if self.open == "except" and tag != "where":  # "not failed"
                self._closed_off()
            self.grouping = self.out = False
            self.dim = "" if tag != "vs" else self.dim
        return at + 1

    def _sorted(self, at: int) -> None:
        """`agents sorted by spend`: groups come by the one metric, the biggest first, and in no other order."""
        after = self.items[at + 1] if at + 1 < len(self.items) else None
        measured = after is not None and after.kind == "name" and after.data.metrics and not after.data.dims
        if not measured or self.slots.metrics or not (self.slots.bare or self.slots.groups):
            word = self._typed(self.items[at])
            raise Doubt("groups come by their metric, the biggest first, and in no other order", [word])

    def _tag(self, at: int) -> str:
        item = self.items[at] if 0 <= at < len(self.items) else None
        return item.data if item is not None and item.kind == "steer" else ""

    def _name(self, at: int) -> int:
        """Put a name away. What is left out must be a value, and what something is counted per a dimension."""
        said, filters, metrics = self.open, len(self.slots.filters), len(self.slots.metrics)
        after = self._named(at)
        if said == "except" and len(self.slots.filters) == filters:
            start, end = self.slots.places[said]
            word = " ".join(token.typed for token in self.tokens[start:end])
            raise Doubt(f"{word!r} leaves out values, and none follows it", [word], self.slots.without(said))
        each = said == "by" and self._typed(self.items[at - 1]).split()[-1] in EACH
        if each and (len(self.slots.filters) > filters or len(self.slots.metrics) > metrics):
            word = self._typed(self.items[at])
            raise Doubt(f"{word!r} is nothing that numbers are counted by", [word])
        return after

    def _named(self, at: int) -> int:
        item, entry = self.items[at], self.items[at].data
        assert isinstance(entry, Entry)
        before = self._tag(at - 1)
        joined, by = before in JOINED, self.open == "by"
        self.grouping = self.grouping and before in ("by", "and")
        self.fresh, self.open = self.open == "except", ""
        if entry.dims and (taken := self._condition(at)):
            return taken
        if self.dim and not self.grouping and (found := self._of(self.dim, item)):
            return self._keep(at, found, at)  # "agent is planner or coder"
        if self.grouping and entry.dims:
            if before == "and" and self._typed(self.items[at - 1]) in ("or", "nor"):
                raise Doubt(f"by {self._typed(item)}, or by the one before?", [self._typed(item)])
            self.slots.groups.append(Named(entry.dims, at))
            return at + 1
        if self.grouping and (dims := self._short(item)):
            self.slots.groups.append(Named(dims, at))
            return at + 1
        if entry.values and not entry.metrics and (closing := self._closed(at, entry)):
            return closing
        if before == "vs" and self.kept == at - 1:
            beside = {value.dim for value in self.slots.filters[-1].options}
            if found := self._of_all([*beside], item):  # "web vs store"
                return self._keep(at, found, at)
        if entry.metrics and joined and self._typed(self.items[at - 1]) == "plus":
            raise Doubt("metrics are not added up; ask for both with and", ["plus"])
        if entry.metrics:
            self.grouping = self.out = False
            if joined:
                self._whole(at)
            self.slots.metrics.append(Named(entry.metrics, at, joined, by))
            return at + 1
        if entry.values and not entry.dims:
            return self._keep(at, self._directed(item), at)
        self.slots.bare.append((Named(entry.dims, at), item.plural or before in ("which", "top", "most")))
        return at + 1

    def _condition(self, at: int) -> int | None:
        """`agent planner`, `status is error`, `name contains report`, `agent is not planner`; where to go on."""
        dims, after, out = self.items[at].data.dims, at + 1, self.out
        if self._tag(after) == "contains":
            if after + 1 >= len(self.items) or self.items[after + 1].kind not in ("name", "unknown"):
                raise Doubt("contains what?")
            part = self._typed(self.items[after + 1])
            self.slots.filters.append(Chosen(tuple(Value(d, part) for d in dims), at, out, part))
            self.slots.tags.append("contains")
            return after + 2
        said = self._tag(after)
        explicit = self._tag(at - 1) != "by" and (said == "is" or (said == "except" and not self.grouping))
        if explicit:
            out = out or said == "except"
            after += 1
        item = self.items[after] if after < len(self.items) else None
        if item is None or item.kind not in ("name", "unknown"):
            return None
        found = self._of_all(dims, item)
        certain = explicit or (item.kind == "name" and not item.data.metrics and not self.grouping)
        if found and certain:
            self.dim, self.out, self.grouping = found[0].dim, out, False
            self.fresh = self.fresh or said == "except"
            return self._keep(after, found, at, named=True)
        if item.kind == "unknown" and not self.grouping and said != "except":
            named = self.names.metrics((*self._words(self.items[at]), *self._words(item)))  # agents are active
            if named and not self.slots.says("which"):
                self.slots.metrics.append(Named(named, at, self._tag(at - 1) in JOINED))
                return after + 1
            self._no_value(dims, item)
        return None

    def _closed(self, at: int, entry: Entry) -> int | None:
        """`the large model`, `support domain`: a value and its dimension after it."""
        after = self.items[at + 1] if at + 1 < len(self.items) else None
        if after is None or after.kind != "name" or not after.data.dims or after.at != self.items[at].end:
            return None
        if not (found := self._of_all(after.data.dims, self.items[at])):
            return None
        self._keep(at, found, at, named=True)
        self.kept = at + 2
        return at + 2

    def _keep(self, at: int, found: Sequence[Value], start: int, *, named: bool = False) -> int:
        """A value that begins with the item at `start`, its dimension's name."""
        self.grouping = False
        link = self._link(start)
        loose = self.out and not self.fresh and link in ("", ",")
        self.slots.filters.append(Chosen(tuple(found), at, self.out, link=link, loose=loose, named=named))
        self.kept = at + 1
        return at + 1

    def _link(self, start: int) -> str:
        """The word between the last filter and the one at `start`, as typed; with a preposition after it, both."""
        if self._tag(start - 1) != "and" or self.kept != start - 1:
            return ""
        first, last = self.items[start - 1].at, self.items[start].at
        return " ".join(token.typed for token in self.tokens[first:last])

    def _directed(self, item: Item) -> tuple[Value, ...]:
        """The values of a name, `from JFK` an origin; none of them is meant by `to JFK`."""
        word = self.tokens[item.at - 1].typed if item.at else ""
        found: tuple[Value, ...] = item.data.values
        if word not in OPPOSITE or self.slots.says("compare"):
            return found
        dims = self.names.workspace.dimensions
        fits = tuple(v for v in found if not OPPOSITE[word] & {*words(v.dim), *words(dims[v.dim].title)})
        if not fits:
            typed = self._typed(item)
            raise Doubt(f"{typed!r} is known as {found[0].dim.rpartition('.')[2]} alone", [typed])
        return found

    def _whole(self, at: int) -> None:
        """`error and success rate`: whether the first name goes on with the end of the second."""
        if at < 2 or self.items[at - 2].kind != "name" or self.items[at - 2].plural:
            return
        first, second = self._words(self.items[at - 2]), self._words(self.items[at])
        alone = self.names.metrics(first)
        bare = all(word in AGGREGATE_WORDS for word in first)  # "p50 and p95 tool duration"
        rest = [second[i:] for i in range(1, len(second))]
        longer = [found for each in rest if (found := self.names.metrics((*first, *each))) and found != alone]
        if alone and rest and (longer or (bare and self.names.metrics((*first, *rest[0])) != alone)):
            word = self._typed(self.items[at - 2])
            instead: list[dict[int, Entry | None]] = [{self.items[at - 2].at: Entry(metrics=each)} for each in longer]
            raise Doubt(f"{word!r} on its own, or with {' '.join(rest[-1])}?", [word], instead)

    def _of(self, dim: str, item: Item) -> tuple[Value, ...]:
        return self._of_all((dim,), item)

    def _of_all(self, dims: Sequence[str], item: Item) -> tuple[Value, ...]:
        phrase = self._words(item)
        forced = item.data.values if item.kind == "name" else ()
        return tuple(v for v in forced if v.dim in dims) or self.values.find(phrase, dims)

    def _short(self, item: Item) -> tuple[str, ...]:
        """A dimension by the last word of its name: by type."""
        if item.end - item.at != 1:
            return ()
        return self.names.dims_with(self.tokens[item.at].word)

    def _unknown(self, item: Item) -> None:
        if self.grouping and (dims := self._short(item)):
            self.open = ""
            self.slots.groups.append(Named(dims, self.items.index(item)))
            return
        word = self._typed(item)
        raise Doubt(f"{word!r} is not understood", [word], nearest(self, item))

    def _no_value(self, dims: Sequence[str], item: Item) -> None:
        word = self._typed(item)
        near = near_words(self.tokens[item.at].word, [v for d in dims for v in self.values.live.get(d, ())])
        instead: list[dict[int, Entry | None]] = [
            {item.at: Entry(values=tuple(Value(d, v) for d in dims if v in self.values.live.get(d, ())))} for v in near
        ]
        raise Doubt(f"no {dims[0].rpartition('.')[2]} {word!r} is live", [word], instead)

    def _words(self, item: Item) -> tuple[str, ...]:
        return tuple(token.word for token in self.tokens[item.at : item.end])

    def _typed(self, item: Item) -> str:
        return " ".join(token.typed for token in self.tokens[item.at : item.end])


def nearest(filler: Filler, item: Item) -> list[dict[int, Entry | None]]:
    """What an unknown word could have been: metrics that hold it, names and values like it, or nothing at all."""
    word = filler.tokens[item.at].word
    names = filler.names
    found: list[dict[int, Entry | None]] = [{item.at: Entry(metrics=(m,))} for m in names.metrics_with([word])[:3]]
    live = {value: dim for dim, listed in filler.values.live.items() for value in listed}
    for near in near_words(word, [*names.words, *live]):
        if near in live:
            found.append({item.at: Entry(values=filler.values.find(words(near)))})
        elif any(entry := Entry(names.metrics((near,)), names.dims((near,)))):
            found.append({item.at: entry})
        else:
            found += [{item.at: Entry(metrics=(m,))} for m in names.metrics_with([near])[:2]]
    return [*found[:4], {item.at: None}]


def near_words(word: str, known: Sequence[str]) -> list[str]:
    """At most three known words like this one, which begin as it does and are about as long."""
    alike = {each for each in known if each[:1] == word[:1] and abs(len(each) - len(word)) < 4}
    return difflib.get_close_matches(word, sorted(alike), n=3, cutoff=0.72)


def sort_of(adjective: str) -> tuple[str, str, bool]:
    """The metric phrase, the column of flows and the direction of an adjective."""
    return ADJECTIVES[adjective]
