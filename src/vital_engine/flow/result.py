"""What a run left behind: an outcome per step, when each ran, what overlapped, and what the end waited for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast

from vital_engine.errors import FlowError, StepFailed

from .outcome import Degraded, Done, Failed, Outcome, Reason, Skipped

if TYPE_CHECKING:
    from .flow import Plan

T = TypeVar("T")


def speedup(step_seconds: list[float], wall_seconds: float) -> float | None:
    """Seconds of work per second of waiting, both measured: 1.0 is one after another, None if no time passed."""
    return round(sum(step_seconds) / wall_seconds, 9) if wall_seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Run:
    """``outcomes``: by the type that the step makes. ``given``: what was known before. ``seconds``: on the clock.

    ``seated``: where not all may run at once, which step (by index) got the seat of which.
    """

    name: str
    plan: Plan
    outcomes: Mapping[type, Outcome[Any]]
    given: Mapping[type, object]
    seconds: float
    seated: Mapping[int, int] = field(default_factory=dict)

    def __getitem__(self, made: type[T]) -> T:
        """What was made, or stood in.

        :raises StepFailed: it was never made; ``__cause__`` says why.
        :raises FlowError: no step makes it, and it was not given.
        """
        if made in self.given:
            return cast("T", self.given[made])
        if made not in self.outcomes:
            raise FlowError(f"{self.name!r} has no step that makes {made.__name__}")
        match outcome := self.outcomes[made]:
            case Done(value=value) | Degraded(value=value) | Skipped(value=value, known=True):
                return cast("T", value)
            case Failed(error=error):
                raise StepFailed(f"no {made.__name__}: {error!r}") from error
        raise StepFailed(f"no {made.__name__}: {outcome.because}")

    @property
    def steps(self) -> dict[str, Outcome[Any]]:
        """The outcomes by the step's name, in the order in which the steps stand."""
        return {s.name: self.outcomes[s.makes] for s in self.plan.steps}

    @property
    def degraded(self) -> dict[str, Reason]:
        """Step -> reason, of those that did not make their own product."""
        reasons: dict[str, Reason] = {}
        for name, outcome in self.steps.items():
            if isinstance(outcome, Degraded | Failed):
                reasons[name] = outcome.reason
            elif isinstance(outcome, Skipped) and not outcome.known:
                reasons[name] = "skipped"
        return reasons

    @property
    def overlap(self) -> float | None:
        return speedup([o.seconds for o in self.outcomes.values()], self.seconds)

    @property
    def critical_path(self) -> tuple[str, ...]:
        """The chain of steps that the end waited for, first to last: for a value, a stream, a barrier or a seat."""
        plan = self.plan
        ends = [self.outcomes[s.makes] for s in plan.steps]
        before: list[set[int]] = [{self.seated[j]} if j in self.seated else set() for j in range(len(ends))]
        for after in (plan.feeds, plan.streams, plan.frees):
            for i, followers in enumerate(after):
                for j in followers:
                    before[j].add(i)
        ran = {i for i, o in enumerate(ends) if not isinstance(o, Skipped)}
        path: list[int] = []
        candidates = ran
        while candidates:
            at = max(candidates, key=lambda i: (ends[i].ended, i))
            path.append(at)
            began, streams = ends[at].began, plan.streams
            candidates = {i for i in before[at] & ran if ends[i].ended <= began or at in streams[i]}
        return tuple(plan.steps[i].name for i in reversed(path))
