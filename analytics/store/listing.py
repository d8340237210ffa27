"""Queries that list instead of measure: raw rows newest first, and the values of one dimension."""

from __future__ import annotations

from datetime import datetime

from analytics.errors import ValidationError
from analytics.query import Mark, Period, Query
from analytics.store.plan import Plan
from analytics.store.terms import Terms
from analytics.window import EPOCH, US

ROWS = 100
VALUES = 50


def select(query: Query, terms: Terms, period: Period, now: datetime) -> Plan:
    """Rows by time, the newest first, and by event_id where times are equal."""
    columns = [terms.column(name) for name in dict.fromkeys(query.select)]
    listed = ", ".join(f"{column.sql} AS {terms.dialect.name(column.name)}" for column in columns)
    kept = [terms.within(period), *terms.kept(query.filters)]
    if query.after is not None:
        kept.append(_following(query.after, terms))
    order = f"{terms.dialect.name('time')} DESC, {terms.dialect.name('event_id')}"
    limit = int(query.limit or ROWS)
    sql = f"SELECT {listed} FROM {{events}} WHERE {' AND '.join(kept)} ORDER BY {order} LIMIT {limit}"
    return Plan(query=query, dataset=terms.dataset, sql=sql, params=terms.params, period=period, now=now)


def _following(mark: Mark, terms: Terms) -> str:
    """The rows behind a mark; those without an id come last among their equals."""
    time, event_id = terms.dialect.name("time"), terms.dialect.name("event_id")
    at = terms.bind((EPOCH + mark.time_us * US).replace(tzinfo=None))
    if mark.event_id is None:
        return f"{time} < {at}"
    same = f"({event_id} > {terms.bind(mark.event_id)} OR {event_id} IS NULL)"
    return f"{time} <= {at} AND ({time} < {at} OR {same})"


def values(query: Query, terms: Terms, period: Period, now: datetime) -> Plan:
    """How many rows hold each value of a dimension, the most frequent first."""
    dialect = terms.dialect
    term = terms.dimension(query.values or "")
    if term.kind == "time":
        raise ValidationError(f"values: {term.name!r} is a time", hint="choose a window instead")
    where = " AND ".join([terms.within(period), *terms.kept(query.filters)])
    counted = (
        f"SELECT {term.sql} AS value, count(*) AS n, max({dialect.name('time')}) AS last"
        f" FROM {{events}} WHERE {where} GROUP BY 1"
    )
    shown = dialect.text(dialect.log_low("value", term.log) if term.log else "value")
    found = f" WHERE {dialect.contains(shown, terms.bind(query.search))}" if query.search else ""
    sums = f"count(*) OVER () AS {dialect.name('distinct')}, CAST(sum(n) OVER () AS BIGINT) AS {dialect.name('rows')}"
    order = f"ORDER BY n DESC, value LIMIT {int(query.limit or VALUES)}"
    sql = f"SELECT *, {sums} FROM ({counted}){found} {order}"
    return Plan(query=query, dataset=terms.dataset, sql=sql, params=terms.params, period=period, now=now, groups=[term])
