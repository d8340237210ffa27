"""What a workspace calls its metrics and dimensions, and the values that are live, as phrases to look up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from analytics.language.tokens import Token, close, inflected, words
from analytics.language.words import AGGREGATE_WORDS, AGGREGATES, NEVER_MISTYPED, SYNONYMS
from analytics.workspace import Dimension, Metric, Workspace

Phrase = tuple[str, ...]
LAST = ("name", "kind", "resource")  # columns that hold the values of others again; looked at when no other has it
PREPOSITIONS = {"in", "for", "of", "to", "from"}
LONGEST = 8  # words of a phrase
LEAST_LETTERS = 5  # of a word that may be mistyped


class Value(NamedTuple):
    """A live value of a dimension."""

    dim: str
    value: str


class Entry(NamedTuple):
    """What a phrase may stand for, best first: those of the lowest rank that fit together are meant."""

    metrics: tuple[str, ...] = ()
    dims: tuple[str, ...] = ()
    values: tuple[Value, ...] = ()


class Names:
    """The phrases of one workspace. Immutable once built, so that it can be kept with the workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self._metrics: dict[Phrase, dict[str, int]] = {}
        self._dims: dict[Phrase, dict[str, int]] = {}
        for metric in workspace.metrics.values():
            for rank, phrase in _phrases_of(metric):
                _add(self._metrics, phrase, metric.name, rank)
        for dim in workspace.dimensions.values():
            for rank, phrase in _phrases_of_dim(dim):
                _add(self._dims, phrase, dim.name, rank)
        for dataset in workspace.datasets.values():
            for counted in (m for m in workspace.metrics.values() if m.dataset == dataset.name):
                if dataset.columns and counted.aggregate == "count" and not counted.where:
                    _add(self._metrics, words(dataset.name), counted.name, 1)
                    _add(self._metrics, words(dataset.title), counted.name, 1)
        self._bags: dict[frozenset[str], Phrase] = {}
        for phrase in self._metrics:
            if 1 < len(phrase) == len(set(phrase)) and not PREPOSITIONS & set(phrase):
                self._bags.setdefault(frozenset(phrase), phrase)
        self.words = {word for phrase in (*self._metrics, *self._dims) for word in phrase}

    def metrics(self, phrase: Phrase) -> tuple[str, ...]:
        """The metrics of exactly this phrase, in whatever order its words come."""
        found = self._metrics.get(phrase) or self._metrics.get(self._bags.get(frozenset(phrase), ()))
        return _best(found)

    def dims(self, phrase: Phrase) -> tuple[str, ...]:
        """The dimensions of exactly this phrase."""
        return _best(self._dims.get(phrase))

    def metrics_with(self, heard: Iterable[str]) -> list[str]:
        """Metrics whose phrases hold one of these words, those with more of them first: for readings."""
        wanted = set(heard)
        scored: dict[str, int] = {}
        for phrase, entry in self._metrics.items():
            if hits := len(wanted & set(phrase)):
                for name in entry:
                    scored[name] = max(scored.get(name, 0), hits)
        return sorted(scored, key=lambda name: -scored[name])

    def dims_with(self, word: str) -> tuple[str, ...]:
        """Dimensions whose phrase ends in this word: `type` for error type."""
        return tuple(dict.fromkeys(n for phrase, entry in self._dims.items() if phrase[-1] == word for n in entry))


class Values:
    """The live values of a workspace's dimensions as phrases."""

    def __init__(self, names: Names, live: Mapping[str, Sequence[str]]) -> None:
        self.live = live
        self._values: dict[Phrase, list[Value]] = {}
        dims = names.workspace.dimensions
        for dim in live:
            for value in live[dim] if dim in dims else ():
                if 0 < len(phrase := words(value)) <= LONGEST:
                    self._values.setdefault(phrase, []).append(Value(dim, value))
        first: dict[tuple[str, str | None, str | None], str] = {}
        for each in dims.values():
            first.setdefault((each.dataset, each.column, each.attribute), each.name)
        self._second = dims.keys() - set(first.values())  # one column under two names
        self._last = {d.name for d in dims.values() if d.column in LAST}
        self.words = {word for phrase in self._values for word in phrase}

    def find(self, phrase: Phrase, dims: Iterable[str] | None = None) -> tuple[Value, ...]:
        """The values of this phrase: in these dimensions, else in those that say most."""
        found = self._values.get(phrase, [])
        if dims is not None:
            wanted = set(dims)
            return tuple(v for v in found if v.dim in wanted)
        first = [v for v in found if v.dim not in self._second]
        best = [v for v in first if v.dim not in self._last]
        return tuple(best or first)


