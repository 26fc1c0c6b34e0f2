"""One run of the benchmark, from its seed to its verdicts."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vital_engine.flow import run_virtual

from .figures import Figure, of_shapes, of_summary
from .goals import Verdict, judge
from .measure import Row
from .real_clock import real_against_virtual
from .repeats import repeats
from .shapes import fan_out, uneven
from .summary import Summary
from .workloads import FAMILIES, named, run, summary

SIMULATED = "Simulated: services and clock. The engine is the real one. Nothing here depends on the machine."
WORKLOADS = (
    *FAMILIES,
    *(w.name for family in FAMILIES.values() for w in family if w.name not in FAMILIES),
    "W1b",
    "W6",
    "W7",
    "real-clock",
)
QUICK: Mapping[str, int] = {
    "W1": 1, "W1b": 50, "W2 reviews at hand": 200, "W2 no stalls": 200, "W3": 100, "W6": 10,
}  # fmt: skip
"""Turns of each when all are run at once, to look around; a tail needs more (see each workload's ``turns``)."""
TURNS: Mapping[str, int] = {"W1b": 200, "W6": 200, "W7": 5000, "real-clock": 50}
"""Turns of those that are no family of workloads, if nobody says how many."""


@dataclass(frozen=True, slots=True)
class Report:
    """``rows``: every turn, by (workload, variant): the raw material of the figures."""

    seed: int
    summaries: tuple[Summary, ...] = ()
    figures: tuple[Figure, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    rows: Mapping[tuple[str, str], tuple[Row, ...]] = field(default_factory=dict)

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


def measure(
    workloads: Iterable[str], *, turns: int | None, seed: int, told: Callable[[str], None] = lambda _: None
) -> Report:
    """Run *workloads*. *turns* None: as many as each needs. *told*: of each run before it begins."""
    summaries: list[Summary] = []
    figures: list[Figure] = []
    rows: dict[tuple[str, str], tuple[Row, ...]] = {}
    for name in workloads:
        for workload in named(name):
            for variant in workload.variants:
                many = workload.turns if turns is None or workload.turns == 1 else turns
                told(f"{workload.name}, {variant.name}: {many} turns")
                ran = run_virtual(run(workload, variant, turns=many, seed=seed))
                rows[workload.name, variant.name] = ran.rows
                summaries.append(summary(workload, variant, ran))
                figures += of_summary(summaries[-1])
        if not named(name):
            told(name)
            figures += _other(name, TURNS[name] if turns is None else turns, seed)
    return Report(seed, tuple(summaries), tuple(figures), tuple(judge(figures)), rows)


def _other(name: str, turns: int, seed: int) -> Iterator[Figure]:
    match name:
        case "W1b":
            yield from of_shapes("W1b", run_virtual(uneven(turns, seed)))
        case "W6":
            yield from of_shapes("W6", run_virtual(fan_out(turns, seed, stall=0.0)))
            yield from of_shapes("W6 stalls", run_virtual(fan_out(turns, seed, stall=0.01)))
        case "W7":
            yield from repeats(turns, seed)
        case "real-clock":
            yield from real_against_virtual(turns)
        case _:
            raise KeyError(name)
