"""Run a flow: a task per step, started by whatever makes the last thing that it waits for.

There is no scheduler. When a step ends, in its own task, what it made is handed on and those that waited only for
that are started. Limits are timers of the loop. The one broad ``except`` of the package is here, at the edge of a
step (:meth:`Execution._drive`): a failure becomes a value, and costs only its own step.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar, cast

from vital_engine.errors import FlowError, StepAbandoned, StepFailed, WrongType

from .events import FlowEnded, FlowStarted, Hedged, LateResult, Log, StepEnded, StepStarted, StreamOpened
from .hedging import HedgeOutcome
from .limits import ConcurrencyLimit, abandon
from .outcome import Degraded, Done, Failed, Outcome, Reason, Skipped, reason_of
from .plan import Plan
from .step import NOTHING, hedged_work
from .stream import Stream

T = TypeVar("T")


def speedup(step_seconds: Sequence[float], wall_seconds: float) -> float | None:
    """Seconds of work per second of waiting, both measured: 1.0 is one after another, None if no time passed."""
    return round(sum(step_seconds) / wall_seconds, 9) if wall_seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Run:
    """The result of a run: an outcome per step, what overlapped, what the end waited for, and the log.

    :param name: of the flow.
    :param plan: what was run.
    :param outcomes: by the type that the step makes.
    :param given: what was known before.
    :param seconds: from the beginning of the run, or of the longer run that it continues.
    :param followed: if not all steps may run at once: step -> the step whose place it took, by index.
    :param log: what happened, in order.
    """

    name: str
    plan: Plan
    outcomes: Mapping[type, Outcome[Any]]
    given: Mapping[type, object]
    seconds: float
    followed: Mapping[int, int] = field(default_factory=dict)
    log: Log = field(default_factory=Log, compare=False)

    def __getitem__(self, made: type[T]) -> T:
        """What was made, or its fallback.

        :raises StepFailed: it was never made; ``__cause__`` says why.
        :raises FlowError: no step makes it, and it was not given.
        """
        if made in self.given:
            return cast("T", self.given[made])
        if made not in self.outcomes:
            raise FlowError(f"{self.name!r} has no step that makes {made.__name__}")
        outcome = self.outcomes[made]
        if outcome.made:
            return cast("T", outcome.value)
        if isinstance(outcome, Skipped):
            raise StepFailed(f"no {made.__name__}: {outcome.because}")
        raise StepFailed(f"no {made.__name__}: {outcome.error!r}") from outcome.error

    @property
    def steps(self) -> dict[str, Outcome[Any]]:
        """The outcomes by the step's name, in the order in which the steps stand."""
        return {s.name: self.outcomes[s.makes] for s in self.plan.steps}

    @property
    def degraded(self) -> dict[str, Reason]:
        """Step -> reason, of those that did not make their own product."""
        return {name: o.reason or "skipped" for name, o in self.steps.items() if o.broke or not o.made}

    @property
    def overlap(self) -> float | None:
        """Seconds of the steps' own work per second of the run; None if no time passed."""
        return speedup([o.seconds for o in self.outcomes.values()], self.seconds)

    @property
    def critical_path(self) -> tuple[str, ...]:
        """The chain of steps that the end waited for, first to last: for a value, a stream, a barrier or a place."""
        plan = self.plan
        ends = [self.outcomes[s.makes] for s in plan.steps]
        before: list[set[int]] = [{self.followed[j]} if j in self.followed else set() for j in range(len(ends))]
        for after in (plan.feeds, plan.streams, plan.frees):
            for i, followers in enumerate(after):
                for j in followers:
                    before[j].add(i)
        ran = {i for i, o in enumerate(ends) if o.kind != "skipped"}
        path: list[int] = []
        candidates = ran
        while candidates:
            at = max(candidates, key=lambda i: (ends[i].ended, i))
            path.append(at)
            began, streams = ends[at].began, plan.streams
            candidates = {i for i in before[at] & ran if ends[i].ended <= began or at in streams[i]}
        return tuple(plan.steps[i].name for i in reversed(path))


