"""What the engine itself costs: in a turn, in a token, and with a thousand turns at once.

    python bench/engine_cost.py [--turns 1000] [--rounds 3] [--uvloop]

The ten empty steps, beside plain gather and LangGraph (if it is installed), then a whole turn of mode 2 over services
that do nothing, then many turns that sleep through a tenth of the seed profile (0.215 s without barriers). Times are of
this machine; the best of the rounds, since whatever else runs can only add to them.
"""

from __future__ import annotations

import argparse
import asyncio

from vital_engine.bench.engine import Turn, calls, iterations, measure_engine
from vital_engine.bench.turns import (
    FEW,
    WAYS,
    at_once,
    flow_at_once,
    kilobytes_in_flight,
    per_token,
    plain_at_once,
    workflow_at_once,
)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--turns", type=int, default=1000, help="turns at once")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--uvloop", action="store_true", help="many at once on uvloop, as `vital serve` runs")
    asked = options.parse_args()

    print(f"{'ten empty steps':30}{'us':>9}{'calls':>8}{'passes':>8}")
    for name, of in measure_engine().items():
        print(f"{name:30}{of['cpu_us']:9.1f}{of['calls']:8.0f}{of['iterations']:8.0f}")

    print(f"\n{f'a whole turn, {FEW} tokens':30}{'us':>9}{'calls':>8}{'passes':>8}{'us/token':>10}{'net':>8}")
    alone = 0.0
    for name, way in WAYS.items():
        turn_us, token_us = per_token(way)
        alone = alone or token_us
        print(
            f"{name:30}{turn_us:9.1f}{calls(way(FEW)):8.0f}{iterations(way(FEW)):8.0f}{token_us:10.2f}{token_us - alone:8.2f}"
        )

    many: dict[str, Turn] = {
        "plain gather": plain_at_once(),
        "flow of ten steps": flow_at_once(),
        "mode 2, no watchers": workflow_at_once(watch=False),
        "mode 2, watched": workflow_at_once(watch=True),
    }
    print(f"\n{f'{asked.turns} turns at once':30}{'turns/s':>9}{'p50 ms':>9}{'p99 ms':>9}{'CPU us':>9}{'KB each':>9}")
    for name, turn in many.items():
        rounds = [_run(turn, asked.turns, uv=asked.uvloop) for _ in range(asked.rounds)]
        best = max(rounds, key=lambda r: r["turns_per_s"])
        kb = kilobytes_in_flight(turn, min(asked.turns, 300))
        print(
            f"{name:30}{best['turns_per_s']:9.0f}{best['p50_ms']:9.1f}{best['p99_ms']:9.1f}{best['cpu_us']:9.1f}{kb:9.1f}"
        )


def _run(turn: Turn, turns: int, *, uv: bool) -> dict[str, float]:
    factory = None
    if uv:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(at_once(turn, turns))


if __name__ == "__main__":
    main()
