"""Whether and when a late call is sent a second time: what all runs of one step have learned together.

A copy is sent when a call has taken longer than 95 % of its kind (Dean and Barroso, "The tail at scale", 2013), if the
budget allows, the service is not busy, and the log says that it pays. It pays while the worst 1 % of calls are on average at
least 1.2 times as long without copies as with them, and begins to pay at 1.4. That is the mean beyond a quantile and not
the quantile itself: where just 1 % of calls stall, the 99 % quantile lies in the gap between the others and the stalled,
and jumps from one side to the other with every few hundred calls. Two levels and not one, since calls that only vary (a
lognormal with sigma .5 gains 1.2) would cross a single one again and again.

What a call would have taken alone is known from those that were let run, and at least to when they were cut; what it takes
with a copy was seen on those that had one, with whatever the two have in common. While few had one, a copy is taken for an
independent call. Nothing here waits or starts anything: see :mod:`.race`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Final, Literal, TypeAlias

from vital_engine.errors import ConfigError

from .quantiles import Curve, DecayedHistogram, quantile, share_beyond

Withheld: TypeAlias = Literal["no_budget", "busy"]

WORST: Final = 0.01
"""The share of calls for whose sake copies are sent."""
SAMPLES: Final = 20
"""Fewer calls say nothing about a quantile."""
JUDGED: Final = 0.5
"""Of the half-life. Fewer calls say nothing about the worst of them (five of 500, as many as have been seen by chance once
or not at all in 200); until then the budget alone bounds the copies."""
RETURN: Final = 1.15
"""Copies that are not sent must promise so many times what those that are sent must show."""
RELEARN: Final = 0.02
"""Of the half-life: the delay is worked out anew after so many calls, and whether copies pay after five times as many."""
EXPLORE: Final = 50
"""Where copies do not pay, one call of so many may still have one, so that it is seen if they come to."""
SUPPOSED: Final = 6.0
"""How many observed copies the supposition weighs that a copy is an independent call."""
RESERVE: Final = 3.0
"""The last tokens are kept for calls that are later still."""
LATER: Final = 1.5
"""So many times as late: where one call in a hundred stalls, most of those have, and they are few enough for the reserve."""
BUSY: Final = 0.8


class Hedge:
    """Shared by all runs of one step; one per dependency, inside one event loop.

    :param after: seconds until a copy is sent while fewer than 20 calls are known; None: none is sent until then.
    :param late: the quantile of the time to the first word (or to the end) at which a call is late.
    :param budget: copies per call, saved up to *cap*. Copies earn nothing.
    :param worth: how many times as long the worst 1 % of calls must be without copies; less, and no more are sent.
    :param busy: the utilisation of the service, 0 to 1; above 0.8 no copy is sent.
    :param half_life: calls after which what was learned counts half.
    :raises ConfigError: a value that makes no sense.
    """

    def __init__(
        self,
        *,
        after: float | None = None,
        late: float = 0.95,
        budget: float = 0.05,
        cap: float = 20.0,
        worth: float = 1.2,
        busy: Callable[[], float] | None = None,
        half_life: float = 1000.0,
    ) -> None:
        if (
            not 0 < late < 1 - WORST
            or not 0 <= budget <= 1
            or not half_life > 0
            or (after is not None and not after > 0)
        ):
            raise ConfigError(f"no hedge can have late={late!r}, budget={budget!r}, after={after!r}")
        self.after = after
        self.pays = True  # until enough is known to judge
        self.gain: float | None = None
        self._worth = worth
        self.calls = self.copies = 0
        self._late, self._budget, self._cap, self._busy = late, budget, cap, busy
        self._alone = DecayedHistogram(half_life)  # seconds without a copy
        self._helped = DecayedHistogram(half_life * (1 - late))  # with one, as multiples of the delay
        self._judged, self._relearn = JUDGED * half_life, max(SAMPLES, round(RELEARN * half_life))
        self._tokens = 0.0
        self._fade = 2.0 ** (-1.0 / half_life)
        self._evidence = 0.0  # how many calls with a copy have been seen lately

    def begin(self) -> float | None:
        """A call begins. After how many seconds it may have a copy; None: it will have none."""
        self.calls += 1
        self._tokens = min(self._tokens + self._budget, self._cap)
        self._evidence *= self._fade
        if self.calls % (SAMPLES if self.after is None else self._relearn) == 1:
            self._learn()
        if self.after is None or not (self.pays or self.calls % EXPLORE == 0):
            return None
        return self.after

    def spend(self, *, reserve: bool = False) -> Withheld | None:
        """The call is late. None: a copy may be sent, and is paid for; else why not.

        ``reserve``: it is later still (:data:`LATER`), and may have one of the last tokens.
        """
        if self._tokens < (1 if reserve else 1 + RESERVE):
            return "no_budget"
        if self._busy is not None and self._busy() > BUSY:
            return "busy"
        self._tokens -= 1
        self.copies += 1
        return None

    def took(self, seconds: float, *, censored: bool = False) -> None:
        """How long the first of the two calls took to its first word. ``censored``: it was cut off, or failed, then."""
        self._alone.add(seconds, censored=censored)

    def with_copy(self, seconds: float, after: float, *, censored: bool = False) -> None:
        """How long it took until one of the two had said its first word, a copy having been sent after *after*."""
        self._helped.add(seconds / after, censored=censored)
        self._evidence += 1

    def _learn(self) -> None:
        known = self._alone.count
        if known < SAMPLES:
            return
        alone = self._alone.curve()
        after = quantile(alone, self._late)
        self.after = None if math.isinf(after) else after
        # Where they do not pay, all that says that they would may be one stall: that is not waited for.
        due = not self.pays or self.calls % (5 * self._relearn) == 1
        if self.after is not None and known >= self._judged and due:
            kept = self.gain is not None and self.pays
            self.gain = gain(alone, self._helped.curve(), self._evidence, self.after)
            self.pays = self.gain >= (self._worth if kept else self._worth * RETURN)


def gain(alone: Curve, helped: Curve, seen: float, after: float) -> float:
    """The mean of the worst 1 % of calls without copies, over the same with copies.

    A tail that nobody has seen the end of counts up to the longest time that was seen.

    :param alone: share of calls without a copy that take longer than t.
    :param helped: share of calls with a copy that take longer than t times *after*; *seen*: how many those were.
    """
    late = share_beyond(alone, after)
    times = sorted({after, *(t for t, _ in alone if t > after), *(t * after for t, _ in helped if t > 1)})

    def with_copy(t: float) -> float:
        independent = share_beyond(alone, t) * share_beyond(alone, t - after)
        observed = late * share_beyond(helped, t / after)
        return (SUPPOSED * independent + seen * observed) / (SUPPOSED + seen)

    return _worst([(t, share_beyond(alone, t)) for t in times]) / _worst([(t, with_copy(t)) for t in times])


def _worst(curve: Curve) -> float:
    """The mean of the worst 1 %: the integral of min(share / 1 %, 1) over t, as 1 % is less than the first share."""
    area = curve[0][0] * WORST
    for (before, above), (after, share) in pairwise(curve):
        area += (after - before) * (min(above, WORST) + min(share, WORST)) / 2
    return area / WORST
