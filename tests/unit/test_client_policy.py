"""When the client tries again: jitter, budget, pace, and which endings are final."""

from __future__ import annotations

from random import Random
from statistics import fmean

import pytest

from analytics import errors
from analytics.client.arguments import base, checked, filtered, windowed
from analytics.client.faults import Unreachable, from_body, from_close, from_response, retry_after_s
from analytics.client.policy import Backoff, Pacer, RetryBudget
from analytics.query import Filter, Window


@pytest.mark.parametrize(("attempt", "most"), [(0, 0.25), (3, 2.0), (7, 30.0), (500, 30.0)])
def test_pauses_are_spread_over_the_whole_range(attempt: int, most: float) -> None:
    backoff = Backoff(Random(1))
    pauses = [backoff.pause(attempt) for _ in range(4000)]
    assert 0 <= min(pauses) < 0.01 * most
    assert 0.99 * most < max(pauses) <= most
    assert fmean(pauses) == pytest.approx(most / 2, rel=0.05)
    tenths = [sum(i / 10 <= p / most < (i + 1) / 10 for p in pauses) for i in range(10)]
    assert min(tenths) > 320


def test_what_the_server_told_is_kept_and_spread() -> None:
    backoff = Backoff(Random(1))
    pauses = [backoff.pause(0, told_s=10.0) for _ in range(1000)]
    assert 10 <= min(pauses) < 10.1
    assert 12.4 < max(pauses) <= 12.5


def test_retries_are_a_tenth_of_the_requests() -> None:
    budget = RetryBudget(reserve=2)
    assert [budget.take() for _ in range(3)] == [True, True, False]
    retried = 0
    for _ in range(1000):
        budget.asked()
        retried += budget.take()
    assert 99 <= retried <= 100


def test_the_pacer_lets_a_burst_go_and_then_the_rate() -> None:
    pacer = Pacer(rate=10, burst=3, now=0.0)
    assert [pacer.take(0.0) for _ in range(4)] == [0, 0, 0, pytest.approx(0.1)]
    assert pacer.take(0.1) == 0
    pacer.hold(5, now=0.1)
    assert pacer.take(0.2) == pytest.approx(5.0)
    assert pacer.take(5.2) == 0


@pytest.mark.parametrize("code", [1001, 1006, 1011, 1012, 4000, 4001, 4008, 4029, 4499])
def test_these_closes_come_back(code: int) -> None:
    error, final = from_close(code, "draining")
    assert not final
    assert isinstance(error, Unreachable)
    assert "draining" in error.message


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (4501, errors.Unauthorized),
        (4503, errors.Unauthorized),
        (4505, errors.ValidationError),
        (4999, errors.PlumblineError),
        (1008, errors.PlumblineError),
    ],
)
def test_these_closes_are_final(code: int, kind: type[errors.PlumblineError]) -> None:
    error, final = from_close(code, "")
    assert final
    assert type(error) is kind


@pytest.mark.parametrize(
    "sent",
    [
        errors.NotFound("no flow 'f9'", hint="look again"),
        errors.RateLimited("slow down", retry_after_ms=1500),
        errors.StorageFull("full"),
        errors.Internal("reference 1f", reference="1f"),
    ],
)
def test_an_error_survives_the_wire(sent: errors.PlumblineError) -> None:
    for got in (from_body(sent.body()), from_body(sent.problem())):
        assert type(got) is type(sent)
        assert (got.message, got.hint, got.details) == (sent.message, sent.hint, sent.details)


def test_an_unknown_code_is_the_base_and_keeps_it() -> None:
    got = from_body({"code": "TEAPOT", "message": "no coffee"})
    assert type(got) is errors.PlumblineError
    assert got.body()["code"] == "TEAPOT"


def test_what_a_proxy_says_counts_by_its_status() -> None:
    error = from_response(503, {"Retry-After": "7"}, b"<html>")
    assert type(error) is errors.Overloaded
    assert retry_after_s(error) == 7
    assert type(from_response(502, {}, b"")) is errors.Overloaded
    assert type(from_response(418, {}, b"")) is errors.PlumblineError
    assert retry_after_s(from_response(429, {"Retry-After": "Tue, 06 Jan 2099 12:00:00 GMT"}, b"")) > 1e6
    assert retry_after_s(from_response(429, {"Retry-After": "soon"}, b"")) == 0


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://h:5006", "http://h:5006"),
        ("ws://h:5006/", "http://h:5006"),
        ("wss://h/plumbline/api/analytics/ws", "https://h/plumbline"),
        ("https://[::1]:5006", "https://[::1]:5006"),
    ],
)
def test_urls_of_any_spelling(given: str, meant: str) -> None:
    assert base(given) == meant


@pytest.mark.parametrize("bad", ["h:5006", "ftp://h", "http://", "http://u:secret@h", "http://h?key=secret"])
def test_a_bad_url_is_refused_without_its_secrets(bad: str) -> None:
    with pytest.raises(errors.ValidationError) as refused:
        base(bad)
    assert "secret" not in str(refused.value)


def test_the_key_comes_from_the_argument_or_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLUMBLINE_KEY", " pl_live_env\n")
    assert checked(None) == "pl_live_env"
    assert checked("pl_live_mine") == "pl_live_mine"
    monkeypatch.delenv("PLUMBLINE_KEY")
    with pytest.raises(errors.Unauthorized, match="no API key"):
        checked(None)
    with pytest.raises(errors.Unauthorized) as refused:
        checked("pl_live_x\r\nX-Evil: 1")
    assert "Evil" not in str(refused.value)


def test_filters_and_windows_of_any_spelling() -> None:
    meant = [Filter("agent", "is", ["planner"]), Filter("status", "in", ["ok", "error"])]
    assert filtered({"agent": "planner", "status": ["ok", "error"]}) == meant
    assert filtered([meant[0], {"dim": "status", "op": "in", "values": ["ok", "error"]}]) == meant
    with pytest.raises(errors.ValidationError, match="filters"):
        filtered([{"dimension": "agent"}])
    assert windowed(("now-2h", "now-1h")) == Window("now-2h", "now-1h")
    assert windowed("now-1h") == "now-1h"
