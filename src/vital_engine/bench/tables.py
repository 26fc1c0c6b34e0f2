"""A report as text that needs no other: what was run, what it took, what was assumed, and which goals were met."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from .figures import Figure
from .report import SIMULATED, Report
from .summary import Spread, Summary
from .workloads import FAMILIES

LEGEND = (
    "Milliseconds since the question was asked: until the first token, the last token, and all that is known of the answer.",
    "gap: how far a turn that lost nothing is above its bound, worked out from its own draws (the least that any engine",
    "could take that reads the prompt in the best order); in order: the same for the prompt's fixed order.",
    "lossless: made of what the turn found, nothing else. cached: something was known from an earlier turn.",
)


def tables(report: Report) -> Iterator[str]:
    yield f"{SIMULATED} Seed {report.seed}."
    if report.summaries:
        yield from LEGEND
    for name, group in groupby(report.summaries, key=lambda s: s.workload):
        yield ""
        yield from _workload(name, list(group))
    summarised = {(s.workload, s.variant) for s in report.summaries}
    others = [f for f in report.figures if (f.workload, f.variant) not in summarised]
    for name, figures in groupby(others, key=lambda f: f.workload):
        yield ""
        yield from _figures(name, list(figures))
    if report.verdicts:
        yield ""
        met = sum(verdict.met for verdict in report.verdicts)
        yield f"Goals, written down before the run: {met} of {len(report.verdicts)} met."
        for v in report.verdicts:
            if not v.met:
                over = f"{-v.by:.1%} over" if v.limit else "must be 0"
                yield f"  MISSED  {v.says}: {v.value:.6g}, limit {v.limit:.6g} ({over})"


def _workload(name: str, summaries: Sequence[Summary]) -> Iterator[str]:
    workload = next(w for family in FAMILIES.values() for w in family if w.name == name)
    yield f"{name}: {workload.title}."
    if workload.assumes:
        yield f"Assumed: {workload.assumes}."
    if summaries[0].turns == 1:
        yield f"{'':24}{'first token':>12}{'last token':>12}{'all':>10}{'gap':>9}{'in order':>10}"
        for s in summaries:
            took = f"{_ms(s.first_token, 'p50'):>12}{_ms(s.last_token, 'p50'):>12}{_ms(s.total, 'p50'):>10}"
            yield f"{s.variant:24}{took}{_share(s.gap, 'p50'):>9}{_share(s.gap_in_order, 'p50'):>10}"
        return
    yield (
        f"{summaries[0].turns} turns{'':14}{'first p50':>10}{'p50':>9}{'p95':>9}{'p99':>9}{'p99.9':>9}{'gap p95':>9}"
        f"{'in order':>9}{'degraded':>10}{'failed':>9}{'copies':>8}  label"
    )
    for s in summaries:
        times = "".join(f"{_ms(s.total, q):>9}" for q in ("p50", "p95", "p99", "p99.9"))
        gaps = f"{_share(s.gap, 'p95'):>9}{_share(s.gap_in_order, 'p95'):>9}"
        shares = f"{s.degraded:>10.2%}{s.failed + s.partial:>9.2%}{s.extra_calls:>8.2%}"
        yield f"{s.variant:24}{_ms(s.first_token, 'p50'):>10}{times}{gaps}{shares}  {s.label}"
    for s in summaries:
        if s.degraded_by:
            yield f"  did without ({s.variant}): " + ", ".join(f"{k} {n}" for k, n in s.degraded_by.items())


TOLD = re.compile(
    r"(all|gap) (p50|p95|p99|mean|max)|all of .*|(all|bound) / .*|all p50, .*|wasted tokens|warm turns|virtual|\|.*"
)
"""The figures of what is no family of workloads that are printed; the rest is in the JSON."""


def _figures(name: str, figures: Sequence[Figure]) -> Iterator[str]:
    yield f"{name}:"
    for variant, group in groupby(figures, key=lambda f: f.variant):
        told = [f for f in group if TOLD.fullmatch(f.name)]
        yield f"  {variant:24}" + "   ".join(f"{f.name} {_value(f)}" for f in told) + f"   {told[0].label}"


def _value(figure: Figure) -> str:
    match figure.unit:
        case "s":
            return f"{1000 * figure.value:.1f} ms"
        case "share":
            return f"{figure.value:.2%}"
        case "ratio":
            return f"{figure.value:.3f}"
        case _:
            return f"{figure.value:g}"


def _ms(spread: Spread | None, quantile: str) -> str:
    known = spread is not None and quantile in spread.quantiles
    return f"{1000 * spread.quantiles[quantile]:.1f}" if known and spread else "-"


def _share(spread: Spread | None, quantile: str) -> str:
    known = spread is not None and quantile in spread.quantiles
    return f"{spread.quantiles[quantile]:.2%}" if known and spread else "-"
