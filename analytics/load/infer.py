"""What the columns of a file hold, by looking at a sample: types, how values are written, and which one is the time."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.load.values import EPOCHS, FALSE, NUMBERS, TRUE, Converter, texts
from analytics.workspace import ColumnType

MISFITS = 0.02  # so many of the values may be wrong before the type is
TRIED = 200  # distinct values of a column that are tried with every form of time
DATES = (
    "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d",
    "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%m.%d.%Y", "%d-%m-%Y", "%m-%d-%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y",
    "%d %b %Y", "%d %B %Y", "%d-%b-%Y", "%d-%b-%y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y", "%d/%b/%Y", "%d. %B %Y",
    "%a, %d %b %Y", "%A, %B %d, %Y", "%Y-%m", "%b %Y", "%B %Y",
)  # fmt: skip
CLOCKS = (
    "", " %H:%M:%S", " %H:%M", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", ", %H:%M:%S", "T%H:%M:%S",
    "T%H:%M:%S.%f", ":%H:%M:%S %z", " %H:%M:%S %z", " %H:%M:%S GMT", ", %I:%M %p", ", %I:%M:%S %p", "%H%M%S",
    "T%H%M%SZ",
)  # fmt: skip
SWAPPED = {"%m/%d": "%d/%m", "%d/%m": "%m/%d", "%m.%d": "%d.%m", "%d.%m": "%m.%d", "%m-%d": "%d-%m", "%d-%m": "%m-%d"}
LIKE_TIME = re.compile(r"(^|[_\W])(time|timestamp|datetime|date|ts|day|when|at|created|updated|epoch|month)([_\W]|$)")
BEST_NAMES = (
    "time", "timestamp", "datetime", "date_time", "@timestamp", "ts", "event_time", "eventtime", "date", "day",
    "created_at", "created", "start_time", "started_at",
)  # fmt: skip
PARTS = ("year", "month", "day", "hour", "minute")
EARLY, LATE = datetime(1990, 1, 1, tzinfo=UTC).timestamp(), datetime(2100, 1, 1, tzinfo=UTC).timestamp()


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One column of a file: its type, and how its values are written ("" in the plain way). `note` is what a person
    should know; `values` and `nulls` count the sample, `misfits` those of its values that do not fit; `choices` are
    other ways to read it."""

    field: str
    type: ColumnType = "text"
    form: str = ""
    note: str = ""
    values: int = 0
    nulls: int = 0
    misfits: int = 0
    choices: tuple[str, ...] = ()

    @property
    def read_as(self) -> str:
        """`type` or `type:form`, as a person may write it."""
        return f"{self.type}:{self.form}" if self.form else self.type


