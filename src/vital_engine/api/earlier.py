"""What was said before, as clients of OpenAI's API tell it: with every request, as messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel

from vital_engine.nouns import Memory, PastTurn

__all__ = ["Message", "Window", "earlier"]

Window = Callable[[Sequence[PastTurn]], tuple[PastTurn, ...]]
"""Which of a conversation's turns, given newest first, the model is shown, oldest first."""


class Message(BaseModel):
    """``content``: text, or parts of which those of type ``text`` are read."""

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: Any = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
        return self.content or ""

    def unread(self) -> list[str]:
        """What it has beside text, by name."""
        parts = self.content if isinstance(self.content, list) else []
        beside = [f"content[{i}]" for i, part in enumerate(parts) if part.get("type") != "text"]
        return [*beside, "tool_calls"] if self.tool_calls else beside


@dataclass(slots=True)
class _Said:
    """A turn of messages that follow each other: the user's, then the assistant's. ``at``: their numbers."""

    question: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def turn(self) -> PastTurn:
        return PastTurn("\n".join(self.question), "\n".join(self.answer))


def earlier(messages: Sequence[Message], window: Window) -> tuple[Memory | None, list[str]]:
    """*messages*, which came before the question, as a Memory; and what has no effect, by name.

    Texts of the roles ``user`` and ``assistant`` are taken, as many of the latest as *window* shows. None: there are none.
    """
    said: list[_Said] = []
    names: dict[int, list[str]] = {}
    for i, message in enumerate(messages):
        text = message.text().replace("\x00", "").strip()
        if message.role not in {"user", "assistant"} or not text:
            names[i] = [f"messages[{i}]"]
            continue
        names[i] = [f"messages[{i}].{part}" for part in message.unread()]
        users = message.role == "user"
        if not said or (users and said[-1].answer):
            said.append(_Said())
        (said[-1].question if users else said[-1].answer).append(text)
        said[-1].at.append(i)
    shown = window([each.turn() for each in reversed(said)])
    for dropped in said[: len(said) - len(shown)]:
        names |= {i: [f"messages[{i}]"] for i in dropped.at}
    ignored = [name for i in sorted(names) for name in names[i]]
    return Memory(turns=shown) if shown else None, ignored
