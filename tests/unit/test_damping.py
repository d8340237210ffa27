"""Wrong keys are told to wait, right ones never are."""

from __future__ import annotations

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from analytics.api.doorman import Doorman
from analytics.damping import FORGET_S, FREE, LONGEST_S, MOST, WITHIN_S, Damping, network
from analytics.errors import Forbidden, PlumblineError, RateLimited, Unauthorized
from analytics.rights import Principal

HERE, THERE = "192.0.2.1", "192.0.2.2"
ANNA = Principal(key_id="anna", name="Anna", scopes=frozenset({"read"}))


class Clock:
    def __init__(self) -> None:
        self.s = 1000.0

    def __call__(self) -> float:
        return self.s


class OneKey:
    """Keys of which one is right, and one is right elsewhere."""

    def verify(self, plaintext: str, address: str | None) -> Principal:
        if plaintext == "elsewhere":
            raise Forbidden("not from this address")
        if plaintext != "right":
            raise Unauthorized("no such API key")
        return ANNA

    def session(self, token: str, address: str | None = None) -> Principal | None:
        return None


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def damping(clock: Clock) -> Damping:
    return Damping(clock)


@pytest.fixture
def doorman(damping: Damping) -> Doorman:
    return Doorman(OneKey(), damping=damping)


def refusal(doorman: Doorman, key: str = "wrong", address: str = HERE) -> PlumblineError:
    with pytest.raises(PlumblineError) as refused:
        doorman.verify(key, address)
    return refused.value


def test_the_eleventh_wrong_key_of_a_minute_is_told_to_wait_and_each_further_one_longer(damping: Damping) -> None:
    assert [damping.refused(HERE) for _ in range(FREE)] == [0.0] * FREE
    waits = [damping.refused(HERE) for _ in range(12)]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_S, LONGEST_S, LONGEST_S]


def test_wrong_keys_now_and_then_are_answered_plainly(damping: Damping, clock: Clock) -> None:
    for _ in range(50):
        assert damping.refused(HERE) == 0.0
        clock.s += WITHIN_S / FREE + 1


def test_who_waits_as_told_and_is_still_wrong_waits_longer(damping: Damping, clock: Clock) -> None:
    for _ in range(FREE):
        damping.refused(HERE)
    for longer in (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0):
        assert damping.refused(HERE) == longer
        clock.s += longer


def test_an_address_is_forgotten_after_minutes_of_quiet(damping: Damping, clock: Clock) -> None:
    for _ in range(2 * FREE):
        damping.refused(HERE)
    clock.s += FORGET_S + 1
    assert damping.refused(HERE) == 0.0
    clock.s += FORGET_S + 1
    damping.refused(THERE)
    assert len(damping) == 1


def test_memory_is_bounded_and_the_one_quiet_for_longest_goes_first(damping: Damping) -> None:
    for _ in range(FREE):
        damping.refused(HERE)
    for n in range(MOST + 500):
        damping.refused(f"10.0.{n // 250}.{n % 250}")
        if n % 1000 == 0:
            damping.refused(HERE)
    assert len(damping) == MOST
    assert damping.refused(HERE) > 1


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (HERE, THERE, False),
        (HERE, f"::ffff:{HERE}", True),  # how a socket for both families shows IPv4
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        (None, "not an address", True),
    ],
)
def test_who_counts_as_one(one: str | None, other: str, same: bool) -> None:
    assert (network(one) == network(other)) is same


def test_a_right_key_passes_whatever_its_neighbours_do(doorman: Doorman) -> None:
    for _ in range(3 * FREE):
        refusal(doorman)
    assert isinstance(refusal(doorman), RateLimited)
    assert doorman.verify("right", HERE) is ANNA
    assert isinstance(refusal(doorman, address=THERE), Unauthorized)


def test_a_damped_refusal_tells_nothing_of_the_key(doorman: Doorman) -> None:
    for _ in range(FREE):
        assert isinstance(refusal(doorman), Unauthorized)
    told = [refusal(doorman, key) for key in ("wrong", "elsewhere", "pl_live_half")]
    assert {error.message for error in told} == {"too many refused keys from this address"}
    assert [error.details["retry_after_ms"] for error in told] == [1000, 2000, 4000]
    assert all(error.__context__ is None for error in told)


def test_a_request_is_damped_by_where_it_comes_from(doorman: Doorman) -> None:
    def knock(key: str) -> Principal:
        start = RequestStartLine("GET", "/api/boards", "HTTP/1.1")
        headers = HTTPHeaders({"X-API-Key": key, "Host": "board.example"})
        request = HTTPServerRequest(start_line=start, headers=headers)
        request.remote_ip = HERE
        return doorman.principal(request)

    for _ in range(FREE):
        with pytest.raises(Unauthorized):
            knock("wrong")
    with pytest.raises(RateLimited):
        knock("wrong")
    assert knock("right") is ANNA
