"""What the slots of a question stand for: names of one dataset, a window, filters; or a Doubt about them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from datetime import datetime

import msgspec

from analytics.language import windowed
from analytics.language.names import Entry, Names, Value
from analytics.language.segments import Cut
from analytics.language.slots import Doubt, Named, Slots, sort_of
from analytics.language.spans import Bad, Span
from analytics.language.times import Found
from analytics.language.tokens import words
from analytics.query import Compare, Filter, Window
from analytics.window import parse
from analytics.workspace import Metric

DEFAULT = "now-1h"
MEASURES = ("ms", "s", "percent", "usd", "bytes", "bytes_per_s")  # units of what is not counted
FLOWS = "flows"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Where the asker stands: what counts where the words say nothing."""

    now: datetime
    tz: str = "UTC"
    window: Window | None = None
    filters: tuple[Filter, ...] = ()


class Way(msgspec.Struct, frozen=True):
    """One way to take the names of a question, all of one dataset."""

    metrics: tuple[str, ...]
    dims: tuple[str, ...]
    values: tuple[Value, ...]


class Meaning:
    """One question between its slots and its request. What does not hold is raised as a Doubt."""

    def __init__(self, cut: Cut, slots: Slots, names: Names, asked: Asked) -> None:
        self.cut, self.slots, self.asked = cut, slots, asked
        self.names, self.workspace = names, names.workspace

    def _has(self, kind: str) -> bool:
        return any(found.kind == kind for found in self.cut.times)

    def _said(self, kind: str) -> list[Found]:
        return [found for found in self.cut.times if found.kind == kind]

    def _steps(self) -> None:
        """What words such as failed and slowest stand for, before a request is chosen."""
        slots = self.slots
        if slots.says("fail"):
            self._failed()
        if slots.says("through"):
            self._through()
        slots.metrics = self._without_nouns(slots.metrics)

    def _through(self) -> None:
        """`errors due to timeout` names the class of an error; any other cause is no filter."""
        causes = [value.dim for chosen in self.slots.filters for value in chosen.options]
        if "error_type" not in causes or self.slots.says("changes"):
            raise Doubt("causes are asked for with why", [self._word("through")])

    def _failed(self) -> None:
        """`failed` with what it is said of: flows one by one, or a metric of errors."""
        slots = self.slots
        flows = [m for m in slots.metrics if FLOWS in m.options]
        counted = slots.says("count", "often", "why", "compare", "vs") or slots.groups or self._has("grain")
        if flows and len(slots.metrics) == 1 and not counted and not self._has("compare") and not self._grouping_bare():
            slots.tags.append("list")
            return
        of = [dim for named, _ in slots.bare for dim in named.options]
        of += [dim for named in slots.groups for dim in named.options]
        of += [value.dim for chosen in slots.filters for value in chosen.options]
        found = next((m for dim in of if (m := self.names.metrics((*words(dim), "error")))), ())
        found = () if flows else found
        if slots.metrics and not (found and not flows):
            slots.metrics = [self._those_failed(named) for named in slots.metrics]
        else:
            slots.metrics = [Named(found or self.names.metrics(("error",)), 0)]

    def _those_failed(self, named: Named) -> Named:
        """`failed tool calls`: the metric that counts the same rows with the status error."""
        of = self.workspace.metrics
        counted = [of[name] for name in named.options]
        wanted = [(m.dataset, m.where | {"status": "error"}) for m in counted if m.aggregate == "count"]
        counts = [m for m in of.values() if m.aggregate == "count" and not m.per]
        found = tuple(m.name for m in counts if (m.dataset, m.where) in wanted)
        if not found:
            word = self._word("fail")
            raise Doubt(f"no metric counts failed {either(named.options)}", [word], self.slots.without("fail"))
        return named._replace(options=found)

    def _grouping_bare(self) -> bool:
        return any(plural for _, plural in self.slots.bare)

    def _without_nouns(self, metrics: list[Named]) -> list[Named]:
        """`p95 duration of flows` asks for one metric: a count that says what another one is made of is a noun."""
        kept = []
        metrics = list({named.options: named for named in reversed(metrics)}.values())[::-1]
        for place, named in enumerate(metrics):
            others = [o for i, o in enumerate(metrics) if i != place]
            joined = named.joined or any(o.joined for o in metrics[place + 1 : place + 2])
            if others and not joined and all(self._noun(n) for n in named.options):
                pairs = ((named.options[0], name) for o in others for name in o.options)
                if not any(n.by for n in metrics) and all(self._made_of(*pair) for pair in pairs):
                    continue
                if self.slots.says("most") and FLOWS in named.options:
                    kept.append(named)
                    continue
                raise Doubt(f"{others[0].options[0]} is not about {named.options[0]}")
            kept.append(named)
        return kept

    def _noun(self, name: str) -> bool:
        metric = self.workspace.metrics[name]
        return metric.aggregate == "count" and set(metric.where) <= {"kind"} and not metric.per

    def _made_of(self, noun: str, name: str) -> bool:
        counted, metric = self.workspace.metrics[noun], self._base(self.workspace.metrics[name])
        return counted.dataset == metric.dataset and metric.where.get("kind") == counted.where.get("kind")

    def _base(self, metric: Metric) -> Metric:
        while metric.denominator:
            metric = self.workspace.metrics[metric.denominator]
        return metric

    def _resolved(
        self, metrics: Sequence[Named], groups: Sequence[Named], fits: Callable[[Metric], bool] = lambda m: True
    ) -> tuple[list[Metric], list[str], list[Filter]]:
        """One metric and one dimension for each name, all of one dataset. Raises Doubt where there are several ways,
        or none."""
        of, ways = self.workspace, self._ways(metrics, groups)
        if not ways:
            raise Doubt(self._apart(metrics, groups))
        if len(metrics) == 1:
            ways = [w for w in ways if fits(of.metrics[w.metrics[0]])] or ways
            if word := self.slots.aggregate:
                ways = [w for w in ways if aggregates(of.metrics[w.metrics[0]], word)] or ways
        if len(ways) > 1:
            self._unsure([*metrics, *groups], ways)
        way = ways[0]
        used = [*(of.metrics[m].dataset for m in way.metrics), *(of.dimensions[d].dataset for d in way.dims)]
        self._fit_together(way.values)
        for name in way.metrics:
            self._holds(of.metrics[name], way.values)
        return [of.metrics[m] for m in way.metrics], list(way.dims), self._filters(way.values, used)

    def _fit_together(self, values: Sequence[Value]) -> None:
        """Filters hold all at once: what joins values of two dimensions otherwise cannot be asked."""
        for before, value, chosen in zip(values, values[1:], self.slots.filters[1:], strict=False):
            if before.dim == value.dim:
                continue
            item = self.cut.items[chosen.at]
            before_it = item.at - len(chosen.link.split())
            alone: dict[int, Entry | None] = dict.fromkeys(range(before_it, item.end))  # read without this one
            if chosen.loose:
                raise Doubt(f"is {value.value!r} left out too?", [value.value], [alone])
            both = chosen.link in ("and", "&", "plus") and not chosen.named
            if both or chosen.link.split()[:1] in (["or"], ["nor"]):
                why = f"{before.value!r} {chosen.link} {value.value!r}: filters hold all at once"
                together: list[dict[int, Entry | None]] = [{item.at - 1: None}] if both else []
                raise Doubt(why, [chosen.link], [*together, alone])

    def _holds(self, metric: Metric, values: Sequence[Value]) -> None:
        """Raise a Doubt for a value that the metric's rows never have: errors of logs, where errors are of flows."""
        own = self._base(metric).where
        for chosen, value in zip(self.slots.filters, values, strict=True):
            dim = self.workspace.dimensions[value.dim]
            wanted = next((own[key] for key in (dim.column, dim.name) if key in own), None)
            if wanted is None or chosen.contains:
                continue
            if (value.value in (wanted if isinstance(wanted, list) else [wanted])) == chosen.out:
                item = self.cut.items[chosen.at]
                without: dict[int, Entry | None] = dict.fromkeys(range(item.at, item.end))
                raise Doubt(f"{metric.name} is never of {dim.name} {value.value}", [value.value], [without])

    def _ways(self, metrics: Sequence[Named], groups: Sequence[Named]) -> list[Way]:
        of, chosen = self.workspace, self.slots.filters
        if not (metrics or groups or chosen):
            return []
        ways = []
        for dataset in of.datasets:
            options = [[m for m in n.options if of.metrics[m].dataset == dataset] for n in metrics]
            dims = [[d for d in n.options if of.dimensions[d].dataset == dataset] for n in groups]
            kept = [[v for v in c.options if of.dimensions[v.dim].dataset == dataset] for c in chosen]
            ways += [
                Way(some, by, values)
                for some in itertools.product(*options)
                for by in itertools.product(*dims)
                for values in itertools.product(*kept)
            ]
        return ways

    def _unsure(self, named: Sequence[Named], ways: Sequence[Way]) -> None:
        """Raise a Doubt with one reading for each thing that a name could be."""
        items = self.cut.items
        places = [n.at for n in named] + [c.at for c in self.slots.filters]
        instead: list[dict[int, Entry | None]] = []
        several: list[str] = []
        taken = [[*(self._entries(way))] for way in ways]
        for i, place in enumerate(places):
            options = list(dict.fromkeys(entries[i] for entries in taken))
            if len(options) < 2:
                continue
            several = several or [(e.metrics or e.dims or (e.values[0].dim,))[0] for e in options]
            item = items[place]
            instead += [
                {at: entry if at == item.at else None for at in range(item.at, item.end)} for entry in options[:5]
            ]
        word = self.slots.aggregate
        if word and instead:  # the word fits none of them: the readings are without it
            dropped = [one | each for one in self.slots.without(word) for each in instead]
            raise Doubt(f"there is {either(several)}, and no {word} of it", [word], dropped)
        raise Doubt(f"it could be {either(several)}", (), instead)

    def _entries(self, way: Way) -> list[Entry]:
        return [
            *(Entry(metrics=(m,)) for m in way.metrics),
            *(Entry(dims=(d,)) for d in way.dims),
            *(Entry(values=(v,)) for v in way.values),
        ]

    def _apart(self, metrics: Sequence[Named], groups: Sequence[Named]) -> str:
        of = self.workspace
        datasets = {of.metrics[n.options[0]].dataset: n.options[0] for n in metrics}
        if len(datasets) > 1:
            return f"{' and '.join(datasets.values())} are of different datasets"
        for name in [*(n.options[0] for n in groups), *(c.options[0].dim for c in self.slots.filters)]:
            if of.dimensions[name].dataset not in datasets:
                return f"{either(list(datasets.values()))} has no {name.rpartition('.')[2]}"
        return "these do not go together"

    def _filters(self, values: Sequence[Value], datasets: Sequence[str]) -> list[Filter]:
        """One filter for each dimension and sense; those of where the asker stands hold for all other dimensions."""
        kept: dict[tuple[str, bool, bool], list[str]] = {}
        for chosen, value in zip(self.slots.filters, values, strict=True):
            listed = kept.setdefault((value.dim, chosen.out, bool(chosen.contains)), [])
            listed += [value.value] if value.value not in listed else []
        made = []
        for (dim, out, contains), listed in kept.items():
            if contains and (out or len(listed) > 1):
                raise Doubt("one text that is contained is as much as a filter can say")
            several = len(listed) > 1
            op = "contains" if contains else ("not_in" if several else "is_not") if out else "in" if several else "is"
            made.append(Filter(dim=dim, op=op, values=list(listed)))  # type: ignore[arg-type]
        told = {f.dim for f in made}
        dims = self.workspace.dimensions
        stands = [f for f in self.asked.filters if f.dim not in told]
        return [*(f for f in stands if f.dim not in dims or dims[f.dim].dataset in datasets), *made]

    def _window(self, dataset: str = "events", *, wide: bool = False) -> tuple[Window, Span | None, bool]:
        """The window, the span it was said as, and whether it was said."""
        try:
            made, span = windowed.window(self.cut.times, self.asked.now, self.asked.tz, wide=wide)
        except Bad as bad:
            raise Doubt(str(bad), self._time_words()) from None
        if made is not None:
            return made, span, True
        own = dataset != "events" and self.workspace.datasets[dataset].columns
        if self.asked.window is not None and not own:
            return self.asked.window, None, False
        board = self._board_of(dataset) if own else None
        return parse(board or DEFAULT, DEFAULT, self.asked.tz), None, False

    def _board_of(self, dataset: str) -> str | None:
        boards = [b for b in self.workspace.boards.values() if any(t.dataset == dataset for t in b.tiles)]
        return next((b.window for b in sorted(boards, key=lambda b: b.name != dataset)), None)

    def _time_words(self) -> list[str]:
        return [" ".join(t.typed for t in self.cut.tokens[f.at : f.end]) for f in self.cut.times]

    def _compare(self, made: Window, span: Span | None) -> Compare | None:
        steps = list(dict.fromkeys(f.data for f in self._said("compare")))
        if not steps:
            return None
        if len(steps) > 1:
            raise Doubt("two comparisons are named; one can be made", self._time_words())
        try:
            return windowed.comparison(steps[0], made, span, self.asked.now)  # type: ignore[return-value]
        except Bad as bad:
            raise Doubt(str(bad), self._time_words()) from None

    def _only(self, *tags: str, kinds: Sequence[str] = ()) -> None:
        """Raise a Doubt for anything that was said and that this request cannot say."""
        harmless = {"and", "is", "list", "which", "there", "by", "nothing", "where"}
        if left := [tag for tag in self.slots.tags if tag not in harmless and tag not in tags]:
            word = self._word(left[0])
            raise Doubt(f"{word!r} does not fit the rest of the question", [word], self.slots.without(left[0]))
        extra = [f for f in self.cut.times if f.kind not in ("bad", *kinds)]
        if extra:
            words = [" ".join(t.typed for t in self.cut.tokens[f.at : f.end]) for f in extra]
            raise Doubt(f"{words[0]!r} does not fit the rest of the question", words)

    def _word(self, tag: str) -> str:
        at, end = self.slots.places.get(tag, (0, 0))
        return " ".join(token.typed for token in self.cut.tokens[at:end]) or tag

    def _no_numbers(self) -> None:
        if self.slots.numbers:
            number = self.slots.numbers[0][0]
            raise Doubt(f"nothing is known to do with the number {number:g}", [f"{number:g}"])

    def _no_aggregate(self, metrics: Sequence[Metric]) -> None:
        """A word such as mean that no name took up: `total` may say again what a sum or a count is."""
        word, slots = self.slots.aggregate, self.slots
        if slots.says("count") and any(m.unit in MEASURES for m in metrics):
            raise Doubt(f"{metrics[0].name} is not a number of things")
        if not word or all(aggregates(m, word) for m in metrics):
            return
        raise Doubt(f"no metric is the {word} of {metrics[0].name}", [word], slots.without(word))

    def _no_count(self, metrics: Sequence[Metric]) -> None:
        """`how many agents had errors` counts agents, `commits` counts commits: no metric of another thing does."""
        slots, items = self.slots, self.cut.items
        end = slots.places.get("count", (0, -1))[1]
        of = {metric.column for metric in metrics if metric.aggregate == "distinct"}
        counted = [n.options[0] for n, _ in slots.bare if items[n.at].at == end and not of & {*n.options}]
        if counted:
            raise Doubt(f"no metric counts the {counted[0]}s that have {metrics[0].title.lower()}", counted)
        for named, metric in zip(slots.metrics, metrics, strict=False):
            if metric.aggregate in ("last", "max") and metric.unit in MEASURES and items[named.at].plural:
                raise Doubt(f"{metric.name} is not a number of things")

    def _adjective(self) -> tuple[Named, bool] | None:
        """The metric behind slowest, most expensive and so on, and whether the biggest come first."""
        if not self.slots.adjective:
            return None
        phrase, _, descending = sort_of(self.slots.adjective)
        dims = [d for n, _ in self.slots.bare for d in n.options] + [d for n in self.slots.groups for d in n.options]
        dims += [value.dim for chosen in self.slots.filters for value in chosen.options]
        tried = [phrase.format(dim=" ".join(words(dim))) for dim in dims] + [phrase.format(dim="")]
        found = next((m for each in tried if (m := self.names.metrics(words(each)))), ())
        if not found:
            raise Doubt(f"{self.slots.adjective!r} says nothing of this", [self.slots.adjective])
        return Named(found, -1), descending


def aggregates(metric: Metric, word: str) -> bool:
    """Whether an aggregate's word says what a metric is."""
    same = {"total": ("sum", "count"), "mean": ("avg",), "unique": ("distinct",)}.get(word, (word,))
    return metric.aggregate in same or (metric.q is not None and word == f"p{metric.q * 100:g}")


def either(names: Sequence[str]) -> str:
    """Some names as alternatives, in a sentence."""
    listed = list(dict.fromkeys(names))[:5]
    return " or ".join(filter(None, [", ".join(listed[:-1]), *listed[-1:]])) or "several things"
