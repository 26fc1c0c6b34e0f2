"""How long a model is waited for, and how often, and after how long, a call that failed before its first token may
be made again.

Full jitter (Brooker, "Exponential backoff and jitter", AWS 2015) and a retry budget as a token bucket (Google,
"Site Reliability Engineering", chapter 21; Finagle's RetryBudget): each call earns a tenth of a retry, so
that in an outage retries add a tenth to the load and not a multiple of it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

__all__ = ["Patience", "RetryBudget", "Retrying", "jitter"]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for a connection (and for a free one of the pool), for the first token of one attempt, for any
    next chunk, and for all of it, retries included."""

    connect: float = 5.0
    first: float = 60.0
    silence: float = 30.0
    total: float = 300.0


_random = random.SystemRandom()


def jitter(limit: float) -> float:
    """Seconds, evenly between 0 and *limit*."""
    return _random.uniform(0.0, limit)


@dataclass(frozen=True, slots=True)
class Retrying:
    """At most ``times`` retries; waits are drawn below ``base * 2**n``, at most ``cap``, in seconds."""

    times: int = 2
    base: float = 0.25
    cap: float = 4.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait before retry *attempt*, counted from 0."""
        return float(min(self.cap, self.base * 2**attempt))


@dataclass(slots=True)
class RetryBudget:
    """A token bucket: ``share`` of a retry earned by each call, at most ``reserve`` kept; it starts full."""

    share: float = 0.1
    reserve: float = 10.0
    balance: float = field(init=False)

    def __post_init__(self) -> None:
        self.balance = self.reserve

    def earn(self) -> None:
        """A call was made."""
        self.balance = min(self.reserve, self.balance + self.share)

    def spend(self) -> bool:
        """Whether there was a retry left to spend; if so it is spent."""
        # tenths do not add up exactly in binary: a hair below one is one
        if self.balance < 1.0 - 1e-9:
            return False
        self.balance -= 1.0
        return True
