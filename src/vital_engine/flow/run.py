"""Run a flow: a task per step, started by whatever makes the last thing that it waits for.

There is no scheduler. When a step ends, in its own task, what it made is handed on and those that waited only for
that are started. Limits are timers of the loop. The one broad ``except`` of the package is here, at the edge of a
step (:meth:`Execution._drive`): a failure becomes a value, and costs only its own step.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from vital_engine.errors import StepAbandoned, StepFailed, WrongType

from . import events
from .live import Stream
from .offload import abandon
from .outcome import Degraded, Done, Failed, Outcome, Reason, Skipped, reason_of
from .result import Run
from .seats import ConcurrencyLimit
from .step import NOTHING, raced

if TYPE_CHECKING:
    from .flow import Plan


class Execution:
    """One run of a plan. Used once, inside one loop."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        have: Mapping[type, object],
        streams: Mapping[type, Stream[Any]],
        within: float | None,
        observers: Sequence[events.Observer],
    ) -> None:
        count = len(plan.steps)
        self.name, self.plan, self.have, self.observers = name, plan, have, observers
        self.loop, self.context = asyncio.get_running_loop(), contextvars.copy_context()
        self.began_at = self.loop.time()
        self.lives = dict(streams)
        self.outcomes: list[Outcome[Any] | None] = [None] * count
        self.tasks: list[asyncio.Task[None] | None] = [None] * count
        self.began = [0.0] * count
        self.timers: list[asyncio.TimerHandle | None] = [None] * count
        self.inlets: dict[int, list[Stream[Any]]] = {}  # of those that read along
        self.cut: list[Reason | None] = [None] * count  # why a running step was cancelled, if it was
        self.waits, self.left = list(plan.waits), count
        self.settled: deque[int] = deque()  # ended, and what they made is not yet handed on
        self.handing_on = False
        self.over: Reason | None = None  # the run's deadline has passed, or its caller has gone
        self.seats = ConcurrencyLimit(plan.shape) if plan.shape.bounded else None
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.deadline: asyncio.TimerHandle | None = None
        if within is not None and within <= 0:
            self.over = "timeout"
        elif within is not None:
            self.deadline = self.loop.call_at(self.began_at + within, self._stop, "timeout", context=self.context)

    async def run(self) -> Run:
        self._tell(events.FlowStarted(self.name, self.began_at))
        try:
            self._begin()
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
            outcomes = {s.makes: o for s, o in zip(self.plan.steps, self.outcomes, strict=True) if o is not None}
            seated = self.seats.after if self.seats is not None else {}
            run = Run(self.name, self.plan, outcomes, dict(self.have), self._now(), seated)
            self._tell(events.FlowEnded(self.name, run, self.loop.time()))
        return run

    # -- starting
    def _begin(self) -> None:
        self.handing_on = True  # all that is known is known, before anything is handed on
        for i, s in enumerate(self.plan.steps):
            if s.makes in self.have:
                self._settle(i, Skipped("known", self.have[s.makes], known=True))
        for i, waits in enumerate(self.plan.waits):
            if waits == 0 and self.outcomes[i] is None:
                self._ready(i)
        self._work_off()

    def _ready(self, i: int) -> None:
        if self.over is not None:
            self._end(i, TimeoutError("the run was over before the step could start"), self.over)
        elif self.seats is not None:
            self.seats.ask(i, self.plan.steps[i].policy.tier)
        else:
            self._start(i)

    def _seat(self, freed_by: int | None = None) -> None:
        while self.seats is not None and (taken := self.seats.take(freed_by)):
            for i in taken:
                self._start(i)

    def _start(self, i: int) -> None:
        s, now = self.plan.steps[i], self.loop.time()
        self.began[i] = round(now - self.began_at, 9)
        inputs: dict[str, object] = {parameter: self._value(need) for parameter, need in s.needs.items()}
        for parameter, need in s.inlets.items():
            beside = self.inlets.setdefault(i, [])
            inputs[parameter] = live = self._stream(need).reader(*beside[:1])
            beside.append(live)
        if self.observers:
            self._tell(events.StepStarted(self.name, s.name, s.policy.tier, now))
        if s.outlet is not None:
            self.lives[s.makes] = inputs[s.outlet] = live = Stream()
            if self.observers:
                self._tell(events.StreamOpened(self.name, s.name, live.reader(), now))
        task = self.loop.create_task(self._drive(i, inputs), name=s.name, context=self.context.copy())
        task.add_done_callback(partial(self._gone, i))
        self.tasks[i] = task
        self._limit(i)
        for j in self.plan.streams[i]:
            self._met(j)

    def _value(self, need: type) -> object:
        i = self.plan.maker.get(need)
        return self.have[need] if i is None else getattr(self.outcomes[i], "value")  # noqa: B009

    def _stream(self, need: type) -> Stream[Any]:
        if need not in self.lives:  # it stands as a value, and never was a stream
            self.lives[need] = Stream.closed(self._value(need))
        return self.lives[need]

    # -- running and ending
    async def _drive(self, i: int, inputs: dict[str, object]) -> None:
        s = self.plan.steps[i]
        try:
            value = await (s.work(**inputs) if s.copied is None else raced(s, inputs, self.name, self.observers))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            self._end(i, error)
            return
        if not isinstance(value, s.makes):
            self._end(i, WrongType(f"{s.name!r} gave a {type(value).__name__}, not a {s.makes.__name__}"))
        elif self.cut[i] is not None:
            self._end(i, asyncio.CancelledError())
        elif self._overdue(i):
            self._end(i, TimeoutError(f"{s.name!r} held up the loop beyond its limit"))
        else:
            self._settle(i, Done(value, self._worked(i), self.began[i], self._now()))

    def _gone(self, i: int, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step, or ended as no step may, ends its step all the same."""
        if self.outcomes[i] is None:
            self._end(i, (None if task.cancelled() else task.exception()) or asyncio.CancelledError())

    def _overdue(self, i: int) -> bool:
        """It blocked the loop, so that no timer could cut it."""
        latest, timer, deadline = self.loop.time() - self.plan.steps[i].policy.grace, self.timers[i], self.deadline
        return (timer is not None and timer.when() < latest) or (deadline is not None and deadline.when() < latest)

    def _end(self, i: int, error: BaseException, reason: Reason | None = None) -> None:
        """A step did not make its product in time: its stand-in, what can be salvaged, or nothing."""
        if self.outcomes[i] is not None:  # abandoned before
            self._tell(events.LateResult(self.name, self.plan.steps[i].name, self.loop.time()))
            return
        s, cut, ended = self.plan.steps[i], self.cut[i], self._now()
        began, worked = (ended, 0.0) if self.tasks[i] is None else (self.began[i], self._worked(i))
        reason = reason or cut or reason_of(error)
        if cut == "timeout" and isinstance(error, asyncio.CancelledError):
            error = TimeoutError(f"{s.name!r} was cut off after {ended - began:.3g} s")
        elif cut == "skipped":
            error = StepFailed(f"{s.name!r} lost the stream that it was reading")
        fallback_for = s.fallback_for(self.lives.get(s.makes), error)
        if fallback_for is not NOTHING:
            self._settle(i, Degraded(fallback_for, error, reason, worked, began, ended))
        elif reason == "skipped":
            self._settle(i, Skipped(str(error), None, False, worked, began, ended), error)
        else:
            self._settle(i, Failed(error, reason, worked, began, ended))

    def _settle(self, i: int, outcome: Outcome[Any], error: BaseException | None = None) -> None:
        """The one outcome of a step. Those that it lets go are worked off in a loop: a chain may be long."""
        self.outcomes[i] = outcome
        s = self.plan.steps[i]
        if (timer := self.timers[i]) is not None:
            timer.cancel()
        if self.observers:
            self._tell(events.StepEnded(self.name, s.name, s.policy.tier, outcome, self.loop.time()))
        if self.seats is not None:
            (self.seats.drop if self.tasks[i] is None else self.seats.leave)(i, s.policy.tier)
        if (live := self.lives.get(s.makes)) is not None:
            live.close(getattr(outcome, "value", None), getattr(outcome, "error", error))
        self.settled.append(i)
        if not self.handing_on:
            self._work_off(i)

    def _work_off(self, ended: int | None = None) -> None:
        self.handing_on = True
        while self.settled:
            self._hand_on(self.settled.popleft())
        self.handing_on = False
        self._seat(ended)

    def _hand_on(self, i: int) -> None:
        """What a step made goes to those that need it; who waited only for that is started."""
        s, outcome = self.plan.steps[i], self.outcomes[i]
        made = isinstance(outcome, Done | Degraded) or (isinstance(outcome, Skipped) and outcome.known)
        for j in self.plan.feeds[i]:
            if made:
                self._met(j)
            else:
                self._skip(j, s.name)
        streamed = self.tasks[i] is not None
        for j in self.plan.streams[i]:
            if not made:
                self._skip(j, s.name)
            elif streamed:  # it has been reading along; from now on its time counts
                self._limit(j)
            else:
                self._met(j)
        for j in self.plan.frees[i]:
            self._met(j)
        self.left -= 1
        if not self.left and not self.finished.done():
            self.finished.set_result(None)

    def _met(self, j: int) -> None:
        self.waits[j] -= 1
        if self.waits[j] == 0 and self.outcomes[j] is None:
            self._ready(j)

    def _skip(self, j: int, because: str) -> None:
        """What it needs was never made: its stand-in, if it has one, else nothing."""
        if self.tasks[j] is not None:
            self._cut(j, "skipped")
        elif self.outcomes[j] is None:
            self._end(j, StepFailed(f"{because!r}, which it needs, made nothing"), "skipped")

    # -- limits
    def _limit(self, i: int) -> None:
        """Time that a step may take counts from its start, or from the end of what it reads along."""
        within = self.plan.steps[i].policy.within
        if within is None or self.tasks[i] is None or self.outcomes[i] is not None or self.timers[i] is not None:
            return
        if i not in self.inlets or all(live.ended for live in self.inlets[i]):
            self.timers[i] = self.loop.call_later(within, self._cut, i, "timeout", context=self.context)

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
        abandon(task)
        self._end(i, StepAbandoned(f"{self.plan.steps[i].name!r} ignored its cancellation"), "abandoned")

    def _stop(self, reason: Reason) -> None:
        """Nothing more is started; what runs is cancelled."""
        self.over = reason
        for i, waits in enumerate(tuple(self.waits)):
            if waits == 0 and self.tasks[i] is None and self.outcomes[i] is None:  # it has no seat yet
                self._ready(i)
            self._cut(i, reason)

    async def _unwind(self) -> None:
        """Wait until all are gone or left behind. Bounded by their graces, also if cancelled again."""
        while self.left:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(self.finished)

    def _tell(self, event: events.Event) -> None:
        events.tell(self.observers, event)

    def _now(self) -> float:
        return round(self.loop.time() - self.began_at, 9)

    def _worked(self, i: int) -> float:
        waited = self.inlets[i][0].waited if i in self.inlets else 0.0
        return round(self.loop.time() - self.began_at - self.began[i] - waited, 9)
