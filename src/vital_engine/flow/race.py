"""One step's call and a copy of it: the first that says a word is the one that was asked, the other is cancelled.

A contender that fails before the other's first word does not win: the other goes on. Where the step streams, each
contender speaks into a stream of its own until one of them says its first word; that one's handle then is one on the
step's own stream, and the other's is closed. So a reader never hears two.

A step that asks somebody again and again, as it reads a stream, is not raced as a whole: it has no first word, and is as
late as what it reads. Each of its calls is: see :func:`either`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal, TypeAlias, TypeVar

from . import events
from .hedge import LATER, Hedge, Withheld
from .live import Stream
from .offload import abandon

T = TypeVar("T")
Told: TypeAlias = tuple[str, str, Sequence[events.Observer]]
"""Flow, step, and who is told what became of a copy."""
HedgeOutcome: TypeAlias = Literal["sent_won", "sent_lost", "sent_failed", "sent_cancelled"] | Withheld
"""What became of a late call's copy: its answer was taken, the first call's was, neither had one, the step was cancelled;
or it was not sent. A closed set, fit for a metric label."""


@dataclass(frozen=True, slots=True)
class HedgedWork:
    """Beside a step's work: the same call to somebody else. See :meth:`.step.Step.hedged`."""

    work: Callable[..., Awaitable[Any]]
    hedge: Hedge
    lost: Callable[[Sequence[Any]], Any | None] | None = None


class CallByCall:
    """Beside a step's work: it hedges the calls that it makes, each by itself. See :meth:`.step.Step.hedging`."""


CALL_BY_CALL: Final = CallByCall()


class HedgedCall:
    """One run of a step that may be sent twice. Used once.

    :param outlet: the parameter through which the step streams, if it does.
    :param grace: seconds that a cancelled contender may take to unwind; one that is still there then is abandoned.
    :param told: who is told what became of the copy, once, if the call was late.
    """

    def __init__(
        self,
        work: Callable[..., Awaitable[Any]],
        copied: HedgedWork,
        inputs: Mapping[str, object],
        outlet: str | None,
        grace: float,
        told: Told,
    ) -> None:
        self._work, self._copied, self._inputs, self._outlet = work, copied, inputs, outlet
        self._grace = grace
        self._flow, self._step, self._observers = told
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
        after = self._copied.hedge.begin()
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
            self._copied.hedge.took(seconds, censored=not answered and first is None)
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
        why = self._copied.hedge.spend(reserve=self._later)
        if why == "no_budget" and not self._later:
            self._later = True
            self._timer = self._loop.call_later(self._after * (LATER - 1), self._late)
            return
        if why is not None:
            self._tell(why)
            return
        self._sent_at = self._loop.time()
        self._start(self._copied.work)

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
        first, hedge, seconds = self._contenders[0], self._copied.hedge, self._seconds()
        self._winner = contender
        if contender is first:
            hedge.took(seconds)
        else:
            hedge.took(seconds if self._watched is None else self._watched, censored=True)
        if self._sent_at is not None:
            self._learn_pair(seconds)
            self._tell("sent_lost" if contender is first else "sent_won")
        if self._real is not None and contender.live is not None:
            for metadata in contender.live.items:
                self._real.push(metadata, metadata=True)
        for other in self._contenders:
            if other is not contender:
                self._report(other)
                _dismiss(other.task, self._grace)
        if self._real is not None and contender.live is not None:
            contender.live.turn_into(self._real)

    def _report(self, loser: _Contender) -> None:
        """Close the stream of *loser*; that it was cut off while it worked stays on the step's own, as an aside."""
        if loser.live is None or self._real is None:
            return
        loser.live.close()
        if self._copied.lost is not None and loser.live.items and not loser.task.done():
            said = self._copied.lost(loser.live.items)
            if said is not None:
                self._real.push(said, metadata=True)

    # -- ending without a winner
    def _lose(self, became: HedgeOutcome) -> None:
        """Nobody has said anything. What the first call had pushed aside is of use all the same."""
        if self._winner is not None:
            return
        first, hedge, seconds = self._contenders[0], self._copied.hedge, self._seconds()
        hedge.took(seconds if self._watched is None else self._watched, censored=True)
        if self._sent_at is not None:
            self._learn_pair(seconds, censored=True)
            self._tell(became)
        if self._real is not None and first.live is not None:
            for metadata in first.live.items:
                self._real.push(metadata, metadata=True)
            first.live.close()
        for copy in self._contenders[1:]:
            self._report(copy)

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
            self._copied.hedge.with_copy(seconds, self._after, censored=censored)

    def _tell(self, became: HedgeOutcome) -> None:
        if self._observers:
            event = events.Hedged(self._flow, self._step, became, self._sent_at, self._loop.time())
            events.tell(self._observers, event)

    def _seconds(self) -> float:
        return self._loop.time() - self._began


# -- calls inside a step
_ASKS: ContextVar[tuple[float, Told]] = ContextVar("asks", default=(0.05, ("", "", ())))
"""The grace of the step that makes the call, and who is told. Only steps that hedge their calls have it set."""


async def asking(work: Callable[..., Awaitable[T]], inputs: Mapping[str, object], grace: float, told: Told) -> T:
    """The work of a step that hedges its calls; by itself in its task, so that nothing has to be set back."""
    _ASKS.set((grace, told))
    return await work(**inputs)


def either(
    first: Callable[..., Awaitable[T]], copy: Callable[..., Awaitable[T]], hedge: Hedge
) -> Callable[..., Awaitable[T]]:
    """A function like *first*, to be called with keywords; where one of its calls is late, as *hedge* says, *copy* is
    called as well, with the same, and the first that answers has answered.

    For the calls that a step makes one by one, and :meth:`.step.Step.hedging` says that it does. Only for what may be done
    twice: it is pure, or only reads.
    """
    copied = HedgedWork(copy, hedge)

    async def ask(**given: object) -> T:
        answer: T = await HedgedCall(first, copied, given, None, *_ASKS.get()).run()
        return answer

    return ask


class _Contender:
    __slots__ = ("live", "task")
    task: asyncio.Task[Any]

    def __init__(self) -> None:
        self.live: _Private | None = None


class _Private(Stream[Any]):
    """A stream that nobody hears, until its first word."""

    __slots__ = ("_speaks",)

    def __init__(self, speaks: Callable[[], None]) -> None:
        super().__init__()
        self._speaks: Callable[[], None] | None = speaks

    def push(self, item: Any, *, metadata: bool = False) -> None:
        if self._speaks is not None and not metadata and not self.ended:
            self._speaks()
        super().push(item, metadata=metadata)

    def turn_into(self, real: Stream[Any]) -> None:
        """From here on this is a handle on *real*."""
        self._tape = real._tape
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
