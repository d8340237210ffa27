"""How often each claim of confidence is right, in worlds whose truth is known.
`python -m tests.bench insight_calibration`; tests/unit/test_calibration.py holds the same on fewer cases."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

import numpy as np

from analytics.insights.changes import LEVEL
from analytics.insights.confidence import ADDITIVE
from tests.bench import truth
from tests.bench.tables import Table
from tests.bench.truth import LOSSES, Case, Held

COMMAND = "python -m tests.bench insight_calibration"
SEED = 2026  # the methods were chosen on other seeds
SEEDS = range(2027, 2032)  # of the headline
CLAIMS = 1000  # cases of each that claim anything
DRAWN = 1400
Row = tuple[str, ...]


def table() -> Table:
    """Every part of confidence, the headline, and what is told on the strength of them."""
    return Table(
        title="Confidence",
        command=COMMAND,
        columns=("part", "measured on", "cases", "it says", "it was"),
        rows=[*_sample(), *_freshness(), *_completeness(), *_headline(), *_told()],
        goal="an expected calibration error of at most 0.05 over 1,000 cases",
        note="The cases come from six populations (even, exponential, log-normal with sigma 1 and 1.5, Pareto 2.2, "
        "nine in ten values 0) and six rhythms (regular, with jitter, Poisson, bursts, two rates, Pareto 2.5). The "
        f"methods were chosen on the same worlds with other seeds; here they are {SEED} and, for the headline, "
        f"{SEEDS.start} to {SEEDS.stop - 1}. What says nothing is left out: samples whose interval is wider than the "
        "value, and numbers with a headline of 0. The headline is measured through the store and the sources, on 20 to "
        "400 rows a number. Expected calibration error: for many t, the distance between how likely the truth was said "
        "to be within t of the shown value and how often it was, as a mean over ten bins.",
    )


def _sample() -> Iterator[Row]:
    found = [held for held in truth.sampled(SEED, (10, 30, 100, 1000), draws=2000) if held.width < 1]
    for kind in dict.fromkeys(held.what for held in found):
        mine = [held for held in found if held.what == kind]
        worst = min(mine, key=lambda held: held.share)
        said = f"{_mean(mine)}, worst {worst.share:.1%} ({worst.of})"
        yield "sample", f"{kind}s, n 10 to 1,000", _cases(mine), "95 %", said


def _freshness() -> Iterator[Row]:
    for gaps in (10, 30, 100, 300):
        found = list(truth.on_time(SEED, gaps, hours=200))
        worst = min(found, key=lambda held: held.share)
        said = f"{_mean(found)}, worst {worst.share:.1%} ({worst.of.partition(',')[0]})"
        yield "freshness", f"the next gaps of a stream, {gaps} known", _cases(found), "99 %", said
    posted = list(truth.on_time(SEED, 100, hours=60, posted_s=30))
    yield "freshness", "the same, sent on about every 30 s", _cases(posted), "99 %", _mean(posted)


def _completeness() -> Iterator[Row]:
    for how in LOSSES:
        found = np.array([truth.missing(SEED, lost, 40, how) for lost in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)])
        off = np.abs(found[:, :, 0] - found[:, :, 1])
        said = f"off by {off.mean():.3f}, at most {off.max():.2f}"
        yield "completeness", f"0 to 90 % {how}", f"{off.size:,}", "the share that is there", said


def _headline() -> Iterator[Row]:
    runs = [asyncio.run(truth.shown(seed, DRAWN, largest=400)) for seed in SEEDS]
    live = [[case for case in cases if case.confidence.headline > 0][:CLAIMS] for cases in runs]
    errors = [truth.calibration(cases, seed) for seed, cases in zip(SEEDS, live, strict=True)]
    every = [case for cases in live for case in cases]
    lossy = [c for c in every if c.metric.aggregate in ADDITIVE and (c.confidence.completeness or 1) < 0.9]
    for of, cases in (("counts, sums, means, ratios, quantiles", every), ("counts and sums with rows missing", lossy)):
        yield "headline", of, f"{len(cases):,}", "95 %", f"{_share(cases):.1%}"
    widest = f"{np.mean(errors):.3f}, worst of {len(errors)} seeds {max(errors):.3f}"
    yield "headline", "expected calibration error", f"{len(SEEDS)} × {min(map(len, live)):,}", "0", widest


def _told() -> Iterator[Row]:
    cases = asyncio.run(truth.shown(SEED, 800, largest=400, lossy=False, compare=True))
    told = truth.told_changes(cases)
    yield (
        "changes",
        "numbers that did not change",
        f"{len(told):,}",
        f"at most {LEVEL:.0%} told",
        f"{np.mean(told):.1%}",
    )
    for clumps in (False, True):
        lists = asyncio.run(truth.unchanged_lists(SEED, 200, clumps=clumps))
        of = "lists of six that did not, events " + ("in clumps" if clumps else "one by one")
        yield "changes", of, f"{len(lists):,}", f"at most {LEVEL:.0%} told", f"{np.mean(lists):.1%}"
    well = list(truth.false_alarms(SEED, hours=150, senders=5))
    worst = min(well, key=lambda held: held.share)
    said = (
        f"{1 - np.mean([held.share for held in well]):.1%}, worst {1 - worst.share:.1%} ({worst.of.partition(',')[0]})"
    )
    yield "silence", "moments of five senders that are well", _cases(well), f"at most {LEVEL:.0%} told", said


def _mean(found: Iterable[Held]) -> str:
    return f"{np.mean([held.share for held in found]):.1%}"


def _cases(found: Iterable[Held]) -> str:
    return f"{sum(held.cases for held in found):,}"


def _share(cases: list[Case]) -> float:
    return float(np.mean([case.held for case in cases]))


def main() -> None:
    """Print the table."""
    print(table().markdown())


if __name__ == "__main__":
    main()
