"""The cases are data, shared with the screen's formatter: neither may drift from the other."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics import format as fmt

CASES: dict[str, list[dict[str, Any]]] = json.loads(Path(__file__).with_name("format_cases.json").read_text("utf-8"))
UNITS = ["", "flows", "ms", "s", "percent", "usd", "bytes", "bytes_per_s"]


@pytest.mark.parametrize("case", CASES["values"], ids=lambda c: f"{c['value']}-{c['unit']}-{c['per']}")
def test_value(case: dict[str, Any]) -> None:
    assert fmt.value(case["value"], case["unit"], case["per"]) == (case["text"], case["suffix"])


@pytest.mark.parametrize("case", CASES["changes"], ids=lambda c: f"{c['value']}-{c['kind']}")
def test_change(case: dict[str, Any]) -> None:
    assert fmt.change(case["value"], case["kind"]) == case["text"]


@pytest.mark.parametrize("case", CASES["ages"], ids=lambda c: str(c["value"]))
def test_age(case: dict[str, Any]) -> None:
    assert fmt.age(case["value"]) == case["text"]


@pytest.mark.parametrize("case", CASES["exacts"], ids=lambda c: f"{c['value']}-{c['unit']}")
def test_exact(case: dict[str, Any]) -> None:
    assert fmt.exact(case["value"], case["unit"], case["per"]) == case["text"]


def test_text_is_value_in_one_piece() -> None:
    assert fmt.text(4820, "ms") == "4.82 s" == fmt.duration_ms(4820)
    assert fmt.text(38.2, "usd", "hour") == "$38.20/h"
    assert fmt.text(2_410_000, "tokens", "minute") == "2.41M/min"


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_not_a_number_is_unknown(number: float) -> None:
    assert fmt.value(number, "ms") == ("–", "")
    assert fmt.change(number, "pp") == fmt.age(number) == fmt.exact(number) == "–"


@given(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e300, max_value=1e300), st.sampled_from(UNITS))
def test_only_zero_shows_as_zero(number: float, unit: str) -> None:
    shown = fmt.text(number, unit)
    assert any(digit in shown for digit in "123456789") == (number != 0) or abs(number) < 1e-306
    assert shown.startswith("−") == (number < 0)
    assert "-0" not in shown.replace("e-0", "") and "nan" not in shown


@given(st.floats(min_value=1, max_value=9e14), st.sampled_from(["", "ms", "usd", "bytes"]))
def test_what_is_shown_is_within_half_a_digit(number: float, unit: str) -> None:
    text, suffix = fmt.value(number, unit)
    if " " in text:  # a duration in two steps
        return
    steps = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, " ms": 1, " s": 1e3}
    steps |= {" B": 1, " kB": 1e3, " MB": 1e6, " GB": 1e9, " TB": 1e12}
    shown = float(text.lstrip("$").replace(",", "")) * (1e9 if suffix == " B" and unit == "usd" else steps[suffix])
    assert shown == pytest.approx(number, rel=0.0051)
