"""A whole run in several processes: the same figures as in one, sooner. All but the real clock, which wants to be alone."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from vital_engine.flow import run_virtual

from .figures import of_summary
from .report import TURNS, Report, measure
from .variants import BY_NAME
from .workloads import named, run, summary

ALONE = "real-clock"


@dataclass(frozen=True, slots=True)
class Part:
    """What one process does at a time: a variant on a workload, or (``variant`` empty) all of what is no family."""

    workload: str
    variant: str
    turns: int
    seed: int


def measure_in_parallel(
    names: Iterable[str], *, turns: int | None, seed: int, jobs: int, told: Callable[[str], None] = lambda _: None
) -> Report:
    """As :func:`.report.measure`, but *turns* is the most that any workload gets: none gets more than it needs."""
    parts = [part for name in names for part in _parts(name, turns, seed)]
    apart = [part for part in parts if part.workload != ALONE]
    # The long ones first: so no process is left with them when the others have nothing to do.
    begun = sorted(apart, key=lambda part: (bool(part.variant), -part.turns))
    if jobs > 1 and len(apart) > 1:
        # Not forked: what this process holds, the others need not.
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            reports = _collected(begun, pool.map(measured, begun), told)
    else:
        reports = _collected(begun, map(measured, begun), told)
    reports |= _collected((alone := [p for p in parts if p.workload == ALONE]), map(measured, alone), told)
    return Report.joined(reports[part] for part in parts)


def measured(part: Part) -> Report:
    """The figures of *part*, not judged yet."""
    if not part.variant:
        return measure([part.workload], turns=part.turns, seed=part.seed)
    workload = next(w for w in named(part.workload) if w.name == part.workload)
    variant = BY_NAME[part.variant]
    ran = run_virtual(run(workload, variant, turns=part.turns, seed=part.seed))
    one = summary(workload, variant, ran)
    return Report(part.seed, (one,), tuple(of_summary(one)), (), {(workload.name, variant.name): ran.rows})


def _parts(name: str, turns: int | None, seed: int) -> list[Part]:
    def most(needed: int) -> int:
        return needed if turns is None else min(turns, needed)

    if not (workloads := named(name)):
        return [Part(name, "", most(TURNS[name]), seed)]
    return [Part(w.name, v.name, most(w.turns), seed) for w in workloads for v in w.variants]


def _collected(parts: list[Part], reports: Iterable[Report], told: Callable[[str], None]) -> dict[Part, Report]:
    done: dict[Part, Report] = {}
    for part, report in zip(parts, reports, strict=True):
        told(f"{part.workload}, {part.variant or 'all'}: {part.turns} turns ({len(done) + 1} of {len(parts)})")
        done[part] = report
    return done
