"""Speculation: the model starts on a guess of what will be found, and its words are held until the guess has been checked.

::

    foresee    what gathering will probably find
    ahead      the prompt that this would give, and what the model says to it: kept back
    reply      the prompt of what was found: if it is the same, what was kept back is the answer, else it is thrown away
    compare    whether the guess was right, on every turn, also where nothing was begun on it; and what to guess next time

Only what reads may be done on a guess: no tool that writes or has effects is called before consent to what was found. What
a reader, tier 2 or a tool ever sees is made of what was found. What was thrown away is paid for, and stands in the ledger.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from vital_engine.errors import ServiceError
from vital_engine.flow import Load, Stream, call
from vital_engine.nouns import (
    Brief,
    Consent,
    Discarded,
    Draft,
    Effect,
    Evidence,
    Guess,
    Guessed,
    Memory,
    Piece,
    Prompt,
    Question,
    ToolResults,
    ToolSuggestions,
)
from vital_engine.ports import LLM, Accountant, Foresight

from .reply import compose, drafted, listen, speak, spoken

HARMLESS = frozenset({Effect.PURE, Effect.READ})
"""What may be called before it is known whether it will be asked for, if it also costs nothing."""

Consenting = Callable[[Question, Brief, ToolSuggestions], Awaitable[Consent]]


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A guess, if there is one; the calls that it would lead to; and whether the model may start on it."""

    guess: Guess | None = None
    consent: Consent = Consent()
    admitted: bool = False


@dataclass(slots=True)
class Asked:
    """What the model was asked ahead. ``keep``: says that the answer is wanted, and gives way to no other call any more;
    ``stopped``: it gave way."""

    prompt: Prompt
    keep: Callable[[], object] = bool
    stopped: bool = False

    def stop(self, said: Stream[Ahead]) -> None:
        self.stopped = True
        said.cancel()


@dataclass(frozen=True, slots=True)
class Ahead:
    """The end of what was said to a guess. Its stream: first what was :class:`Asked`, then what the model said to it."""

    error: ServiceError | None = None


class Speculation:
    """Whether to start on a guess: where the model has room, and where guesses have been right.

    Below a utilisation of 0.7 always, up to 0.85 if at least half of the guesses are right, and never above; never where
    another call would have to wait for it now; and only from a source of whose last guesses at least a fifth were right.
    Nothing is begun on the first guesses of a source: whether they are right is seen without.
    """

    CALM, BUSY = 0.7, 0.85
    ENOUGH, GOOD = 0.2, 0.5
    KNOWN = 8.0
    HALF_LIFE = 200.0

    def __init__(self, load: Load) -> None:
        self.load = load
        self._right: dict[str, tuple[float, float]] = {}  # source -> (right, all), the older counting less

    def acceptance(self, source: str) -> float | None:
        """The share of *source*'s guesses that were right; None while few are known."""
        right, known = self._right.get(source, (0.0, 0.0))
        return right / known if known >= self.KNOWN else None

    def admits(self, source: str) -> bool:
        acceptance = self.acceptance(source)
        if acceptance is None or acceptance < self.ENOUGH or not self.load.free:
            return False
        return self.load.utilisation < (self.BUSY if acceptance >= self.GOOD else self.CALM)

    def learn(self, source: str, *, right: bool) -> None:
        so_far, known = self._right.get(source, (0.0, 0.0))
        keep = 0.5 ** (1 / self.HALF_LIFE)
        self._right[source] = (keep * so_far + right, keep * known + 1)


def foreseeing(
    foresight: Foresight, speculation: Speculation, consent: Consenting, *, use: bool
) -> Callable[..., Awaitable[Foreseen]]:
    async def foresee(question: Question, brief: Brief) -> Foreseen:
        guess = await call(foresight.guess, question, brief)
        if guess is None:
            return Foreseen()
        allowed = await consent(question, brief, guess.suggestions)
        harmless = all(p.effect in HARMLESS and not p.cost_usd for p in allowed.approved)
        return Foreseen(guess, allowed, use and harmless and speculation.admits(guess.source))

    return foresee


def speaking_ahead(
    llm: LLM, load: Load, invoke: Callable[..., Awaitable[ToolResults]]
) -> Callable[..., Awaitable[Ahead]]:
    async def ahead(question: Question, brief: Brief, foreseen: Foreseen, out: Stream[Ahead]) -> Ahead:
        guess, allowed = foreseen.guess, foreseen.consent
        if guess is None or not foreseen.admitted or not load.free:  # there may have been room when it was admitted
            return Ahead()
        if question.limits.cost_usd is not None:  # what is thrown away is paid for as well
            return Ahead()
        tool_results = await invoke(question, brief, allowed) if allowed.approved else ToolResults()
        asked = Asked(_composed(question, brief, guess, tool_results))
        with load.call(gives_way=partial(asked.stop, out)) as asked.keep:
            out.push(asked, metadata=True)
            try:
                await listen(llm, asked.prompt, out)
            except ServiceError as error:  # told to whoever waits for the answer, if the guess turns out to be right
                return Ahead(error)
        return Ahead()

    return ahead


