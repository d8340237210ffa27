"""What the columns of unknown data are good for: which to group by, which to measure, what to show first.

Judged by name, type and spread alone. A wrong guess costs a line in a file that people may change.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import msgspec

from analytics.window import EPOCH
from analytics.workspace import Column

MOST = 200  # dimensions, and numbers with metrics: more would help nobody choose
FEW = 32  # values of an integer that may be a category
MANY = 10_000  # values of a text that is still worth grouping by
NAME_CHARS = 64
EVERYTHING = "1970-01-01 to now"
UNITS = (
    (r"(^|_)(ms|millis|milliseconds)$", "ms"),
    (r"(^|_)(s|sec|secs|seconds)$", "s"),
    (r"(^|_)usd$", "usd"),
    (r"(^|_)bytes$", "bytes"),
    (r"(^|_)(pct|percent|percentage)$", "percent"),
)
LABEL = re.compile(
    r"(^|_)(id|uuid|guid|key|code|zip|zipcode|postcode|phone|number|num|no|nr|index|idx)$|^unnamed|^column_"
)
CALENDAR = re.compile(r"(^|_)(year|yr|quarter|month|week|weekday|day|dow|doy|hour|minute|second)s?$")
AMOUNT = re.compile(r"(^|_)(amount|total|count|cost|revenue|sales|quantity|qty|spend|usd|bytes|tokens)($|_)")
USEFUL = re.compile(r"delay|duration|latency|elapsed|distance|price|value|size|score|rate|speed|temp|weight")
RELATIVE = (
    ("now-1h", timedelta(hours=1)),
    ("now-6h", timedelta(hours=6)),
    ("now-1d", timedelta(days=1)),
    ("now-7d", timedelta(days=7)),
    ("now-30d", timedelta(days=30)),
    ("now-90d", timedelta(days=90)),
    ("now-1y", timedelta(days=365)),
    ("now-10y", timedelta(days=3650)),
)


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a column's values. low, high and median are of numbers only; `positive` counts those above 0."""

    distinct: int
    nulls: int = 0
    low: float | None = None
    high: float | None = None
    median: float | None = None
    positive: int = 0


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a dataset: its rows, the first and the last time (aware UTC, None where no row has one), and
    each column's values by its name in the store."""

    rows: int
    start: datetime | None = None
    end: datetime | None = None
    columns: dict[str, Spread] = {}


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A column to group by, under the name of its dimension; `log` makes bins of it."""

    name: str
    column: str
    title: str
    values: int = 0
    calendar: bool = False
    log: bool = False
    unit: str = ""


class Number(msgspec.Struct, frozen=True, kw_only=True):
    """A column of numbers with the names of its two metrics. `rank`: smaller is more useful; None is of no use:
    a label, a part of a date, always the same."""

    column: str
    title: str
    unit: str
    sum: str
    avg: str
    amount: bool
    median: float
    rank: tuple[int, ...] | None


class Choices(msgspec.Struct, frozen=True, kw_only=True):
    """All that is declared over the columns of one dataset, in their order."""

    titles: dict[str, str]
    groups: list[Group]
    numbers: list[Number]
    bins: list[Group]

    def best_numbers(self) -> list[Number]:
        """The useful ones, the most useful first."""
        ranked = [(number.rank, place, number) for place, number in enumerate(self.numbers) if number.rank is not None]
        return [number for *_, number in sorted(ranked, key=lambda entry: entry[:2])]

    def best_groups(self) -> list[Group]:
        """Those that make good bars: about eight values, and no part of a date."""
        good = [group for group in self.groups if 2 <= group.values <= 50]
        return sorted(good, key=lambda group: (group.calendar, abs(math.log(group.values / 8))))

    def best_bins(self) -> list[Group]:
        """In the order of the numbers they are made of."""
        order = [number.column for number in self.best_numbers()]
        return sorted(self.bins, key=lambda group: order.index(group.column))


def choose(columns: Mapping[str, Column], profile: Profile) -> Choices:
    """What to declare."""
    return _Chooser(columns, profile).choices()


class _Chooser:
    def __init__(self, columns: Mapping[str, Column], profile: Profile) -> None:
        self.columns, self.rows = columns, profile.rows
        self.spreads = {c: profile.columns.get(c, Spread(distinct=0)) for c in columns}
        self.slugs = {c: slug(c) for c in columns}
        self.titles = {c: about.title if about.title not in ("", c) else human(c) for c, about in columns.items()}
        self.taken = {"rows", "time"}

    def choices(self) -> Choices:
        grouped = [c for c in self.columns if self.is_group(c)][:MOST]
        # a column whose name may stay as it is keeps it, whatever comes before
        names = {c: self.name(c) for c in sorted(grouped, key=lambda c: c != self.slugs[c])}
        groups = [self.group(c, names[c]) for c in grouped]
        numbers = [self.number(c, c in names) for c in self.columns if self.is_number(c)][:MOST]
        bins = [self.bin(number) for number in numbers if self.is_wide(number)]
        return Choices(titles=self.titles, groups=groups, numbers=numbers, bins=bins)

    def name(self, column: str, head: str = "", tail: str = "") -> str:
        room = NAME_CHARS - len(head) - len(tail)
        return untaken(head + self.slugs[column][:room] + tail, self.taken, NAME_CHARS)

    def is_number(self, column: str) -> bool:
        return self.columns[column].type in ("integer", "number")

    def is_group(self, column: str) -> bool:
        """Whether people would group by a column: one with few values, that come again."""
        distinct, known = self.spreads[column].distinct, self.rows - self.spreads[column].nulls
        match self.columns[column].type:
            case "boolean":
                return True
            case "text":
                return distinct <= min(MANY, max(FEW, self.rows // 2))
            case "integer":
                most = 366 if CALENDAR.search(self.slugs[column]) else FEW
                return 0 < distinct <= most and 2 * distinct <= max(known, 4)
        return False

    def group(self, column: str, name: str) -> Group:
        calendar = bool(CALENDAR.search(self.slugs[column]))
        values = self.spreads[column].distinct
        return Group(name=name, column=column, title=self.titles[column], values=values, calendar=calendar)

    def number(self, column: str, category: bool) -> Number:
        name, spread = self.slugs[column], self.spreads[column]
        unit = next((unit for pattern, unit in UNITS if re.search(pattern, name)), "")
        if unit == "percent" and (spread.high is None or spread.high > 1 or (spread.low or 0) < -1):
            unit = ""  # percent is a fraction that is shown times a hundred; this is a percentage already
        return Number(
            column=column,
            title=self.titles[column],
            unit=unit,
            sum=self.name(column, "sum_"),
            avg=self.name(column, "avg_"),
            amount=bool(AMOUNT.search(name)),
            median=spread.median or 0.0,
            rank=self.rank(column, bool(unit), category),
        )

    def rank(self, column: str, unit: bool, category: bool) -> tuple[int, ...] | None:
        name, spread = self.slugs[column], self.spreads[column]
        known = self.rows - spread.nulls
        if spread.low is None or spread.high is None or spread.distinct < 2 or 2 * spread.nulls > self.rows:
            return None
        if LABEL.search(name) or CALENDAR.search(name):
            return None
        counted = self.columns[column].type == "integer" and spread.distinct == known > FEW
        clock = name.endswith("time") and spread.low >= 0 and 2300 <= spread.high <= 2400  # 1745 is a quarter to six
        named = unit or AMOUNT.search(name) or USEFUL.search(name)
        return int(counted), int(clock), int(category), int(not named)

    def is_wide(self, number: Number) -> bool:
        """Positive numbers of very different size, which only a logarithmic scale shows."""
        spread = self.spreads[number.column]
        if number.rank is None or any(number.rank[:2]) or spread.low is None or spread.high is None or spread.low < 0:
            return False
        if spread.positive < 0.9 * (self.rows - spread.nulls):
            return False
        return spread.high >= 100 * spread.low > 0 or spread.high >= 20 * number.median > 0

    def bin(self, number: Number) -> Group:
        name = self.name(number.column, tail="_bin")
        return Group(name=name, column=number.column, title=f"{number.title} in bins", log=True, unit=number.unit)


def window(profile: Profile, now: datetime) -> str:
    """A window that holds the data: back from now where it is of these days, else from when to when it is."""
    if profile.start is None or profile.end is None:
        return "now-1d"
    if now - timedelta(days=1) <= profile.end <= now:
        return next((text for text, span in RELATIVE if now - profile.start <= span), EVERYTHING)
    start, end = (max(moment.astimezone(UTC), EPOCH) for moment in (profile.start, profile.end))
    if profile.start < EPOCH or end - start > timedelta(days=3650):
        return EVERYTHING if end <= now else f"{end - timedelta(days=3650):%Y-%m-%d} to {end:%Y-%m-%d}"
    if end - start >= timedelta(days=2):
        return f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"  # a date in `to` includes its day
    return f"{start:%Y-%m-%dT%H:%M:%SZ} to {end + timedelta(seconds=1):%Y-%m-%dT%H:%M:%SZ}"


def together(number: Number, first: Number) -> bool:
    """Whether two numbers can share an axis: one unit, and about one size."""
    sizes = sorted((abs(number.median), abs(first.median)))
    return number is first or (number.unit == first.unit and sizes[1] <= 30 * sizes[0])


def untaken(name: str, taken: set[str], most: int, key: Callable[[str], str] = str) -> str:
    """The name, or with a number behind it the first that nobody has; it is taken from now on."""
    found, count = name, 2
    while key(found) in taken or found.endswith("_previous"):  # results use that ending
        tail = f"_{count}"
        found, count = name[: most - len(tail)] + tail, count + 1
    taken.add(key(found))
    return found


def slug(name: str) -> str:
    """Small letters, digits and _, a letter first."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", plain)  # camelCase
    found = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")[:NAME_CHARS].strip("_")
    return found if found[:1].isalpha() else f"column_{found}".strip("_")[:NAME_CHARS]


def human(name: str) -> str:
    """A title made of a name: `dep_delay` is "Dep delay"; what has capitals or spaces already stays."""
    if name != name.lower() or " " in name.strip():
        return name
    words = re.sub(r"_(ms|s|usd|pct|percent)$", "", name).replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else name
