"""Files of every format, whole and broken: what fits is kept, what does not is told with its line."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import random
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from analytics.errors import PlumblineError, ValidationError
from analytics.load.files import digest, source, sources
from analytics.load.lines import read_lines
from analytics.load.plan import Plan, blocks, planned
from analytics.load.rejects import Rejects
from analytics.load.run import Cancelled, Declaration, Kept, Load
from tests.small import many

NOW = datetime(2026, 1, 6, 12, tzinfo=UTC)
TABLE = "day,n,word\n2026-01-01,1,a\n2026-01-02,2,b\n2026-01-03,3,c\n"


def utc(*parts: int) -> datetime:
    """As the store has it: UTC, without saying so."""
    return datetime(*parts, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[arg-type,misc]


class Memory:
    """A sink that keeps rows in memory, each event_id once."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.declared: list[Declaration] = []
        self.forgotten: list[str] = []
        self._fail_at = fail_at

    def declare(self, dataset: str, declaration: Declaration) -> bool:
        self.declared.append(declaration)
        return len(self.declared) == 1

    def append(self, dataset: str, table: pa.Table) -> Kept:
        if self._fail_at is not None and len(self.rows) >= self._fail_at:
            raise ValidationError("the store says no")
        before = len(self.rows)
        self.rows |= {row["event_id"]: row for row in table.to_pylist()}
        added = len(self.rows) - before
        return Kept(added, table.num_rows - added)

    def forget(self, dataset: str) -> None:
        self.forgotten.append(dataset)
        self.rows.clear()

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows.values()]


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def loaded(*paths: Path, sink: Memory | None = None, **asked: Any) -> tuple[Memory, Rejects, Plan]:
    plan, sample = planned(sources([str(path) for path in paths]), **asked)
    sink, rejects = sink or Memory(), Rejects()
    Load(plan, sample, sink, rejects, now=lambda: NOW).run()
    return sink, rejects, plan


def told(rejects: Rejects) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason.code) for reject in rejects.first]


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "csv": lambda body: body,
    "csv.gz": gzip.compress,
    "csv.bz2": bz2.compress,
    "csv.xz": lzma.compress,
    "csv.zst": lambda body: pa.compress(body, "zstd", asbytes=True),
    "csv.zip": lambda body: zipped({"table.csv": body}),
}


def zipped(members: dict[str, bytes]) -> bytes:
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return found.getvalue()


@pytest.mark.parametrize("ending", PACKERS)
def test_a_table_is_the_same_however_it_is_packed(tmp_path: Path, ending: str) -> None:
    sink, rejects, plan = loaded(written(tmp_path / f"days.{ending}", PACKERS[ending](TABLE.encode())))
    assert plan.dataset == "days" and plan.time == "day"
    assert sink.column("n") == [1, 2, 3] and sink.column("word") == ["a", "b", "c"]
    assert sink.column("time")[0] == utc(2026, 1, 1)
    assert rejects.total == 0
    plain = source(written(tmp_path / "plain.csv", TABLE))
    assert digest(source(tmp_path / f"days.{ending}")) == digest(plain)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("utf-8 with a mark", b"\xef\xbb\xbf" + TABLE.encode()),
        ("utf-16", TABLE.encode("utf-16")),
        ("utf-16 without a mark", TABLE.encode("utf-16-le")),
        ("utf-16 big end first", TABLE.encode("utf-16-be")),
        ("windows lines", TABLE.replace("\n", "\r\n").encode()),
        ("old lines", TABLE.replace("\n", "\r").encode()),
        ("no last line end", TABLE.rstrip().encode()),
        ("semicolons", TABLE.replace(",", ";").encode()),
        ("tabs", TABLE.replace(",", "\t").encode()),
        ("bars", TABLE.replace(",", "|").encode()),
        ("quoted", b'"day","n","word"\n"2026-01-01","1","a"\n"2026-01-02","2","b"\n"2026-01-03","3","c"\n'),
        ("comments", ("# made by hand\n" + TABLE + "# the end\n").encode()),
        ("empty lines", TABLE.replace("\n", "\n\n").encode()),
        ("names over two lines", TABLE.replace("word", '"wo\nrd"').encode()),
        ("names in a comment", ("#" + TABLE).encode()),
        ("delimiter at the end", "".join(f"{line},\n" for line in TABLE.splitlines()).encode()),
    ],
)
def test_ways_to_write_the_same_table(tmp_path: Path, name: str, body: bytes) -> None:
    sink, rejects, _ = loaded(written(tmp_path / "days.csv", body))
    assert sink.column("n") == [1, 2, 3] and sink.column("word" if "word" in sink.declared[0].columns else "wo rd") == [
        "a",
        "b",
        "c",
    ]
    assert rejects.total == 0


