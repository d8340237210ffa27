"""Many spans at once: what `span.mapped_span` makes of one, as columns of all.

Nearly all spans of a fleet are alike: ids, two times, some attributes. Those become columns with work per body and per
distinct attribute instead of per span. A span with more to it is left to be mapped by itself: one with events, links,
a trace state, a message, a name of its own in a vocabulary, an attribute twice, or anything that may be refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from analytics.events import UTC_US
from analytics.ingest.attributes import Attributes, Shared
from analytics.ingest.pairs import NONE, Numbers, Pairs, decoded
from analytics.ingest.span import CALLS, CONSUMED, ERROR, REMOTE_PARENT, SPAN_KIND
from analytics.ingest.tables import replaced, rows
from analytics.ingest.vocabulary import COLUMNS, Vocabulary

FEW = 64  # spans below which columns cost more than they save
BLOCK = 8_192
ATTRIBUTES_MAX = 128  # of one span, what the SDKs send at most
KEYS_MAX = 2_000  # different ones in a block
SIGNATURES_MAX = 2**40
LATEST_NS = np.uint64(2**63)
HEX = np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)  # two characters a byte


class Given(msgspec.Struct):
    """The spans of a body, their places in it (from 1), and the group of each: what shares a resource and a scope."""

    spans: list[Any]
    places: list[int]
    groups: list[int]
    shared: list[Shared]

    def add(self, spans: Sequence[Any], before: int, shared: Shared) -> None:
        self.spans.extend(spans)
        self.places.extend(range(before + 1, before + 1 + len(spans)))
        self.groups.extend([len(self.shared)] * len(spans))
        self.shared.append(shared)


class Fields(msgspec.Struct):
    """The fields of some spans; `odd` are those that must be mapped one by one."""

    trace: Numbers  # n x 32 characters
    own: Numbers  # n x 16
    parent: Numbers  # n x 16
    root: Numbers
    names: Sequence[str]
    kinds: Numbers
    remote: Numbers
    start: Numbers  # ns
    end: Numbers
    failed: Numbers
    odd: Numbers


class Carried(msgspec.Struct):
    """The attributes of some spans, in order: their number among the distinct ones, and the span of each."""

    pairs: Pairs
    numbers: Numbers
    of: Numbers
    groups: Numbers  # of each span


def mapped(
    given: Given, attributes: Attributes, vocabulary: Vocabulary, few: int = FEW
) -> tuple[list[pa.Table], list[int]]:
    """Rows of the plain spans, and the indexes of all others: of all where the body has few."""
    alone: list[int] = []
    tables: list[pa.Table] = []
    if len(given.spans) < few:
        return [], list(range(len(given.spans)))
    for at in range(0, len(given.spans), BLOCK):
        table, odd = _block(given, range(at, min(at + BLOCK, len(given.spans))), attributes, vocabulary)
        alone += odd
        tables.append(table)
    return tables, alone


def _block(given: Given, indexes: range, attributes: Attributes, vocabulary: Vocabulary) -> tuple[pa.Table, list[int]]:
    """Rows of the plain ones of some thousand spans, and the indexes of the others."""
    plain, raws, counts = _plain(given.spans, indexes, vocabulary)
    every = pa.array(raws, pa.binary()).dictionary_encode()
    found = decoded(every.dictionary)
    if not plain or len(found.keys.dictionary) > KEYS_MAX:
        return rows({}, []), list(indexes)
    pairs = Pairs(every.dictionary, found, given.shared, attributes)
    fields = _fields([given.spans[index] for index in plain])
    carried = Carried(
        pairs,
        every.indices.to_numpy().astype(np.int64),
        np.repeat(np.arange(len(plain)), counts),
        np.array([given.groups[index] for index in plain]),
    )
    fields.odd |= _odd(carried, len(plain))
    took, slots = _placed(carried, given.shared)
    columns: dict[str, Any] = {COLUMNS[place]: pairs.values(COLUMNS[place], which) for place, which in took.items()}
    kinds, double, resources = _kinds(fields, carried, vocabulary)
    if resources.null_count < len(resources):
        columns["resource"] = pc.coalesce(columns["resource"], resources) if "resource" in columns else resources
    columns |= _fixed(fields) | {"kind": kinds, "attributes": _texts(fields, carried, slots, given.shared)}
    table = rows(columns, [given.places[index] for index in plain])
    kept = np.flatnonzero(~fields.odd)
    if len(kept) < len(plain):
        table, double, fields.trace = table.take(pa.array(kept)), double[kept], fields.trace[kept]
    alone = set(indexes) - set(np.array(plain)[kept].tolist()) if len(kept) < len(indexes) else ()
    return _with_flows(table, np.flatnonzero(double), fields.trace), sorted(alone)


def _plain(spans: list[Any], indexes: range, vocabulary: Vocabulary) -> tuple[list[int], list[bytes], list[int]]:
    """The indexes of plain spans, their attributes one after another, and how many each has."""
    plain: list[int] = []
    raws: list[bytes] = []
    counts: list[int] = []
    named = vocabulary.spans
    for index in indexes:
        span = spans[index]
        if span.events or span.links or span.trace_state or span.name in named or span.status.message:
            continue
        own = span.attributes[:]
        if len(own) <= ATTRIBUTES_MAX:
            plain.append(index)
            raws += own
            counts.append(len(own))
    return plain, raws, counts


def _fields(spans: list[Any]) -> Fields:
    """Ids of other lengths and times beyond 63 bits become zero, and their span odd."""
    parents = [span.parent_span_id for span in spans]
    trace, bad_trace = _bytes([span.trace_id for span in spans], 16)
    own, bad_own = _bytes([span.span_id for span in spans], 8)
    parent, bad_parent = _bytes(parents, 8)
    told = np.fromiter(map(len, parents), np.int64, len(spans)) > 0
    start = np.array([span.start_time_unix_nano for span in spans], np.uint64)
    end = np.array([span.end_time_unix_nano for span in spans], np.uint64)
    late = (start >= LATEST_NS) | (end >= LATEST_NS)
    start[late] = end[late] = 0
    number = np.array([span.kind for span in spans], np.int64)
    return Fields(
        trace=_hex(trace),
        own=_hex(own),
        parent=_hex(parent),
        root=np.logical_not(parent.any(axis=1)),
        names=[span.name for span in spans],
        kinds=np.where((number >= 0) & (number < len(SPAN_KIND)), number, 0),
        remote=np.array([span.flags for span in spans], np.int64) & REMOTE_PARENT != 0,
        start=start.astype(np.int64),
        end=end.astype(np.int64),
        failed=np.array([span.status.code for span in spans]) == ERROR,
        odd=bad_trace | bad_own | (bad_parent & told) | ~trace.any(axis=1) | ~own.any(axis=1) | late,
    )


def _bytes(ids: Sequence[bytes], size: int) -> tuple[Numbers, Numbers]:
    """Ids as n x size bytes, and which are of another length: those are zero."""
    other = np.fromiter(map(len, ids), np.int64, len(ids)) != size
    if other.any():
        ids = [bytes(size) if len(each) != size else each for each in ids]
    return np.frombuffer(b"".join(ids), np.uint8).reshape(len(ids), size), other


def _hex(ids: Numbers) -> Numbers:
    return np.take(HEX, ids).view(np.uint8)


def _odd(carried: Carried, count: int) -> Numbers:
    """Spans with a key twice, or with an attribute that is refused."""
    odd = np.zeros(count, np.bool_)
    odd[carried.of[carried.pairs.refused[carried.numbers]]] = True
    told = np.sort(carried.of * len(carried.pairs.keys) + carried.pairs.key[carried.numbers])
    odd[told[1:][told[1:] == told[:-1]] // max(len(carried.pairs.keys), 1)] = True
    return odd


def _placed(carried: Carried, shared: Sequence[Shared]) -> tuple[dict[int, Numbers], Numbers]:
    """Per column (its place in COLUMNS) the attribute that each span takes; and for each carried attribute which one
    stays in its place as an attribute: itself, the one from whom it took the column, or NONE."""
    pairs, count = carried.pairs, len(carried.groups)
    column = pairs.column[carried.numbers]
    slots = np.where(column == NONE, carried.numbers, NONE)
    key = pairs.key[carried.numbers]
    order = np.argsort(key.astype(np.uint16), kind="stable")
    bounds = np.searchsorted(key[order], np.arange(len(pairs.keys) + 1))
    found: dict[int, Numbers] = {}
    for place, candidates in _candidates(pairs, shared).items():
        took = np.full(count, NONE)
        first = np.full(count, len(slots))  # where the span first had the column, by a better rank
        for _, number, group in candidates:
            if group is None:
                at = order[bounds[number] : bounds[number + 1]]
                at = at[column[at] == place]
                spans, numbers = carried.of[at], carried.numbers[at]
            else:
                spans = np.flatnonzero(carried.groups == group)
                at, numbers = np.full(len(spans), -1), np.full(len(spans), number)
            beaten = first[spans] < len(slots)
            slots[np.maximum(at, first[spans])[beaten]] = numbers[beaten]
            took[spans[~beaten]] = numbers[~beaten]
            first[spans] = np.minimum(first[spans], at)
        if (took != NONE).any():
            found[place] = took
    return found, slots


def _candidates(pairs: Pairs, shared: Sequence[Shared]) -> dict[int, list[tuple[int, int, int | None]]]:
    """Who may become a column, the best rank first: (rank, key, None) or (rank, shared attribute, its group)."""
    found: dict[int, list[tuple[int, int, int | None]]] = {}
    for group, numbers in enumerate(pairs.shared):
        for place, number in numbers.items():
            found.setdefault(place, []).append((shared[group].won[COLUMNS[place]].rank, number, group))
    for number, key in enumerate(pairs.keys):
        if key is not None and key.column is not None:
            found.setdefault(COLUMNS.index(key.column), []).append((key.rank, number, None))
    return {place: sorted(candidates, key=lambda each: each[0]) for place, candidates in found.items()}


def _kinds(fields: Fields, carried: Carried, vocabulary: Vocabulary) -> tuple[pa.Array, Numbers, pa.Array]:
    """The kind of each span, whether it is a call that opens a flow as well, and the resource it names."""
    pairs, count = carried.pairs, len(fields.names)
    rules = pairs.rules[carried.numbers]
    telling = np.flatnonzero(rules)
    signature = np.zeros(count, np.int64)
    _, of, where = np.unique(carried.of[telling], return_index=True, return_inverse=True)
    nth = np.arange(len(telling)) - of[where] if len(telling) else where
    for step in range(int(nth.max(initial=-1)) + 1):
        now = nth == step
        if signature.max(initial=0) > SIGNATURES_MAX // len(pairs.fulfilled):
            signature = np.unique(signature, return_inverse=True)[1]
        signature *= len(pairs.fulfilled)
        signature[carried.of[telling[now]]] += rules[telling[now]]
    signature = np.unique(signature, return_inverse=True)[1]
    signature = ((signature * 2 + fields.root) * len(SPAN_KIND) + fields.kinds) * 2 + fields.remote
    _, examples, which = np.unique(signature, return_index=True, return_inverse=True)
    found: list[tuple[str, bool, str | None]] = []
    for span in examples.tolist():
        own = rules[np.searchsorted(carried.of, span) : np.searchsorted(carried.of, span, side="right")]
        matched = tuple(chain.from_iterable(pairs.fulfilled[number] for number in own.tolist()))
        root, number = bool(fields.root[span]), int(fields.kinds[span])
        kind, resource = vocabulary.kind(matched, root, number, bool(fields.remote[span]))
        call = vocabulary.kind(matched, False, number, False)[0] if root and kind == "flow" else kind
        double = root and call in CALLS
        found.append((call if double else kind, double, resource))
    kinds, doubles, resources = zip(*found, strict=True)
    taken = pa.array(which)
    return (
        pa.array(kinds, pa.string()).take(taken),
        np.array(doubles)[which],
        pa.array(resources, pa.string()).take(taken),
    )


def _fixed(fields: Fields) -> dict[str, pa.Array]:
    count = len(fields.names)
    colon = np.full((count, 1), ord(":"), np.uint8)
    parents = _characters(np.hstack((fields.trace, colon, fields.parent)))
    began = fields.start > 0
    return {
        "time": pa.array(fields.end // 1000).view(UTC_US),
        "start_time": pa.array(fields.start // 1000, mask=~began).view(UTC_US),
        "duration_ms": pa.array((fields.end - fields.start) / 1e6, mask=~began),
        "event_id": _characters(np.hstack((fields.trace, colon, fields.own))),
        "flow_id": _characters(fields.trace),
        "parent_id": pc.if_else(pa.array(fields.root), pa.scalar(None, pa.string()), parents),
        "name": pa.array(fields.names, pa.string()),
        "status": pa.array(["ok", "error"]).take(pa.array(fields.failed.astype(np.int8))),
        "way": pa.repeat(pa.scalar("span"), count),
    }


def _characters(texts: Numbers) -> pa.StringArray:
    """Texts of one length, from their characters."""
    count, width = texts.shape
    offsets = np.arange(0, width * (count + 1), width, dtype=np.int32)
    data = pa.py_buffer(np.ascontiguousarray(texts))
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), data)


def _texts(fields: Fields, carried: Carried, slots: Numbers, shared: Sequence[Shared]) -> pa.Array:
    """The JSON of `attributes`: what the group shares, what stayed of the span's own in its order, the span's kind."""
    count, left = len(fields.names), slots != NONE
    rest, of = slots[left], carried.of[left]
    asked = np.zeros(int(rest.max(initial=-1)) + 1, np.bool_)
    asked[rest] = True
    numbers, fragments = carried.pairs.fragments(np.flatnonzero(asked))
    place = np.zeros(len(asked), np.int64)
    place[numbers] = np.arange(len(numbers))
    pool = pa.concat_arrays(
        [
            fragments,
            pa.array([",".join(group.rest) for group in shared], pa.string()),
            pa.array([SPAN_KIND[number] for number in range(len(SPAN_KIND))], pa.string()),
        ]
    )
    ahead = np.array([bool(group.rest) for group in shared])[carried.groups]
    ends = np.cumsum(np.bincount(of, minlength=count) + ahead + 1)
    firsts = np.append(0, ends[:-1])[ahead]
    parts = np.empty(ends[-1], np.int64)
    own = np.ones(len(parts), np.bool_)
    own[firsts] = own[ends - 1] = False
    parts[firsts] = len(numbers) + carried.groups[ahead]
    parts[ends - 1] = len(numbers) + len(shared) + fields.kinds
    parts[own] = place[rest]
    lists = pa.ListArray.from_arrays(pa.array(np.append(0, ends), pa.int32()), pool.take(pa.array(parts)))
    return pc.binary_join_element_wise("{", pc.binary_join(lists, ","), "}", "")


def _with_flows(table: pa.Table, doubles: Numbers, trace: Numbers) -> pa.Table:
    """Before each call that opens a flow, the flow."""
    if not len(doubles):
        return table
    flows = table.take(pa.array(doubles))
    traces = _characters(trace[doubles])
    flow_ids = pc.binary_join_element_wise(traces, "flow", ":")
    told = {"event_id": flow_ids, "kind": pa.repeat("flow", len(doubles)), "attributes": pa.repeat("{}", len(doubles))}
    for name, values in told.items():
        flows = replaced(flows, name, values)
    for name in CONSUMED:
        flows = replaced(flows, name, pa.nulls(len(doubles), flows.schema.field(name).type))
    parents = np.full(table.num_rows, NONE)
    parents[doubles] = np.arange(len(doubles))
    whose = flow_ids.take(pa.array(parents, mask=parents == NONE))
    table = replaced(table, "parent_id", pc.coalesce(whose, table["parent_id"]))
    order = np.sort(np.concatenate((2 * np.arange(table.num_rows) + 1, 2 * doubles)))
    place = np.where(order % 2, order // 2, table.num_rows + np.searchsorted(doubles, order // 2))
    return pa.concat_tables([table, flows]).take(pa.array(place))
