"""The critical path of a flow: which spans its duration was spent in, and how much of it in each.

Definition: Zhang et al., "CRISP: Critical Path Analysis of Large-Scale Microservice Architectures", USENIX ATC 2022.
Walk back from the end of the root; on the path is the child that finished last before that moment, then the one
that finished last before the start of that one, and so on, each walked in the same way. Time in which no child on
the path ran is the parent's own. So the times on the path, added up, are the duration of the root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

TOUCH_US = 5  # rounding may let a span begin this much before the end of the one it waited for


class Interval(msgspec.Struct, frozen=True):
    """When a span ran, in microseconds since the epoch."""

    start: int
    end: int


def critical_path(
    spans: Mapping[str, Interval], children: Mapping[str, Sequence[str]], roots: Sequence[str]
) -> dict[str, int]:
    """Microseconds of each span's own on the path, for the spans that are on it.

    `children` must be a forest below `roots`. Several roots are walked like the children of one that spans them all,
    whose own time belongs to nobody. What a child did outside its parent is not on the path.
    """
    own: dict[str, int] = {}
    whole = Interval(min((spans[r].start for r in roots), default=0), max((spans[r].end for r in roots), default=0))
    waiting = [(name, part) for name, part in _chain(spans, roots, whole)]
    while waiting:  # not by recursion: a flow may be a thousand calls deep
        name, part = waiting.pop()
        below = _chain(spans, children.get(name, ()), part)
        own[name] = part.end - part.start - sum(inner.end - inner.start for _, inner in below)
        waiting += below
    return own


def _chain(spans: Mapping[str, Interval], names: Sequence[str], within: Interval) -> list[tuple[str, Interval]]:
    """The last-finishing spans, walking back from the end of `within`, each cut to the time it held things up."""
    cut = ((name, max(spans[name].start, within.start), min(spans[name].end, within.end)) for name in names)
    found, until = [], within.end
    for name, start, end in sorted(cut, key=lambda c: (-c[2], c[1])):
        end = min(end, until) if end <= until + TOUCH_US else end
        if start < end <= until:
            found.append((name, Interval(start, end)))
            until = start
    return found