class Guesser:
    """Guesses the fields of a sample."""

    def __init__(self, convert: Converter) -> None:
        self._convert = convert

    def field(self, name: str, values: pa.Array) -> Field:
        """What a column holds."""
        if len(values) == values.null_count:
            return Field(field=name, note="no value in the sample", nulls=len(values))
        if pa.types.is_dictionary(values.type):
            values = values.dictionary_decode()
        found = self._of_text(name, values) if pa.types.is_string(values.type) else self._of_typed(name, values)
        return self.fitted(found, values)

    def fitted(self, field: Field, values: pa.Array) -> Field:
        """A field with its counts."""
        misfits = self._misfits(values, field.type, field.form)
        return msgspec.structs.replace(
            field, misfits=misfits, nulls=values.null_count, values=len(values) - values.null_count
        )

    def formed(self, field: Field, values: pa.Array) -> Field:
        """A field of a type that a person chose, read in the way that most of its values fit."""
        found = self.fitted(field, values)
        if field.form or not found.misfits:
            return found
        forms: list[str] = []
        if field.type in ("integer", "number"):
            forms = [*NUMBERS]
        elif field.type == "time":
            some = values.drop_null()
            forms = [*EPOCHS, "%Y%m%d", "%Y"]
            if pa.types.is_string(values.type) and (date := self._dated(some)):
                forms.append(date[1])
        tried = [self.fitted(msgspec.structs.replace(field, form=form), values) for form in forms]
        return min([found, *tried], key=lambda each: each.misfits)

    def _of_typed(self, name: str, values: pa.Array) -> Field:
        kind = values.type
        if pa.types.is_boolean(kind):
            return Field(field=name, type="boolean")
        if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
            zone = pa.types.is_timestamp(kind) and kind.tz is not None
            return Field(field=name, type="time", note="" if zone or pa.types.is_date(kind) else "read as UTC")
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            if LIKE_TIME.search(name.lower()) and (unit := epoch_unit(values)):
                return _epoch(name, unit)
            return Field(field=name, type="integer" if pa.types.is_integer(kind) else "number")
        return Field(field=name)

    def _of_text(self, name: str, values: pa.Array) -> Field:
        some = values.drop_null()
        if self._fits(some, "integer"):
            if pc.any(pc.match_substring_regex(some, r"^[+-]?0\d")).as_py():
                compact = self._time(name, some) if LIKE_TIME.search(name.lower()) else None
                return compact or Field(field=name, note="leading zeros are kept")
            whole = self._convert(some, "integer").drop_null()
            if LIKE_TIME.search(name.lower()):
                if unit := epoch_unit(whole):
                    return _epoch(name, unit)
                if compact := self._compact(name, some):
                    return compact
            return Field(
                field=name, type="integer", choices=("boolean",) if set(whole.unique().to_pylist()) <= {0, 1} else ()
            )
        if self._words(some):
            return Field(field=name, type="boolean")
        return self._number(name, some) or self._time(name, some) or Field(field=name)

    def _words(self, some: pa.Array) -> bool:
        """Whether all are words for true and false, and both are there."""
        words = set(pc.utf8_lower(pc.utf8_trim_whitespace(some.unique())).to_pylist())
        return len(words) <= 8 and bool(words & {*TRUE}) and bool(words & {*FALSE}) and words <= {*TRUE, *FALSE}

    def _number(self, name: str, some: pa.Array) -> Field | None:
        digits = pc.sum(pc.match_substring_regex(some, r"\d")).as_py()
        if digits < (1 - MISFITS) * len(some) - 1:
            return None
        wrong = {form: self._misfits(some, "number", form) for form in NUMBERS}
        form = min(wrong, key=lambda each: wrong[each])
        if not _tolerable(wrong[form], len(some)):
            return None
        if (
            LIKE_TIME.search(name.lower())
            and not form
            and (unit := epoch_unit(self._convert(some, "number").drop_null()))
        ):
            return _epoch(name, unit)
        note = ""
        if form == "1,234.5" and wrong["1.234,5"] == wrong[form]:
            first = some[0].as_py()
            note = f"{first} is read with a comma between thousands"
        elif signs := sorted({sign for sign in "$€£¥%" if pc.any(pc.match_substring(some, sign)).as_py()}):
            note = f"without the sign {' '.join(signs)}"
        whole = self._misfits(some, "integer", form) <= wrong[form]
        other = {"1,234.5": "1.234,5", "1.234,5": "1,234.5"}.get(form)
        return Field(field=name, type="integer" if whole else "number", form=form, note=note,
                     choices=(f"number:{other}",) if note and other else ())  # fmt: skip

    def _compact(self, name: str, some: pa.Array) -> Field | None:
        """Eight digits that are a date, such as 20130131."""
        fits = self._misfits(some, "time", "%Y%m%d") if pc.all(pc.equal(pc.utf8_length(some), 8)).as_py() else len(some)
        return (
            Field(field=name, type="time", form="%Y%m%d", choices=("integer",)) if _tolerable(fits, len(some)) else None
        )

    def _time(self, name: str, some: pa.Array) -> Field | None:
        wrong = self._misfits(some, "time", "")
        if _tolerable(wrong, len(some)):
            return Field(field=name, type="time", note=_zone_note(some))
        found = self._dated(some)
        if found is None or not _tolerable(self._misfits(some, "time", found[1]), len(some)):
            return None
        date, form = found
        note, choices = _zone_note(some), []
        for pair, swapped in SWAPPED.items():
            if date.startswith(pair):
                other = form.replace(pair, swapped)
                if self._misfits(some, "time", other) <= self._misfits(some, "time", form):
                    first = some[0].as_py()
                    order = "day first" if pair.startswith("%d") else "month first"
                    note, choices = f"{first} is read {order}; no value tells which is right", [f"time:{other}"]
        return Field(field=name, type="time", form=form, note=note, choices=tuple(choices))

    def _dated(self, some: pa.Array) -> tuple[str, str] | None:
        """The date that most values are written with, and up to three ways of it with a clock."""
        sample = pc.utf8_trim_whitespace(some.unique()[:TRIED])
        digits = pc.sum(pc.match_substring_regex(sample, r"\d")).as_py()
        if pc.mean(pc.utf8_length(sample)).as_py() > 40 or digits < len(sample) * 0.9:
            return None
        formats = [date + clock for date in DATES for clock in CLOCKS]
        fits = np.array([c.to_numpy(zero_copy_only=False) for c in self._convert.times(sample, formats).columns], bool)
        by_date = {date: fits[i * len(CLOCKS) : (i + 1) * len(CLOCKS)] for i, date in enumerate(DATES)}
        date = max(DATES, key=lambda each: int(by_date[each].any(axis=0).sum()))
        form = _chosen(date, by_date[date])
        return (date, form) if form else None

    def _fits(self, values: pa.Array, type: str, form: str = "") -> bool:
        return _tolerable(self._misfits(values, type, form), len(values))

    def _misfits(self, values: pa.Array, type: str, form: str) -> int:
        return int(self._convert(values, type, form).null_count - values.null_count)


