"""Small worlds whose truth is known, and what the product says of samples of them. Every draw has a seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import erf, sqrt
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from analytics.events import NAMES, SCHEMA
from analytics.insights import confidence as trusting
from analytics.insights.changes import late_sources, significant
from analytics.insights.confidence import Confidence
from analytics.query import Filter, Query, Total, Window
from analytics.sources import Sources, Stream
from analytics.store import intervals
from analytics.store.duckdb import DuckDBStore
from analytics.workspace import Metric
from tests.small import workspace

Floats = np.ndarray[Any, np.dtype[np.float64]]
Rng = np.random.Generator
Draw = Callable[[Rng, int], Floats]
Columns = dict[str, list[np.ndarray[Any, Any]]]

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp() * 1e6)
HOUR = 3600.0
SIZE = 200_000  # rows of a population

POPULATIONS: Mapping[str, Draw] = MappingProxyType(
    {
        "even": lambda rng, n: rng.normal(100, 15, n),
        "exponential": lambda rng, n: rng.exponential(1, n),
        "log-normal, sigma 1": lambda rng, n: rng.lognormal(0, 1, n),
        "log-normal, sigma 1.5": lambda rng, n: rng.lognormal(0, 1.5, n),
        "Pareto 2.2": lambda rng, n: rng.pareto(2.2, n) + 1,
        "nine in ten are 0": lambda rng, n: rng.lognormal(0, 1, n) * (rng.random(n) < 0.1),
    }
)
GAPS: Mapping[str, Draw] = MappingProxyType(
    {
        "regular": lambda rng, n: np.full(n, 10.0),
        "regular, jittered": lambda rng, n: np.abs(rng.normal(10, 1, n)),
        "Poisson": lambda rng, n: rng.exponential(10, n),
        "bursts": lambda rng, n: np.where(rng.random(n) < 0.1, rng.exponential(60, n) + 20, 1.0),
        "two rates": lambda rng, n: np.where(rng.random(n) < 0.1, rng.exponential(60, n), rng.exponential(3, n)),
        "Pareto 2.5": lambda rng, n: 6 * (rng.pareto(2.5, n) + 1),
    }
)


class Held(NamedTuple):
    """How often a claim was right, of how many; `width` is the claimed half-width over the value, in the median."""

    what: str
    of: str
    cases: int
    share: float
    width: float = float("nan")


# sample: the intervals on subsampled truth


def sampled(seed: int, sizes: tuple[int, ...], draws: int) -> Iterator[Held]:
    """The 95 % intervals of sums and means of each population, of counts, ratios and quantiles, at each size: each
    row of the population is drawn with the same small probability, as rows arrive."""
    rng = np.random.default_rng(seed)
    for size in sizes:
        counts = rng.poisson(size, draws)
        yield _held("count", f"n {size:,}", [(abs(n - size), intervals.count(n), n) for n in counts if n])
        for share in (0.01, 0.05, 0.3):
            hits = rng.binomial(size, share, draws) / size
            claims = [(abs(p - share), intervals.share(p, size), 1.0) for p in hits]
            yield _held("ratio", f"n {size:,}, {share:.0%}", claims)
        for q in (0.5, 0.95):
            shown = np.quantile(rng.random((draws, size)), q, axis=1)
            yield _held(f"p{q * 100:.0f}", f"n {size:,}", [(abs(u - q), intervals.quantile(q, size), 1) for u in shown])
        for name, draw in POPULATIONS.items():
            rows = draw(rng, SIZE)
            told = [_moments(rng.choice(rows, n)) for n in rng.poisson(size, draws) if n > 1]
            total, mean = rows.mean() * size, rows.mean()
            sums = [(abs(s - total), intervals.total(s, sq, top), s) for _, s, sq, top in told if s]
            yield _held("sum", f"n {size:,}, {name}", sums)
            means = [(abs(s / n - mean), intervals.mean(n, s / n, sq, top), s / n) for n, s, sq, top in told if s]
            yield _held("mean", f"n {size:,}, {name}", means)


def _moments(values: Floats) -> tuple[int, float, float, float]:
    return len(values), float(values.sum()), float((values * values).sum()), float(np.abs(values).max())


def _held(what: str, of: str, claims: list[tuple[float, float, float]]) -> Held:
    """Of (error, half-width, value)."""
    held = np.mean([error <= width for error, width, _ in claims])
    return Held(what, of, len(claims), float(held), float(np.median([width / abs(v) for _, width, v in claims])))


# freshness: the rhythm of arrivals


def on_time(seed: int, gaps: int, hours: int, posted_s: float = 0.0) -> Iterator[Held]:
    """How many of the next gaps stay within the age that a stream allows itself after so many gaps; with `posted_s`
    its events are sent on in posts about so many seconds apart."""
    for k, (name, draw) in enumerate(GAPS.items()):
        rng = np.random.default_rng([seed, k])
        kept = []
        for _ in range(hours):
            times = 1e9 + np.cumsum(draw(rng, gaps + 21))
            posts = np.cumsum(rng.normal(posted_s, posted_s / 10, 10_000)) + times[0] if posted_s else times + 0.5
            stream = Stream()
            for moment in times[: gaps + 1]:
                stream.add([int(moment)], [1], int(moment * 1e6), int(_next(posts, moment) * 1e6))
            allowed = stream.tolerance_s()
            if allowed is None:  # still learning, and saying so
                continue
            for before, after in zip(times[gaps:-1], times[gaps + 1 :], strict=True):
                kept.append(_next(posts, after) - before <= allowed or _next(posts, after) == _next(posts, before))
        yield Held("freshness", f"{name}, {gaps} gaps", len(kept), float(np.mean(kept)))


def _next(posts: Floats, moment: float) -> float:
    return float(posts[np.searchsorted(posts, moment)])


def false_alarms(seed: int, hours: int, senders: int) -> Iterator[Held]:
    """Of moments at which every sender is well, how many tell of none that fell silent."""
    for k, (name, draw) in enumerate(GAPS.items()):
        rng = np.random.default_rng([seed, k])
        quiet = []
        for _ in range(hours):
            found = []
            for sender in range(senders):
                ago = np.cumsum(draw(rng, 6000)) - HOUR  # an hour on, the moment is a random one
                found.append((f"sender-{sender}", ago[(ago >= 0) & (ago < HOUR)]))
            quiet.append(not late_sources(heard(found).trust(NOW)))
        yield Held("silence", f"{name}, {senders} senders", len(quiet), float(np.mean(quiet)))


def heard(sent: Sequence[tuple[str, Floats]]) -> Sources:
    """What Sources knows of events that came in time, by source and age in seconds."""
    sources = Sources()
    sources.observe("events", rows_of(sent), NOW)
    return sources


def rows_of(sent: Sequence[tuple[str, Floats]]) -> pa.Table:
    """Rows by source and age in seconds."""
    names = np.repeat([name for name, _ in sent], [len(ages) for _, ages in sent])
    times = NOW_US - (np.concatenate([ages for _, ages in sent]) * 1e6).astype(np.int64)
    return pa.table({"source": names, "time": times.astype("datetime64[us]")})


# completeness: what is missing


def missing(seed: int, lost: float, cases: int, how: str) -> list[tuple[float, float]]:
    """(reported, true) completeness of the last hour of four senders at Poisson times, that lost this share of all
    events: `refused` ones, those of senders that fell `silent`, or the newest, `delayed` on their way."""
    rng = np.random.default_rng([seed, int(lost * 100)])
    found = []
    for _ in range(cases):
        sent = [(f"s{k}", rng.random(rng.poisson(rate)) * HOUR) for k, rate in enumerate(rng.uniform(200, 900, 4))]
        total = sum(len(ages) for _, ages in sent)
        kept = LOSSES[how](rng, sent, lost)
        arrived = sum(len(ages) for _, ages in kept)
        sources = heard(kept)
        sources.dropped(total - arrived if how == "refused" else 0, NOW, senders=frozenset(name for name, _ in sent))
        found.append((sources.trust(NOW).completeness or 0.0, arrived / total))
    return found


def _refused(rng: Rng, sent: list[tuple[str, Floats]], lost: float) -> list[tuple[str, Floats]]:
    return [(name, ages[rng.random(len(ages)) >= lost]) for name, ages in sent]


def _silenced(rng: Rng, sent: list[tuple[str, Floats]], lost: float) -> list[tuple[str, Floats]]:
    """As many senders as it takes fall silent, at one moment."""
    chosen = 1 + int(lost * 3.99)
    total, theirs = (sum(len(ages) for _, ages in some) for some in (sent, sent[:chosen]))
    since = min(lost * total / theirs, 0.95) * HOUR
    return [(name, ages[(k >= chosen) | (ages > since)]) for k, (name, ages) in enumerate(sent)]


def _delayed(rng: Rng, sent: list[tuple[str, Floats]], lost: float) -> list[tuple[str, Floats]]:
    return [(name, ages[ages > lost * HOUR]) for name, ages in sent]


LOSSES = MappingProxyType({"refused": _refused, "silent": _silenced, "delayed": _delayed})


# the headline: what the store and the sources say together


class Case(NamedTuple):
    """One number on a screen beside its truth. `error` and `scale` in the unit of the claim."""

    metric: Metric
    total: Total
    confidence: Confidence
    error: float
    scale: float

    @property
    def held(self) -> bool:
        return self.error <= (1 - self.confidence.headline) * self.scale + 1e-12

    def forecast(self, within: float) -> float:
        """The probability, by the parts that are shown, that the truth lies within this share of the scale."""
        sample, complete = self.confidence.sample or 0.0, self.confidence.completeness or 1.0
        additive = self.metric.aggregate in trusting.ADDITIVE
        centre = 1 / complete if additive else 1.0
        reach = (2 - sample - centre) if additive else 1 - sample
        deviation = max(reach, 1e-9) / intervals.Z
        low, high = ((1 + sign * within - centre) / deviation / sqrt(2) for sign in (-1, 1))
        return (erf(high) - erf(low)) / 2


KINDS = ("count", "sum", "avg", "ratio", "p50", "p95")
UNCHANGED = (*KINDS, "last", "distinct")
METRICS_AT_ONCE = 6


async def shown(seed: int, cases: int, *, largest: int, lossy: bool = True, compare: bool = False) -> list[Case]:
    """So many numbers out of a store, each of its own sender, kind, population and size, half of them with events
    refused or a sender fallen silent. With `compare` the hour before holds as much of the same."""
    rng = np.random.default_rng(seed)
    metrics: list[Metric] = []
    told: list[tuple[str, Draw, float, str]] = []  # kind, population, expected rows, what is lost
    columns: Columns = {"name": [], "status": [], "time": [], "value": []}
    sources = []
    populations = list(POPULATIONS.values())
    for k in range(cases):
        kinds = UNCHANGED if compare else KINDS
        kind, draw = kinds[k % len(kinds)], populations[rng.integers(len(populations))]
        size = float(np.exp(rng.uniform(np.log(20), np.log(largest))))
        how = ("", "", "refused", "silent")[rng.integers(4)] if lossy and kind in trusting.ADDITIVE else ""
        told.append((kind, draw, size, how))
        metrics += _metrics(f"case-{k}", kind)
        sources.append(_fill(rng, columns, f"case-{k}", told[-1], 2 if compare else 1))
    named = {m.name: m for m in metrics}
    names = [f"case-{k}" for k in range(cases)]
    few = [names[at : at + METRICS_AT_ONCE] for at in range(0, cases, METRICS_AT_ONCE)]
    totals = await _ask(columns, named, [(some, some) for some in few], compare="previous" if compare else None)
    truths = {share_of(draw): np.sort(draw(np.random.default_rng(seed + 1), SIZE)) for draw in POPULATIONS.values()}
    return [_case(truths, named[f"case-{k}"], totals[f"case-{k}"], sources[k], *told[k][:3]) for k in range(cases)]


def _metrics(sender: str, kind: str, suffix: str = "") -> list[Metric]:
    """A metric of this kind over the rows of a sender, and what it is made of."""
    name, where = sender + suffix, {"name": sender}
    if kind == "ratio":
        return [
            Metric(name=f"{name}-bad", aggregate="count", where=where | {"status": "error"}),
            Metric(name=f"{name}-all", aggregate="count", where=where),
            Metric(name=name, aggregate="ratio", numerator=f"{name}-bad", denominator=f"{name}-all", unit="percent"),
        ]
    if kind in ("p50", "p95"):
        return [Metric(name=name, aggregate="quantile", q=int(kind[1:]) / 100, column="value", where=where)]
    column = None if kind == "count" else "status" if kind == "distinct" else "value"
    return [Metric(name=name, aggregate=kind, column=column, where=where)]


def share_of(draw: Draw) -> float:
    """The share of rows with an error that goes with a population: a rare one in some, a common one in others."""
    return (0.01, 0.03, 0.1, 0.25, 0.5, 0.9)[list(POPULATIONS.values()).index(draw)]


def _fill(rng: Rng, columns: Columns, name: str, told: tuple[str, Draw, float, str], hours: int) -> Sources:
    """Rows of one case into the columns; what is known of its sender out."""
    _, draw, size, how = told
    sources = Sources()
    for hour in range(hours):
        ages = rng.random(rng.poisson(size)) * HOUR
        kept = ages
        if how == "refused":
            kept = ages[rng.random(len(ages)) >= rng.uniform(0, 0.6)]
        elif how == "silent":
            kept = ages[ages > rng.uniform(0, 0.6) * HOUR]
        if not hour:
            sources = heard([(name, kept)])
            sources.dropped(len(ages) - len(kept) if how == "refused" else 0, NOW, senders=frozenset({name}))
        columns["name"].append(np.full(len(kept), name))
        columns["status"].append(np.where(rng.random(len(kept)) < share_of(draw), "error", "ok"))
        columns["time"].append(NOW_US - ((kept + hour * HOUR) * 1e6).astype(np.int64))
        columns["value"].append(draw(rng, len(kept)))
    return sources


async def _ask(
    columns: Columns, metrics: dict[str, Metric], asks: Sequence[tuple[list[str], list[str]]], **query: Any
) -> dict[str, Total]:
    """The totals of metrics out of a store in memory, asked a few at a time, each time of the rows of these names."""
    held = {name: pa.array(np.concatenate(arrays)) for name, arrays in columns.items()}
    rows = len(held["time"])
    held |= {"received": held["time"], "event_id": pa.array(np.arange(rows).astype(str))}
    kinds = [(name, SCHEMA.field(name).type) for name in NAMES]
    table = pa.table(
        [held[name].cast(kind) if name in held else pa.nulls(rows, kind) for name, kind in kinds], schema=SCHEMA
    )
    space = workspace(*metrics.values())
    store = DuckDBStore(None, lambda: space, readers=1, threads=1)
    await store.open()
    totals: dict[str, Total] = {}
    try:
        await store.append("events", table)
        window = Window((NOW - timedelta(hours=1)).isoformat(), NOW.isoformat())
        for some, names in asks:
            asked = Query(metrics=some, window=window, filters=[Filter("name", "in", list(names))], **query)
            totals |= (await store.query(asked, now=NOW, deadline_s=60)).totals
    finally:
        await store.close()
    return totals


def _case(
    truths: dict[float, Floats], metric: Metric, total: Total, sources: Sources, kind: str, draw: Draw, size: float
) -> Case:
    confidence = trusting.of(metric, total, sources.trust(NOW))
    value = float(total.value or 0.0)
    if kind == "count":
        return Case(metric, total, confidence, abs(value - size), value)
    if kind == "ratio":
        return Case(metric, total, confidence, abs(value - share_of(draw)), 1.0)
    rows = truths[share_of(draw)]
    if kind in ("sum", "avg"):
        truth = float(rows.mean()) * (size if kind == "sum" else 1.0)
        return Case(metric, total, confidence, abs(value - truth), abs(value))
    q = metric.q or 0.5  # what counts is the share of rows beyond; where many are equal, the nearest of their shares
    low, high = (float(np.searchsorted(rows, value, side)) / SIZE for side in ("left", "right"))
    return Case(metric, total, confidence, max(low - q, q - high, 0.0), min(q, 1 - q))


def calibration(cases: list[Case], seed: int, *, bins: int = 10, draws: int = 4) -> float:
    """The expected calibration error (M. P. Naeini et al. 2015, AAAI) of "the truth lies within t of the shown value",
    with t drawn a few times for each case from 0 to beyond its own 95 %: the mean distance over bins of equal width
    between what was said and how often it was so."""
    rng = np.random.default_rng(seed)
    cases = [case for case in cases for _ in range(draws)]
    within = rng.random(len(cases)) * np.array([1.3 * (1 - c.confidence.headline) for c in cases])
    said = np.array([case.forecast(t) for case, t in zip(cases, within, strict=True)])
    true = np.array([case.error <= t * case.scale for case, t in zip(cases, within, strict=True)])
    place = np.minimum((said * bins).astype(int), bins - 1)
    return float(sum(abs(said[place == b].sum() - true[place == b].sum()) for b in range(bins)) / len(cases))


def told_changes(cases: list[Case], among: int = 1) -> list[bool]:
    """Which of these unchanged numbers would be told as changed."""
    return [significant(case.metric, case.total, among=among) for case in cases]


CLUMP = 6  # events that come together in the mean, as the calls of one flow do
WATCHED = ("count", "sum", "ratio", "p50", "p95", "last")


async def unchanged_lists(seed: int, lists: int, *, clumps: bool) -> list[bool]:
    """Of boards that watch six metrics over two hours in which nothing changes: whether anything is told. With `clumps`
    events come some at a time, within a minute."""
    rng = np.random.default_rng(seed)
    columns: Columns = {"name": [], "status": [], "time": [], "value": []}
    boards: list[dict[str, Metric]] = []
    for k in range(lists):
        ages = rng.random(rng.poisson(rng.uniform(200, 800))) * 2 * HOUR
        if clumps:
            ages = np.repeat(ages, rng.integers(1, 2 * CLUMP, len(ages)))
            ages = np.clip(ages + rng.random(len(ages)) * 60, 0, 2 * HOUR - 1e-3)
        columns["name"].append(np.full(len(ages), f"board-{k}"))
        columns["status"].append(np.where(rng.random(len(ages)) < 0.1, "error", "ok"))
        columns["time"].append(NOW_US - (ages * 1e6).astype(np.int64))
        columns["value"].append(rng.lognormal(0, 1, len(ages)))
        boards.append({m.name: m for kind in WATCHED for m in _metrics(f"board-{k}", kind, f"-{kind}")})
    shown = [[name for name in metrics if name.endswith(WATCHED)] for metrics in boards]
    asks = [(names, [f"board-{k}"]) for k, names in enumerate(shown)]
    named = {name: metric for metrics in boards for name, metric in metrics.items()}
    totals = await _ask(columns, named, asks, compare="previous", grain="1m")
    return [any(significant(named[n], totals[n], among=len(names)) for n in names) for names in shown]