class Spelling:
    """Corrects a word by one edit where that leads to one known word alone."""

    def __init__(self, known: Iterable[str]) -> None:
        plain = [word for word in known if len(word) >= LEAST_LETTERS - 1 and word.isalpha()]
        self._known: dict[str, list[tuple[str, str]]] = {}  # by first letter: as it is typed, and what that is
        for word in plain:
            spelt = word if len(word) >= LEAST_LETTERS else f"{word}s"  # a short one counts in its plural
            self._known.setdefault(word[0], []).append((spelt, word))

    def meant(self, token: Token) -> list[str]:
        """The words that were meant, several where one edit leads to several. A first letter is rarely mistyped."""
        typed = {token.typed, token.word}
        if len(token.typed) < LEAST_LETTERS - 1 or not token.typed.isalpha() or typed & NEVER_MISTYPED:
            return []
        known = self._known.get(token.typed[0], [])
        near = {(word, each, spelt) for spelt, word in known for each in typed if close(each, spelt)}
        found = {word for word, _, _ in near}
        if len(found) == 1 and all(inflected(each, spelt) for _, each, spelt in near):
            return []
        return sorted(found)


def _add(table: dict[Phrase, dict[str, int]], phrase: Phrase, name: str, rank: int) -> None:
    if 0 < len(phrase) <= LONGEST:
        entry = table.setdefault(phrase, {})
        entry[name] = min(rank, entry.get(name, rank))


def _best(entry: dict[str, int] | None) -> tuple[str, ...]:
    if not entry:
        return ()
    least = min(entry.values())
    return tuple(name for name, rank in entry.items() if rank == least)


def _phrases_of(metric: Metric) -> Iterable[tuple[int, Phrase]]:
    """Ranked phrases: 0 what it is called, 1 its title, 2 what follows from its aggregate, 3 what it is about."""
    name, title = _canonical(words(metric.name.rpartition(".")[2])), _canonical(words(metric.title))
    yield 0, name
    yield 0, _canonical(words(metric.name))
    yield from ((0, _canonical(words(phrase))) for phrase in metric.synonyms)
    yield 1, title
    if metric.per:
        yield 1, (*title, "per", metric.per)
        yield 2, (*words(metric.unit), "per", metric.per)
    about = _canonical(words(metric.column or ""))
    if metric.aggregate in ("avg", "sum") and about:
        yield 2, ("mean" if metric.aggregate == "avg" else "total", *about)
        yield 3, about
    stem = tuple(word for word in title if word not in AGGREGATE_WORDS)
    if stem != title:
        yield 3, stem


def _phrases_of_dim(dim: Dimension) -> Iterable[tuple[int, Phrase]]:
    yield 0, words(dim.name.rpartition(".")[2])
    yield 0, words(dim.name)
    yield from ((0, words(phrase)) for phrase in dim.synonyms)
    yield 1, words(dim.title)


def _canonical(phrase: Phrase) -> Phrase:
    """With one spelling of each aggregate."""
    return rewritten(phrase, AGGREGATES)


def rewritten(phrase: Phrase, table: Mapping[str, str]) -> Phrase:
    """With the phrases of the table replaced, the longest first."""
    out: list[str] = []
    at = 0
    while at < len(phrase):
        for size in (2, 1):
            if meant := table.get(" ".join(phrase[at : at + size])) if at + size <= len(phrase) else None:
                out += meant.split()
                at += size
                break
        else:
            out.append(phrase[at])
            at += 1
    return tuple(out)


def everyday(phrase: Phrase) -> Phrase:
    """With the everyday synonyms replaced by the words that names use."""
    return rewritten(phrase, SYNONYMS)
