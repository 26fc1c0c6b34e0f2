"""What was measured, as Markdown tables that also read well in a terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

Facts = dict[str, Any]
Column = tuple[str, Callable[[Facts], Any]]


def _figure(value: Any, digits: int = 0) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


ORDER: tuple[Column, ...] = (
    ("engine", lambda e: e["name"]),
    ("version", lambda e: e["version"]),
    ("seed, ms", lambda e: _figure(e["seed_ms"], 1)),
    ("uneven, ms", lambda e: _figure(e["uneven_ms"], 1)),
    ("CPU, µs", lambda e: _figure(e.get("cpu_us"))),
    ("calls", lambda e: _figure(e.get("calls"))),
    ("iterations", lambda e: _figure(e.get("iterations"))),
    ("set-up, s", lambda e: _figure(e["setup_seconds"], 2)),
    ("set-up, MB", lambda e: _figure(e["setup_rss_mb"])),
)
BURST: tuple[Column, ...] = (
    ("engine", lambda e: e["name"]),
    ("wall, s", lambda e: _figure(e["burst"]["wall_seconds"], 2)),
    ("turns/s", lambda e: _figure(e["burst"]["turns_per_second"])),
    ("p50, ms", lambda e: _figure(e["burst"]["p50_ms"])),
    ("p99, ms", lambda e: _figure(e["burst"]["p99_ms"])),
    ("turns/CPU s", lambda e: _figure(e["burst"]["turns_per_cpu_second"])),
    ("peak, MB", lambda e: _figure(e["burst"]["peak_rss_mb"])),
    ("KB a turn", lambda e: _figure(e["burst"]["kb_per_turn"], 1)),
    ("others' cores", lambda e: _figure(e["burst"]["others_cores"], 1)),
    ("turns/s, gc frozen", lambda e: _figure(e["frozen"]["turns_per_second"])),
    ("p99, gc frozen", lambda e: _figure(e["frozen"]["p99_ms"])),
)


def _seen(case: str) -> Callable[[Facts], str]:
    def cell(engine: Facts) -> str:
        seen = engine["trouble"][case]
        if seen["seconds"] is None:
            return f"nothing in {seen['patience']:g} s"
        answer = "answer" if seen["answered"] else "no answer"
        kept = len(seen["kept"])
        others = {"none": "", "cancelled": "; the others are cancelled", "ran on": "; the others run on"}[
            seen["others"]
        ]
        return f"{seen['sees']} at {seen['seconds']:g} s, {answer}, {kept} kept{others}"

    return cell


TROUBLE: tuple[Column, ...] = (
    ("engine", lambda e: e["name"]),
    ("recall raises at 0.2 s", _seen("input raises")),
    ("retrieve hangs", _seen("input hangs")),
    ("assess raises after the answer", _seen("review raises")),
)


def table(engines: Sequence[Facts], columns: Sequence[Column]) -> str:
    rows = [[name for name, _ in columns], *([cell(engine) for _, cell in columns] for engine in engines)]
    wide = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    lines = [
        "| "
        + " | ".join(t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(row, wide, strict=True)))
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(wide)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def verdicts(goals: Sequence[Facts]) -> str:
    def word(goal: Facts) -> str:
        if goal["met"] is None:
            return "not measured"
        ratio = goal["share"]
        return f"{'met' if goal['met'] else 'MISSED'}: {ratio:.2f} of the limit"

    columns: tuple[Column, ...] = (
        ("goal", lambda g: g["says"]),
        ("measured", lambda g: _figure(g["value"], 0 if (g["value"] or 0) >= 100 else 2)),
        ("limit", lambda g: f"{'at least' if g['least'] else 'at most'} {g['limit']:,g}"),
        ("", word),
    )
    return table(goals, columns)


HOW = (
    "{cpu}, {cores} cores, Python {python}; load {load_before:.1f} before, {load_after:.1f} after. Each engine in a process "
    "of its own, one after another."
)
ONE_TURN = """## One turn

Seed: retrieve 500 | suggest 300 | recall 200 -> reply 1500 -> assess 100 | cite 150 | tally 50 ms; one after another 2800,
ideal 2150 (2019 for who reads along). Uneven: suggest needs recall; ideal 2150. Both in virtual time. CPU, calls and
iterations of the event loop: of a turn of ten steps that take no time."""
AT_ONCE = """## {turns:,} turns at once

The seed turn at a tenth of its durations (ideal 0.215 s), in real time. Others' cores: what else the machine
was busy with; where that is much, only the turns per second of CPU can be compared."""
WRONG = """## When something goes wrong

What the caller gets from each engine as it is by default, when, and how many of the seven steps' values are in it. In
virtual time, with a suggest of 100 ms; in real time where an engine's own limits go by the wall clock."""


BUSY = 0.5
"""Cores; from then on figures in real time say little."""
TOO_BUSY = """Something else used {others:.1f} cores meanwhile: the figures of the turns begun at once are those of a busy
machine. See what plain asyncio made of it in the same run, and measure again on a quiet one."""


def page(report: Facts) -> str:
    """All of it. *report*: what ``python -m bench.peers --json`` writes."""
    engines, machine = report["engines"], report["machine"]
    parts = [
        HOW.format(**machine),
        ONE_TURN,
        table(engines, ORDER),
        AT_ONCE.format(turns=engines[0]["burst"]["turns"] if engines else 0),
        table(engines, BURST),
        WRONG,
        table(engines, TROUBLE),
    ]
    notes = [f"- {e['name']}: {e['note']}." for e in engines if e["note"]]
    notes += [
        f"- {e['name']}: uneven takes {e['renamed_ms']:,.1f} ms under other names." for e in engines if e["renamed_ms"]
    ]
    if notes:
        parts.append("## Notes\n\n" + "\n".join(notes))
    for key, goals in report["goals"].items():
        ours = next(e for e in engines if e["key"] == key)
        parts += [f"## {ours['name']}: what was aimed for", verdicts(goals)]
        if ours["burst"]["others_cores"] > BUSY:
            parts.append(TOO_BUSY.format(others=ours["burst"]["others_cores"]))
    if report["left_out"]:
        parts.append("Not measured, since not installed: " + ", ".join(e["name"] for e in report["left_out"]) + ".")
    return "\n\n".join(parts)
