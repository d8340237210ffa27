"""What columns hold, as it is guessed and as it is said."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from analytics.errors import NotFound, ValidationError
from analytics.load.files import sources
from analytics.load.infer import Guesser
from analytics.load.plan import planned
from analytics.load.values import Converter
from analytics.workspace import Column, Dataset


def utc(*parts: int) -> datetime:
    """As the store has it: UTC, without saying so."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type,misc]


@pytest.fixture
def guess() -> Guesser:
    return Guesser(Converter())


def texts(*values: str | None) -> pa.Array:
    return pa.array(values, pa.string())


@pytest.mark.parametrize(
    ("name", "values", "read_as"),
    [
        ("n", ["1", "-2", "+3"], "integer"),
        ("n", ["1", "2.5", "1e3"], "number"),
        ("n", ["1,234", "12", "1,234,567"], "integer:1,234.5"),
        ("n", ["1,234.50", "12.00"], "number:1,234.5"),
        ("n", ["1.234,50", "0,5"], "number:1.234,5"),
        ("n", ["1 234,5", "7"], "number:1.234,5"),
        ("price", ["$1.50", "$20"], "number"),
        ("ok", ["yes", "no"], "boolean"),
        ("ok", ["TRUE", "false"], "boolean"),
        ("ok", ["0", "1"], "integer"),
        ("zip", ["00501", "10115"], "text"),
        ("id", ["12345678901234567890"], "number"),
        ("day", ["2026-01-31", "2026-02-01"], "time"),
        ("at", ["2026-01-31T10:00:00Z", "2026-01-31 10:00:00+02:00"], "time"),
        ("day", ["31/01/2026", "01/02/2026"], "time:%d/%m/%Y"),
        ("day", ["01/31/2026", "02/01/2026"], "time:%m/%d/%Y"),
        ("day", ["31.01.2026 17:05", "01.02.2026 08:00"], "time:%d.%m.%Y %H:%M"),
        ("day", ["1/31/2026 5:05 PM", "2/1/2026 8:00 AM"], "time:%m/%d/%Y %I:%M %p"),
        ("day", ["31 Jan 2026", "1 Feb 2026"], "time:%d %b %Y"),
        ("day", ["20260131", "20260201"], "time:%Y%m%d"),
        ("when", ["10/Oct/2025:13:55:36 -0700"], "time:%d/%b/%Y:%H:%M:%S %z"),
        ("ts", ["1767225600", "1767225601"], "time:s"),
        ("ts", ["1767225600123"], "time:ms"),
        ("ts", ["1767225600123456"], "time:us"),
        ("ts", ["1767225600.5"], "time:s"),
        ("count", ["1767225600"], "integer"),  # nothing in its name says that it is a time
        ("word", ["a", "1"], "text"),
    ],
)
def test_what_text_holds(guess: Guesser, name: str, values: list[str], read_as: str) -> None:
    found = guess.field(name, texts(*values, None))
    assert (found.read_as, found.misfits) == (read_as, 0)


def test_days_and_months_that_may_be_either_are_said_to_be(guess: Guesser) -> None:
    found = guess.field("day", texts("01/02/2026", "03/04/2026"))
    assert found.read_as == "time:%m/%d/%Y" and found.choices == ("time:%d/%m/%Y",)
    assert found.note == "01/02/2026 is read month first; no value tells which is right"
    assert guess.field("day", texts("01.02.2026")).read_as == "time:%d.%m.%Y"


def test_a_few_wrong_values_do_not_make_a_number_text(guess: Guesser) -> None:
    found = guess.field("n", texts(*map(str, range(99)), "oops"))
    assert (found.type, found.misfits) == ("integer", 1)
    assert guess.field("n", texts("1", "2", "oops")).type == "text"


@pytest.mark.parametrize(
    ("values", "type", "form", "expected"),
    [
        (["1", "x", "1.5", "9223372036854775808", " 7 "], "integer", "", [1, None, None, None, 7]),
        (["1", "x", "1.5", "nan", "inf", "1e999", "-.5"], "number", "", [1.0, None, 1.5, None, None, None, -0.5]),
        (["1,23", "1,234", "12"], "number", "1,234.5", [None, 1234.0, 12.0]),
        (["yes", "OFF", "2"], "boolean", "", [True, False, None]),
        (["2026-02-30", "infinity", "2026-01-01 25:00", "2026-01-01T01:00:00-01:00"], "time", "",
         [None, None, None, utc(2026, 1, 1, 2)]),
        (["1e30", "0"], "time", "s", [None, utc(1970, 1, 1)]),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_nothing_else(values: list[str], type: str, form: str, expected: list[object]) -> None:
    assert Converter()(texts(*values), type, form).to_pylist() == expected


def file(folder: Path, text: str) -> list[str]:
    (folder / "a.csv").write_text(text)
    return [str(folder / "a.csv")]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("updated,time,n\n2026-01-01,2026-01-02,1\n", "time"),
        ("n,created_at\n1,2026-01-01\n", "created_at"),
        ("year,month,day,hour,n\n2026,1,31,5,1\n", "year+month+day+hour"),
        ("year,n\n2026,1\n", "year"),
        ("n,word\n1,a\n", None),
    ],
)
def test_where_the_time_is(tmp_path: Path, text: str, time: str | None) -> None:
    plan, _ = planned(sources(file(tmp_path, text)))
    assert plan.time == time


def test_what_a_person_says_counts(tmp_path: Path) -> None:
    files = sources(file(tmp_path, "a,b\n31.12.2026,1\n30.11.2026,2\n"))
    plan, _ = planned(files, types={"b": "text"}, time="a")
    assert {f.field: f.read_as for f in plan.fields} == {"a": "time:%d.%m.%Y", "b": "text"}
    with pytest.raises(NotFound, match="no column 'c'"):
        planned(files, types={"c": "text"})
    with pytest.raises(ValidationError, match="no type 'string'"):
        planned(files, types={"b": "string"})
    with pytest.raises(ValidationError, match="expected s, ms, us or a format"):
        planned(files, types={"b": "time:nonsense"})
    with pytest.raises(ValidationError, match="does not read as times"):
        planned(sources(file(tmp_path, "a,b\nx,y\n")), time="a")


def test_a_dataset_that_is_there_says_the_types(tmp_path: Path) -> None:
    plan, sample = planned(sources(file(tmp_path, "day,n\n2026-01-01,1\n")))
    there = Dataset(name="a", columns={"day": Column(type="time"), "n": Column(type="number")}, time="day")
    assert {f.field: f.type for f in sample.counted(plan.into(there)).fields} == {"day": "time", "n": "number"}
    with pytest.raises(ValidationError, match="no column 'n'"):
        plan.into(Dataset(name="a", columns={"day": Column(type="time")}, time="day"))
    with pytest.raises(ValidationError, match="holds events"):
        plan.into(Dataset(name="events"))
