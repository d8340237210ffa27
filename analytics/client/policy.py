"""When to try again, and how fast to go: pure arithmetic, with time and chance as arguments."""

from __future__ import annotations

from random import Random

CAP_S = 30.0
MOST_TOLD_S = 300.0  # a server that asks for more patience is asked again after this


class Backoff:
    """Exponential with full jitter: the n-th pause is uniform in [0, min(cap, base * 2**n)]."""

    def __init__(self, random: Random, base_s: float = 0.25, cap_s: float = CAP_S) -> None:
        self._random, self._base_s, self._cap_s = random, base_s, cap_s

    def pause(self, attempt: int, told_s: float = 0.0) -> float:
        """Seconds before try number `attempt` (from 0), never less than what the server told.

        What it told everyone is spread by up to a quarter, or everyone would come back in the same moment.
        """
        own = self._random.uniform(0.0, min(self._cap_s, self._base_s * 2.0 ** min(attempt, 30)))
        return max(own, min(told_s, MOST_TOLD_S) * (1 + self._random.random() / 4))


class RetryBudget:
    """Retries as a share of requests, so that a struggling server is not finished off by its clients.

    Each request earns `ratio` of a retry; at most `reserve` are saved up.
    """

    def __init__(self, ratio: float = 0.1, reserve: float = 10.0) -> None:
        self._ratio, self._reserve, self._level = ratio, reserve, reserve

    def asked(self) -> None:
        self._level = min(self._reserve, self._level + self._ratio)

    def take(self) -> bool:
        """Whether one more retry is allowed."""
        if self._level < 1:
            return False
        self._level -= 1
        return True


class Pacer:
    """Stays under the server's message rate instead of running into it: a token bucket on our side."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst, self._level, self._at = rate, burst, burst, now

    def take(self, now: float) -> float:
        """0 when a message may go now, else the seconds until one may."""
        self._level = min(self._burst, self._level + max(0.0, now - self._at) * self._rate)
        self._at = max(self._at, now)
        if self._level < 1:
            return self._at - now + (1 - self._level) / self._rate
        self._level -= 1
        return 0.0

    def hold(self, seconds: float, now: float) -> None:
        """Nothing goes for so long."""
        self._level, self._at = 0.0, now + seconds
