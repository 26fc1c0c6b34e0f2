"""One run of the benchmark, from its seed to its verdicts, in one process or in several."""

from __future__ import annotations

import multiprocessing
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

from vital_engine.flow import run_virtual

from .goals import Figure, Verdict, judge, of_shapes, of_summary
from .measure import Rows, Summary
from .repeats import repeats
from .shapes import fan_out, uneven
from .variants import BY_NAME, SEGMENTS
from .workloads import FAMILIES, named, real_against_virtual, run, summary

ALONE = "real-clock"
"""The workload that wants to have the machine for itself."""
SIMULATED = "Simulated: services and clock. The engine is the real one. Nothing here depends on the machine."
WORKLOADS = (
    *FAMILIES,
    *(w.name for family in FAMILIES.values() for w in family if w.name not in FAMILIES),
    "W1b",
    "W6",
    "W7",
    ALONE,
)
QUICK: Mapping[str, int] = {
    "W1": 1, "W1b": 50, "W2 reviews at hand": 200, "W2 no stalls": 200, "W3": 100, "W6": 10,
}  # fmt: skip
"""Turns of each when all are run at once, to look around; a tail needs more (see each workload's ``turns``)."""
TURNS: Mapping[str, int] = {"W1b": 200, "W6": 200, "W7": 5000, ALONE: 50}
"""Turns of those that are no family of workloads."""


@dataclass(frozen=True, slots=True)
class Report:
    """``rows``: every turn."""

    seed: int
    summaries: tuple[Summary, ...] = ()
    figures: tuple[Figure, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    rows: Rows = field(default_factory=dict)

    @classmethod
    def joined(cls, reports: Iterable[Report]) -> Report:
        """Several runs of one seed as one."""
        many = list(reports)
        return cls(
            many[0].seed,
            tuple(s for each in many for s in each.summaries),
            figures := tuple(f for each in many for f in each.figures),
            tuple(judge(figures)),
            {key: rows for each in many for key, rows in each.rows.items()},
        )

    def plain(self) -> dict[str, Any]:
        """Ready to be JSON. The rows are left out: they can be had again, to the digit, from the seed."""
        return {
            "seed": self.seed,
            "python": platform.python_version(),
            "simulated": SIMULATED,
            "figures": [asdict(figure) for figure in self.figures],
            "goals": [asdict(verdict) for verdict in self.verdicts],
        }


@dataclass(frozen=True, slots=True)
class Part:
    """What one process does at a time: a variant on a workload, or (``variant`` empty) all of what is no family."""

    workload: str
    variant: str
    turns: int
    seed: int


def measure(
    names: Iterable[str],
    *,
    turns: int | None,
    seed: int,
    jobs: int = 1,
    at_most: bool = False,
    told: Callable[[str], None] = lambda _: None,
) -> Report:
    """Run the workloads *names*; several processes give the same figures as one, sooner.

    :param turns: of each variant; None: as many as each workload needs. *at_most*: none gets more than it needs.
    :param told: of each run when it has ended.
    """
    parts = [part for name in names for part in _parts(name, turns, seed, at_most=at_most)]
    apart = [part for part in parts if part.workload != ALONE]
    if jobs > 1 and len(apart) > 1:
        # The long ones first: so no process is left with them when the others have nothing to do.
        apart.sort(key=lambda part: (bool(part.variant), -part.turns))
        # Not forked: what this process holds, the others need not.
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            reports = _collected(apart, pool.map(measured, apart), told)
    else:
        reports = _collected(apart, map(measured, apart), told)
    alone = [part for part in parts if part.workload == ALONE]
    reports |= _collected(alone, map(measured, alone), told)
    return Report.joined(reports[part] for part in parts)


def measured(part: Part) -> Report:
    """The figures of *part*, not judged yet."""
    if not part.variant:
        return Report(part.seed, figures=tuple(_other(part.workload, part.turns, part.seed)))
    workload = next(w for w in named(part.workload) if w.name == part.workload)
    variant = BY_NAME[part.variant]
    ran = run_virtual(run(workload, variant, turns=part.turns, seed=part.seed))
    one = summary(workload, variant, ran)
    return Report(part.seed, (one,), tuple(of_summary(one)), (), {(workload.name, variant.name): ran.rows})


def _parts(name: str, turns: int | None, seed: int, *, at_most: bool) -> list[Part]:
    def many(needed: int) -> int:
        if turns is None or needed == 1:
            return needed
        return min(turns, needed) if at_most else turns

    if not (workloads := named(name)):
        return [Part(name, "", many(TURNS[name]), seed)]
    return [Part(w.name, v.name, many(w.turns), seed) for w in workloads for v in w.variants]


def _collected(parts: list[Part], reports: Iterable[Report], told: Callable[[str], None]) -> dict[Part, Report]:
    done: dict[Part, Report] = {}
    for part, report in zip(parts, reports, strict=True):
        told(f"{part.workload}, {part.variant or 'all'}: {part.turns} turns ({len(done) + 1} of {len(parts)})")
        done[part] = report
    return done


def _other(name: str, turns: int, seed: int) -> Iterator[Figure]:
    match name:
        case "W1b":
            yield from of_shapes("W1b", run_virtual(uneven(turns, seed)))
        case "W6":
            yield from of_shapes("W6", run_virtual(fan_out(turns, seed, stall=0.0)))
            yield from of_shapes("W6 stalls", run_virtual(fan_out(turns, seed, stall=0.01)))
        case "W7":
            yield from repeats(turns, seed)
        case _ if name == ALONE:
            for figure, seconds in real_against_virtual(turns).items():
                yield Figure("real clock", SEGMENTS.name, figure, seconds, "s")
        case _:
            raise KeyError(name)
