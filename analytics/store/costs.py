"""What a row costs, as SQL: as its sender reported it, else its tokens at the price of their model and time, else null.

Only calls of a model and increments of counters are estimated: a flow or an agent that repeats the tokens of its calls
would be paid twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from analytics.prices import PER, Step

if TYPE_CHECKING:
    from analytics.store.terms import Terms

ESTIMATED = "kind IN ('model', 'usage')"
TOKENS = ("tokens_input", "tokens_cached", "tokens_cache_written", "tokens_output")


def computed(name: str, terms: Terms) -> str:
    """One of `prices.COMPUTED`."""
    steps = terms.workspace.book.steps(terms.span)
    reported, value = "CAST(NULL AS DOUBLE)", "CAST(NULL AS DOUBLE)"
    if name == "priced":
        reported, value = "true", f"{_chosen(steps, terms, lambda step: 'true')} IS NOT NULL"
    elif steps:
        value = f"{_chosen(steps, terms, lambda step: _paid(step, terms))} / {PER:g}"
    reported = "cost_usd" if name == "cost" else reported
    return f"CASE WHEN cost_usd IS NOT NULL THEN {reported} WHEN {_unknown()} THEN NULL ELSE {value} END"


def lacking(estimate: str) -> str:
    """Whether a row whose estimate is known has tokens and no cost."""
    return f"cost_usd IS NULL AND {estimate} IS NULL AND NOT ({_unknown()})"


def _unknown() -> str:
    """Whether there is nothing to estimate from; the cheaper question comes first."""
    return f"coalesce({', '.join(TOKENS)}) IS NULL OR NOT coalesce({ESTIMATED}, false)"


def _chosen(steps: Sequence[Step], terms: Terms, then: Callable[[Step], str]) -> str:
    """What the first step that fits a row makes of it; null where none does."""
    cases = [f"WHEN {_fits(step, terms)} THEN {then(step)}" for step in steps]
    return f"CASE {' '.join(cases)} END" if cases else "NULL"


def _fits(step: Step, terms: Terms) -> str:
    dialect, model = terms.dialect, terms.dialect.name("model")
    named = " OR ".join(dialect.fits(model, pattern, terms.bind) for pattern in step.price.models)
    return " AND ".join([f"({named})", *terms.between(step.start, step.end)])


def _paid(step: Step, terms: Terms) -> str:
    """The tokens of a row, each kind times its price; those read from a cache or written to one are of the input."""
    given, cached, written, output = (f"coalesce({name}, 0)" for name in TOKENS)
    # a counter tells its cached part in an increment of its own, which takes it off the others
    fresh = f"{given} - {cached} - {written}"
    fresh = f"CASE WHEN kind = 'usage' THEN {fresh} ELSE greatest({fresh}, 0) END"
    amounts = zip((fresh, cached, written, output), step.usd, strict=True)
    return "(" + " + ".join(f"{amount} * {terms.bind(usd)}" for amount, usd in amounts) + ")"
