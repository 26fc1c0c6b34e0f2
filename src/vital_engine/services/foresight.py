"""What a turn will probably find: what the same question found before, and what its conversation is known to hold.

A guess is never shown. A prompt that is made of it counts only if it equals the one made of what was found, so that a
guess may be stale, and costs nothing but the work that was done on it. All of it is in the memory of one process, and
nothing passes from one tenant to another.

A question that was never asked has no guess. A search by words alone would be an early one, and is no basis: of 600
questions of PubMedQA and 300 claims of SciFact none finds the same eight passages in the same order as by words and
meaning (bench/caches.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from vital_engine.nouns import Brief, Evidence, Guess, Kept, Memory, PastTurn, Question, ToolCall, ToolSuggestions
from vital_engine.ports import Keeper

from .caching.cache import LRUCache as Bounded

__all__ = ["Recollection", "Window"]

Window = Callable[[Sequence[PastTurn]], tuple[PastTurn, ...]]
"""Which of a conversation's latest turns (newest first) a recall shows, oldest first."""


@dataclass(frozen=True, slots=True)
class _Talk:
    """A conversation's memory. ``asked``: the run that recalled it, and is not yet kept; empty: what is next recalled."""

    memory: Memory
    asked: str = ""


class Recollection:
    """Fulfils :class:`vital_engine.ports.Foresight`, from what this process saw. Used from one event loop.

    :param entries: questions and conversations remembered, each at most; the least recently used one goes.
    :param window: how the store of conversations cuts a memory, so that the next one is foreseen as it will be.
    :param renewed: a tool call as it would be proposed in another question's turn, with an id of that turn.
    """

    def __init__(
        self,
        *,
        entries: int,
        window: Window,
        renewed: Callable[[ToolCall, Question], ToolCall] = lambda tool_call, _: tool_call,
    ) -> None:
        self._window, self._renewed = window, renewed
        self._found: Bounded[tuple[object, ...], tuple[Evidence, ToolSuggestions]] = Bounded(entries=entries)
        self._talks: Bounded[tuple[str, str, str], _Talk] = Bounded(entries=entries)

    async def guess(self, question: Question, brief: Brief) -> Guess | None:
        """What the same question found the last time, with the memory that its conversation has now.

        None if the question, to the same expert, is new; if its conversation is not known to this process, or has become
        so long that its summary changes with every turn, and what is recalled of it with every question.
        """
        memory = self._memory(question)
        found = self._found.get(_key(question, brief))
        if memory is None or found is None:
            return None
        evidence, suggestions = found
        again = tuple(self._renewed(tool_call, question) for tool_call in suggestions.tool_calls)
        return Guess(evidence, replace(suggestions, tool_calls=again), memory, source="recollection")

    async def learn(self, question: Question, brief: Brief, found: Guess) -> None:
        """Keep *found* for the same question, and the conversation's memory until the turn is kept.

        What a search had to do without is no obstacle: what it finds the next time is compared with this.
        """
        if not (found.evidence.failed or found.suggestions.failed):
            self._found.put(_key(question, brief), (found.evidence, found.suggestions))
        if (key := _talk(question)) is not None and not found.memory.failed:
            self._talks.put(key, _Talk(found.memory, question.run_id))

    def kept(self, turn: Kept) -> None:
        """A turn was kept: what its conversation recalls next is known, if what it recalled itself is, and was its
        latest turns: what is recalled by the question, or was handed in with it, is another memory the next time."""
        key = _talk(turn.question)
        talk = self._talks.get(key) if key is not None else None
        if key is None or talk is None or talk.asked != turn.run_id:
            return
        memory = talk.memory
        if memory.by_question or turn.question.memory is not None:
            return
        if turn.status == "complete":  # no other is recalled
            past = [PastTurn(turn.question.text, turn.text, turn.run_id), *reversed(memory.turns)]
            shown = self._window(past)
            if len(shown) < len(past):  # what was dropped goes into the summary, whose words are not known
                return
            memory = replace(memory, turns=shown)
        self._talks.put(key, _Talk(memory))

    def beside(self, keeper: Keeper) -> Keeper:
        """*keeper*, which from now on also tells :meth:`kept`."""
        return _Beside(keeper, self.kept)

    def _memory(self, question: Question) -> Memory | None:
        if question.memory is not None:
            return question.memory
        if (key := _talk(question)) is None:
            return Memory()
        talk = self._talks.get(key)
        return talk.memory if talk is not None and not talk.asked else None


@dataclass(frozen=True, slots=True)
class _Beside:
    keeper: Keeper
    told: Callable[[Kept], None]

    async def keep(self, turn: Kept) -> None:
        await self.keeper.keep(turn)
        self.told(turn)


def _key(question: Question, brief: Brief) -> tuple[object, ...]:
    expert = brief.expert
    text = " ".join(question.text.split()).casefold()
    return (question.tenant, expert.id, expert.domains, expert.tools, question.limits.passages, text)


def _talk(question: Question) -> tuple[str, str, str] | None:
    return (question.tenant, question.user, question.conversation) if question.conversation is not None else None
