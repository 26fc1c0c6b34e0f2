"""What is measured on this machine and not simulated: the engine's own cost, other engines, a real model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vital_engine.bench.cost import AT_ONCE, Cost
from vital_engine.bench.turns import FEW

from .markdown import NOTHING, number, share, table
from .sections import picture

PEERS = "peers.svg"
BUSY_CORES = 0.3
"""Of others, above which it is said that the machine was busy."""
Facts = Mapping[str, Any]


def cost_section(cost: Cost) -> Iterator[str]:
    if not cost:
        return
    yield "## The engine's own cost"
    yield "CPU of this process on this machine, best of several rounds: whatever else ran can only have added to it."
    if ten := cost.get("ten steps"):
        yield "A turn of ten steps that do nothing:"
        yield table(("", "CPU, µs", "function calls", "passes of the loop"), [
            (name, number(of["cpu_us"], 1), number(of["calls"]), number(of["iterations"])) for name, of in ten.items()
        ])  # fmt: skip
    if whole := cost.get("whole turn"):
        yield (
            f"A whole turn of mode 2 over services that do nothing, {FEW} tokens; per token, less what the model alone takes:"
        )
        yield table(("", "CPU, µs", "function calls", "passes of the loop", "µs per token"), [
            (name, number(of["cpu_us"], 1), number(of["calls"]), number(of["iterations"]), number(of["token_us"], 2))
            for name, of in whole.items()
        ])  # fmt: skip
    if many := cost.get("at once"):
        yield f"{AT_ONCE:,} turns at once, each asleep for a tenth of the seed profile (ideal 215 ms), in real time:"
        yield table(("", "turns/s", "p50, ms", "p99, ms", "CPU, µs a turn", "KB in flight each"), [
            (name, number(of["turns_per_s"]), number(of["p50_ms"], 1), number(of["p99_ms"], 1), number(of["cpu_us"], 1),
             number(of["kb"], 1)) for name, of in many.items()
        ])  # fmt: skip


def peers_section(peers: Facts) -> Iterator[str]:
    """*peers*: what ``python -m bench.peers --json`` writes, which explains the fields."""
    engines = peers.get("engines", ())
    if not engines:
        return
    machine = peers["machine"]
    yield "## Other engines beside this one"
    yield (
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}; load {machine['load_before']:.1f} before, "
        f"{machine['load_after']:.1f} after. Each in a process of its own, one after another, at its best public setting. "
        "*seed*, *uneven*: one turn in virtual time, ideal 2,150 ms (2,018.75 for who reads along). CPU, calls and iterations: of a turn of ten steps that do nothing."
    )
    yield picture("CPU of a turn and turns per second, by engine", PEERS)
    yield table(("engine", "version", "seed, ms", "uneven, ms", "CPU, µs", "calls", "iterations", "set-up, s", "set-up, MB"), [
        (e["name"], e["version"], *(number(e.get(k), d) for k, d in (
            ("seed_ms", 1), ("uneven_ms", 1), ("cpu_us", 0), ("calls", 0), ("iterations", 0), ("setup_seconds", 2), ("setup_rss_mb", 0),
        ))) for e in engines
    ], left=2)  # fmt: skip
    yield (
        f"{engines[0]['burst']['turns']:,} turns begun at once, each of a tenth of the seed profile (ideal 215 ms), in real "
        "time; *frozen*: after `gc.freeze()` and with rarer collections, as a server may set them."
    )
    yield table(("engine", "turns/s", "p50, ms", "p99, ms", "turns per CPU s", "peak, MB", "KB a turn", "others' cores", "turns/s, frozen", "p99, frozen"), [
        (e["name"], *(number(e["burst"].get(k), d) for k, d in (
            ("turns_per_second", 0), ("p50_ms", 0), ("p99_ms", 0), ("turns_per_cpu_second", 0), ("peak_rss_mb", 0), ("kb_per_turn", 1), ("others_cores", 1),
        )), number(e["frozen"].get("turns_per_second"), 0), number(e["frozen"].get("p99_ms"), 0)) for e in engines
    ])  # fmt: skip
    if (others := max(e["burst"].get("others_cores", 0.0) for e in engines)) > BUSY_CORES:
        yield (
            f"Something else used up to {others:.1f} cores meanwhile: the figures of the turns begun at once are those of a busy "
            "machine; turns per second of CPU can be compared all the same."
        )
    yield "What a caller gets when something goes wrong, from each engine as it is by default, and how many of the seven steps' values are in it:"
    yield table(("engine", "an input raises at 0.2 s", "an input hangs", "a review raises after the answer"), [
        (e["name"], *(_seen(e["trouble"].get(case)) for case in ("input raises", "input hangs", "review raises"))) for e in engines
    ], left=4)  # fmt: skip
    notes = [f"{e['name']}: {e['note']}" for e in engines if e["note"]]
    if missing := [e["name"] for e in peers.get("left_out", ())]:
        notes.append("not measured, since not installed: " + ", ".join(missing))
    if failed := peers.get("failed"):
        notes.append("failed: " + ", ".join(failed))
    if peers.get("quick"):
        notes.append("few turns only: whether it runs, not how fast")
    yield "\n".join(f"- {note}." for note in notes)


def _seen(seen: Facts | None) -> str:
    if seen is None:
        return NOTHING
    if seen["seconds"] is None:
        return f"nothing in {seen['patience']:g} s"
    others = {"cancelled": "; the others are cancelled", "ran on": "; the others run on"}.get(seen["others"], "")
    answer = "answer" if seen["answered"] else "no answer"
    return f"{seen['sees']} at {seen['seconds']:g} s, {answer}, {len(seen['kept'])} kept{others}"


def real_section(real: Facts) -> Iterator[str]:
    """*real*: what ``bench/real_stack.py --json`` writes."""
    if not real:
        return
    yield "## W5: the real stack"
    yield (
        f"{real['model']} over real retrieval, tools and checks; {real['pairs']} questions, each asked with reading ahead off, "
        "prefix and segments in turning order, of a server that has read nothing. Prompt tokens are the server's counters: "
        "*computed* between the model being asked and its first word. Times are of this machine with whatever else ran; ratios "
        "are medians of pairs, with 95 % of the medians of resamples. *label*: lossless."
    )
    yield table(
        ("earlier turns", "search slower by, s", "reading ahead", "prompt", "computed", "fewer", "first word, s", "ratio to off", "turn ratio", "texts equal", "quality", "support"),
        [
            (number(r["earlier"]), f"{r['delay']:g}", r["arm"], number(r["prompt"], 0), number(r["computed"], 0), share(r["fewer"], 1),
             number(r["first_seconds"], 2), _interval(r["first_ratio"]), _interval(r["total_ratio"]),
             f"{r['equal']} of {r['pairs']}", number(r["quality"], 3), number(r["support"], 3))
            for r in real["rows"]
        ], left=3,
    )  # fmt: skip
    yield real["note"]


def _interval(ratio: list[float]) -> str:
    median, low, high = ratio
    return f"{median:.2f} [{low:.2f}, {high:.2f}]"
