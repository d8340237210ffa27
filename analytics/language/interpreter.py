"""Answers `ask`: words to a typed request, or the nearest readings, or nothing at all rather than a guess."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa

from analytics import window as windows
from analytics.asking import Answer, Asker, checked_as_of
from analytics.errors import Forbidden, NotFound, PlumblineError, ValidationError
from analytics.language.grammar import Grammar, Understood
from analytics.language.meaning import Asked
from analytics.language.model import Model, checked
from analytics.language.names import Names
from analytics.language.said import said
from analytics.messages import Ask, Question, Rows
from analytics.messages import Values as ValuesRequest
from analytics.query import Filter, Window
from analytics.workspace import Dimension, Workspace, schema

Rights = Callable[[Question], Sequence[Filter]]  # the filters that a request is held to; raises Forbidden
Answering = Callable[[Question, Sequence[Filter]], Awaitable[Answer]]

VALUES = 300  # of one dimension that are known by heart
DIMENSIONS = 40  # whose values are known
FRESH = timedelta(minutes=5)
KEPT = 32  # vocabularies: one for each set of rights that asked lately
SINCE = "now-1d"  # values are live that were seen since
LONGER = "now-7d"  # a word that is none of them is looked for since
SOUGHT = 3  # such words in one question


class Interpreter:
    """Understands questions over one workspace. Keeps the vocabulary of the last askers for a few minutes."""

    def __init__(self, asker: Asker, model: Model | None = None) -> None:
        self._asker, self._model = asker, model
        self._kept: OrderedDict[Any, tuple[datetime, Workspace, Names, dict[str, list[str]], Grammar]] = OrderedDict()

    async def answer(self, request: Ask, now: datetime, rights: Rights, answering: Answering) -> Answer:
        """What was understood, and its answer by `answering` under the `rights` that the understood request has by
        itself. Raises ValidationError, Forbidden, Timeout."""
        understood, by, workspace = await self.understand(request, now, rights, answering)
        asked = understood.request
        told: dict[str, Any] = {
            "text": request.text,
            "understood": asked and msgspec.to_builtins(asked),
            "said": asked and said(asked, workspace, now),
            "by": by if asked else None,
            "corrected": [{"typed": typed, "meant": meant} for typed, meant in understood.corrected],
            "readings": [
                {"request": msgspec.to_builtins(r), "said": said(r, workspace, now)}
                for r in understood.readings
                if _permitted(rights, r)
            ],
            "answer": None,
            "reason": understood.reason,
            "unknown": list(understood.unknown),
        }
        if asked is None:
            return Answer(analytics=told)
        try:
            answer = await answering(asked, rights(asked))
        except (NotFound, ValidationError) as error:  # understood, and still there is nothing to say
            return Answer(analytics=told | {"reason": error.message})
        return Answer(
            analytics=told | {"answer": answer.analytics}, insights=answer.insights, confidence=answer.confidence
        )

    async def understand(
        self, request: Ask, now: datetime, rights: Rights, answering: Answering
    ) -> tuple[Understood, str, Workspace]:
        """The request that is meant, who understood it (grammar or model), and the part of the workspace that the
        asker may know. Raises ValidationError."""
        windows.zone(request.tz)
        as_of = checked_as_of(request.as_of, now)
        workspace, live, grammar = await self._vocabulary(now, rights, answering)
        window = None if request.window is None else windows.parse(request.window, "now-1h", request.tz)
        asked = Asked(now=as_of or now, tz=request.tz, window=window, filters=_standing(request))
        by, found = "grammar", grammar.understand(request.text, asked)
        if found.request is None and found.unknown:
            more = await self._sought(found.unknown, workspace, rights, answering)
            if more:
                live = {dim: [*live.get(dim, []), *more.get(dim, [])] for dim in {*live, *more}}
                found = Grammar(Names(workspace), live).understand(request.text, asked)
        if found.request is None and self._model is not None and request.text.strip():
            proposal = await self._model.fill(request.text[:500], asked.now, request.tz, workspace)
            if filled := checked(proposal, request.text, workspace, live, asked.now, request.tz):
                by, found = "model", Understood(request=filled)
        if found.request is not None and as_of is not None and hasattr(found.request, "as_of"):
            found = msgspec.structs.replace(found, request=msgspec.structs.replace(found.request, as_of=as_of))
        return found, by, workspace

    async def _vocabulary(
        self, now: datetime, rights: Rights, answering: Answering
    ) -> tuple[Workspace, dict[str, list[str]], Grammar]:
        """What an asker may know of names and values; nobody hears of what somebody else may see."""
        whole = self._asker.workspace()
        readable = {d: rights(Rows(dataset=d)) for d in whole.datasets if _permitted(rights, Rows(dataset=d))}
        key = (id(whole), msgspec.json.encode(sorted(readable.items())))
        kept = self._kept.get(key)
        if kept is not None and kept[1] is whole and timedelta() <= now - kept[0] < FRESH:
            self._kept.move_to_end(key)
            return kept[2].workspace, kept[3], kept[4]
        names = kept[2] if kept is not None and kept[1] is whole else Names(_part(whole, readable))
        live = await self._live(names.workspace, rights, answering)
        grammar = Grammar(names, live)
        self._kept[key] = (now, whole, names, live, grammar)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return names.workspace, live, grammar

    async def _live(self, workspace: Workspace, rights: Rights, answering: Answering) -> dict[str, list[str]]:
        dims = [d for d in workspace.dimensions.values() if _texts(d, workspace)][:DIMENSIONS]
        found = await asyncio.gather(*(self._values(d, workspace, rights, answering) for d in dims))
        return {dim.name: values for dim, values in zip(dims, found, strict=True)}

    async def _sought(
        self, words: Sequence[str], workspace: Workspace, rights: Rights, answering: Answering
    ) -> dict[str, list[str]]:
        """Values that are too rare to be known by heart."""
        dims = [d for d in workspace.dimensions.values() if _texts(d, workspace)][:DIMENSIONS]
        pairs = [(dim, word) for word in words[:SOUGHT] if len(word) > 1 for dim in dims]
        listed = await asyncio.gather(*(self._values(d, workspace, rights, answering, word) for d, word in pairs))
        more: dict[str, list[str]] = {}
        for (dim, _), values in zip(pairs, listed, strict=True):
            if values:
                more.setdefault(dim.name, []).extend(values)
        return more

    async def _values(
        self, dim: Dimension, workspace: Workspace, rights: Rights, answering: Answering, search: str = ""
    ) -> list[str]:
        own = bool(workspace.datasets[dim.dataset].columns)
        window: Window | str = Window("1970-01-01", "now+10y") if own else LONGER if search else SINCE
        asked = ValuesRequest(dim=dim.name, dataset=dim.dataset, window=window, search=search[:100], limit=VALUES)
        try:
            answer = await answering(asked, rights(asked))
        except (Forbidden, NotFound, ValidationError):
            return []  # a domain that the dataset does not have, or a column that is gone
        return [v["value"] for v in answer.analytics["values"] if isinstance(v["value"], str)]


def _permitted(rights: Rights, request: Question) -> bool:
    try:
        rights(request)
    except PlumblineError:
        return False
    return True


def _part(whole: Workspace, readable: Mapping[str, Any]) -> Workspace:
    """The workspace without what belongs to other datasets."""
    if whole.datasets.keys() <= readable.keys():
        return whole
    return Workspace(
        datasets={n: d for n, d in whole.datasets.items() if n in readable},
        dimensions={n: d for n, d in whole.dimensions.items() if d.dataset in readable},
        metrics={n: m for n, m in whole.metrics.items() if m.dataset in readable},
        boards={n: b for n, b in whole.boards.items() if all(t.dataset in readable for t in b.tiles)},
        book=whole.book,
    )


def _texts(dim: Dimension, workspace: Workspace) -> bool:
    """Whether a dimension holds words, so that its values may be said."""
    if dim.log is not None:
        return False
    if dim.column is None:
        return True
    columns = schema(workspace.datasets[dim.dataset])
    return dim.column in columns.names and pa.types.is_string(columns.field(dim.column).type)


def _standing(request: Ask) -> tuple[Filter, ...]:
    """The filters of where the asker stands."""
    domain = [Filter(dim="domain", values=[request.domain])] if request.domain is not None else []
    return (*request.filters, *domain)
