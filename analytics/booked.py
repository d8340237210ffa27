"""What each way told of tokens and money, what of it counts, and how far the ways agree.

What is compared is the tokens of a session, or of a source where a way tells no session; the money where a way tells no
tokens. Calls are also compared one by one, by their id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from analytics import window as windows
from analytics.query import Query
from analytics.store.base import Store
from analytics.store.dialect import Positional
from analytics.store.terms import EVIDENCE, Terms
from analytics.workspace import Workspace

EVENTS, SESSION = "events", "session"
MAX_GROUPS = 50_000  # sessions told, times the ways they are told in
MAX_DIFFERS = 20
MEASURED_EVERY = timedelta(seconds=2)
TOKENS = "coalesce(tokens_input, tokens_output) IS NOT NULL"
SUM = "coalesce(tokens_input, 0) + coalesce(tokens_output, 0)"
PAID = f"kind = 'usage' AND coalesce({TOKENS} AND cost_usd = 0, false)"  # as the increments of a `paid` counter are


class Told(msgspec.Struct, frozen=True):
    """What one source told in one way of one session; None where it told nothing of that sort."""

    source: str
    way: str
    session: str | None
    calls: int
    tokens: int | None
    cost: float | None
    counted_calls: int
    counted_tokens: int
    counted_cost: float
    spent: float | None = None  # what counts, with what is estimated
    paid: bool = False  # whether its tokens say that another counter tells their money


class Compared(msgspec.Struct, frozen=True):
    """The calls of one source and way that are evidence of another row with the same id."""

    source: str
    way: str
    apart: float
    most: float
    differs: list[dict[str, Any]] = []


async def told_by(
    store: Store, workspace: Workspace, asked: Query, now: datetime, deadline_s: float | None = None
) -> tuple[list[Told], bool]:
    """Each source, way and session; whether there are more than can be compared."""
    terms, rows = _rows(workspace, asked, now)
    sql = (
        "SELECT source, way, session, count(*) FILTER (WHERE kind = 'model') AS calls,"
        " CAST(sum(tokens) AS BIGINT) AS tokens, sum(reported) AS cost,"
        " count(*) FILTER (WHERE counts AND kind = 'model') AS counted_calls,"
        " CAST(coalesce(sum(tokens) FILTER (WHERE counts), 0) AS BIGINT) AS counted_tokens,"
        " coalesce(sum(reported) FILTER (WHERE counts), 0.0) AS counted_cost,"
        " sum(spent) FILTER (WHERE counts) AS spent, bool_or(paid) AS paid"
        f" FROM ({rows}) GROUP BY source, way, session"
        f" ORDER BY counted_tokens DESC, tokens DESC, source, way, session LIMIT {MAX_GROUPS + 1}"
    )
    table = await store.read(sql, list(terms.params.values()), dataset=EVENTS, deadline_s=deadline_s)
    found = msgspec.convert(table.to_pylist(), list[Told])
    return found[:MAX_GROUPS], len(found) > MAX_GROUPS


async def compared_by(store: Store, workspace: Workspace, asked: Query, now: datetime) -> list[Compared]:
    """Evidence beside the row that counts, call by call."""
    terms, rows = _rows(workspace, asked, now)
    here, there = ("coalesce(e.tokens, e.reported)", "CASE WHEN e.tokens IS NULL THEN r.reported ELSE r.tokens END")
    what = "CASE WHEN e.tokens IS NULL THEN 'cost' ELSE 'tokens' END"
    sql = (
        f"WITH told AS ({rows}), pairs AS (SELECT e.source, e.way, e.call_id, {what} AS what,"
        " coalesce(e.flow_id, r.flow_id) AS flow_id,"
        f" CAST({here} AS DOUBLE) AS here, CAST({there} AS DOUBLE) AS there FROM told e JOIN told r"
        " ON r.call_id = e.call_id AND r.kind = e.kind AND r.counts AND NOT e.counts)"
        " SELECT source, way, sum(abs(here - there)) AS apart, sum(greatest(here, there)) AS most,"
        " list({'call_id': call_id, 'flow_id': flow_id, 'what': what, 'here': here, 'record': there}"
        " ORDER BY abs(here - there) DESC, call_id)"
        f" FILTER (WHERE here <> there)[:{MAX_DIFFERS}] AS differs"
        " FROM pairs WHERE here IS NOT NULL AND there IS NOT NULL GROUP BY source, way"
    )
    table = await store.read(sql, list(terms.params.values()), dataset=EVENTS)
    return msgspec.convert([row | {"differs": row["differs"] or []} for row in table.to_pylist()], list[Compared])


def _rows(workspace: Workspace, asked: Query, now: datetime) -> tuple[Terms, str]:
    """Calls and increments of the window; one that names no session is of the session that another row with its
    call names, also for a filter of sessions."""
    period = windows.resolve(asked.window, now)
    terms = Terms(workspace, EVENTS, Positional(), period, asked.as_of)
    kept = terms.kept([f for f in asked.filters if f.dim != SESSION])
    where = " AND ".join([terms.within(period), *kept, "kind IN ('model', 'usage')"])
    session = "CASE WHEN call_id IS NULL THEN session ELSE max(session) OVER (PARTITION BY call_id) END"
    sql = (
        "SELECT coalesce(source, '') AS source, coalesce(way, 'event') AS way, kind, call_id, flow_id,"
        f" {session} AS session, {terms.column(EVIDENCE).sql} IS NOT TRUE AS counts,"
        f" CASE WHEN {TOKENS} THEN {SUM} END AS tokens, cost_usd AS reported, {terms.number('cost')} AS spent,"
        f" {PAID} AS paid FROM {{events}} WHERE {where}"
    )
    if sessions := [terms.condition(f) for f in asked.filters if f.dim == SESSION]:
        sql = f"SELECT * FROM ({sql}) WHERE {' AND '.join(sessions)}"
    return terms, sql


class Held(msgspec.Struct, frozen=True):
    """Tokens of one source that count, and how many there were by the ways that told most."""

    counted: float
    believed: float


class Booked:
    """How much of what the last hour told counts, by source; measured again every few seconds while some of it comes
    in more than one way."""

    def __init__(self) -> None:
        self.held: dict[str, Held] = {}
        self.evidence: frozenset[tuple[str, str]] = frozenset()  # sources and kinds of which nothing counts
        self._measured: datetime | None = None
        self._doubled = False

    def observe(self, table: pa.Table) -> None:
        """Learn from committed rows whether there is anything to measure."""
        if not self._doubled and {"call_id", "kind"} <= set(table.column_names):
            named = table["call_id"].null_count < table.num_rows
            self._doubled = named or bool(pc.any(pc.equal(table["kind"], "usage")).as_py())

    def due(self, now: datetime) -> bool:
        return self._doubled and (self._measured is None or now - self._measured > MEASURED_EVERY)

    def measuring(self, now: datetime) -> None:
        self._measured = now

    def share(self, sources: frozenset[str] | None) -> float | None:
        """Of these sources, or of all; None where nothing is known."""
        return share(held for source, held in self.held.items() if sources is None or source in sources)


def ways(told: Sequence[Told], compared: Iterable[Compared]) -> list[dict[str, Any]]:
    """One entry per source and way, those that told most first."""
    records = _records(told)
    calls = {(each.source, each.way): each for each in compared}
    of: dict[tuple[str, str], list[Told]] = defaultdict(list)
    sessions: dict[str, set[str]] = defaultdict(set)
    for each in told:
        of[each.source, each.way].append(each)
        sessions[each.source].add(_key(each))
    found = []
    for (source, way), own in of.items():
        tokens, cost = (_sum(getattr(each, what) for each in own) for what in ("tokens", "cost"))
        what = "cost" if tokens is None else "tokens"
        pairs = _pairs(own, records, sessions[source], what)
        apart, most, differs = _apart(pairs, what) if way == "metric" else (0.0, 0.0, [])
        if beside := calls.get((source, way)):
            apart, most, differs = beside.apart, beside.most, beside.differs
        record, here = sum(r for _, _, r in pairs), sum(min(h, r) for _, h, r in pairs)
        evidence = _sum(getattr(each, f"counted_{what}") for each in own) != (cost if tokens is None else tokens)
        found.append({
            "source": source,
            "way": way,
            "sessions": sum(each.session is not None for each in own),
            "calls": sum(each.calls for each in own),
            "counted_calls": sum(each.counted_calls for each in own),
            "tokens": tokens,
            "cost": None if cost is None else round(cost, 9),
            "counted_tokens": sum(each.counted_tokens for each in own),
            "counted_cost": round(sum(each.counted_cost for each in own), 9),
            "paid": any(each.paid for each in own),
            "completeness": round(here / record, 4) if record else None,
            "agreement": round(1 - apart / most, 4) if evidence and most else None,
            "differs": differs[:MAX_DIFFERS],
        })  # fmt: skip
    return sorted(found, key=lambda way: (-(way["tokens"] or 0), -(way["cost"] or 0), way["source"], way["way"]))


def share(held: Iterable[Held]) -> float | None:
    """How much of what was told in any way counts: 1 where no way told more of a session than that."""
    every = list(held)
    believed = sum(each.believed for each in every)
    return round(sum(each.counted for each in every) / believed, 4) if believed else None


def held_by(told: Sequence[Told]) -> dict[str, Held]:
    """By source."""
    records = _records(told)
    of: dict[str, dict[str, list[Told]]] = defaultdict(lambda: defaultdict(list))
    for each in told:
        of[each.source][each.way].append(each)
    found = {}
    for source, by_way in of.items():
        most = {_key(each): records[_key(each)]["tokens"] for own in by_way.values() for each in own}
        record, least = sum(most.values()), 0.0
        for own in by_way.values():
            if any(each.session is None for each in own):
                least = max(least, sum(each.tokens or 0 for each in own))
                continue
            for each in own:
                most[_key(each)] = max(most[_key(each)], each.tokens or 0)
        found[source] = Held(record, max(sum(most.values()), least))
    return found


def evidence_of(told: Iterable[Told]) -> frozenset[tuple[str, str]]:
    """Sources and kinds, calls or increments, that told something of which nothing counts."""
    found: dict[tuple[str, str], bool] = {}
    for each in told:
        if each.way == "metric":
            of, something = "usage", each.tokens or each.cost
            counts = each.counted_tokens or each.counted_cost
        else:
            of, something, counts = "model", each.calls, each.counted_calls
        if something:
            found[each.source, of] = found.get((each.source, of), False) or bool(counts)
    return frozenset(key for key, counts in found.items() if not counts)


def _records(told: Iterable[Told]) -> dict[str, dict[str, float]]:
    """What counts, by session."""
    found: dict[str, dict[str, float]] = defaultdict(lambda: {"tokens": 0.0, "cost": 0.0})
    for each in told:
        found[_key(each)]["tokens"] += each.counted_tokens
        found[_key(each)]["cost"] += each.counted_cost
    return found


def _pairs(
    own: Sequence[Told], records: dict[str, dict[str, float]], sessions: Iterable[str], what: str
) -> list[tuple[str | None, float, float]]:
    """Of each session that a source tells of: what this way told, and what the record holds. One pair of all where the
    way tells no session."""
    here: dict[str, float] = defaultdict(float)
    for each in own:
        here[_key(each)] += getattr(each, what) or 0
    if any(each.session is None for each in own):
        return [(None, sum(here.values()), sum(records[key][what] for key in sessions))]
    return [(key, here[key], records[key][what]) for key in sessions]


def _apart(pairs: Iterable[tuple[str | None, float, float]], what: str) -> tuple[float, float, list[dict[str, Any]]]:
    compared = [(key, here, record) for key, here, record in pairs if here or record]
    differs = [
        {"session": key[2:] if key and key[0] == "s" else None, "what": what, "here": here, "record": record}
        for key, here, record in sorted(compared, key=lambda pair: -abs(pair[1] - pair[2]))
        if here != record
    ]
    return (
        sum(abs(here - record) for _, here, record in compared),
        sum(max(here, record) for _, here, record in compared),
        differs,
    )


def _key(told: Told) -> str:
    """A session, or a source where there is none."""
    return f"o {told.source}" if told.session is None else f"s {told.session}"


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
