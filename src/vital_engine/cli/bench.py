"""``vital bench``: what the engine takes, beside what the arithmetic allows, and what the engine itself costs."""

from __future__ import annotations

import json
from dataclasses import asdict

from vital_engine.bench import Measured, measure_engine, w1
from vital_engine.errors import ConfigError

from .exits import OK

WORKLOADS = {"W1": w1}


def run_workload(workload: str, *, profile: str | None, as_json: bool) -> int:
    """Run *workload* and print. :raises ConfigError: it is not known."""
    if workload not in WORKLOADS:
        raise ConfigError(f"unknown workload {workload!r}; known: {', '.join(WORKLOADS)}")
    rows = list(WORKLOADS[workload](profile))
    engine = measure_engine()
    if as_json:
        print(json.dumps({"turns": [_plain(row) for row in rows], "engine": engine}, indent=2))
        return OK
    print(f"{workload}: the seed profile, in virtual time (exact), milliseconds")
    print(f"{'model':16} {'profile':12} {'first token':>12} {'last token':>11} {'all':>9} {'bound':>9} {'gap':>7}")
    for row in rows:
        m = row.measured
        print(
            f"{row.split:16} {row.profile:12} {1000 * m.first_token:12.1f} {1000 * m.last_token:11.1f}"
            f" {1000 * m.total:9.1f} {1000 * row.bound.total:9.1f} {row.gap:7.2%}"
        )
    print("\nthe engine's own cost: a turn of ten steps that do nothing, CPU of this process on this machine")
    for name, facts in engine.items():
        if isinstance(facts, dict):
            print(
                f"{name:28} "
                + "  ".join(f"{k} {v:,.1f}" if isinstance(v, float) else f"{k} {v}" for k, v in facts.items())
            )
        else:
            print(f"{name:28} {facts}")
    return OK


def _plain(row: Measured) -> dict[str, object]:
    return {**asdict(row), "gap": row.gap}
