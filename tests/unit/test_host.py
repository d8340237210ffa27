"""The sampler reads this machine; only the network counters are played, to make them go backwards."""

from __future__ import annotations

from collections import namedtuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from ruamel.yaml import YAML

from analytics.host import Sampler

NOON = datetime(2026, 1, 6, 12, tzinfo=UTC)
WORKSPACE = Path(__file__).parents[2] / "assets" / "workspaces" / "host.yaml"
RATES = {"plumbline.network.receive.rate", "plumbline.network.transmit.rate", "plumbline.network.rate"}
Counter = namedtuple("Counter", "bytes_recv bytes_sent")


def read(sampler: Sampler, after_s: float) -> dict[str, float]:
    return {event["name"]: event["value"] for event in sampler.read(NOON + timedelta(seconds=after_s))}


def let_the_cpu_tick() -> None:
    before = sum(psutil.cpu_times())
    while sum(psutil.cpu_times()) == before:
        pass


@pytest.fixture
def counters(monkeypatch: pytest.MonkeyPatch) -> dict[str, Counter]:
    now = {"lo": Counter(9, 9), "eth0": Counter(1000, 500), "eth1": Counter(10, 20)}
    monkeypatch.setattr(psutil, "net_io_counters", lambda **_: dict(now))
    return now


def test_every_reading_the_workspace_names_is_made(counters: dict[str, Counter]) -> None:
    declared = YAML(typ="safe").load(WORKSPACE.read_text("utf-8"))["metrics"].values()
    wanted = {metric["where"]["name"] for metric in declared if "name" in metric.get("where", {})}
    sampler = Sampler("here")
    sampler.read(NOON)
    let_the_cpu_tick()
    assert set(read(sampler, 2)) == wanted


def test_readings_of_the_real_machine_are_plausible() -> None:
    sampler = Sampler()
    let_the_cpu_tick()
    events = sampler.read(NOON)
    values = {event["name"]: event["value"] for event in events}
    for name in ("system.cpu.utilization", "system.memory.utilization", "system.filesystem.utilization"):
        assert 0 <= values[name] <= 1
    assert values["system.processes.count"] >= 1
    assert values["system.cpu.load_average.1m"] >= 0
    assert all(event["kind"] == "resource" and event["unit"] and event["resource"] for event in events)
    assert len({event["source"] for event in events}) == 1


def test_a_reading_has_an_identity() -> None:
    first = Sampler("here").read(NOON)
    memory = next(event for event in first if event["name"] == "system.memory.utilization")
    assert memory["event_id"] == "here:system.memory.utilization:2026-01-06T12:00:00.000000Z"
    assert len({event["event_id"] for event in first}) == len(first)


def test_rates_need_two_reads_and_leave_the_loopback_out(counters: dict[str, Counter]) -> None:
    sampler = Sampler("here")
    assert not RATES & set(read(sampler, 0))
    counters |= {"lo": Counter(10**9, 10**9), "eth0": Counter(3000, 600), "eth1": Counter(10, 120)}
    values = read(sampler, 2)
    assert [values[name] for name in sorted(RATES)] == [1100.0, 1000.0, 100.0]


@pytest.mark.parametrize("after", [Counter(5, 600), Counter(3000, 0)])
def test_a_counter_that_goes_backwards_gives_no_rate(counters: dict[str, Counter], after: Counter) -> None:
    sampler = Sampler("here")
    sampler.read(NOON)
    counters["eth0"] = after
    assert not RATES & set(read(sampler, 2))
    counters["eth0"] = Counter(after.bytes_recv + 20, after.bytes_sent)
    assert read(sampler, 4)["plumbline.network.rate"] == 10.0


def test_an_interface_that_comes_or_goes_is_no_traffic(counters: dict[str, Counter]) -> None:
    sampler = Sampler("here")
    sampler.read(NOON)
    del counters["eth1"]
    counters["wlan0"] = Counter(10**9, 10**9)
    assert read(sampler, 2)["plumbline.network.rate"] == 0.0
    counters.clear()
    assert not RATES & set(read(sampler, 4))


def test_time_that_stands_still_gives_no_rate(counters: dict[str, Counter]) -> None:
    sampler = Sampler("here")
    sampler.read(NOON)
    assert not RATES & set(read(sampler, 0))
