"""The simulated workloads, as sections of the page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from vital_engine.bench.figures import Figure, Key, by_key
from vital_engine.bench.report import Report
from vital_engine.bench.summary import Summary
from vital_engine.bench.timelines import STEPS, Timeline
from vital_engine.bench.workloads import W1, W2, W3, Workload

from .markdown import NOTHING, ms, number, of, share, table

Figures = Mapping[Key, Figure]
TIMELINES, LADDER, TAILS = "timelines.svg", "ladder.svg", "tails.svg"


def picture(says: str, name: str) -> str:
    return f"![{says}]({name})"


def ladder_section(report: Report, lines: Mapping[str, Sequence[Timeline]]) -> Iterator[str]:
    """*lines*: name of a workload -> a turn of it by each policy."""
    if not any(s.workload.startswith("W1") for s in report.summaries):
        return
    yield "## W1: the ladder"
    yield (
        "One turn of the seed profile by each policy, in ms since the question. *bound*: the least that any engine could take, "
        "from the same durations. *gap*: how far above it."
    )
    yield picture("Time lines of one turn by each policy", TIMELINES)
    yield picture("First token, last token and all that is known, by policy, beside the bound", LADDER)
    for workload in W1:
        rows = list(_rungs(report, workload))
        if rows:
            yield f"**{workload.name}** ({workload.title})"
            yield table(("", "label", "first token", "last token", "all", "bound", "gap"), rows, left=2)
    for name, turns in lines.items():
        if name == "W1 half known":
            yield f"<details><summary>Each step of {name}: from when to when, in ms; bold: on the critical path</summary>"
            yield _steps(turns)
            yield "</details>"


def _rungs(report: Report, workload: Workload) -> Iterator[tuple[str, ...]]:
    for s in report.summaries:
        if s.workload == workload.name:
            least = report.rows[s.workload, s.variant][0].bound
            times = (of(s.first_token, "p50"), of(s.last_token, "p50"), of(s.total, "p50"))
            bound = None if least is None else least.total
            yield s.variant, s.label, *(ms(t, 2) for t in times), ms(bound, 2), share(of(s.gap, "p50"))


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


def tails_section(report: Report) -> Iterator[str]:
    known = [s for s in report.summaries if s.workload.startswith("W2")]
    if not known:
        return
    yield "## W2: tails"
    yield (
        "In ms until all is known. *gap*: of turns that lost nothing, above the bound of any order, at the 95th percentile; "
        "*in order*: above that of the prompt's fixed order. *copies*: calls sent twice. A quantile with fewer than ten turns "
        "beyond it is not given."
    )
    yield picture("The share of turns that take longer than so many ms", TAILS)
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
    for s in known:
        if s.degraded_by:
            yield f"- did without ({s.variant}): " + ", ".join(f"{step} {n:,}" for step, n in s.degraded_by.items())


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
    variants = list(dict.fromkeys(variant for workload, variant, _ in known if workload == "W7"))
    if not variants:
        return
    yield "## W7: questions that come again"
    turns = number(known["W7", variants[0], "turns"].value)
    yield (
        f"{turns} turns. Cold: a question that this run had not seen. *ratio*: a turn's time over that of its bare model call, "
        "nothing read ahead, from the same draws; median. *bound*: the same ratio for the turn's bound."
    )
    names = (
        "all p50", "all p50, cold", "all p50, warm", "all / bare model call p50", "all / bare model call p50, cold",
        "all / bare model call p50, warm", "bound / bare model call p50", "wasted tokens", "retractions",
    )  # fmt: skip
    head = (
        "all p50, ms", "cold", "warm", "ratio", "cold", "warm", "bound", "tokens nobody saw", "retracted",
    )  # fmt: skip
    rows = [(v, _label(known, "W7", v), *(_value(known, ("W7", v, name)) for name in names)) for v in variants]
    yield table(("", "label", *head), rows, left=2)


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


def _label(known: Figures, workload: str, variant: str) -> str:
    return next(f.label for key, f in known.items() if key[:2] == (workload, variant))