def test_latin_text_is_read(tmp_path: Path) -> None:
    sink, _, plan = loaded(
        written(tmp_path / "a.csv", "day,place\n2026-01-01,Köln\n2026-01-02,Zürich\n".encode("cp1252"))
    )
    assert sink.column("place") == ["Köln", "Zürich"] and plan.inputs[0].layout.encoding == "cp1252"


def test_a_table_without_names_gets_some(tmp_path: Path) -> None:
    sink, _, plan = loaded(written(tmp_path / "a.csv", "2026-01-01,1\n2026-01-02,2\n"))
    assert [f.field for f in plan.fields] == ["column_1", "column_2"] and plan.time == "column_1"
    assert sink.column("column_2") == [1, 2]


def test_values_over_several_lines(tmp_path: Path) -> None:
    text = 'day,n,word\n2026-01-01,1,"a\nb, ""c""\n\nd"\n2026-01-02,2,5" pipe\n2026-01-03,x3,last\n'
    sink, rejects, _ = loaded(written(tmp_path / "a.csv", text), types={"n": "integer"})
    assert sink.column("word") == ['a\nb, "c"\n\nd', '5" pipe']
    assert told(rejects) == [(7, "bad_type")]  # the line in the file, as an editor counts


JSON_ROWS = [{"at": f"2026-01-0{i}T00:00:00Z", "n": i, "user": {"name": f"u{i}"}, "tags": ["x"]} for i in (1, 2, 3)]


@pytest.mark.parametrize(
    "body",
    [
        "".join(json.dumps(row) + "\n" for row in JSON_ROWS),
        json.dumps(JSON_ROWS),
        json.dumps(JSON_ROWS, indent=2),
        "\n".join(json.dumps(row, indent=2) for row in JSON_ROWS),
    ],
    ids=["lines", "array", "pretty array", "pretty objects"],
)
def test_json_in_its_shapes(tmp_path: Path, body: str) -> None:
    sink, rejects, plan = loaded(written(tmp_path / "a.json", body))
    assert sink.column("n") == [1, 2, 3] and sink.column("user.name") == ["u1", "u2", "u3"]
    assert sink.column("tags") == ['["x"]'] * 3 and plan.time == "at" and rejects.total == 0


def test_a_long_array_on_one_line_is_read_in_pieces(tmp_path: Path) -> None:
    rows = [{"day": "2026-01-01", "n": i, "text": "ü" * 300} for i in range(9000)]  # over two blocks
    sink, rejects, _ = loaded(written(tmp_path / "a.json", json.dumps(rows, ensure_ascii=False)))
    assert len(sink.rows) == 9000 and rejects.total == 0


@pytest.mark.parametrize("packed", [False, True])
def test_parquet(tmp_path: Path, packed: bool) -> None:
    stamp = pa.array([datetime(2026, 1, i, tzinfo=UTC) for i in (1, 2, 3)], pa.timestamp("ns", "Europe/Berlin"))
    nested = pa.array([[1], None, [2, 3]])
    big = pa.array([1, 2, 2**64 - 1], pa.uint64())
    table = pa.table({"when": stamp, "n": pa.array([1, None, 3], pa.int32()), "list": nested, "big": big})
    parquet.write_table(table, tmp_path / "a.parquet")
    if packed:
        written(tmp_path / "a.parquet", gzip.compress((tmp_path / "a.parquet").read_bytes()))
    sink, rejects, plan = loaded(tmp_path / "a.parquet")
    assert sink.column("n") == [1, None] and sink.column("list") == ["[1]", None] and plan.time == "when"
    assert sink.column("time") == [utc(2026, 1, 1), utc(2026, 1, 2)]
    assert told(rejects) == [(3, "bad_type")]  # more than 64 bits with a sign hold


