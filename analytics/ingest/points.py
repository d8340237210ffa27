"""OTLP metrics: one row per data point, kind resource, with what is needed to rebuild the stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from analytics.ingest.attributes import Attributes, Shared, fragment, joined
from analytics.ingest.reasons import Drops, Reason, Refused
from analytics.ingest.records import Row, collected
from analytics.ingest.values import as_json
from analytics.ingest.vocabulary import LABELS, Vocabulary

NO_RECORDED_VALUE = 1
TEMPORALITY = {1: "delta", 2: "cumulative"}


def table(request: Any, vocabulary: Vocabulary, drops: Drops) -> pa.Table:
    """Rows of an ExportMetricsServiceRequest. A point flagged as "no recorded value" is kept with a
    null value: it says that its series ended."""
    drops.noun = "data point"
    attributes = Attributes(vocabulary, LABELS)  # tokens and cost of a point are counted from its increments
    groups = (
        (group.resource, scoped.scope, list(points(scoped.metrics)))
        for group in request.resource_metrics
        for scoped in group.scope_metrics
    )
    return collected(groups, attributes, lambda item, shared: row(item, shared, attributes, vocabulary), drops)


Item = tuple[Any, str | None, Any]


def points(metrics: Any) -> Iterator[Item]:
    """(metric, type, point) of every point; a metric without points of a known type yields one None."""
    for metric in metrics:
        kind = metric.WhichOneof("data")
        data = getattr(metric, kind).data_points if kind else None
        if not data:
            yield metric, kind, None
        else:
            for point in data:
                yield metric, kind, point


def row(item: Item, shared: Shared, attributes: Attributes, words: Vocabulary) -> Row:
    """The columns of one point. Raises Refused."""
    metric, kind, point = item
    if kind is None or point is None:
        raise Refused(Reason.NO_VALUE, "expected a metric with data points")
    columns, rest, _ = attributes.of(words.points.get(metric.name), LABELS).mapped(point.attributes, shared)
    rest += described(metric, kind, point, attributes)
    if (resource := words.resource(metric.name)) is not None:
        columns.setdefault("resource", resource)
    series = stream(metric.name, metric.unit, kind, shared, attributes.fragments(point.attributes))
    time, start = point.time_unix_nano, point.start_time_unix_nano
    absent = bool(point.flags & NO_RECORDED_VALUE)
    data = getattr(metric, kind)
    columns |= {
        "time": time // 1000,
        "start_time": start // 1000 if start else None,
        "event_id": f"{series}:{time:x}:{start:x}",
        "kind": "resource",
        "way": "metric",
        "name": metric.name,
        "unit": metric.unit,
        "point": kind,
        "temporality": TEMPORALITY.get(getattr(data, "aggregation_temporality", 0)),
        "monotonic": data.is_monotonic if kind == "sum" else None,
        "series": series,
        "attributes": joined(rest),
    }
    return columns if absent else columns | READ[kind](point)


def stream(name: str, unit: str, kind: str, shared: Shared, own: list[str]) -> str:
    """Identity of a metric stream: the same for every export of it, whatever the order of attributes."""
    said = [name, unit, kind, *sorted(shared.identity), "", *sorted(own)]
    return blake2b("\n".join(said).encode("utf-8", "replace"), digest_size=16).hexdigest()


def described(metric: Any, kind: str, point: Any, attributes: Attributes) -> list[str]:
    """What a metric and its point say beyond columns and attributes."""
    found = []
    if metric.description:
        found.append(fragment("metric.description", metric.description))
    if kind != "summary" and point.exemplars:
        found.append(
            fragment(
                "metric.exemplars",
                [
                    {
                        "value": number_of(x),
                        "time_unix_nano": x.time_unix_nano,
                        "event_id": f"{x.trace_id.hex()}:{x.span_id.hex()}",
                        "attributes": attributes.plain(x.filtered_attributes),
                    }
                    for x in point.exemplars
                ],
            )
        )
    return found


def number_of(point: Any) -> float | None:
    kind = point.WhichOneof("value")
    return float(getattr(point, kind)) if kind else None


def number(point: Any) -> Row:
    value = number_of(point)
    if value is None:
        raise Refused(Reason.NO_VALUE, "expected as_double or as_int")
    return {"value": value}


def histogram(point: Any) -> Row:
    bounds, counts = list(point.explicit_bounds), list(point.bucket_counts)
    if (bounds or counts) and len(counts) != len(bounds) + 1:
        raise Refused(Reason.BAD_DISTRIBUTION, f"expected {len(bounds) + 1} bucket counts, got {len(counts)}")
    return spread(point, {"bounds": bounds, "counts": counts})


def exponential(point: Any) -> Row:
    sides = {
        side: {"offset": buckets.offset, "counts": list(buckets.bucket_counts)}
        for side, buckets in (("positive", point.positive), ("negative", point.negative))
    }
    scale = {"scale": point.scale, "zero_count": point.zero_count, "zero_threshold": point.zero_threshold}
    return spread(point, scale | sides)


def spread(point: Any, shape: dict[str, Any]) -> Row:
    """The columns of a histogram point; sum, min and max only where the sender recorded them."""
    for name in ("min", "max"):
        if point.HasField(name):
            shape[name] = getattr(point, name)
    total = point.sum if point.HasField("sum") else None
    return {"value": total, "count": counted(point.count), "distribution": as_json(shape)}


def summary(point: Any) -> Row:
    shape = {"quantiles": [[q.quantile, q.value] for q in point.quantile_values]}
    return {"value": point.sum, "count": counted(point.count), "distribution": as_json(shape)}


def counted(count: int) -> int:
    """The wire has 64 bits without a sign, the column has 63."""
    if count >= 2**63:
        raise Refused(Reason.BAD_NUMBER, "count: expected a whole number of 63 bits")
    return count


READ: dict[str, Callable[[Any], Row]] = {
    "gauge": number,
    "sum": number,
    "histogram": histogram,
    "exponential_histogram": exponential,
    "summary": summary,
}
