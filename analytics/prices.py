"""What tokens cost: dated prices of models, and dated rates of the currencies they are in.

A price book is data, see `workspace`: nothing here knows a model. Prices are per million tokens.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from fnmatch import fnmatchcase
from itertools import pairwise

import msgspec
import pyarrow as pa

from analytics.query import Period

DOLLAR = "USD"
PER = 1e6  # tokens
DAY = timedelta(days=1)
# columns of an event that are worked out when they are read, so that a price that is put right holds for the past too
COMPUTED = pa.schema(
    [
        ("cost", pa.float64()),  # as it was reported, else as it is estimated
        ("cost_estimated", pa.float64()),  # only where nothing was reported
        ("priced", pa.bool_()),  # whether what has tokens has a cost; null where there are none
    ]
)


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of these models cost from `since` to the end of `until`, in `currency`. A price for cached
    or cache-written tokens that is not given is that of the others of the input. `checked` is the day on which somebody
    last looked it up."""

    name: str
    models: tuple[str, ...]  # names, * for any characters, ? for one
    input: float
    output: float
    cached: float | None = None
    cache_written: float | None = None
    currency: str = DOLLAR
    since: date | None = None
    until: date | None = None
    checked: date
    source: str = ""
    example: bool = False

    @property
    def parts(self) -> tuple[float, float, float, float]:
        """For tokens of the input that are neither read from a cache nor written to one, read, written, and output."""
        cached = self.input if self.cached is None else self.cached
        return self.input, cached, self.input if self.cache_written is None else self.cache_written, self.output

    def fits(self, model: str) -> bool:
        return any(fnmatchcase(model, pattern) for pattern in self.models)


class Rate(msgspec.Struct, frozen=True):
    """From this day on, one unit of a currency was worth so many US dollars."""

    since: date
    usd: float


class Step(msgspec.Struct, frozen=True):
    """A price while neither it nor its rate changed: `usd` as `Price.parts`; None where it has no end."""

    price: Price
    usd: tuple[float, float, float, float]
    start: datetime | None
    end: datetime | None

    def within(self, span: Period) -> bool:
        return (self.start is None or self.start < span.end) and (self.end is None or self.end > span.start)


class Book(msgspec.Struct, frozen=True):
    """All prices, those that go first in front, and the rates of each currency, oldest first."""

    prices: tuple[Price, ...] = ()
    rates: dict[str, tuple[Rate, ...]] = {}

    def steps(self, span: Period | None = None) -> list[Step]:
        """In the order in which they are tried: the first that fits the model and the time counts. A day without a rate
        has no price."""
        found = (step for price in self.prices for step in self._steps(price))
        return [step for step in found if span is None or step.within(span)]

    def used(self, model: str | None, span: Period) -> Iterator[Price]:
        """The prices that calls of a model may have had in a span."""
        if model is None:
            return
        for step in self.steps(span):
            if step.price.fits(model):
                yield step.price
                if _covers(step, span):
                    return

    def _steps(self, price: Price) -> Iterator[Step]:
        start, end = _midnight(price.since), _midnight(price.until and price.until + DAY)
        if price.currency == DOLLAR:
            yield Step(price, price.parts, start, end)
            return
        rates = self.rates.get(price.currency, ())
        edges = [*(_midnight(rate.since) for rate in rates), None]
        for rate, (first, last) in zip(rates, pairwise(edges), strict=True):
            since = max(filter(None, (first, start)))
            until = min(filter(None, (last, end)), default=None)
            if until is None or since < until:
                first_part, cached, written, output = (part * rate.usd for part in price.parts)
                yield Step(price, (first_part, cached, written, output), since, until)


def _covers(step: Step, span: Period) -> bool:
    return (step.start is None or step.start <= span.start) and (step.end is None or step.end >= span.end)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)
