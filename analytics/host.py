"""This machine's own resources, read with psutil and told as events of kind resource.

The names are those of assets/workspaces/host.yaml. What cannot be known yet is left out, never invented:
rates need two reads, and a counter that went backwards (reset, wrap, interface gone) gives none.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import datetime
from typing import Any

import psutil

Traffic = dict[str, tuple[int, int]]  # interface: bytes received, bytes sent


class Sampler:
    """Reads one machine. `source` names it (default: its host name), `path` is on the disk to watch."""

    def __init__(self, source: str | None = None, path: str = "/") -> None:
        self.source = source or socket.gethostname()
        self.path = path
        self._cpu = _cpu_seconds()
        self._traffic: tuple[datetime, Traffic] | None = None
        self._readings: list[tuple[Callable[[datetime], dict[str, float]], str, str]] = [
            (self._utilization, "cpu", "1"),
            (self._load, "cpu", "1"),
            (self._memory, "memory", "1"),
            (self._disk, "disk", "1"),
            (self._network, "network", "By/s"),
            (self._processes, "processes", "{process}"),
        ]

    def read(self, now: datetime) -> list[dict[str, Any]]:
        """All readings of this moment. now: aware UTC; CPU and rates cover the time since the last read."""
        time = f"{now:%Y-%m-%dT%H:%M:%S}.{now.microsecond:06d}Z"
        return [
            {
                "time": time,
                "event_id": f"{self.source}:{name}:{time}",
                "kind": "resource",
                "name": name,
                "resource": resource,
                "source": self.source,
                "value": value,
                "unit": unit,
            }
            for reading, resource, unit in self._readings
            for name, value in reading(now).items()
        ]

    def _utilization(self, now: datetime) -> dict[str, float]:
        before, self._cpu = self._cpu, _cpu_seconds()
        busy, total = (after - since for after, since in zip(self._cpu, before, strict=True))
        if total < 0.005:  # less than one clock tick apart
            return {}
        # idle time may run a hair ahead of the total
        return {"system.cpu.utilization": min(max(busy / total, 0.0), 1.0)}

    def _load(self, now: datetime) -> dict[str, float]:
        return {"system.cpu.load_average.1m": psutil.getloadavg()[0]}

    def _memory(self, now: datetime) -> dict[str, float]:
        memory = psutil.virtual_memory()
        return {"system.memory.utilization": 1 - memory.available / memory.total}

    def _disk(self, now: datetime) -> dict[str, float]:
        disk = psutil.disk_usage(self.path)
        # of what its users may have: blocks reserved for root are neither used nor free
        return {"system.filesystem.utilization": disk.used / max(disk.used + disk.free, 1)}

    def _network(self, now: datetime) -> dict[str, float]:
        before, self._traffic = self._traffic, (now, _traffic())
        if before is None:
            return {}
        seconds = (now - before[0]).total_seconds()
        both = [(before[1][name], counts) for name, counts in self._traffic[1].items() if name in before[1]]
        received = [after[0] - since[0] for since, after in both]
        sent = [after[1] - since[1] for since, after in both]
        if seconds <= 0 or not both or min(*received, *sent) < 0:
            return {}
        return {
            "plumbline.network.receive.rate": sum(received) / seconds,
            "plumbline.network.transmit.rate": sum(sent) / seconds,
            "plumbline.network.rate": (sum(received) + sum(sent)) / seconds,
        }

    def _processes(self, now: datetime) -> dict[str, float]:
        return {"system.processes.count": float(len(psutil.pids()))}


def _cpu_seconds() -> tuple[float, float]:
    """Busy and total seconds of all cores since boot."""
    times = psutil.cpu_times()
    # Linux counts guest time within user time too
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _traffic() -> Traffic:
    """Raw counters per interface, the loopback left out: it is no network."""
    # nowrap would hide a reset behind psutil's own running sum
    counters = psutil.net_io_counters(pernic=True, nowrap=False)
    return {n: (c.bytes_recv, c.bytes_sent) for n, c in counters.items() if not n.lower().startswith("lo")}
