"""The SQL primitives that differ between engines. A new engine is one more class like this one."""

from __future__ import annotations

from collections.abc import Callable, Sequence


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

    def last(self, value: str, time: str, where: str) -> str:
        return f"arg_max({value}, {time}){where}"

    def first_value(self, value: str) -> str:
        return f"any_value({value})"


class Positional(DuckDB):
    """Parameters by their place, as `Store.read` takes them."""

    def parameter(self, name: str) -> str:
        return f"${int(name[1:]) + 1}"