class Execution:
    """One run of a plan. Used once, inside one loop."""

    def __init__(
        self,
        name: str,
        plan: Plan,
        have: Mapping[type, object],
        streams: Mapping[type, Stream[Any]],
        within: float | None,
        log: Log,
        since: float = 0.0,
        *,
        whole: bool = True,
    ) -> None:
        count = len(plan.steps)
        self.name, self.plan, self.have = name, plan, have
        self.loop, self.context = asyncio.get_running_loop(), contextvars.copy_context()
        now = self.loop.time()
        self.began_at = now - since  # of the longer run, if this one continues it
        self.log, self.whole = log, whole
        self.note = log.records.append
        self.streams = dict(streams)
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
        self.admission = ConcurrencyLimit(plan.shape) if plan.bounded else None
        self.finished: asyncio.Future[None] = self.loop.create_future()
        self.deadline: asyncio.TimerHandle | None = None
        self.until = math.inf  # when the deadline passes, on the loop's clock
        if within is not None and within <= 0:
            self.over = "timeout"
        elif within is not None:
            self.until = now + within
            self.deadline = self.loop.call_at(self.until, self._stop, "timeout", context=self.context)

    async def run(self) -> Run:
        """Run the plan to its end.

        :returns: an outcome for each step.
        """
        cancelled = False
        if self.whole:
            self.note((FlowStarted, self.name, self.began_at))
        try:
            self._begin()
            if self.left:
                if self.log.wants_flush:
                    self._wake()
                await self.finished
        except asyncio.CancelledError:
            cancelled = True
            self.finished = self.loop.create_future()  # the other one was cancelled with us
            self._stop("cancelled")
            await self._unwind()
            raise
        finally:
            if self.deadline is not None:
                self.deadline.cancel()
            ended = self.loop.time()
            if self.whole:
                self.note((FlowEnded, self.name, cancelled, ended))
            self.log.flush()
        seconds = round(ended - self.began_at, 9)
        outcomes = {s.makes: o for s, o in zip(self.plan.steps, self.outcomes, strict=True) if o is not None}
        followed = self.admission.after if self.admission is not None else {}
        return Run(self.name, self.plan, outcomes, dict(self.have), seconds, followed, self.log)

    def _wake(self) -> None:
        """Let the observers read what has happened, once those that were started have begun."""
        self.log.wants_flush = False
        self.loop.call_soon(self.log.flush, context=self.context)

    # -- starting
    def _begin(self) -> None:
        self.handing_on = True  # all that is known is known, before anything is handed on
        now = self.loop.time()
        for i, s in enumerate(self.plan.steps):
            if s.makes in self.have:
                self._settle(i, Skipped("known", self.have[s.makes], known=True), now)
        for i, waits in enumerate(self.plan.waits):
            if waits == 0 and self.outcomes[i] is None:
                self._ready(i)
        self._work_off()

    def _ready(self, i: int) -> None:
        if self.over is not None:
            self._end(i, TimeoutError("the run was over before the step could start"), self.over)
        elif self.admission is not None:
            self.admission.queue(i, self.plan.steps[i].policy.tier)
        else:
            self._start(i)

    def _admit(self, admission: ConcurrencyLimit, freed_by: int | None = None) -> None:
        while admitted := admission.admit(freed_by):
            for i in admitted:
                self._start(i)

    def _start(self, i: int) -> None:
        s, now, maker = self.plan.steps[i], self.loop.time(), self.plan.maker
        self.began[i] = round(now - self.began_at, 9)
        inputs: dict[str, object] = {}
        for parameter, need in s.needs.items():
            if (made_by := maker.get(need)) is not None:
                outcome = self.outcomes[made_by]
                if outcome is not None and (outcome.made or parameter not in s.optional):
                    inputs[parameter] = outcome.value
            elif need in self.have or parameter not in s.optional:
                inputs[parameter] = self.have[need]
        for parameter, need in s.inlets.items():
            if parameter in s.optional and not (need in self.streams or self._has(need)):
                continue
            beside = self.inlets.setdefault(i, [])
            inputs[parameter] = stream = self._stream(need).reader(*beside[:1])
            beside.append(stream)
        self.note((StepStarted, self.name, s.name, s.policy.tier, now))
        if s.outlet is not None:
            self.streams[s.makes] = inputs[s.outlet] = stream = Stream()
            self.note((StreamOpened, self.name, s.name, stream, now))
        task = self.loop.create_task(self._drive(i, inputs), name=s.name, context=self.context.copy())
        task.add_done_callback(partial(self._gone, i), context=self.context)
        self.tasks[i] = task
        if s.policy.within is not None:
            self._limit(i)
        for j in self.plan.streams[i]:
            self._met(j)

    def _has(self, need: type) -> bool:
        """Whether there is a value for an optional wire."""
        i = self.plan.maker.get(need)
        if i is None:
            return need in self.have
        outcome = self.outcomes[i]
        return outcome is not None and outcome.made

    def _value(self, need: type) -> object:
        i = self.plan.maker.get(need)
        return self.have[need] if i is None else cast("Outcome[Any]", self.outcomes[i]).value

    def _stream(self, need: type) -> Stream[Any]:
        if need not in self.streams:  # it is known as a value, and never was a stream
            self.streams[need] = Stream.closed(self._value(need))
        return self.streams[need]

    # -- running and ending
    async def _drive(self, i: int, inputs: dict[str, object]) -> None:
        s = self.plan.steps[i]
        try:
            value = await (s.work(**inputs) if s.hedge is None else hedged_work(s, inputs, partial(self._hedged, i)))
        except (KeyboardInterrupt, SystemExit, GeneratorExit):
            raise
        except BaseException as error:
            self._end(i, error)
            return
        now, timer = self.loop.time(), self.timers[i]
        latest = now - s.policy.grace
        if not isinstance(value, s.makes):
            self._end(i, WrongType(f"{s.name!r} gave a {type(value).__name__}, not a {s.makes.__name__}"))
        elif self.cut[i] is not None:
            self._end(i, asyncio.CancelledError())
        elif self.until < latest or (timer is not None and timer.when() < latest):  # so that no timer could cut it
            self._end(i, TimeoutError(f"{s.name!r} held up the loop beyond its limit"))
        else:
            ended = round(now - self.began_at, 9)
            self._settle(i, Done(value, self._worked(i, ended), self.began[i], ended), now)

    def _gone(self, i: int, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step, or ended as no step may, ends its step all the same."""
        if self.outcomes[i] is None:
            self._end(i, (None if task.cancelled() else task.exception()) or asyncio.CancelledError())

    def _end(self, i: int, error: BaseException, reason: Reason | None = None) -> None:
        """A step did not make its product in time: its fallback, what can be recovered, or nothing."""
        now = self.loop.time()
        if self.outcomes[i] is not None:  # abandoned before
            self.note((LateResult, self.name, self.plan.steps[i].name, now))
            if self.log.wants_flush:
                self._wake()
            return
        s, cut, ended = self.plan.steps[i], self.cut[i], round(now - self.began_at, 9)
        began, worked = (ended, 0.0) if self.tasks[i] is None else (self.began[i], self._worked(i, ended))
        reason = reason or cut or reason_of(error)
        if cut == "timeout" and isinstance(error, asyncio.CancelledError):
            error = TimeoutError(f"{s.name!r} was cut off after {ended - began:.3g} s")
        elif cut == "skipped":
            error = StepFailed(f"{s.name!r} lost the stream that it was reading")
        value = s.fallback_for(self.streams.get(s.makes), error)
        if value is not NOTHING:
            self._settle(i, Degraded(value, error, reason, worked, began, ended), now)
        elif reason == "skipped":
            self._settle(i, Skipped(str(error), None, False, worked, began, ended), now, error)
        else:
            self._settle(i, Failed(error, reason, worked, began, ended), now)

    def _settle(self, i: int, outcome: Outcome[Any], now: float, error: BaseException | None = None) -> None:
        """The one outcome of a step. The steps that it sets free are started in a loop: a chain may be long."""
        self.outcomes[i] = outcome
        s = self.plan.steps[i]
        if (timer := self.timers[i]) is not None:
            timer.cancel()
        self.note((StepEnded, self.name, s.name, s.policy.tier, outcome, now))
        if self.admission is not None:
            (self.admission.withdraw if self.tasks[i] is None else self.admission.release)(i, s.policy.tier)
        if (stream := self.streams.get(s.makes)) is not None:
            stream.close(outcome.value, error or outcome.error)
        self.settled.append(i)
        if not self.handing_on:
            self._work_off(i)
            if self.log.wants_flush:  # after those that were started: who watches does not hold up who works
                self._wake()

    def _work_off(self, ended: int | None = None) -> None:
        self.handing_on = True
        while self.settled:
            self._hand_on(self.settled.popleft())
        self.handing_on = False
        if self.admission is not None:
            self._admit(self.admission, ended)

    def _hand_on(self, i: int) -> None:
        """What a step made goes to those that need it; who waited only for that is started."""
        s, outcome = self.plan.steps[i], self.outcomes[i]
        made, optional = outcome is not None and outcome.made, self.plan.optional
        for j in self.plan.feeds[i]:
            if made or (i, j) in optional:
                self._met(j)
            else:
                self._skip(j, s.name)
        streamed = self.tasks[i] is not None
        for j in self.plan.streams[i]:
            if not made and (i, j) not in optional:
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
        """What it needs was never made: its fallback, if it has one, else nothing."""
        if self.tasks[j] is not None:
            self._cut(j, "skipped")
        elif self.outcomes[j] is None:
            self._end(j, StepFailed(f"{because!r}, which it needs, made nothing"), "skipped")

    # -- limits
    def _limit(self, i: int) -> None:
        """Time that a step may take counts from its start, or from the end of what it reads along."""
        s, maker = self.plan.steps[i], self.plan.maker
        within = s.policy.within
        if within is None or self.tasks[i] is None or self.outcomes[i] is not None or self.timers[i] is not None:
            return
        if not s.inlets or all(need not in maker or self.outcomes[maker[need]] for need in s.inlets.values()):
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

    def _hedged(self, i: int, became: HedgeOutcome, sent_at: float | None) -> None:
        self.note((Hedged, self.name, self.plan.steps[i].name, became, sent_at, self.loop.time()))
        if self.log.wants_flush:
            self._wake()

    def _worked(self, i: int, ended: float) -> float:
        """Its own work: without the time that it waited for the streams that it reads."""
        if i not in self.inlets:
            return round(ended - self.began[i], 9)
        return max(0.0, round(ended - self.began[i] - self.inlets[i][0].waited, 9))
