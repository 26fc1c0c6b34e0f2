"""A run of the benchmark as one page: Markdown, with two pictures beside it. Its sections are also what the terminal shows.

The figures come from the run that is handed in, and from nowhere else.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeAlias

from vital_engine import __version__

from .cost import AT_ONCE, FEW, Cost
from .durations import LATE_SHARES, Durations
from .goals import GOALS, MACHINE_GOALS, Figure, Key, Verdict, by_key, judge, of_cost, of_peers
from .measure import LIMITS, Spread, Summary
from .meter import cpu_name, load
from .oracle import SOURCE
from .pictures import TAILS, TIMELINES, draw_all
from .repeats import CHANGE, QUESTIONS, SKEW, TOUCHED, VERSION_SECONDS
from .report import SIMULATED, Report
from .timelines import STEPS, Timeline
from .workloads import FAMILIES, SIGMA, W1, W2, W3, Workload

PAGE, FIGURES = "report.md", "figures.json"
PACKAGES = ("numpy", "langgraph", "uvloop")
BUSY_CORES = 0.3
"""Of others, above which it is said that the machine was busy."""
NOTHING = "–"
Facts: TypeAlias = Mapping[str, Any]
Figures: TypeAlias = Mapping[Key, Figure]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where and when a report was made. ``load``: the machine's load of one minute when it began; nan: unknown."""

    date: str
    cpu: str
    cores: int
    platform: str
    python: str
    load: float
    versions: Mapping[str, str]

    @classmethod
    def here(cls, date: str) -> Surroundings:
        system = f"{platform.system()} {platform.machine()}"
        return cls(date, cpu_name(), os.cpu_count() or 1, system, platform.python_version(), load(), _versions())


def _versions() -> Mapping[str, str]:
    known = {"vital-engine": __version__}
    for name in PACKAGES:
        try:
            known[name] = version(name)
        except PackageNotFoundError:
            known[name] = "not installed"
    return known


@dataclass(frozen=True, slots=True)
class Material:
    """All that a page is made of. ``lines``: a turn of the seed profile by each policy. ``peers``, ``real``: what
    ``vital_bench.peers`` and ``bench/real_stack.py`` wrote; empty where they were not run."""

    report: Report
    around: Surroundings
    lines: Sequence[Timeline] = ()
    cost: Cost | None = None
    peers: Facts | None = None
    real: Facts | None = None


def write_page(folder: Path, material: Material) -> list[Path]:
    """Write ``report.md``, ``figures.json`` and the pictures into *folder*, which is made if it is not there.

    :returns: the files.
    """
    drawn = draw_all(material.report.rows, material.lines)
    folder.mkdir(parents=True, exist_ok=True)
    files = {PAGE: "\n\n".join(_page(material, set(drawn))) + "\n", FIGURES: figures(material), **drawn}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    return [folder / name for name in files]


def _page(m: Material, drawn: set[str]) -> Iterator[str]:
    cost, peers, real = m.cost or {}, m.peers or {}, m.real or {}
    yield "# The benchmark's report"
    yield "Written by `vital bench --report`; no figure was put in by hand."
    yield from run_section(m.report, m.around)
    measured = judge([*of_cost(cost), *of_peers(peers)], MACHINE_GOALS)
    yield from verdict_section([*m.report.verdicts, *measured, *_of_real(real)], open_goals(m.report))
    yield from ladder_section(m.report, m.lines)
    yield from tails_section(m.report, pictured=TAILS in drawn)
    yield from other_sections(m.report)
    yield from cost_section(cost)
    yield from peers_section(peers)
    yield from real_section(real)
    yield from assumptions_section()
    yield from honesty_section()
    yield from how_section()


def terminal(report: Report, cost: Cost) -> str:
    """What was measured, without what is said around it on the page."""
    parts = [f"{SIMULATED} Seed {report.seed}."] if report.figures else []
    parts += [*ladder_section(report), *tails_section(report), *other_sections(report), *cost_section(cost)]
    if report.verdicts:
        missed = [verdict for verdict in report.verdicts if not verdict.met]
        parts.append(
            f"Goals, written down before the run: {len(report.verdicts) - len(missed)} of {len(report.verdicts)} met."
        )
        parts += [verdict_table(missed)] if missed else []
    return "\n\n".join(map(aligned, parts))


def peers_page(peers: Facts) -> str:
    """The section on the peers, for the terminal, and the goals of our own rows."""
    verdicts = judge(of_peers(peers), MACHINE_GOALS)
    return "\n\n".join(map(aligned, [*peers_section(peers), *([verdict_table(verdicts)] if verdicts else [])]))


