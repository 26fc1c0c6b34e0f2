"""A turn's time line as a terminal shows it: when each step ran, what the end waited for, and what ran beside what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vital_engine.nouns import Answer, Prefilled, StepRow
from vital_engine.turn.plan import REPLY

BAR = 48
"""Characters for the whole turn."""
CRITICAL, BESIDE, READING = "#", "=", "-"
LEGEND = f"{CRITICAL} on the critical path   {BESIDE} beside it   {READING} the model, until its first token"
OVERLAP = 0.01
"""What runs beside a step for less than this share of the turn is not told."""

Row = Mapping[str, Any]


def time_line(answer: Answer) -> str:
    """A bar for each step, what became of it, and what ran beside each step of the critical path."""
    rows = answer.timeline()
    if not rows:
        return ""
    span = max(*(row["ended"] for row in rows), 1e-9)
    wide = max(len(row["step"]) for row in rows)
    lines = [f"{'':{wide}} 0{'':{BAR - 9}}{span:.3f} s"]
    for row in rows:
        notes = ", ".join(_notes(answer, row))
        took = f"{row['ended'] - row['began']:8.3f} s"
        lines.append(f"{row['step']:{wide}} {_bar(answer, row, span):{BAR}} {took}" + (f"  {notes}" if notes else ""))
    lines += ["", LEGEND, f"critical path: {' > '.join(answer.critical_path)}"]
    return "\n".join([*lines, *_beside(rows, span)])


def _bar(answer: Answer, row: Row, span: float) -> str:
    start = min(int(BAR * row["began"] / span), BAR - 1)
    width = min(max(1, round(BAR * (row["ended"] - row["began"]) / span)), BAR - start)
    drawn: str = (CRITICAL if row["critical"] else BESIDE) * width
    first = answer.timing.first_token
    if row["step"] == REPLY.name and first is not None:
        read = min(max(round(BAR * (first - row["began"]) / span), 0), width - 1)
        drawn = READING * read + drawn[read:]
    return " " * start + drawn


def _notes(answer: Answer, row: Row) -> Iterator[str]:
    step, outcome = row["step"], answer.outcomes.get(row["step"])
    if row["reason"]:
        yield f"{row['outcome']}: {row['reason']}"
    if step in answer.cached:
        yield "cached"
    made = getattr(outcome, "value", None)
    if isinstance(made, Prefilled) and (made.computed or made.cached):
        had = f", {made.cached} it had" if made.cached else ""
        yield f"read ahead: {made.computed} tokens{had}"
    if sent := answer.hedges.get(step):
        yield f"sent twice, at {sent['sent']:.3f} s: the {'second' if sent['won'] else 'first'} was used"
    if step == REPLY.name:
        for lost in answer.draft.discarded:
            yield f"thrown away ({lost.why}): {'unknown' if lost.usage is None else lost.usage.output} tokens"


def _beside(rows: list[StepRow], span: float) -> Iterator[str]:
    """For each step that the end waited for: what else ran meanwhile."""
    for row in rows:
        others = [
            other["step"]
            for other in rows
            if other is not row
            and min(row["ended"], other["ended"]) - max(row["began"], other["began"]) > OVERLAP * span
        ]
        if row["critical"] and others:
            yield f"beside {row['step']}: {', '.join(others)}"
