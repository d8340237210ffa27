"""`PLUMBLINE_KEY=... python -m analytics.world --url http://127.0.0.1:5006`: the demo fleet, for ever.

Started again with the same --seed and --live it sends the same events, which the server then has once.

Exit status: 0 when told to stop or its parent is gone, 2 for wrong arguments, 3 when the server refuses.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import repeat
from threading import Event as Flag
from types import FrameType

from analytics.host import Sampler
from analytics.world.feed import Feed, Refused, Sender
from analytics.world.flows import Event
from analytics.world.world import World


def main(arguments: list[str] | None = None) -> int:
    parent = os.getppid()
    options = _parser().parse_args(arguments)
    key = os.environ.get("PLUMBLINE_KEY", "")
    if not key:
        _say("PLUMBLINE_KEY is not set: give it an API key with the scope ingest")
        return 2
    try:
        sender = Sender(options.url, key)
    except ValueError as error:
        _say(str(error))
        return 2
    if options.no_fleet and not options.host:
        _say("nothing to send: --no-fleet without --host")
        return 2
    now = datetime.now(UTC).replace(microsecond=0)
    since, batches = (now, repeat(list[Event]())) if options.no_fleet else _fleet(options, now)
    # raising, not a flag: it must end a request that hangs, too
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    feed = Feed(batches, since, now, sender, _say, speed=options.speed, host=Sampler() if options.host else None)
    try:
        feed.run(Flag(), lambda: os.getppid() == parent)
    except Refused as refused:
        _say(f"the server refuses us: {refused}; check PLUMBLINE_KEY (scope ingest) and --url")
        return 3
    return 0


def _fleet(options: argparse.Namespace, now: datetime) -> tuple[datetime, Iterator[list[Event]]]:
    """Where to begin and the batches from there. A world that went live long ago is not told from its start."""
    history = timedelta(hours=options.hours)
    world = World(options.seed, options.live or now, history=history, flows_per_min=options.flows_per_min)
    since = max(world.start, now - history)
    return since, world.events(since)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m analytics.world", description="Send the demo fleet to a server.")
    parser.add_argument("--url", default="http://127.0.0.1:5006", help="the server (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="which fleet (default: %(default)s)")
    parser.add_argument(
        "--hours", type=_at_least_zero, default=2.0, help="hours of history first (default: %(default)s)"
    )
    parser.add_argument("--speed", type=_above_zero, default=1.0, help="world seconds a second (default: %(default)s)")
    parser.add_argument("--flows-per-min", type=_flows, default=60.0, help="mean volume, 8 events each (default: 60)")
    parser.add_argument("--live", type=_moment, help="when the fleet first went live, RFC 3339 (default: now)")
    parser.add_argument("--no-fleet", action="store_true", help="send no fleet, only what --host adds")
    parser.add_argument("--host", action="store_true", help="send this machine's own resources too")
    return parser


def _at_least_zero(text: str) -> float:
    if not 0 <= (number := float(text)) <= 24 * 31:
        raise argparse.ArgumentTypeError(f"expected 0 to 744, got {text}")
    return number


def _above_zero(text: str) -> float:
    if not 0 < (number := float(text)) <= 3600:
        raise argparse.ArgumentTypeError(f"expected more than 0, at most 3600, got {text}")
    return number


def _flows(text: str) -> float:
    if not 0 < (number := float(text)) <= 30_000:
        raise argparse.ArgumentTypeError(f"expected more than 0, at most 30000, got {text}")
    return number


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"expected a time with its offset like 2026-01-06T12:00:00Z, got {text}")
    return moment


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _say(sentence: str) -> None:
    sys.stderr.write(f"demo fleet: {sentence}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    raise SystemExit(main())