def figures(m: Material) -> str:
    """Every figure as JSON, one a line, so that two runs can be compared line by line."""
    around = {"seed": m.report.seed, **asdict(m.around)}
    head = [
        f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in (("around", around), ("cost", m.cost), ("peers", m.peers), ("real", m.real))
    ]
    rows = [json.dumps([*f.key, f.value, f.unit, f.label], ensure_ascii=False) for f in m.report.figures]
    columns = json.dumps(["workload", "variant", "name", "value", "unit", "label"])
    return "{\n" + ",\n".join([*head, f'"columns": {columns}', '"figures": [\n' + ",\n".join(rows) + "\n]"]) + "\n}\n"


# -- tables, and figures as a reader meets them
def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """The first *left* columns are text, the others figures."""
    rule = ["---"] * left + ["--:"] * (len(head) - left)
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in (head, rule, *rows))


def aligned(part: str) -> str:
    """The same, its columns one below the other, if it is a table."""
    if not part.startswith("| "):
        return part
    rows = [line[2:-2].split(" | ") for line in part.splitlines()]
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    right = [rule.endswith(":") for rule in rows[1]]
    rows[1] = ["-" * w for w in wide]
    return "\n".join(
        "  ".join(c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, wide, right, strict=True)).rstrip()
        for row in rows
    )


def told(value: float | None, unit: str) -> str:
    """*value* in *unit*: ``s`` (shown in ms), ``share`` (in per cent), ``ratio``, or a plain number."""
    if value is None:
        return NOTHING
    match unit:
        case "s":
            return f"{1000 * value:,.2f} ms"
        case "share":
            return f"{value:.2%}"
        case "ratio":
            return f"{value:.4f}"
        case _:
            return number(value)


def ms(seconds: float | None, digits: int = 1) -> str:
    return NOTHING if seconds is None else f"{1000 * seconds:,.{digits}f}"


def share(value: float | None, digits: int = 2) -> str:
    return NOTHING if value is None else f"{value:.{digits}%}"


def number(value: float | None, digits: int | None = None) -> str:
    """As many digits as it takes, if *digits* does not say how many."""
    if value is None:
        return NOTHING
    if digits is None:
        digits = 0 if value == int(value) or abs(value) >= 1000 else 2
    return f"{value:,.{digits}f}"


def of(spread: Spread | None, quantile: str) -> float | None:
    return None if spread is None else spread.quantiles.get(quantile)


# -- the goals
def open_goals(report: Report) -> list[str]:
    """The goals that this run says nothing of."""
    spoken = {verdict.says for verdict in report.verdicts}
    return [goal.says for goal in GOALS if goal.says not in spoken]


def verdict_section(every: Sequence[Verdict], left_open: Sequence[str]) -> Iterator[str]:
    """What was missed comes first, and nothing is left out."""
    missed = [one for one in every if not one.met]
    yield "## Goals"
    yield (
        f"Written down before the run (`goals.py`): **{len(every) - len(missed)} of {len(every)} met**, "
        f"{len(missed)} missed, {len(left_open)} left open. Missed ones first."
    )
    if missed:
        yield verdict_table(missed)
    yield f"<details><summary>The {len(every) - len(missed)} that were met</summary>"
    yield verdict_table([one for one in every if one.met])
    yield "</details>"
    if left_open:
        yield "Left open, since this run did not measure it, or in too few turns to say: " + "; ".join(left_open) + "."


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    rows = [
        (v.says, v.source, _verdict(v), told(v.value, v.unit), f"{'≥' if v.least else '≤'} {told(v.limit, v.unit)}")
        for v in verdicts
    ]
    return table(("goal", "where", "verdict", "measured", "limit"), rows, left=3)


def _verdict(v: Verdict) -> str:
    if not v.limit:
        return "met" if v.met else "**missed**: must be 0"
    return f"met, {share(v.by)} to spare" if v.met else f"**missed by {share(-v.by)}**"


def _of_real(real: Facts) -> Iterator[Verdict]:
    for goal in real.get("goals", ()):
        by = (goal["value"] - goal["limit"]) / goal["limit"]
        yield Verdict(goal["says"], goal["value"], goal["limit"], goal["met"], by, "share", True, "real stack")


