"""Level shifts, told where there are none and where there are: `python -m tests.bench insight_shift`.

The constants of the test were chosen on other seeds than those here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from analytics.insights.expected import Mark, follow
from analytics.world import World
from tests.bench.tables import Table

MINUTE = 60_000
SEED = 9_000
LENGTH = 2_000  # buckets of a calm series
CALM_SERIES = 10
STEPS = 50  # series for each size of step
WORLDS = 20
SIZES = (1.5, 2.0, 3.0, 5.0)
LIVE = datetime(2026, 3, 2, tzinfo=UTC)
Floats = NDArray[np.float64]


def patterned(rng: np.random.Generator, n: int, alike: float) -> Floats:
    """Noise of 5 about 100, each value `alike` the one before it (an autoregression of order 1)."""
    noise, values = rng.normal(0, 5, n), np.zeros(n)
    values[0] = noise[0]
    for i in range(1, n):
        values[i] = alike * values[i - 1] + np.sqrt(1 - alike * alike) * noise[i]
    return np.asarray(100 + values)


CALM: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "white noise": lambda rng, n: rng.normal(100, 5, n),
    "autoregression 0.3": lambda rng, n: patterned(rng, n, 0.3),
    "autoregression 0.6": lambda rng, n: patterned(rng, n, 0.6),
    "autoregression 0.9": lambda rng, n: patterned(rng, n, 0.9),
    "random walk": lambda rng, n: np.asarray(1000 + np.cumsum(rng.normal(0, 2, n))),
    "log-normal": lambda rng, n: rng.lognormal(3, 0.7, n),
    "counts of 3": lambda rng, n: rng.poisson(3, n).astype(float),
    "season of an hour": lambda rng, n: 100 + 40 * np.sin(np.arange(n) * 2 * np.pi / 60) + rng.normal(0, 4, n),
    "trend": lambda rng, n: 50 + 0.1 * np.arange(n) + rng.normal(0, 2, n),
    "spread that swings": lambda rng, n: 100 + rng.normal(0, 5, n) * np.exp(0.7 * np.sin(np.arange(n) / 50)),
}


def times(n: int) -> list[int]:
    return list(range(0, n * MINUTE, MINUTE))


def fleet(seed: int) -> tuple[Floats, float]:
    """p95 duration of the demo fleet by minute, and the minute at which a tool became slow."""
    world = World(seed, LIVE + timedelta(minutes=97 * seed))
    start, found = world.start, defaultdict(list)
    for batch in world.events(start, world.live):
        for event in batch:
            if event["kind"] == "flow" and "duration_ms" in event:
                found[event["time"][:16]].append(event["duration_ms"])
    minutes = [(start + timedelta(minutes=i)).strftime("%Y-%m-%dT%H:%M") for i in range(120)]
    values = np.array([np.quantile(found[m], 0.95) if found[m] else np.nan for m in minutes])
    slow = max(i.start for i in world.incidents(start, world.live) if i.kind == "slow_tool")
    return values, (slow - start) / timedelta(minutes=1)


def shifts(values: Floats) -> list[Mark]:
    """The shifts that the test told, marks that went back among them."""
    return [m for m in follow(times(len(values)), values.tolist(), lower=0).marks if m.usual is not None]


def false_alarms(name: str) -> tuple[str, ...]:
    """Shifts per 2,000 buckets of a series that has none."""
    told = sum(len(shifts(CALM[name](np.random.default_rng(SEED + i), LENGTH))) for i in range(CALM_SERIES))
    return (f"none: {name}", f"{told / CALM_SERIES:.1f} in 2,000 buckets", "", "")


def power(name: str, made: list[tuple[Floats, float]]) -> tuple[str, ...]:
    """How many shifts up are told within 20 buckets, after how many buckets, and how far off their beginning is."""
    found = []
    for values, at in made:
        near = [m for m in shifts(values) if at - 4 <= m.since / MINUTE <= at + 20]
        found += [(m.t / MINUTE - at + 1, abs(m.since / MINUTE - at)) for m in near[:1] if m.level > m.usual]  # type: ignore[operator]
    after, off = np.median(found, axis=0) if found else (np.nan, np.nan)
    return (name, f"{len(found)} of {len(made)}", f"{after:.0f}", f"{off:.0f}")


def step(size: float, alike: float, seed: int) -> tuple[Floats, float]:
    """A series with one step up, `size` standard deviations high, after 80 to 119 buckets."""
    rng = np.random.default_rng(SEED + seed)
    at = 80 + int(rng.integers(40))
    values = patterned(rng, 170, alike)
    values[at:] += 5 * size
    return values, at


def table() -> Table:
    """False alarms, then what is found of planted steps and of the demo fleet."""
    rows = [false_alarms(name) for name in CALM]
    for alike, name in ((0.0, "white noise"), (0.6, "autoregression 0.6")):
        rows += [power(f"{size:g} sd in {name}", [step(size, alike, i) for i in range(STEPS)]) for size in SIZES]
    rows.append(power("slow tool of the demo fleet, p95 duration", [fleet(SEED + i) for i in range(WORLDS)]))
    return Table(
        "Level shifts",
        "python -m tests.bench insight_shift",
        ("shift", "told", "buckets until told", "buckets that its beginning is off"),
        rows,
        goal="at most 1 false shift in 2,000 buckets, a shift of 3 sd told within 8 buckets",
        note=f"{CALM_SERIES} calm series of {LENGTH:,} buckets each; {STEPS} series with a step and {WORLDS} fleets, "
        f"80 to 119 buckets before it. Medians of those told. Seeds from {SEED:,}; constants chosen on others.",
    )


def main() -> None:
    print(table().markdown())


if __name__ == "__main__":
    main()
