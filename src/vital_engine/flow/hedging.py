"""Hedged calls: a call that is late is sent a second time, and the first of the two that says a word is the answer.

:class:`Hedge` decides whether and when, from what all runs of one step have learned together. :class:`HedgedCall` does it,
for a step as a whole; :func:`either` for each of the calls that a step makes. :class:`Load` says how busy a service is.

A second call is sent when the first has taken longer than 95 % of its kind (Dean and Barroso, "The tail at scale", 2013), if
the budget allows, the service is not busy, and the log says that it pays. It pays while the worst 1 % of calls are on average
at least 1.2 times as long without hedging as with it, and begins to pay at 1.4. That is the mean beyond a quantile and not
the quantile itself: where just 1 % of calls stall, the 99 % quantile lies in the gap between the others and the stalled,
and jumps from one side to the other with every few hundred calls. Two levels and not one, since calls that only vary (a
lognormal with sigma .5 gains 1.2) would cross a single one again and again.

What a call would have taken alone is known from those that were let run, and at least to when they were cut; what it takes
with a second one was seen on those that had one, with whatever the two have in common. While few had one, the second call is
taken for an independent one.

A call that fails before the other's first word does not win: the other goes on. Where the step streams, each of the two
writes into a stream of its own until its first word; the handle of the winner then becomes one on the step's own stream, and
the other's is closed. So a reader never sees both. A step that makes many calls as it reads a stream is not hedged as a
whole: it has no first word, and is as late as what it reads. Each of its calls is.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, Final, Literal, TypeAlias, TypeVar

from vital_engine.errors import ConfigError

from .limits import abandon
from .quantiles import Curve, DecayedHistogram, quantile, share_beyond
from .stream import Stream

T = TypeVar("T")

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

    :param after: seconds until a second call is sent while fewer than 20 calls are known; None: none is sent until then.
    :param late: the quantile of the time to the first word (or to the end) at which a call is late.
    :param budget: copies per call, saved up to *cap*. Copies earn nothing.
    :param worth: how many times as long the worst 1 % of calls must be without copies; less, and no more are sent.
    :param busy: the utilisation of the service, 0 to 1; above 0.8 no second call is sent.
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
        self._alone = DecayedHistogram(half_life)  # seconds without a second call
        self._helped = DecayedHistogram(half_life * (1 - late))  # with one, as multiples of the delay
        self._judged, self._relearn = JUDGED * half_life, max(SAMPLES, round(RELEARN * half_life))
        self._tokens = 0.0
        self._fade = 2.0 ** (-1.0 / half_life)
        self._evidence = 0.0  # how many calls with a second one have been seen lately

    def begin(self) -> float | None:
        """A call begins. After how many seconds a second one may be sent; None: none will be."""
        self.calls += 1
        self._tokens = min(self._tokens + self._budget, self._cap)
        self._evidence *= self._fade
        if self.calls % (SAMPLES if self.after is None else self._relearn) == 1:
            self._learn()
        if self.after is None or not (self.pays or self.calls % EXPLORE == 0):
            return None
        return self.after

    def spend(self, *, reserve: bool = False) -> Withheld | None:
        """The call is late. None: a second one may be sent, and is paid for; else why not.

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

    def with_second(self, seconds: float, after: float, *, censored: bool = False) -> None:
        """How long it took until one of the two had said its first word, the second having been sent after *after*."""
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
    """The mean of the worst 1 % of calls without a second call, over the same with one.

    A tail whose end was not seen counts up to the longest time that was seen.

    :param alone: share of calls without a second one that take longer than t.
    :param helped: share of calls with a second one that take longer than t times *after*.
    :param seen: number of calls with a second one.
    :param after: seconds until the second call is sent.
    """
    late = share_beyond(alone, after)
    times = sorted({after, *(t for t, _ in alone if t > after), *(t * after for t, _ in helped if t > 1)})

    def with_second(t: float) -> float:
        independent = share_beyond(alone, t) * share_beyond(alone, t - after)
        observed = late * share_beyond(helped, t / after)
        return (SUPPOSED * independent + seen * observed) / (SUPPOSED + seen)

    return _worst([(t, share_beyond(alone, t)) for t in times]) / _worst([(t, with_second(t)) for t in times])


def _worst(curve: Curve) -> float:
    """The mean of the worst 1 %: the integral of min(share / 1 %, 1) over t, as 1 % is less than the first share."""
    area = curve[0][0] * WORST
    for (before, above), (after, share) in pairwise(curve):
        area += (after - before) * (min(above, WORST) + min(share, WORST)) / 2
    return area / WORST


HedgeOutcome: TypeAlias = Literal["sent_won", "sent_lost", "sent_failed", "sent_cancelled"] | Withheld
"""What became of a late call: the second call's answer was taken, the first one's was, neither had one, the step was
cancelled; or no second call was sent, and why. A closed set, fit for a metric label."""
Report: TypeAlias = Callable[[HedgeOutcome, float | None], None]
"""Takes what became of a late call, once, and when the second one was sent on the loop's clock (None: it was not)."""