# -- the simulated workloads
def ladder_section(report: Report, lines: Sequence[Timeline] = ()) -> Iterator[str]:
    """*lines*: a turn by each policy."""
    if not any(s.workload.startswith("W1") for s in report.summaries):
        return
    yield "## W1: the ladder"
    yield (
        "One turn of the seed profile by each policy, in ms since the question. *bound*: the least that any engine could take, "
        "from the same durations. *gap*: how far above it."
    )
    if lines:
        yield f"![Time lines of one turn by each policy]({TIMELINES})"
    for workload in W1:
        rows = []
        for s in report.summaries:
            if s.workload == workload.name:
                least = report.rows[s.workload, s.variant][0].bound
                times = (of(s.first_token, "p50"), of(s.last_token, "p50"), of(s.total, "p50"))
                bound = None if least is None else least.total
                rows.append((s.variant, s.label, *(ms(t, 2) for t in (*times, bound)), share(of(s.gap, "p50"))))
        if rows:
            yield f"**{workload.name}** ({workload.title})"
            yield table(("", "label", "first token", "last token", "all", "bound", "gap"), rows, left=2)
    if lines:
        yield "<details><summary>Each step of W1 half known: from when to when, in ms; bold: on the critical path</summary>"
        yield _steps(lines)
        yield "</details>"


def _steps(turns: Sequence[Timeline]) -> str:
    rows = []
    for step in STEPS:
        cells = []
        for turn in turns:
            bars = [bar for bar in turn.bars if bar.step == step]
            when = f"{ms(bars[0].began, 0)}–{ms(bars[-1].ended, 0)}" if bars else ""
            cells.append(f"**{when}**" if any(bar.critical for bar in bars) else when)
        rows.append((step, *cells))
    return table(("step", *(turn.policy for turn in turns)), rows)


def tails_section(report: Report, *, pictured: bool = False) -> Iterator[str]:
    known = [s for s in report.summaries if s.workload.startswith("W2")]
    if not known:
        return
    yield "## W2: tails"
    yield (
        "In ms until all is known. *gap*: of turns that lost nothing, above the bound of any order, at the 95th percentile; "
        "*in order*: above that of the prompt's fixed order. *copies*: calls sent twice. A quantile with fewer than ten turns "
        "beyond it is not given."
    )
    if pictured:
        yield f"![The share of turns that take longer than so many ms]({TAILS})"
    for workload in W2:
        summaries = [s for s in known if s.workload == workload.name]
        if summaries:
            yield _heading(workload, summaries[0].turns)
            yield table(
                ("", "label", "first token p50", "p50", "p95", "p99", "p99.9", "gap p95", "in order", "degraded", "failed", "copies"),
                [_tail(s) for s in summaries], left=2,
            )  # fmt: skip


def _heading(workload: Workload, turns: int) -> str:
    assumed = f" Assumed: {workload.assumes}." if workload.assumes else ""
    return f"**{workload.name}**, {turns:,} turns: {workload.title}.{assumed}"


def _tail(s: Summary) -> tuple[str, ...]:
    times = (ms(of(s.total, q)) for q in ("p50", "p95", "p99", "p99.9"))
    gaps = (share(of(s.gap, "p95")), share(of(s.gap_in_order, "p95")))
    lost = (share(s.degraded), share(s.failed + s.partial), share(s.extra_calls))
    return (s.variant, s.label, ms(of(s.first_token, "p50")), *times, *gaps, *lost)


def other_sections(report: Report) -> Iterator[str]:
    """W3, and what is no family of workloads."""
    yield from failures_section(report)
    yield from shapes_section(report)
    yield from repeats_section(report)
    yield from clock_section(report)


def failures_section(report: Report) -> Iterator[str]:
    known = [s for s in report.summaries if s.workload == "W3"]
    if not known:
        return
    yield "## W3: failures"
    yield _heading(W3[0], known[0].turns) + (
        " *complete*: of these, *degraded* did without something and say so; *partial*: broke off, what was said is kept."
    )
    rows = [
        (s.variant, s.label, *(share(v) for v in (s.complete, s.degraded, s.partial, s.failed, s.extra_calls)),
         *(ms(of(s.total, q)) for q in ("p50", "p95", "p99")), str(s.lost), str(s.duplicate_effects), str(s.retractions))
        for s in known
    ]  # fmt: skip
    head = (
        "complete",
        "degraded",
        "partial",
        "failed",
        "copies",
        "p50",
        "p95",
        "p99",
        "lost",
        "effects twice",
        "retracted",
    )
    yield table(("", "label", *head), rows, left=2)
    without = [
        f"- did without ({s.variant}): " + ", ".join(f"{step} {n:,}" for step, n in s.degraded_by.items())
        for s in known
        if s.degraded_by
    ]
    if without:
        yield "\n".join(without)


