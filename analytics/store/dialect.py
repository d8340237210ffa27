"""The SQL primitives that differ between engines. A new engine is one more class like this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

LEAST, MOST = "'-inf'::DOUBLE", "'inf'::DOUBLE"
SIDE = '{"offset": "DOUBLE", "counts": ["BIGINT"]}'
SHAPE = f"""'{{"bounds": ["DOUBLE"], "counts": ["BIGINT"], "scale": "DOUBLE", "zero_count": "BIGINT",
    "zero_threshold": "DOUBLE", "positive": {SIDE}, "negative": {SIDE}, "min": "DOUBLE", "max": "DOUBLE"}}'"""


class DuckDB:
    """DuckDB's spelling. Arguments are SQL already: quoted names or bound parameters, never user text."""

    def name(self, identifier: str) -> str:
        return '"' + identifier.replace('"', '""') + '"'

    def parameter(self, name: str) -> str:
        return "$" + name

    def attribute(self, column: str, pointer: str) -> str:
        """The text of a JSON value; null where there is none or the document does not parse."""
        return f"TRY(json_extract_string({column}, {pointer}))"

    def number(self, value: str) -> str:
        return f"TRY_CAST({value} AS DOUBLE)"

    def text(self, value: str) -> str:
        return f"CAST({value} AS VARCHAR)"

    def contains(self, text: str, part: str) -> str:
        return f"contains(lower({text}), lower({part}))"

    def fits(self, text: str, pattern: str, bind: Callable[[str], str]) -> str:
        """Whether a text is as a pattern with * and ? says; most are a beginning, which is much faster to compare."""
        if pattern.endswith("*") and not {*pattern[:-1]} & {*"*?"}:
            return f"starts_with({text}, {bind(pattern[:-1])})"
        return f"{text} {'GLOB' if {*pattern} & {*'*?'} else '='} {bind(pattern)}"

    def differs(self, value: str, other: str) -> str:
        """True also where one side is null."""
        return f"{value} IS DISTINCT FROM {other}"

    def matches(self, value: str, other: str) -> str:
        return f"{value} IS NOT DISTINCT FROM {other}"

    def log_bin(self, value: str, per_decade: int) -> str:
        """The number of the log-spaced bin; null for what has no logarithm."""
        return f"CAST(floor(log10(CASE WHEN {value} > 0 THEN {value} END) * {per_decade}) AS BIGINT)"

    def log_low(self, number: str, per_decade: int) -> str:
        """The lower bound of a log-spaced bin, to six digits."""
        return f"printf('%.6g', pow(10, {number} / {per_decade}.0))"

    def since(self, time: str, origin_us: str, step_us: str) -> str:
        """How many whole steps a time is after the origin."""
        return f"((epoch_us({time}) - {origin_us}) // {step_us})"

    def lookup(self, columns: Sequence[tuple[str, str]]) -> str:
        """A small table from bound lists of equal length, as (list, column name)."""
        return "(SELECT " + ", ".join(f"unnest({values}) AS {name}" for values, name in columns) + ")"

    def scattered(self, names: Sequence[str], many: int) -> str:
        """A whole number below `many` that rows have by chance, the same each time."""
        return f"hash({', '.join(names)}) % {int(many)}"

    def quantiles(self, value: str, qs: Sequence[float], where: str, index: int) -> str:
        """Exact, interpolated. All q of one column are one aggregate; `index` counts from 1."""
        listed = ", ".join(repr(float(q)) for q in qs)
        return f"(quantile_cont({value}, [{listed}]){where})[{index}]"

    def histogram(self, distribution: str, count: str, total: str) -> str:
        """A histogram as one value that `buckets` takes apart."""
        return f"struct_pack(shape := {distribution}, count := {count}, sum := {total})"

    def buckets(self, rows: str) -> str:
        """The rows of a statement, once for each bucket that holds something of their histogram `h`: in its place the
        doubles low, high and n. What is in no bucket lies anywhere. Nothing lies below a min or above a max; where a
        sum is told, nothing lies below 0, for OTLP has no sum of histograms that may hold negative values."""
        read = f"SELECT * EXCLUDE (h), h.count AS of, h.sum AS total, TRY(json_transform(h.shape, {SHAPE})) AS s"
        sides = "coalesce(s.negative.counts, []) || [s.zero_count] || coalesce(s.positive.counts, [])"
        held = (
            "SELECT *, s.scale AS scale, s.negative.offset AS negative, s.positive.offset AS positive,"
            " coalesce(s.zero_threshold, 0) AS zero, 2 + coalesce(len(s.negative.counts), 0) AS middle,"
            f" coalesce({_finite('s.min')}, CASE WHEN total >= 0 THEN 0 END, {LEAST}) AS floor,"
            f" coalesce({_finite('s.max')}, {MOST}) AS roof,"
            f" CASE WHEN s.scale IS NULL THEN coalesce(s.counts, []) ELSE {sides} END AS counts"
            f" FROM ({read} FROM ({rows}))"
        )
        lost = "greatest(of - greatest(coalesce(list_sum(counts), 0), 0), 0)"
        each = (
            f"SELECT * EXCLUDE (s, of, total, counts), generate_subscripts([0] || counts, 1) AS place,"
            f" unnest([{lost}] || counts) AS n, unnest([{LEAST}, {LEAST}] || s.bounds) AS low,"
            f" unnest([{MOST}] || s.bounds) AS high FROM ({held})"
        )
        ended = f"SELECT * REPLACE ({_ended('low')}, {_ended('high')}) FROM ({each}) WHERE n > 0"
        fits = "greatest(low, floor) <= least(high, roof)"
        return (
            "SELECT * EXCLUDE (scale, negative, positive, zero, middle, floor, roof, place)"
            f" REPLACE (CASE WHEN {fits} THEN greatest(low, floor) ELSE low END AS low,"
            f" CASE WHEN {fits} THEN least(high, roof) ELSE high END AS high, CAST(n AS DOUBLE) AS n) FROM ({ended})"
        )

    def last(self, value: str, time: str, where: str) -> str:
        return f"arg_max({value}, {time}){where}"

    def first_value(self, value: str) -> str:
        return f"any_value({value})"


class Positional(DuckDB):
    """Parameters by their place, as `Store.read` takes them."""

    def parameter(self, name: str) -> str:
        return f"${int(name[1:]) + 1}"


def _ended(end: str) -> str:
    """An end of the bucket in a `place`: of an explicit histogram what is there, of an exponential one by its index,
    with the zero bucket in the `middle`. First comes what is in no bucket."""
    low = end == "low"
    below = f"-(2 ** ((negative + place - {1 if low else 2}) * 2 ** -scale))"
    above = f"2 ** ((positive + place - middle - {1 if low else 0}) * 2 ** -scale)"
    there = f"coalesce({_finite(end)}, {LEAST if low else MOST})"
    return (
        f"CASE WHEN place = 1 OR scale IS NULL OR abs(scale) > 64 THEN {there}"
        f" WHEN place < middle THEN {below} WHEN place = middle THEN {'-' if low else ''}zero ELSE {above} END AS {end}"
    )


def _finite(number: str) -> str:
    return f"CASE WHEN isfinite({number}) THEN {number} END"
