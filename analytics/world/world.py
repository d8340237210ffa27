"""The stream of all events of the demo fleet: a pure function of (seed, live).

Every second of time has its own generator, seeded with that second; the flows drawn from it are played
to their end at once, and each event waits in its second's bucket until it is due. So any span gives the
same events however it is cut, and the stream can go on for ever.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from analytics.world import incidents as plan
from analytics.world.fleet import SOURCES
from analytics.world.flows import LONGEST_S, Event, Fleet, Flow, Sent, Trouble, rfc3339
from analytics.world.incidents import Incident

SWINGS_S = (4100, 1700, 5300, 940)  # periods that never quite meet again
QUOTA_EVERY_S = 30
QUOTA_PERIOD_S = 4 * 3600  # counts from the start of the history, begins anew after this
QUOTA_REACHED_S = 200 * 60  # at an even pace the limit is reached this far into the period
TOKENS_PER_FLOW = 4_350  # as measured; the quota follows the fleet, not its single calls


class World:
    """The fleet that goes live at `live`, with `history` before it. live: aware; taken to the second."""

    def __init__(
        self,
        seed: int,
        live: datetime,
        *,
        history: timedelta = timedelta(hours=2),
        flows_per_min: float = 60.0,
    ) -> None:
        self.seed = seed
        self.live = live.astimezone(UTC).replace(microsecond=0)
        self.start = self.live - history
        self.flows_per_min = flows_per_min
        self._fleet = Fleet.build()
        phases = Random(f"{seed} phases")
        self._phases = [phases.random() * math.tau for _ in SWINGS_S]

    def incidents(self, since: datetime, until: datetime) -> list[Incident]:
        """What goes wrong within [since, until), by start."""
        return plan.schedule(self.seed, self.live, since, until)

    def events(self, since: datetime, until: datetime | None = None) -> Iterator[list[Event]]:
        """What the exporters send within [since, until), one list per second, empty ones included.

        In the order of sending, which is the order of `time` but for what a delayed exporter held back.
        Without `until` it never ends.
        """
        first, last = _us(since), _us(until) if until else None
        waiting: defaultdict[int, list[Sent]] = defaultdict(list)
        second = self._earliest(since)
        while last is None or second * 1_000_000 < last:
            for sent in self._second(second):
                if sent[0] >= first and (last is None or sent[0] < last):
                    waiting[sent[0] // 1_000_000].append(sent)
            due = waiting.pop(second, [])
            if second >= first // 1_000_000:
                yield [event for _, _, event in sorted(due, key=lambda sent: sent[:2])]
            second += 1

    def _earliest(self, since: datetime) -> int:
        """The first second that can still matter at `since`: a flow's length back, or a silence's."""
        near = self.incidents(since - timedelta(seconds=1), since + timedelta(seconds=1))
        held = [i.start for i in near if i.kind == "exporter_delayed"]
        return int(min([since, *held]).timestamp()) - LONGEST_S

    def _second(self, second: int) -> list[Sent]:
        """The events of all flows that start in this second, and its quota readings, as they are sent."""
        rng = Random(f"{self.seed} second {second}")
        at = datetime.fromtimestamp(second, UTC)
        incidents = self.incidents(at, at + timedelta(seconds=LONGEST_S))
        trouble = Trouble.of(i for i in incidents if i.active(at))
        load, pace = self._rhythm(second)
        sent: list[Sent] = []
        for _ in range(_poisson(rng, self.flows_per_min / 60 * load)):
            start, number = second * 1_000_000 + rng.randrange(1_000_000), rng.getrandbits(64)
            sent += Flow(self._fleet, number, start, pace, trouble).play()
        if second % QUOTA_EVERY_S == 0:
            sent += self._quota(second)
        sent += [_marked(i) for i in incidents if i.change and int(i.start.timestamp()) == second]
        silences = [i for i in incidents if i.kind in ("exporter_delayed", "exporter_lost")]
        return _exported(sent, silences) if silences else sent

    def _rhythm(self, second: int) -> tuple[float, float]:
        """Load and pace around 1: day and week gently, and swings of some minutes of this seed's own."""
        day = math.sin(math.tau * (second / 86_400 - 0.375))  # high at 15:00 UTC
        week = math.sin(math.tau * (second / 604_800 - 0.25))
        a, b, c, d = (math.sin(p + math.tau * second / s) for p, s in zip(self._phases, SWINGS_S, strict=True))
        return 1 + 0.07 * day + 0.04 * week + 0.04 * a + 0.02 * b, 1 + 0.02 * day + 0.05 * c + 0.02 * d

    def _quota(self, second: int) -> list[Sent]:
        """The token quota: used since its period began, and its limit. Grows at the fleet's usual pace."""
        elapsed = (second - int(self.start.timestamp())) % QUOTA_PERIOD_S
        per_second = TOKENS_PER_FLOW * self.flows_per_min / 60
        # the swing's slope stays below 1, so that the reading never falls within a period
        swing = 60 * (math.sin(math.tau * elapsed / 1800 + self._phases[0]) - math.sin(self._phases[0]))
        readings = {"used": per_second * max(0.0, elapsed + swing), "limit": per_second * QUOTA_REACHED_S}
        common = {"kind": "resource", "resource": "quota", "source": next(iter(SOURCES)), "unit": "tokens"}
        time = rfc3339(second * 1_000_000)
        sent = []
        for name, value in readings.items():
            event_id = f"quota.tokens.{name}:{time}"
            event = {"time": time, "event_id": event_id, "name": f"quota.tokens.{name}", "value": round(value)}
            sent.append((second * 1_000_000, event_id, event | common))
        return sent


def _marked(incident: Incident) -> Sent:
    """The note that whoever made the change left: an annotation."""
    start = _us(incident.start)
    event_id = f"annotation:{incident.kind}:{start}"
    event = {"time": rfc3339(start), "event_id": event_id, "kind": "event", "resource": "annotation"}
    return start, event_id, event | {"name": incident.change, "source": next(iter(SOURCES))}


def _exported(sent: list[Sent], silences: list[Incident]) -> list[Sent]:
    """What a silent exporter makes of it: held back until it speaks again, or lost."""
    for silence in silences:
        source, start, end = silence.where["source"], _us(silence.start), _us(silence.end)
        hit = [s[2]["source"] == source and start <= s[0] < end for s in sent]
        kept = [s for s, silent in zip(sent, hit, strict=True) if not silent]
        if silence.kind == "exporter_delayed":
            kept += [(end, event_id, event) for (_, event_id, event), silent in zip(sent, hit, strict=True) if silent]
        sent = kept
    return sent


def _poisson(rng: Random, mean: float) -> int:
    """How many happen at this mean (Knuth's product of uniforms; fine up to a few hundred)."""
    floor, product, count = math.exp(-mean), rng.random(), 0
    while product > floor:
        product *= rng.random()
        count += 1
    return count


def _us(at: datetime) -> int:
    """Whole microseconds since the epoch, without the rounding of a float timestamp."""
    return (at - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