def shapes_section(report: Report) -> Iterator[str]:
    known = by_key(report.figures)
    for name, title, says in (
        ("W1b", "## W1b: an uneven graph", "Tool suggestion needs the memory (200 + 300 ms) beside retrieval (500 ms); ideal 2,150 ms, or 2,018.75 for who reads along. *first turn*: of the seed profile; the others are drawn around it."),
        ("W6", "## W6: many experts", "Retrieval, then so many experts at once, then one merge of 200 ms. *gap*: above the slowest expert and the merge."),
        ("W6 stalls", "", "The same, where 1 % of the experts' models stall for 10 s."),
    ):  # fmt: skip
        shapes = list(dict.fromkeys(variant for workload, variant, _ in known if workload == name))
        if shapes:
            yield from (part for part in (title, says) if part)
            names = ("all of the first turn", "all p50", "all p99", "all max", "gap p95", "gap max")
            rows = [(shape, *(_value(known, (name, shape, figure)) for figure in names)) for shape in shapes]
            yield table((name, "first turn, ms", "p50", "p99", "max", "gap p95", "gap max"), rows)


def repeats_section(report: Report) -> Iterator[str]:
    known = by_key(report.figures)
    labels = {variant: f.label for (workload, variant, _), f in known.items() if workload == "W7"}
    if not labels:
        return
    yield "## W7: questions that come again"
    turns = number(known["W7", next(iter(labels)), "turns"].value)
    yield (
        f"{turns} turns. Cold: a question that this run had not seen. *ratio*: a turn's time over that of its bare model call, "
        "nothing read ahead, from the same draws; median. *bound*: the same ratio for the turn's bound."
    )
    columns = {
        "all p50": "all p50, ms", "all p50, cold": "cold", "all p50, warm": "warm", "all / bare model call p50": "ratio",
        "all / bare model call p50, cold": "cold", "all / bare model call p50, warm": "warm",
        "bound / bare model call p50": "bound", "warm turns": "warm turns",
    }  # fmt: skip
    rows = [(v, label, *(_value(known, ("W7", v, name)) for name in columns)) for v, label in labels.items()]
    yield table(("", "label", *columns.values()), rows, left=2)


def clock_section(report: Report) -> Iterator[str]:
    known = {key[2]: f for key, f in by_key(report.figures).items() if key[0] == "real clock"}
    if known:
        yield "## The simulator against a real clock"
        yield (
            f"The seed profile in real time, overlapping turns: virtual {ms(known['virtual'].value, 2)} ms; the real turns are "
            f"{ms(known['|real - virtual| p50'].value, 2)} ms off at the median, {ms(known['|real - virtual| max'].value, 2)} ms "
            "at most, with whatever else the machine did."
        )


def _value(known: Figures, key: Key) -> str:
    figure = known.get(key)
    if figure is None:
        return NOTHING
    match figure.unit:
        case "s":
            return ms(figure.value)
        case "share":
            return share(figure.value)
        case "ratio":
            return f"{figure.value:.3f}"
        case _:
            return number(figure.value)


# -- what is measured on this machine and not simulated
def cost_section(cost: Cost) -> Iterator[str]:
    if not cost:
        return
    yield "## The engine's own cost"
    yield "CPU of this process on this machine, best of several rounds: whatever else ran can only have added to it."
    steps = {"CPU, µs": ("cpu_us", 1), "function calls": ("calls", None), "passes of the loop": ("iterations", None)}
    many = {"turns/s": ("turns_per_second", None), "p50, ms": ("p50_ms", 1), "p99, ms": ("p99_ms", 1)}
    for part, says, columns in (
        ("ten steps", "A turn of ten steps that do nothing:", steps),
        (
            "whole turn",
            f"A whole turn of mode 2 over services that do nothing, {FEW} tokens; per token, less what the model alone takes:",
            {**steps, "µs per token": ("token_us", 2)},
        ),
        (
            "at once",
            f"{AT_ONCE:,} turns at once, each asleep for a tenth of the seed profile (ideal 215 ms), in real time:",
            {**many, "CPU, µs a turn": ("cpu_us", 1), "KB in flight each": ("kb_per_turn", 1)},
        ),
    ):
        if found := cost.get(part):
            yield says
            rows = [
                (name, *(number(facts[key], digits) for key, digits in columns.values()))
                for name, facts in found.items()
            ]
            yield table(("", *columns), rows)