def test_bad_rows_are_told_and_the_others_kept(tmp_path: Path) -> None:
    body = b"".join(
        [
            b"day,n,ok,word\n",
            "2026-01-01,1,yes,ä\n".encode() * 200,
            b"2026-01-02,2,no\n",  # 202: too few
            b"2026-01-02,2,no,b,b\n",  # too many
            b"2026-01-02,two,no,b\n",
            b"2026-02-31,2,no,b\n",
            b",2,no,b\n",
            b"2026-01-02,2,perhaps,b\n",
            b"2026-01-02,2,no,\xff\xfe\n",
            b'2026-01-02,2,no,"open\n',
            b"2026-01-03,3,no,c\n",
        ]
    )
    path = written(tmp_path / "a.csv", body)
    plan, sample = planned(sources([str(path)]), types={"ok": "boolean"})
    sink, rejects = Memory(), Rejects(tmp_path / "a.rejects.csv")
    result = Load(plan, sample, sink, rejects, now=lambda: NOW).run()
    assert result.accepted == 201 and result.rejected == rejects.total == 8
    expected = {202: "bad_fields", 203: "bad_fields", 204: "bad_type", 205: "bad_time", 206: "no_time",
                207: "bad_type", 208: "bad_encoding", 209: "open_quote"}  # fmt: skip
    assert dict(told(rejects)) == expected
    with (tmp_path / "a.rejects.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {int(row["line"]): row["reason"] for row in rows} == expected
    assert next(row["raw"] for row in rows if row["line"] == "204") == "2026-01-02,two,no,b"


def test_bad_json_is_told_and_the_others_kept(tmp_path: Path) -> None:
    lines = ['{"day": "2026-01-01", "n": 1}'] * 60
    lines[10:13] = ['{"day": "2026-01-01", "n": ', "[1, 2]", '{"day": "2026-01-01", "n": NaN}']
    sink, rejects, _ = loaded(written(tmp_path / "a.jsonl", "\n".join(lines)))
    assert len(sink.rows) == 58 and sink.column("n").count(None) == 1  # NaN is written by many, and is no value
    assert told(rejects) == [(11, "not_json"), (12, "not_an_object")]
    broken = "[\n" + ",\n".join(lines[:10]) + ',\n{"day": nonsense},\n' + ",\n".join(lines[13:]) + "\n]"
    sink, rejects, _ = loaded(written(tmp_path / "b.json", broken))
    assert len(sink.rows) == 57 and told(rejects) == [(12, "not_json")]


def test_an_array_that_was_cut_keeps_what_came(tmp_path: Path) -> None:
    sink, rejects, _ = loaded(written(tmp_path / "a.json", json.dumps(JSON_ROWS)[:-40]))
    assert sink.column("n") == [1, 2] and [reject.reason.code for reject in rejects.first] == ["not_json"]


NOT_DATA = {
    "empty": (b"", "is empty"),
    "only space": (b" \n\n ", "is empty"),
    "only the mark of an encoding": (b"\xef\xbb\xbf\n", "is empty"),
    "only comments": (b"# one\n# two\n", "nothing but comments"),
    "only a header": (b"day,n\n", "only a header"),
    "binary": (bytes(range(1, 32)) * 100, "control characters"),
    "pdf": (b"%PDF-1.7 ...", "a PDF document"),
    "sqlite": (b"SQLite format 3\0" + bytes(100), "an SQLite database"),
    "program": (b"\x7fELF" + bytes(100), "a program"),
    "workbook": (zipped({"xl/workbook.xml": b"<x/>"}), "an Excel workbook"),
    "two in a zip": (zipped({"a.csv": b"x", "b.csv": b"y"}), "holds 2 files"),
    "half a zip": (zipped({"a.csv": TABLE.encode() * 99})[:200], "damaged"),
    "truncated gzip": (gzip.compress(TABLE.encode() * 999)[:-20], "ends early"),
    "gzip with a wrong sum": (gzip.compress(TABLE.encode())[:-8] + bytes(8), "damaged"),
    "gzip of nothing": (gzip.compress(b""), "is empty"),
    "damaged parquet": (b"PAR1" + bytes(200), "damaged"),
    "one endless line": (b"x" * (2 << 20), "longer than 1 MiB"),
    "all rows bad": (b"day,n\n" + b"x,1\n" * 3, "no row can be kept"),
}


@pytest.mark.parametrize("name", NOT_DATA)
def test_what_is_no_data_is_refused_and_nothing_is_declared(tmp_path: Path, name: str) -> None:
    body, why = NOT_DATA[name]
    sink = Memory()
    types = {"types": {"day": "time"}} if name == "all rows bad" else {}
    with pytest.raises(ValidationError, match=why) as refused:
        loaded(written(tmp_path / "file.csv", body), sink=sink, **types)
    assert refused.value.hint and "file.csv" in refused.value.message
    assert not sink.declared and not sink.rows


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is a directory"):
        sources([str(tmp_path)])
    with pytest.raises(ValidationError, match="there is no file"):
        sources([str(tmp_path / "gone.csv")])
    with pytest.raises(ValidationError, match="no file fits"):
        sources([str(tmp_path / "*.csv")])


def test_a_file_that_breaks_off_late_is_found_before_anything_is_kept(tmp_path: Path) -> None:
    noise = "".join(f"2026-01-01,{random.Random(i).random()},w\n" for i in range(200_000))
    path = written(tmp_path / "a.csv.gz", gzip.compress(("day,n,word\n" + noise).encode(), 1)[:-100])
    sink = Memory()
    with pytest.raises(ValidationError, match="ends early"):
        loaded(path, sink=sink)
    assert not sink.declared


def test_several_files_are_one_dataset(tmp_path: Path) -> None:
    written(tmp_path / "jan.csv", "day,n\n2026-01-01,1\n")
    written(tmp_path / "feb.csv", "n;day;extra\n2;2026-02-01;x\n")
    sink, _, plan = loaded(tmp_path / "jan.csv", tmp_path / "feb.csv", dataset="months")
    assert plan.dataset == "months" and sink.column("n") == [1, 2] and sink.column("extra") == [None, "x"]
    assert sink.column("source") == ["jan.csv", "feb.csv"]
    assert [s.name for s in sources([str(tmp_path / "*.csv"), str(tmp_path / "jan.csv")])] == ["feb.csv", "jan.csv"]


def test_the_same_file_twice_adds_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", TABLE)
    sink, _, _ = loaded(path)
    plan, sample = planned(sources([str(path)]))
    again = Load(plan, sample, sink, Rejects(), now=lambda: NOW).run()
    assert (again.accepted, again.repeated, len(sink.rows)) == (0, 3, 3)
    # a bad row that is mended later moves no other row's identity
    other, _, _ = loaded(written(tmp_path / "b.csv", TABLE), types={"n": "boolean"})
    assert set(other.rows) <= set(sink.rows)


def test_a_load_that_fails_leaves_nothing(tmp_path: Path) -> None:
    sink = Memory(fail_at=0)
    with pytest.raises(PlumblineError, match="the store says no"):
        loaded(written(tmp_path / "a.csv", TABLE), sink=sink)
    assert sink.forgotten == ["a"] and not sink.rows


def test_a_load_can_be_cancelled(tmp_path: Path) -> None:
    plan, sample = planned(sources([str(written(tmp_path / "a.csv", TABLE * 3))]))
    sink = Memory()
    load = Load(plan, sample, sink, Rejects(), heard=lambda progress: load.cancel())
    with pytest.raises(Cancelled):
        load.run()
    assert load.progress.stage == "cancelled" and not sink.rows


def test_a_line_without_end_costs_no_memory() -> None:
    class Endless:
        left = 64

        def read(self, size: int) -> bytes:
            self.left -= 1
            return b"a,b\n" if self.left == 63 else b"x" * 65536 if self.left > 1 else b"\nc,d\n" if self.left else b""

    rejects = Rejects()
    found = list(read_lines(Endless(), "utf-8", "f", rejects, longest=1 << 20))
    assert [line for block in found for line in block.lines if line] == [b"a,b", b"c,d"]
    assert told(rejects) == [(2, "too_large")]
    assert max(len(line) for block in found for line in block.lines) < 1 << 20


CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], include_characters="\n\t")
CELL = st.text(CHARACTERS, max_size=8)