def replying_ahead(llm: LLM, load: Load, accountant: Accountant) -> Callable[..., Awaitable[Draft]]:
    """As :func:`.reply.replying`; what the model was asked ahead is not asked again."""

    async def reply(
        question: Question,
        brief: Brief,
        suggestions: ToolSuggestions,
        tool_results: ToolResults,
        memory: Memory,
        evidence: Evidence,
        ahead: Stream[Ahead],
        out: Stream[Draft],
    ) -> Draft:
        prompt = compose(
            question, brief, evidence=evidence, suggestions=suggestions, memory=memory, tool_results=tool_results
        )
        asked: Asked | None = ahead.items[0] if ahead.items else None
        if asked is None or asked.stopped or not same(asked.prompt, prompt):
            await _throw_away(ahead, out)
        elif await _follow(ahead, asked, out):
            return spoken(out)
        limit = await speak(llm, prompt, out, load, accountant)
        return spoken(out, limit)

    return reply


def replying_anew(llm: LLM, load: Load, accountant: Accountant | None) -> Callable[..., Awaitable[Draft]]:
    """As :func:`replying_ahead` by its signature, but asks *llm* itself: for a second model beside the first."""

    async def reply(
        question: Question,
        brief: Brief,
        suggestions: ToolSuggestions,
        tool_results: ToolResults,
        memory: Memory,
        evidence: Evidence,
        ahead: Stream[Ahead],  # noqa: ARG001
        out: Stream[Draft],
    ) -> Draft:
        prompt = compose(
            question, brief, evidence=evidence, suggestions=suggestions, memory=memory, tool_results=tool_results
        )
        limit = await speak(llm, prompt, out, load, accountant)
        return spoken(out, limit)

    return reply


def comparing(foresight: Foresight, speculation: Speculation) -> Callable[..., Awaitable[Guessed]]:
    async def compare(
        question: Question,
        brief: Brief,
        foreseen: Foreseen,
        suggestions: ToolSuggestions,
        tool_results: ToolResults,
        memory: Memory,
        evidence: Evidence,
    ) -> Guessed:
        found, guess = Guess(evidence, suggestions, memory), foreseen.guess
        if not (evidence.failed or suggestions.failed or memory.failed or tool_results.failed):
            await call(foresight.learn, question, brief, found)
        if guess is None:
            return Guessed()
        right = _calls(guess.suggestions) == _calls(suggestions) and same(
            _composed(question, brief, guess, tool_results), _composed(question, brief, found, tool_results)
        )
        speculation.learn(guess.source, right=right)
        return Guessed(guess.source, right, foreseen.admitted)

    return compare


def same(one: Prompt, other: Prompt) -> bool:
    """Whether a model would read the same, to the character, of the same passages, under the same settings."""
    return (
        one.segments == other.segments
        and [p.id for p in one.evidence.passages] == [p.id for p in other.evidence.passages]
        and (one.model, one.temperature, one.max_output_tokens)
        == (other.model, other.temperature, other.max_output_tokens)
    )


def _composed(question: Question, brief: Brief, found: Guess, tool_results: ToolResults) -> Prompt:
    return compose(
        question,
        brief,
        evidence=found.evidence,
        suggestions=found.suggestions,
        memory=found.memory,
        tool_results=tool_results,
    )


def _calls(suggestions: ToolSuggestions) -> list[tuple[str, object]]:
    return [(tool_call.tool, tool_call.arguments) for tool_call in suggestions.tool_calls]


async def _follow(ahead: Stream[Ahead], asked: Asked, out: Stream[Draft]) -> bool:
    """Hand on what is said ahead, as it comes. False: it failed before its first word, and may be asked again."""
    asked.keep()
    at = 1  # behind what was asked
    try:
        while True:
            items = ahead.items[at:]
            at += len(items)
            for piece in items:
                out.push(piece, metadata=not piece.text)
            if ahead.ended:
                break
            await ahead.wait_for_item()
    finally:
        ahead.cancel()  # whoever is cut off here was the only one who listened
    error = ahead.error or (ahead.value or Ahead()).error
    if error is None:
        return True
    if out.first_at is not None:
        raise error
    out.push(_discarded(ahead), metadata=True)
    return False


async def _throw_away(ahead: Stream[Ahead], out: Stream[Draft]) -> None:
    """The guess was wrong: the model is stopped, and what it has used is told. It is gone before it is asked again."""
    ahead.cancel()
    await ahead.result()
    if ahead.items:
        out.push(_discarded(ahead), metadata=True)


def _discarded(ahead: Stream[Ahead]) -> Piece:
    said = drafted(ahead.items[1:])
    return Piece(discarded=Discarded("guess", said.usage, said.model, said.provider))
