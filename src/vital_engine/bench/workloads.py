"""Workloads, run in virtual time on scripted services: exact, and the same on every machine."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from vital_engine.flow import run_virtual
from vital_engine.modes import PROFILES, Mode2AutomaticWorkflow
from vital_engine.nouns import Question
from vital_engine.testing import scripted

from .bounds import Bound, bound
from .durations import Durations

SPLITS = {"opaque": 0.0, "prefill 300 ms": 0.3}
"""How much of the model's 1500 ms goes by before it speaks."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One turn of a workload, beside its bound. ``gap``: how far above the bound, as a share of it."""

    workload: str
    split: str
    profile: str
    measured: Bound
    bound: Bound

    @property
    def gap(self) -> float:
        return self.measured.total / self.bound.total - 1


def w1(profile: str | None = None) -> Iterator[Measured]:
    """The seed profile: retrieve 500, suggest 300, recall 200, model 1500, then cite 150, assess 100, tally 50 ms."""
    for split, prefill in SPLITS.items():
        durations = replace(Durations(), prefill=prefill)
        for each in PROFILES if profile is None else (profile,):
            workflow = Mode2AutomaticWorkflow(
                scripted(**{k: v for k, v in asdict(durations).items() if k not in {"early", "held"}}),
                profile=each,
                watchers=(),
            )
            answer = run_virtual(workflow.execute(Question("bench", tenant="bench", user="bench")))
            t = answer.raise_for_status().timing
            assert t.first_token is not None
            assert t.last_token is not None
            measured = Bound(t.first_token, t.last_token, t.total)
            yield Measured("W1", split, each, measured, bound(durations, each))