def time_field(fields: Sequence[Field]) -> str | None:
    """The field that the rows' time is most likely in."""
    ranked = []
    for place, field in enumerate(fields):
        if field.type != "time" or not field.values:
            continue
        name = field.field.lower().strip()
        rank = BEST_NAMES.index(name) if name in BEST_NAMES else 20 if LIKE_TIME.search(name) else 30
        sparse = field.nulls > 0.2 * (field.values + field.nulls)
        ranked.append((sparse, rank, field.nulls, place, field.field))
    return min(ranked)[-1] if ranked else None


def time_parts(fields: Sequence[Field]) -> tuple[str, ...]:
    """Fields of year, month, day and so on that together are a time; empty where there is no year."""
    by_name = {field.field.lower(): field.field for field in fields if field.type == "integer" and not field.nulls}
    found: list[str] = []
    for part in PARTS:
        if part not in by_name:
            break
        found.append(by_name[part])
    return tuple(found)


def epoch_unit(values: pa.Array) -> str | None:
    """The unit in which numbers are times since 1970 of our days, by their range."""
    some = values.cast(pa.float64(), safe=False).drop_null()
    if not len(some):
        return None
    low, high = pc.quantile(some, [0.02, 0.98]).to_pylist()
    for unit, us in EPOCHS.items():
        if EARLY * 1e6 / us <= low and high < LATE * 1e6 / us:
            return unit
    return None


def as_text(columns: Mapping[str, pa.Array]) -> dict[str, list[str | None]]:
    """Columns as text, for people to look at."""
    return {name: [v if v is None or len(v) <= 200 else v[:199] + "…" for v in texts(values).to_pylist()]
            for name, values in columns.items()}  # fmt: skip


def _epoch(name: str, unit: str) -> Field:
    told = {"s": "seconds", "ms": "milliseconds", "us": "microseconds"}[unit]
    return Field(field=name, type="time", form=unit, note=f"{told} since 1970", choices=("integer",))


def _chosen(date: str, fits: np.ndarray) -> str:
    """Up to three forms of one date that together hold most values."""
    left, forms = np.ones(fits.shape[1], bool), []
    for _ in range(3):
        counts = (fits & left).sum(axis=1)
        best = int(counts.argmax())
        if not counts[best]:
            break
        forms.append(date + CLOCKS[best])
        left &= ~fits[best]
    return "|".join(forms)


def _zone_note(some: pa.Array) -> str:
    zoned = pc.match_substring_regex(some, r"([zZ]|[+-]\d\d:?\d\d|GMT|UTC)\s*$")
    clock = pc.match_substring_regex(some, r"\d:\d")
    return "read as UTC" if pc.any(pc.and_(clock, pc.invert(zoned))).as_py() else ""


def _tolerable(misfits: int, count: int) -> bool:
    return misfits == 0 or (count >= 10 and misfits <= max(1, MISFITS * count))
