"""What a conversation looks like in a terminal: words wrapped as they come, calls framed, all else in one line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from vital_engine.nouns import Answer, Approval, Effect
from vital_engine.text.visible import arguments, exact, safe

from . import render

RISK = {
    Effect.PURE: "a calculation: nothing outside is read or changed",
    Effect.READ: "reads, changes nothing",
    Effect.KEYED_WRITE: "writes; the same call never happens twice",
    Effect.EFFECT: "acts on the world outside, each time that it is called",
}
WIDEST = 100
"""Columns of running text: longer lines are hard to read."""


class Words:
    """Prints text as it streams, broken between words at the width of the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._width = min(WIDEST, console.width)
        self._column = 0
        self._word = ""

    def feed(self, text: str) -> None:
        """Print all whole words of what has come.

        :param text: the next part.
        """
        if not self._console.is_terminal:
            self._console.out(safe(text), end="", highlight=False)
            return
        for part in re.split(r"(\s)", safe(text)):
            if part == "" or not part.isspace():
                self._word += part
                continue
            self._put_word()
            if part == "\n":
                self._put("\n")
            elif self._column:
                self._put(" ")

    def close(self) -> None:
        """Print the rest, and end the line."""
        self._put_word()
        if self._column or not self._console.is_terminal:
            self._put("\n")

    def _put_word(self) -> None:
        if self._column and self._column + len(self._word) > self._width:
            self._put("\n")
        self._put(self._word)
        self._word = ""

    def _put(self, text: str) -> None:
        self._console.out(text, end="", highlight=False)
        self._column = 0 if text == "\n" else self._column + len(text)


def greeting(console: Console, *, mode: str, expert: str, conversation: str) -> None:
    """Print the first lines of a conversation."""
    console.print(Text.assemble(("VITAL", "bold cyan"), "  ", (mode, "bold"), ("  ·  expert ", "dim"), expert))
    console.print(Text(f"conversation {conversation}  ·  /help for commands", style="dim"))
    console.print()


def call(console: Console, approval: Approval, *, number: int, of: int) -> None:
    """One proposed call, with all that there is to know of it before one decides."""
    tool_call = approval.call
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="dim", no_wrap=True)
    facts.add_column(overflow="fold")
    facts.add_row("call", Text(exact(tool_call.tool), style="bold"))
    facts.add_row("with", Text(arguments(tool_call.arguments), style="bold"))
    facts.add_row("why", Text(exact(tool_call.reason) or "not said"))
    effect = Text(RISK[tool_call.effect], style="bold red" if tool_call.effect is Effect.EFFECT else "")
    facts.add_row("risk", effect)
    for caution in render.cautions(tool_call):
        facts.add_row("", Text(caution, style="bold red"))
    facts.add_row("cost", Text(f"{render.money(tool_call.cost_usd)} estimated"))
    facts.add_row("until", Text(f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"))
    facts.add_row("id", Text(f"{exact(approval.id)}  ·  arguments {approval.arguments_hash[:12]}", style="dim"))
    count = f" {number} of {of}" if of > 1 else ""
    width = min(WIDEST, console.width)
    console.print(Panel(facts, title=f"your decision{count}", title_align="left", border_style="yellow", width=width))


def report(console: Console, answer: Answer) -> None:
    """What stands below an answer: citations, tools, warnings, and one line of who, cost and time."""
    console.print()
    width = min(WIDEST, console.width)
    for line in render.citations(answer)[1:]:
        console.print(Text(safe(line[2:]), style="" if line.startswith("  [") else "dim"), width=width)
    for line in render.tools(answer)[1:]:
        console.print(Text.assemble(("tool", "magenta"), safe(line)), width=width)
    for line in render.warnings(answer)[1:]:
        console.print(Text(safe(line), style="yellow"), width=width)
    console.print(Text(one_line(answer), style="dim"))


def one_line(answer: Answer) -> str:
    """Status, expert, model, quality, cost and time of an answer."""
    score, timing = answer.quality.score, answer.timing
    first = "" if timing.first_token is None else f"first word {timing.first_token:.2f} s · "
    parts = [
        answer.status,
        answer.expert or "none",
        answer.draft.model or "no model",
        f"quality {'unknown' if score is None else f'{score:.2f}'}",
        render.cost(answer),
        f"{first}all {timing.total:.2f} s",
    ]
    return " · ".join(parts)


def sources(console: Console, answer: Answer) -> None:
    """Print all that was retrieved for an answer."""
    for line in list(render.passages(answer.evidence)) or ["  nothing was retrieved"]:
        console.print(Text(safe(line.strip())), width=min(WIDEST, console.width))


def listing(console: Console, lines: Iterable[str]) -> None:
    """Print *lines*."""
    for line in lines:
        console.print(Text(safe(line)), soft_wrap=True)


def table(console: Console, rows: Sequence[tuple[str, str]]) -> None:
    """Print *rows* of two columns."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="cyan", no_wrap=True)
    grid.add_column()
    for name, text in rows:
        grid.add_row(Text(name), Text(text))
    console.print(grid)