def _unreported(outcome: HedgeOutcome, sent_at: float | None) -> None:
    del outcome, sent_at


@dataclass(frozen=True, slots=True)
class HedgedWork:
    """The same call to another service. See :meth:`.step.Step.hedged`."""

    work: Callable[..., Awaitable[Any]]
    hedge: Hedge
    lost: Callable[[Sequence[Any]], Any | None] | None = None


class CallByCall:
    """Marks a step that hedges each of its calls. See :meth:`.step.Step.hedging`."""


CALL_BY_CALL: Final = CallByCall()


class HedgedCall:
    """One run of a step that may be sent twice. Used once.

    :param outlet: the parameter through which the step streams, if it does.
    :param grace: seconds that a cancelled contender may take to unwind; one that is still there then is abandoned.
    :param report: called with what became of the second call, once, if the first was late.
    """

    def __init__(
        self,
        work: Callable[..., Awaitable[Any]],
        second: HedgedWork,
        inputs: Mapping[str, object],
        outlet: str | None,
        grace: float,
        report: Report,
    ) -> None:
        self._work, self._second, self._inputs, self._outlet = work, second, inputs, outlet
        self._grace, self._report_late = grace, report
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._real: Stream[Any] | None = inputs[outlet] if outlet is not None else None  # type: ignore[assignment]
        self._contenders: list[_Contender] = []
        self._winner: _Contender | None = None
        self._after = 0.0
        self._later = False  # whether the call is so late that it may have one of the last tokens
        self._sent_at: float | None = None
        self._watched: float | None = None  # for how long the first call was watched, if it failed
        self._timer: asyncio.TimerHandle
        self._over: asyncio.Future[None] = self._loop.create_future()

    async def run(self) -> Any:
        """What the winner makes, or the first call's error if there is none."""
        after = self._second.hedge.begin()
        if after is None:
            return await self._alone()
        self._after = after
        self._start(self._work)
        self._timer = self._loop.call_later(after, self._late)
        try:
            await self._over
        except asyncio.CancelledError:
            self._lose("sent_cancelled")
            await self._unwind()
            raise
        finally:
            self._timer.cancel()
        if self._winner is None:
            self._lose("sent_failed")
        return (self._winner or self._contenders[0]).task.result()

    async def _alone(self) -> Any:
        answered = False
        try:
            value = await self._work(**self._inputs)
            answered = True
        finally:
            first = None if self._real is None else self._real.first_at
            seconds = (self._loop.time() if first is None else first) - self._began
            self._second.hedge.took(seconds, censored=not answered and first is None)
        return value

    # -- the contenders
    def _start(self, work: Callable[..., Awaitable[Any]]) -> None:
        contender = _Contender()
        inputs = dict(self._inputs)
        if self._outlet is not None:
            inputs[self._outlet] = contender.live = _Private(partial(self._take, contender))
        self._contenders.append(contender)
        contender.task = self._loop.create_task(_called(work, inputs))
        contender.task.add_done_callback(partial(self._ended, contender))

    def _late(self) -> None:
        if self._over.done() or self._winner is not None or self._contenders[0].task.done():
            return
        why = self._second.hedge.spend(reserve=self._later)
        if why == "no_budget" and not self._later:
            self._later = True
            self._timer = self._loop.call_later(self._after * (LATER - 1), self._late)
            return
        if why is not None:
            self._report_late(why, self._sent_at)
            return
        self._sent_at = self._loop.time()
        self._start(self._second.work)

    def _ended(self, contender: _Contender, task: asyncio.Task[Any]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._over.done() or self._winner not in (None, contender):
            return
        if not failed and self._winner is None:  # it has no stream, or said nothing on it
            self._take(contender)
        elif failed and contender is self._contenders[0]:
            self._watched = self._seconds()
        if contender is self._winner or all(each.task.done() for each in self._contenders):
            self._over.set_result(None)

    def _take(self, contender: _Contender) -> None:
        """*contender* has said the first word: it has the step's stream, and the others are cancelled."""
        first, hedge, seconds = self._contenders[0], self._second.hedge, self._seconds()
        self._winner = contender
        if contender is first:
            hedge.took(seconds)
        else:
            hedge.took(seconds if self._watched is None else self._watched, censored=True)
        if self._sent_at is not None:
            self._learn_pair(seconds)
            self._report_late("sent_lost" if contender is first else "sent_won", self._sent_at)
        if self._real is not None and contender.live is not None:
            for item in contender.live.items:
                self._real.push(item, metadata=True)
        for other in self._contenders:
            if other is not contender:
                self._report(other)
                _dismiss(other.task, self._grace)
        if self._real is not None and contender.live is not None:
            contender.live.redirect(self._real)

    def _report(self, loser: _Contender) -> None:
        """Close the stream of *loser*; that it was cut off while it worked stays on the step's own stream, as metadata."""
        if loser.live is None or self._real is None:
            return
        loser.live.close()
        if self._second.lost is not None and loser.live.items and not loser.task.done():
            said = self._second.lost(loser.live.items)
            if said is not None:
                self._real.push(said, metadata=True)

    # -- ending without a winner
    def _lose(self, became: HedgeOutcome) -> None:
        """Neither has said anything. The metadata of the first call is of use all the same."""
        if self._winner is not None:
            return
        first, hedge, seconds = self._contenders[0], self._second.hedge, self._seconds()
        hedge.took(seconds if self._watched is None else self._watched, censored=True)
        if self._sent_at is not None:
            self._learn_pair(seconds, censored=True)
            self._report_late(became, self._sent_at)
        if self._real is not None and first.live is not None:
            for item in first.live.items:
                self._real.push(item, metadata=True)
            first.live.close()
        for second in self._contenders[1:]:
            self._report(second)

    async def _unwind(self) -> None:
        """Wait for the contenders, no longer than their grace, also if cancelled again."""
        running = {each.task for each in self._contenders if not each.task.done()}
        for task in running:
            task.cancel()
        try:
            if running:
                await asyncio.wait(running, timeout=self._grace)
        finally:
            for task in running:
                if not task.done():
                    abandon(task)

    def _learn_pair(self, seconds: float, *, censored: bool = False) -> None:
        if not self._later:  # those that are later still are not like the others
            self._second.hedge.with_second(seconds, self._after, censored=censored)

    def _seconds(self) -> float:
        return self._loop.time() - self._began


# -- calls inside a step
_STEP: ContextVar[tuple[float, Report]] = ContextVar("step", default=(0.05, _unreported))
"""The grace of the step that makes the call, and where it reports. Set only by steps that hedge their calls."""


async def hedging_calls(
    work: Callable[..., Awaitable[T]], inputs: Mapping[str, object], grace: float, report: Report
) -> T:
    """The work of a step that hedges its calls; by itself in its task, so that nothing has to be set back."""
    _STEP.set((grace, report))
    return await work(**inputs)


def either(
    first: Callable[..., Awaitable[T]], second: Callable[..., Awaitable[T]], hedge: Hedge
) -> Callable[..., Awaitable[T]]:
    """A function like *first*, to be called with keywords; where one of its calls is late, as *hedge* says, *second* is
    called as well, with the same arguments, and the first answer counts.

    For the calls that a step makes one by one, see :meth:`.step.Step.hedging`. Only for what may be done twice: it is pure,
    or only reads.
    """
    work = HedgedWork(second, hedge)

    async def ask(**given: object) -> T:
        answer: T = await HedgedCall(first, work, given, None, *_STEP.get()).run()
        return answer

    return ask


class _Contender:
    __slots__ = ("live", "task")
    task: asyncio.Task[Any]

    def __init__(self) -> None:
        self.live: _Private | None = None


class _Private(Stream[Any]):
    """A stream without readers, until its first word."""

    __slots__ = ("_speaks",)

    def __init__(self, speaks: Callable[[], None]) -> None:
        super().__init__()
        self._speaks: Callable[[], None] | None = speaks

    def push(self, item: Any, *, metadata: bool = False) -> None:
        if self._speaks is not None and not metadata and not self.ended:
            self._speaks()
        super().push(item, metadata=metadata)

    def extend(self, items: Sequence[Any]) -> None:
        if self._speaks is not None and items and not self.ended:
            self._speaks()
        super().extend(items)

    def redirect(self, to: Stream[Any]) -> None:
        super().redirect(to)
        self._speaks = None


async def _called(work: Callable[..., Awaitable[Any]], inputs: Mapping[str, object]) -> Any:
    return await work(**inputs)


def _dismiss(task: asyncio.Task[Any], grace: float) -> None:
    """Cancel *task* and do not wait for it; if it is still there after *grace* seconds, leave it behind."""
    if task.done():
        return
    task.cancel()
    timer = asyncio.get_running_loop().call_later(grace, abandon, task)
    task.add_done_callback(lambda _: timer.cancel())


class Load:
    """How busy a service is that can do a limited number of things at once: calls in flight over *capacity*.

    Used from one event loop.

    :param capacity: how many calls are served at once; infinite where that is not known, and then it is never busy.
    :param seconds: the time constant of the average.
    """

    __slots__ = ("__weakref__", "_average", "_since", "capacity", "in_flight", "seconds")

    def __init__(self, capacity: float = math.inf, *, seconds: float = 10.0) -> None:
        self.capacity, self.seconds = capacity, seconds
        self.in_flight = 0
        self._average, self._since = 0.0, -math.inf

    @property
    def utilisation(self) -> float:
        """The share of the capacity that was taken, 0 to 1, the past counting less the longer it is ago."""
        self._move()
        return self._average

    @property
    def free(self) -> bool:
        """Whether one more call would be served at once."""
        return self.in_flight < self.capacity

    @contextmanager
    def call(self) -> Iterator[None]:
        """A call is in flight while this is open."""
        self._move()
        self.in_flight += 1
        try:
            yield
        finally:
            self._move()
            self.in_flight -= 1

    def _move(self) -> None:
        now = asyncio.get_running_loop().time()
        taken = min(1.0, self.in_flight / self.capacity)
        passed = now - self._since
        self._average += (taken - self._average) * (1.0 if passed == math.inf else -math.expm1(-passed / self.seconds))
        self._since = now
