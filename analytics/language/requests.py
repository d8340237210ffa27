"""The requests that a question can become, one builder each."""

from __future__ import annotations

from collections.abc import Sequence

from analytics.language import windowed
from analytics.language.meaning import FLOWS, Meaning, either
from analytics.language.names import Entry
from analytics.language.slots import Doubt, Named, sort_of
from analytics.language.spans import Bad
from analytics.language.tokens import words
from analytics.language.words import COMPARATIVES, REFUSED, SORTS
from analytics.messages import (
    AgentAnalytics,
    Explain,
    FlowAnalytics,
    Flows,
    Forecast,
    QueryRequest,
    Question,
    ResourceAnalytics,
)
from analytics.messages import Values as ValuesRequest
from analytics.query import Filter, Window
from analytics.window import parse_grain, resolve
from analytics.workspace import Metric

LEADERS = 5  # of "top agents"
LISTED = 10  # of "slowest flows"
USE = {"use", "used", "using"}
PAST = {"was", "were", "has", "had", "did"}
LAST_ONES = "the biggest come first; the smallest are at the end of the whole list"


class Requests(Meaning):
    """Builds the request of one question. `build` raises Doubt."""

    def build(self) -> Question:
        slots = self.slots
        self._steps()
        for wanted, make in (
            (slots.says("why"), self._explain),
            (slots.says("forecast", "out", "reach", "when") or self._has("ahead"), self._forecast),
            (slots.says("changed", "doing", "resources") and not self._compares(), self._population),
            (self._lists_flows(), self._flows),
            (self._lists_values(), self._values),
        ):
            if wanted:
                if slots.aggregate and not (slots.metrics or slots.aggregate == "unique"):
                    raise Doubt(f"{slots.aggregate} of what?", [slots.aggregate], slots.without(slots.aggregate))
                return make()
        return self._query()

    def _compares(self) -> bool:
        """`how does spend today compare with yesterday`."""
        return self.slots.says("doing") and (self._has("compare") or self.slots.says("compare"))

    def _explain(self) -> Question:
        slots = self.slots
        said = ("why", "changes", "vs", "compare", "fail", "except", "contains")
        self._only(*said, kinds=("day", "window", "clock", "compare"))
        self._no_numbers()
        if slots.says("which"):
            raise Doubt(f"{self._word('which')!r} does not fit a question for causes", [self._word("which")])
        metrics = list(slots.metrics)
        if slots.adjective in COMPARATIVES and not [m for m in metrics if FLOWS not in m.options]:
            found = self._adjective()
            metrics = [found[0]] if found else metrics
        elif slots.adjective:
            raise Doubt(f"{slots.adjective!r} does not fit a question for causes", [slots.adjective])
        if len(metrics) != 1:
            raise Doubt("why did which metric change?" if not metrics else "one metric at a time can be explained")
        (metric,), dims, filters = self._resolved(metrics, [*slots.groups, *(n for n, _ in slots.bare)])
        self._no_aggregate([metric])
        made, span, _ = self._window(metric.dataset, wide=True)
        baseline = self._compare(made, span) or "previous"
        return Explain(metric=metric.name, window=made, baseline=baseline, dimensions=dims, filters=filters)

    def _forecast(self) -> Question:
        slots = self.slots
        ahead = self._said("ahead")
        if ahead and not slots.says("forecast", "out", "reach", "when"):
            raise Doubt("that is in the future; say forecast to look ahead", self._time_words())
        self._only("forecast", "out", "reach", "when", "count", kinds=("ahead",))
        if slots.groups or slots.bare or slots.adjective or len(slots.metrics) != 1:
            raise Doubt("a forecast is of one metric, without groups")
        if past := next((t.typed for t in self.cut.tokens if t.typed in PAST), None):
            raise Doubt("a forecast looks ahead; what was is a question for a metric over time", [past])
        if slots.says("when") and not slots.says("out", "reach"):
            raise Doubt("when what happens?", ["when"])
        if not slots.says("when", "forecast") and (slots.says("reach") or self._asks_whether()):
            raise Doubt("a forecast says when; whether it is so now, the number says", slots.tags[:1])
        (metric,), _, filters = self._resolved(slots.metrics, [], lambda m: m.limit is not None)
        self._no_aggregate([metric])
        limit = self._limit(metric)
        grain, horizon = None, 24
        if len(ahead) > 1:
            raise Doubt("two spans ahead are named", self._time_words())
        if ahead:
            try:
                grain, horizon = windowed.steps(ahead[0].data)
            except Bad as bad:
                raise Doubt(str(bad), self._time_words()) from None
        return Forecast(metric=metric.name, grain=grain, horizon=horizon, limit_at=limit, filters=filters)

    def _limit(self, metric: Metric) -> float | None:
        slots = self.slots
        if not slots.says("reach"):
            if slots.says("out") and metric.unit == "percent" and len(slots.numbers) == 1 and slots.numbers[0][0] < 1:
                return slots.numbers[0][0]  # "80% full"
            self._no_numbers()
            if slots.says("out") and metric.limit is None:
                about = {*words(metric.name), *words(metric.title), *words(metric.unit)}
                near = [m for m in self.workspace.metrics.values() if m.limit is not None]
                alike = [m.name for m in near if about & {*words(m.name), *words(m.title), *words(m.unit)}]
                item = self.cut.items[slots.metrics[0].at]
                instead: list[dict[int, Entry | None]] = [
                    {at: Entry((n,)) if at == item.at else None for at in range(item.at, item.end)} for n in alike
                ]
                raise Doubt(f"{metric.name} declares no limit that it could reach", (), instead)
            return None
        if len(slots.numbers) != 1:
            raise Doubt("reach which number?")
        return slots.numbers[0][0]

    def _population(self) -> Question:
        """How something is doing: flows, agents, one agent, or what is consumed."""
        slots = self.slots
        self._only("changed", "doing", "resources", "list", kinds=("day", "window", "clock"))
        self._no_numbers()
        made, _, said = self._window(wide=True)
        about = {"window": made} if said or self.asked.window is not None else {}
        filters = list(self.asked.filters)
        if slots.says("changed", "resources") and not (slots.metrics or slots.groups or slots.bare or slots.filters):
            kind = FlowAnalytics if slots.says("changed") else ResourceAnalytics
            return kind(filters=filters, **about)  # type: ignore[arg-type]
        if slots.says("doing") and not slots.groups and not slots.adjective:
            if len(slots.filters) == 1 and not slots.metrics and not slots.bare:
                found = [v for v in slots.filters[0].options if v.dim == "agent" and not slots.filters[0].out]
                if found:
                    return AgentAnalytics(agent_id=found[0].value, filters=filters, **about)  # type: ignore[arg-type]
            alone = [n.options for n in (*slots.metrics, *(n for n, _ in slots.bare))] if not slots.filters else []
            if alone == [(FLOWS,)]:
                return FlowAnalytics(filters=filters, **about)  # type: ignore[arg-type]
            if alone == [("agent",)]:
                return AgentAnalytics(filters=filters, **about)  # type: ignore[arg-type]
        raise Doubt("how what is doing: flows, agents, or one agent?")

    def _lists_flows(self) -> bool:
        """Whether flows are wanted one by one."""
        slots = self.slots
        if not slots.metrics or slots.metrics[0].options != (FLOWS,):
            return False
        if slots.groups or slots.bare or slots.says("count", "compare", "vs"):
            return False
        if self._has("grain") or self._has("compare"):
            return False
        if len(slots.metrics) == 2:
            return slots.says("most") and slots.metrics[1].options[0] in {*SORTS.values(), "tokens", "spend", "errors"}
        return len(slots.metrics) == 1 and bool(slots.adjective or slots.says("list", "fail"))

    def _flows(self) -> Question:
        slots = self.slots
        self._only("list", "fail", "most", "top", "except", "contains", "through", kinds=("day", "window", "clock"))
        if slots.aggregate:
            word = slots.aggregate
            raise Doubt(f"flows one by one have no {word}", [word], slots.without(word))
        _, _, filters = self._resolved(slots.metrics[:1], [])
        sort, descending, limit = "time", True, 100
        if slots.adjective:
            _, sort, descending = sort_of(slots.adjective)
            limit = LISTED if self._flows_plural() else 1
        elif len(slots.metrics) == 2:
            sort = {"spend": "cost_usd", "tokens": "tokens", "errors": "errors"}[slots.metrics[1].options[0]]
            limit = LISTED
        if not sort:
            raise Doubt(f"flows cannot be sorted by {slots.adjective!r}", [slots.adjective])
        limit = self._number(limit)
        if slots.says("fail"):
            filters = [Filter(dim="kind", values=["flow"]), Filter(dim="status", values=["error"]), *filters]
        made, _, _ = self._window()
        return Flows(window=made, filters=filters, sort=sort, descending=descending, limit=limit)

    def _flows_plural(self) -> bool:
        return any(self.cut.items[n.at].plural for n in self.slots.metrics[:1])

    def _number(self, default: int) -> int:
        """How many are wanted."""
        if not self.slots.numbers:
            return default
        number, _ = self.slots.numbers[0]
        if len(self.slots.numbers) > 1 or number != int(number) or not 1 <= number <= 500:
            raise Doubt(f"how many are {number:g}?", [f"{number:g}"])
        return int(number)

    def _lists_values(self) -> bool:
        slots = self.slots
        named = slots.metrics or slots.groups or slots.filters or slots.adjective or slots.aggregate
        alone = len(slots.bare) == 1 and not named
        other = slots.says("top", "most", "least", "compare", "by", "count")
        return alone and (slots.says("list", "which", "there") or slots.bare[0][1]) and not other

    def _values(self) -> Question:
        self._only(kinds=("day", "window", "clock"))
        self._no_numbers()
        _, (dim,), filters = self._resolved([], [self.slots.bare[0][0]])
        made, _, said = self._window(self.workspace.dimensions[dim].dataset)
        about = {"window": made} if said or self.workspace.dimensions[dim].dataset != "events" else {}
        if self.asked.window is not None:
            about["window"] = made
        return ValuesRequest(dim=dim, filters=filters, **about)  # type: ignore[arg-type]

    def _query(self) -> Question:
        slots = self.slots
        metrics, groups, ranked = self._measured()
        groups = [g for g in groups if g not in [named for named, _ in slots.bare]] if not metrics else groups
        if not metrics and not groups and len(slots.bare) == 1 and (slots.says("count") or slots.aggregate == "unique"):
            if (found := self._distinct()) is None:
                slots.tags = [tag for tag in slots.tags if tag != "count"]
                return self._values()
            metrics, groups = [found], []
        if not metrics and slots.says("count"):  # "how many http errors": the dimension of a value names the metric
            of = [words(value.dim)[:1] for chosen in slots.filters for value in chosen.options if not chosen.out]
            metrics = [Named(meant, 0) for phrase in of if (meant := self.names.metrics(phrase))][:1]
        if not metrics and self._uses():
            return self._values()
        if not metrics:
            raise Doubt("no metric is named")
        self._one_question(metrics)
        chosen, dims, filters = self._resolved(metrics, groups)
        self._no_aggregate(chosen)
        self._no_count(chosen)
        self._no_judgement(chosen)
        if slots.says("share") and any(m.unit != "percent" for m in chosen):
            raise Doubt(f"{chosen[0].name} is no share", [self._word("share")], slots.without("share"))
        if len(chosen) > 1 and not all(m.joined for m in metrics[1:]):
            raise Doubt(f"{either([m.name for m in chosen])}: which one, or both?")
        if len({m.name for m in chosen}) < len(chosen):
            raise Doubt(f"{chosen[0].name} is named twice")
        made, span, said = self._window(chosen[0].dataset)
        grain = self._grain(chosen)
        if grain and grain != "auto" and not said:
            made = self._long_enough(made, grain, chosen[0].dataset)
        compare = self._compare(made, span)
        if slots.says("changes") and compare is None:
            compare = "previous"
        dims = self._side_by_side(dims, filters, len(chosen), compare)
        limit = self._number(LEADERS) if ranked else None
        if not ranked:
            self._no_numbers()
        if ranked and len(dims) != 1:
            raise Doubt("the first of what? name one dimension")
        return QueryRequest(
            metrics=[m.name for m in chosen],
            window=made,
            grain=grain,
            group_by=dims,
            filters=filters,
            compare=compare,
            limit=limit,
        )

    def _one_question(self, metrics: Sequence[Named]) -> None:
        """`spend of ada and tokens of bruno` is two: filters hold for all metrics."""
        for metric in metrics[1:]:
            before = {c.options for c in self.slots.filters if metrics[0].at < c.at < metric.at}
            after = {c.options for c in self.slots.filters if c.at > metric.at}
            if before and after and before != after:
                raise Doubt("two questions at once; filters hold for all metrics")

    def _no_judgement(self, metrics: Sequence[Metric]) -> None:
        """`was the error rate ok` asks for no rows with the status ok, nor does `worst` mean the highest success."""
        words = [self.cut.tokens[self.cut.items[c.at].at].word for c in self.slots.filters if not c.named]
        if self._asks_whether() and (judged := [word for word in words if word in REFUSED]):
            raise Doubt(REFUSED[judged[0]], judged)
        if self._word("most") == "worst" and metrics[0].good == "up":
            raise Doubt(LAST_ONES, ["worst"], self.slots.without("most"))

    def _uses(self) -> bool:
        """`which tools does planner use`: the values of one dimension on the rows of another's."""
        slots = self.slots
        use = any(token.word in USE for token in self.cut.tokens)
        return use and slots.says("which") and len(slots.bare) == 1 and bool(slots.filters) and not slots.groups

    def _measured(self) -> tuple[list[Named], list[Named], bool]:
        """Metrics, groups, and whether only the first groups are wanted."""
        slots = self.slots
        said = "count doing except contains vs compare top most least wise changes fail often through share"
        self._only(*said.split(), kinds=("day", "window", "clock", "compare", "grain"))
        if slots.says("least"):
            raise Doubt(LAST_ONES, [self._word("least")], slots.without("least"))
        if slots.says("changes") and not (self._has("compare") or slots.says("is", "compare") or self._asks_whether()):
            raise Doubt("a change against what?")
        if self._word("changes") in ("high", "low", "so many", "so few") and not self._has("compare"):
            raise Doubt(REFUSED["good"], [self._word("changes")], slots.without("changes"))
        metrics, ranked = list(slots.metrics), slots.says("top", "most")
        if (found := self._adjective()) is not None:
            if metrics:
                raise Doubt(f"{slots.adjective!r} and {metrics[0].options[0]} are two ways to sort")
            metrics, ranked = [found[0]], True
            if not found[1]:
                raise Doubt(LAST_ONES, [slots.adjective])
        groups = list(slots.groups)
        for named, plural in slots.bare:
            if not (plural or ranked or slots.says("which", "wise")):
                if self._redundant(named, metrics):
                    continue
                item = self.cut.items[named.at]
                skipped: dict[int, Entry | None] = dict.fromkeys(range(item.at, item.end))
                raise Doubt(f"by {named.options[0]}, or one of them?", [named.options[0]], [skipped])
            if self._redundant(named, metrics) and not (plural or ranked):
                continue
            groups.append(named)
        return metrics, groups, ranked

    def _redundant(self, dim: Named, metrics: Sequence[Named]) -> bool:
        """`resource readings`: a word that the metric's own rows say already."""
        kinds = [self._base(self.workspace.metrics[n]).where.get("kind") for m in metrics for n in m.options]
        return bool(kinds) and kinds.count(kinds[0]) == len(kinds) and kinds[0] in dim.options

    def _asks_whether(self) -> bool:
        first = self.cut.tokens[0].typed if self.cut.tokens else ""
        return first in ("did", "is", "are", "has", "have", "does", "do", "was", "were", "change", "difference")

    def _distinct(self) -> Named | None:
        """How many agents: the metric that counts the different values."""
        (named, _) = self.slots.bare[0]
        counted = [m for m in self.workspace.metrics.values() if m.aggregate == "distinct"]
        dims = [self.workspace.dimensions[name] for name in named.options]
        found = tuple(m.name for m in counted for d in dims if (m.column, m.dataset) == (d.column, d.dataset))
        return Named(found, named.at) if found else None

    def _grain(self, metrics: Sequence[Metric]) -> str | None:
        grains = list(dict.fromkeys(f.data for f in self._said("grain")))
        if len(grains) > 1 and "auto" in grains:
            grains.remove("auto")
        if len(grains) > 1:
            raise Doubt("two lengths of a bucket are named", self._time_words())
        return grains[0] if grains else None

    def _long_enough(self, made: Window, grain: str, dataset: str) -> Window:
        """A window that holds some buckets, where none was said."""
        step = parse_grain(grain)
        period = resolve(made, self.asked.now)
        if period.seconds >= 4 * step.seconds:
            return made
        return Window(windowed.SPAN_OF_GRAIN[step.unit], "now", self.asked.tz)

    def _side_by_side(self, dims: list[str], filters: Sequence[Filter], metrics: int, compare: str | None) -> list[str]:
        """Values that are compared stand beside each other; a comparison needs something to compare with."""
        if not self.slots.says("vs", "compare"):
            return dims
        several = [f.dim for f in filters if f.op == "in"]
        if several and several[0] not in dims and len(several) == 1:
            return [*dims, several[0]]
        if not (several or dims or metrics > 1 or compare):
            raise Doubt("compared with what?")
        return dims
