"""Run a flow: a task per step, started by whatever makes the last thing that it waits for.

There is no scheduler. When a step ends, in its own task, what it made is handed on and those that waited only for
that are started. Limits are timers of the loop. The one broad ``except`` of the package is here, at the edge of a
step (:meth:`Execution._drive`): a failure becomes a value, and costs only its own step.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vital_engine.errors import StepAbandoned, StepFailed, WrongType

from . import events
from .live import Live
from .offload import abandon
from .outcome import Degraded, Done, Failed, Outcome, Reason, Skipped, reason_of
from .result import Run
from .seats import Seats
from .step import NOTHING

if TYPE_CHECKING:
    from .flow import Plan

__all__ = ["Execution", "Run"]


class Execution:
    """One run of a plan. Used once, inside one loop."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        have: Mapping[type, object],
        streams: Mapping[type, Live[Any]],
        within: float | None,
        observers: Sequence[events.Observer],
    ) -> None:
        count = len(plan.steps)
        self.name, self.plan, self.have, self.within, self.observers = name, plan, have, within, observers
        self.loop = asyncio.get_running_loop()
        self.context = contextvars.copy_context()
        self.began_at = self.loop.time()
        self.lives = dict(streams)
        self.outcomes: list[Outcome[Any] | None] = [None] * count
        self.tasks: list[asyncio.Task[None] | None] = [None] * count
        self.began = [0.0] * count
        self.timers: list[asyncio.TimerHandle | None] = [None] * count
        self.inlets: list[list[Live[Any]]] = [[] for _ in range(count)]
        self.cut: list[Reason | None] = [None] * count  # why a running step was cancelled, if it was
        self.waits = list(plan.waits)
        self.left = count
        self.over = False  # the run's deadline has passed, or its caller has gone
        self.seats = Seats(plan.shape) if plan.shape.bounded else None
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.deadline: asyncio.TimerHandle | None = None

    async def run(self) -> Run:
        plan = self.plan
        if self.observers:
            events.tell(self.observers, events.FlowStarted(self.name, self.began_at))
        if self.within is not None:
            self.deadline = self.loop.call_at(self.began_at + self.within, self._stop, "timeout", context=self.context)
        known = [i for i, s in enumerate(plan.steps) if s.makes in self.have]
        ready = [i for i, n in enumerate(self.waits) if n == 0]
        for i in known:
            made = plan.steps[i].makes
            self.lives.setdefault(made, Live.closed(self.have[made]))
            self._settle(i, Skipped("known", self.have[made], known=True))
        for i in ready:
            self._ready(i)
        try:
            if self.left:
                await self.finished
        except asyncio.CancelledError:
            self.finished = self.loop.create_future()  # the other one was cancelled with us
            self._stop("cancelled")
            await self._unwind()
            raise
        finally:
            if self.deadline is not None:
                self.deadline.cancel()
        outcomes = {s.makes: outcome for s, outcome in zip(plan.steps, self.outcomes, strict=True) if outcome}
        run = Run(self.name, plan, outcomes, dict(self.have), self._now())
        if self.observers:
            events.tell(self.observers, events.FlowEnded(self.name, run, self.loop.time()))
        return run

    # -- starting
    def _ready(self, i: int) -> None:
        if self.outcomes[i] is not None or self.tasks[i] is not None:
            return
        if self.over:
            self._end(i, TimeoutError("the run's time was over before the step could start"), "timeout")
        elif self.seats is not None:
            self.seats.ask(i, self.plan.steps[i].policy.tier)
            self._seat()
        else:
            self._start(i)

    def _seat(self) -> None:
        assert self.seats is not None
        for i in tuple(self.seats.take()):
            if self.outcomes[i] is None:
                self._start(i)
            else:  # it ended while it waited
                self.seats.leave(self.plan.steps[i].policy.tier)

    def _start(self, i: int) -> None:
        s = self.plan.steps[i]
        inputs: dict[str, object] = {parameter: self._value(need) for parameter, need in s.needs.items()}
        for parameter, need in s.inlets.items():
            inputs[parameter] = live = self._stream(need).reader()
            self.inlets[i].append(live)
        self.began[i] = self._now()
        if self.observers:
            events.tell(self.observers, events.StepStarted(self.name, s.name, s.policy.tier, self.loop.time()))
        if s.outlet is not None:
            self.lives[s.makes] = live = Live()
            inputs[s.outlet] = live
            if self.observers:
                now = self.loop.time()
                events.tell(self.observers, events.StreamOpened(self.name, s.name, live.reader(), now))
        self.tasks[i] = self.loop.create_task(self._drive(i, inputs), name=s.name, context=self.context.copy())
        if s.policy.within is not None and all(live.ended for live in self.inlets[i]):
            self._limit(i, s.policy.within)
        for j in self.plan.streams[i] if s.outlet is not None else ():
            self._met(j)

    def _value(self, need: type) -> object:
        i = self.plan.maker.get(need)
        if i is None:
            return self.have[need]
        outcome = self.outcomes[i]
        assert outcome is not None and not isinstance(outcome, Failed)
        return outcome.value

    def _stream(self, need: type) -> Live[Any]:
        if need not in self.lives:  # given as a value: a stream that has ended
            self.lives[need] = Live.closed(self.have[need])
        return self.lives[need]

    # -- running and ending
    async def _drive(self, i: int, inputs: dict[str, object]) -> None:
        s = self.plan.steps[i]
        try:
            value = await s.work(**inputs)
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            self._end(i, error)
            return
        if not isinstance(value, s.makes):
            self._end(i, WrongType(f"{s.name!r} gave a {type(value).__name__}, not a {s.makes.__name__}"))
        elif self._too_late(i):
            self._end(i, TimeoutError(f"{s.name!r} ended past its limit"), self.cut[i] or "timeout")
        else:
            ended = self._now()
            self._settle(i, Done(value, self._worked(i), self.began[i], ended))

    def _too_late(self, i: int) -> bool:
        """Cut, but it ended with a value; or it blocked the loop, so that no timer could cut it."""
        policy = self.plan.steps[i].policy
        if self.cut[i] is not None:
            return True
        if policy.within is None or self.inlets[i]:
            return False
        return self._now() - self.began[i] > policy.within + policy.grace

    def _end(self, i: int, error: BaseException, reason: Reason | None = None) -> None:
        """A step did not make its product in time: its stand-in, what can be salvaged, or nothing."""
        if self.outcomes[i] is not None:  # abandoned before
            self._settle(i, Failed(error, "abandoned"))
            return
        s, cut = self.plan.steps[i], self.cut[i]
        if reason is None:
            reason = cut or reason_of(error)
        if cut == "timeout" and isinstance(error, asyncio.CancelledError):
            error = TimeoutError(f"{s.name!r} was given {self._now() - self.began[i]:.3g} s")
        elif cut == "skipped":
            error = StepFailed(f"{s.name!r} lost the stream that it was reading")
        ended = self._now()
        began, worked = (ended, 0.0) if self.tasks[i] is None else (self.began[i], self._worked(i))
        stand_in = s.otherwise
        live = self.lives.get(s.makes)
        if s.salvage is not None and live is not None and live.items:
            stand_in = s.salvage(live.items, error)
        if stand_in is NOTHING:
            self._settle(i, Failed(error, reason, worked, began, ended))
        else:
            self._settle(i, Degraded(stand_in, error, reason, worked, began, ended))

    def _settle(self, i: int, outcome: Outcome[Any]) -> None:
        """The one outcome of a step. What it made is handed on, and who waited only for that is started."""
        s = self.plan.steps[i]
        if self.outcomes[i] is not None:
            if self.observers:
                events.tell(self.observers, events.LateResult(self.name, s.name, self.loop.time()))
            return
        self.outcomes[i] = outcome
        if (timer := self.timers[i]) is not None:
            timer.cancel()
        if self.observers:
            now = self.loop.time()
            events.tell(self.observers, events.StepEnded(self.name, s.name, s.policy.tier, outcome, now))
        started = self.tasks[i] is not None
        if started and self.seats is not None:
            self.seats.leave(s.policy.tier)
        made = isinstance(outcome, Done | Degraded) or (isinstance(outcome, Skipped) and outcome.known)
        self._close(i, outcome, made)
        waiting = self.plan.feeds[i]
        if not (started and s.outlet):  # who reads along was let go when the stream began
            waiting += self.plan.streams[i]
        for j in waiting:
            if made:
                self._met(j)
            else:
                self._skip(j, s.name)
        for j in self.plan.frees[i]:
            self._met(j)
        if self.seats is not None:
            self._seat()
        self.left -= 1
        if not self.left and not self.finished.done():
            self.finished.set_result(None)

    def _close(self, i: int, outcome: Outcome[Any], made: bool) -> None:
        """End the step's stream; from then on the time of those that read along counts."""
        s = self.plan.steps[i]
        live = self.lives.get(s.makes)
        if live is None:
            return
        live.close(getattr(outcome, "value", None), getattr(outcome, "error", None))
        for j in self.plan.streams[i]:
            if self.tasks[j] is None or self.outcomes[j] is not None:
                continue
            within = self.plan.steps[j].policy.within
            if not made:
                self._cut(j, "skipped")
            elif within is not None and all(inlet.ended for inlet in self.inlets[j]):
                self._limit(j, within)

    def _met(self, j: int) -> None:
        self.waits[j] -= 1
        if self.waits[j] == 0:
            self._ready(j)

    def _skip(self, j: int, because: str) -> None:
        """What it needs was never made: its stand-in, if it has one, else nothing."""
        if self.outcomes[j] is not None or self.tasks[j] is not None:
            return
        s, now = self.plan.steps[j], self._now()
        if s.otherwise is NOTHING:
            self._settle(j, Skipped(f"{because} was not made", began=now, ended=now))
        else:
            why = StepFailed(f"{s.name!r} could not run: {because} was not made")
            self._settle(j, Degraded(s.otherwise, why, "skipped", 0.0, now, now))

    # -- limits
    def _limit(self, i: int, seconds: float) -> None:
        if self.timers[i] is None:
            self.timers[i] = self.loop.call_later(seconds, self._cut, i, "timeout", context=self.context)

    def _cut(self, i: int, reason: Reason) -> None:
        """Cancel a running step; if it is still there after its grace, leave it behind."""
        task = self.tasks[i]
        if task is None or self.outcomes[i] is not None or self.cut[i] is not None:
            return
        self.cut[i] = reason
        task.cancel()
        if (timer := self.timers[i]) is not None:
            timer.cancel()
        grace = self.plan.steps[i].policy.grace
        self.timers[i] = self.loop.call_later(grace, self._abandon, i, task, context=self.context)

    def _abandon(self, i: int, task: asyncio.Task[None]) -> None:
        if self.outcomes[i] is None:
            abandon(task)
            self._end(i, StepAbandoned(f"{self.plan.steps[i].name!r} ignored its cancellation"), "abandoned")

    def _stop(self, reason: Reason) -> None:
        """Nothing more is started; what runs is cancelled."""
        self.over = True
        for i, outcome in enumerate(self.outcomes):
            if outcome is None and self.tasks[i] is None and self.waits[i] == 0:
                self._end(i, TimeoutError("the run's time was over before the step could start"), reason)
        for i in range(len(self.tasks)):
            self._cut(i, reason)

    async def _unwind(self) -> None:
        """Wait until all are gone or left behind. Bounded by their graces, also if cancelled again."""
        while self.left:
            try:
                await asyncio.shield(self.finished)
            except asyncio.CancelledError:
                continue

    def _now(self) -> float:
        return round(self.loop.time() - self.began_at, 9)

    def _worked(self, i: int) -> float:
        waited = sum(live.waited for live in self.inlets[i]) if self.inlets[i] else 0.0
        return round(self.loop.time() - self.began_at - self.began[i] - waited, 9)