def peers_section(peers: Facts) -> Iterator[str]:
    """*peers*: what ``python -m vital_bench.peers --json`` writes, which explains the fields."""
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
    yield (
        "What a caller gets when something goes wrong, from each engine as it is by default, and how many of the seven steps' "
        "values are in it:"
    )
    yield table(("engine", "an input raises at 0.2 s", "an input hangs", "a review raises after the answer"), [
        (e["name"], *(_seen(e["trouble"].get(case)) for case in ("input raises", "input hangs", "review raises"))) for e in engines
    ], left=4)  # fmt: skip
    notes = [f"{e['name']}: {e['note']}" for e in engines if e["note"]]
    notes += [
        f"{e['name']}: uneven takes {e['renamed_ms']:,.1f} ms under other names" for e in engines if e.get("renamed_ms")
    ]
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


# -- what stands around the figures
def run_section(report: Report, around: Surroundings) -> Iterator[str]:
    turns: dict[str, int] = {}
    for figure in report.figures:
        if figure.name == "turns":
            family = figure.workload.split()[0]
            turns[family] = max(turns.get(family, 0), int(figure.value))
    counted = ", ".join(f"{family} {many:,}" for family, many in turns.items())
    yield "## What was run"
    yield table(("", ""), [
        ("date", around.date),
        ("machine", f"{around.cpu}, {around.cores} cores, {around.platform}; load {around.load:.1f} when it began"),
        ("versions", ", ".join([f"Python {around.python}", *(f"{name} {which}" for name, which in around.versions.items())])),
        ("seed", str(report.seed)),
        ("turns of each variant", counted),
    ], left=2)  # fmt: skip
    yield (
        "*lossless*: every word is made of what the turn found. *cached*: something was known from an earlier turn. A turn's time "
        "begins when the question is asked."
    )


def assumptions_section() -> Iterator[str]:
    d = Durations()
    late = ", ".join(f"{share(part, 0)} {name}" for name, part in LATE_SHARES.items())
    spread = ", ".join(f"{step} {sigma:g}" for step, sigma in SIGMA.items())
    waits = ", ".join(f"{segment} for {step}" for segment, step in SOURCE.items())
    yield "## What is assumed"
    yield "\n".join((
        f"- The seed profile: retrieve {ms(d.retrieve, 0)}, suggest {ms(d.suggest, 0)}, recall {ms(d.recall, 0)}; model {ms(d.reply, 0)}; cite {ms(d.cite, 0)}, assess {ms(d.assess, 0)}, tally {ms(d.tally, 0)} ms; {d.tokens} evenly spaced tokens in {d.sentences} sentences. A review costs its time evenly over the sentences.",
        f"- Where durations are drawn: lognormal around these medians; sigma: {spread}.",
        f"- The model's server reads a prompt segment by segment, and not again what it has read; the segments wait: {waits}. The part that is not known when a turn begins is {late}. Two requests that read the same at the same time both pay.",
        f"- An input that has not come after {LIMITS['retrieve']:g} s is done without: the engine's own default.",
        f"- W7: {QUESTIONS:,} questions by Zipf's law, exponent {SKEW:g}; the documents change before {share(CHANGE, 0)} of the turns, and each time the passages of {share(TOUCHED, 0)} of the questions; asking for their version takes {ms(VERSION_SECONDS, 0)} ms.",
    ))  # fmt: skip


def honesty_section() -> Iterator[str]:
    yield "## What is simulated, and what is real"
    yield (
        f"Simulated: the services (retrieval, tools, memory, model, reviews) of {', '.join(FAMILIES)}, W1b, W6 and W7, in "
        "virtual time, from draws that are a function of (seed, turn, step, attempt): every engine meets the same luck, and the "
        "figures are the same to the digit on every machine. They cannot show CPU time, networks, or a real server's habits.\n\n"
        "Real: the engine itself, all of it, in every row that is not called asyncio; its cost; the other engines; the check "
        "against a real clock; and, where the section is there, the real stack. These depend on the machine and on what else it does."
    )


def how_section() -> Iterator[str]:
    yield "## Run it yourself"
    yield "```console\nmake bench     # all of this page, from an environment that it sets up\n```"
    yield (
        "Parts of it: `vital bench --report DIR --turns 2000 --seed 7`, `python -m vital_bench.peers --json FILE`, "
        "`python bench/real_stack.py --data DIR --json FILE`. `vital bench --report DIR` writes every figure of the simulation "
        "into `DIR/figures.json`; `vital bench --workload W2 --rows FILE` writes every turn. How it is measured: "
        "[the benchmark](../benchmark.md)."
    )
