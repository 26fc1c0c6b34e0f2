"""An answer as a terminal shows it: pure functions from an answer to text."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from vital_engine.errors import NotFound
from vital_engine.nouns import Answer, Citation, Evidence, ToolCall
from vital_engine.text.visible import arguments, exact
from vital_engine.turn.plan import for_user

WIDTH = 100

FOREIGN = "its arguments do not come from your question alone"
CONSENT = "its tool demands that a person decides each call"

MARKS = {"verified": "ok", "weak": "weak", "mismatch": "WRONG", "dangling": "DANGLING"}


def report(answer: Answer) -> str:
    """What stands below the answer's text: citations, tool results, warnings, who spoke, and one line of timing."""
    parts = (citations(answer), tools(answer), pending(answer), warnings(answer))
    blocks = ["\n".join(block) for block in parts if block]
    return "\n\n".join([*blocks, "\n".join([speaker(answer), timing(answer)])])


def citations(answer: Answer) -> list[str]:
    """One line for each place that is cited, in the order of the markers."""
    if answer.citations.failed:
        return []
    lines: dict[tuple[int, str], str] = {}
    for citation in sorted(answer.citations.items, key=lambda c: (c.marker, c.start)):
        lines.setdefault((citation.marker, citation.quote), _citation(citation))
    if not lines:
        return ["Citations: none"] if answer.text else []
    return ["Citations", *lines.values()]


def _citation(c: Citation) -> str:
    if c.verdict == "dangling":
        return f"  [{c.marker}] {MARKS[c.verdict]}: there is no such passage"
    page = f" p. {c.page}" if c.page else ""
    score = f" {c.score:.2f}" if c.score is not None else ""
    notes = f"  ({'; '.join(c.notes)})" if c.notes else ""
    where = f"{c.title or c.document}{page}, characters {c.start}-{c.end}"
    if c.title and c.document != c.title:
        where += f" of {c.document}"
    return f"  [{c.marker}] {MARKS[c.verdict]}{score}  {where}{notes}\n      {shorten(c.quote)!r}"


def tools(answer: Answer) -> list[str]:
    """One line for each tool result."""
    rows = [
        f"  {f.tool_call.tool}: {shorten(f.text) if f.status == 'done' else f'no result ({f.status})'}"
        for f in answer.tool_results.results
    ]
    refused = [f"  {d.tool_call.tool}: not called, {d.reason}" for d in answer.consent.decisions if not d.approved]
    return ["Tools", *rows, *refused] if rows or refused else []


def pending(answer: Answer) -> list[str]:
    """The calls that wait for a person, exactly as they would run, and how to decide them."""
    lines = []
    for a in answer.approvals:
        if a.pending:
            lines += [
                f"  {exact(a.call.tool)} ({a.call.effect.value}, {money(a.call.cost_usd)}): {exact(a.call.reason)}"
            ]
            lines += [f"      {line}" for line in arguments(a.call.arguments).splitlines()]
            lines += [f"      {line}" for line in cautions(a.call)]
            lines += [f"      vital approvals approve {a.id}", f"      vital approvals reject {a.id} --reason ..."]
    return ["Waiting for your decision", *lines] if lines else []


def cautions(call: ToolCall) -> list[str]:
    """What a person should know of a call before deciding on it, besides what it does."""
    return [said for said, holds in ((FOREIGN, call.tainted), (CONSENT, call.needs_consent)) if holds]


def warnings(answer: Answer) -> list[str]:
    """The answer's warnings, a line each."""
    said = answer.warnings
    if answer.status == "failed":  # what could not run for want of something else is no news beside why
        follow = {for_user(step, reason) for step, reason in answer.degraded.items() if reason == "skipped"}
        said = tuple(w for w in said if w not in follow)
    lines = [f"  ! {w}" for w in said]
    if answer.status in {"failed", "partial"}:
        lines.insert(0, f"  ! {public(answer)} ({answer.code})")
    return ["Warnings", *lines] if lines else []


def public(answer: Answer) -> str:
    """What went wrong, for the user of the command line. A thing that was not found is named, because the user typed
    its name.

    :param answer: the answer.
    """
    if isinstance(answer.error, NotFound):
        return str(answer.error)
    return getattr(answer.error, "public", "The answer was stopped.")


def speaker(answer: Answer) -> str:
    """Who answered, with what model, and how good the answer is held to be."""
    who = answer.expert or "none"
    if answer.brief is not None and answer.brief.fallback:
        who += " (fallback)"
    model = answer.draft.model or "no model"
    if answer.draft.provider and answer.draft.provider != answer.draft.model:
        model += f" by {answer.draft.provider}"
    score = answer.quality.score
    quality = "unknown" if score is None else f"{score:.2f}"
    if answer.quality.cap:
        quality += f" (capped: {answer.quality.cap})"
    return f"{answer.status} · expert {who} · {model} · quality {quality} · {cost(answer)} · run {answer.run_id}"


def cost(answer: Answer) -> str:
    """The cost of the answer, also where it is only partly known."""
    if (usd := answer.cost.usd) is not None:
        return f"cost {money(usd)}"
    return f"cost unknown, at least {money(answer.cost.at_least)}"


def money(usd: Decimal) -> str:
    """US dollars with as many digits as matter."""
    return f"${usd:.6f}".rstrip("0").rstrip(".") if usd else "$0"


def timing(answer: Answer) -> str:
    """One line: until the model was asked, its first and last token, and all that is known of the answer."""
    t = answer.timing
    parts = [("wait", t.wait), ("first token", t.first_token), ("last token", t.last_token), ("all", t.total)]
    shown = " · ".join(f"{name} {'-' if s is None else f'{s:.3f} s'}" for name, s in parts)
    gain = "" if answer.speedup is None else f" · {answer.speedup:.2f} s of work per second"
    return f"{shown}{gain}"


def passages(evidence: Evidence) -> Iterator[str]:
    """What was retrieved, a line each."""
    for i, p in enumerate(evidence.passages, start=1):
        yield f"  [{i}] {p.score:.4f}  {p.title or p.document}: {shorten(p.text)}"


def shorten(text: str, width: int = WIDTH) -> str:
    """*text* on one line of at most *width* characters."""
    flat = " ".join(text.split())
    return flat if len(flat) <= width else flat[: width - 1].rsplit(" ", 1)[0] + "…"