@settings(max_examples=many(20), deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=12), st.sampled_from(",;\t|"))
def test_what_a_writer_writes_comes_back(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], delimiter: str
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerows([("time", "one", "two"), *(("2026-01-01", *row) for row in rows)])
    sink, rejects, _ = loaded(path, types={"one": "text", "two": "text"}, delimiter=delimiter)
    assert list(zip(sink.column("one"), sink.column("two"), strict=True)) == rows and rejects.total == 0


@settings(max_examples=many(25), deadline=None)
@given(st.binary(max_size=400), st.integers(0, 400))
def test_nothing_of_a_damaged_file_vanishes(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    lines = [b"2026-01-01,1,a\n"] * 20
    body = b"day,n,word\n" + b"".join(lines)
    body = body[: at % len(body)] + noise + body[at % len(body) :]
    path = tmp_path_factory.mktemp("noise") / "a.csv"
    path.write_bytes(body)
    try:
        plan, _ = planned([source(path)])
        rejects = Rejects()
        for input in plan.inputs:
            for block in blocks(input, rejects):
                assert len(block) == len(block.lines)
    except PlumblineError as error:
        told = error.message
    else:
        told = "a.csv"
    assert "a.csv" in told


def test_quotes_behind_a_backslash(tmp_path: Path) -> None:
    text = 'day,word\n2026-01-01,"a \\"b\\", c"\n2026-01-02,"d\\\\"\n'
    sink, rejects, _ = loaded(written(tmp_path / "a.csv", text))
    assert sink.column("word") == ['a "b", c', "d\\"] and rejects.total == 0
