"""Services made of deterministic fakes that fulfil the real ports, in virtual time.

Time, failures and words come from the script; what can be real is real: citations, support, quality and cost are
worked out by the engine's own services, from what was said.
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vital_engine import ports
from vital_engine.errors import ConfigError
from vital_engine.nouns import (
    Brief,
    Citations,
    Cost,
    Evidence,
    Prompt,
    SentenceSupport,
    Support,
    ToolCall,
    ToolResult,
)
from vital_engine.services.citations import QuoteChecker
from vital_engine.services.cost import Prices
from vital_engine.services.quality import quality
from vital_engine.services.support import LogisticJudge, Matcher
from vital_engine.turn.plan import (
    ASSESS,
    BRIEF,
    CITE,
    INVOKE,
    RECALL,
    REGISTER,
    REPLY,
    RETRIEVE,
    SAVE,
    SUGGEST,
    TALLY,
    PlannedStep,
)

from .material import EVIDENCE, EXPERT, MEMORY, SUGGESTIONS, TOOL_OUTPUT
from .pauses import MemoryApprovals, MemoryConversationLock
from .script import NOTHING, Act, Recorded, Stage
from .speaker import MODEL, ReadingSpeaker, Speaker, Text

STEPS = tuple(
    planned.name for planned in (BRIEF, RETRIEVE, SUGGEST, RECALL, INVOKE, REPLY, CITE, ASSESS, TALLY, REGISTER, SAVE)
)
"""The steps that lean on a service, and can be scripted."""
PRICES = {MODEL: {"input": "0.000001", "output": "0.000004"}}
"""USD per token of the scripted model."""


@dataclass(frozen=True, slots=True)
class ScriptedServices(ports.Services):
    """``prompts``: every prompt that the model received. ``calls``: every call of every port, in order of start.
    ``kept``: every turn that was saved."""

    prompts: list[Prompt] = field(default_factory=list)
    calls: list[Recorded] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)


class _Port:
    """An object with the one method of a port."""

    def __init__(self, name: str, method: Any) -> None:
        setattr(self, name, method)


def scripted(
    *, tokens: int = 120, sentences: int = 8, prefill: float | Mapping[str, float] = 0.0, **steps: Any
) -> ScriptedServices:
    """Services with scripted durations, results and failures.

    :param steps: by step (``retrieve=0.5``): seconds; an exception (raised at once); ``(seconds, exception)``;
        ``(seconds, value)``; ``"hang"`` (never returns, obeys cancellation), ``"deaf"`` (never returns, swallows
        cancellation) or ``"block"`` (a blocking sleep of 0.5 s in the calling thread). A step that is not named takes
        no time. ``reply`` is the model's whole time; ``(seconds, text)`` makes it say *text*, and ``(seconds, text,
        exception)`` makes it fail after that. A value of a tier 2 step is spread evenly over the *sentences*.
    :param prefill: seconds of the model's time before its first token; as a mapping, by segment (``{"instructions":
        0.15, "evidence": 0.1}``), for a model that can prefill.
    :param tokens: pieces of the answer, evenly over the model's time after *prefill* seconds, in *sentences* sentences.
    :param sentences: sentences of the answer.
    :returns: the services, with ``prompts``, ``calls`` and ``kept``: what the model read, every call, every saved turn.
    :raises ConfigError: an unknown step, or a script that cannot be read.
    """
    for step in steps:
        if step not in STEPS:
            near = difflib.get_close_matches(step, STEPS, n=1, cutoff=0.0)[0]
            raise ConfigError(f"there is no step {step!r}; did you mean {near!r}? Known: {', '.join(STEPS)}")
    if not (isinstance(tokens, int) and isinstance(sentences, int) and 1 <= sentences <= tokens):
        raise ConfigError(f"1 <= sentences <= tokens must hold, not {sentences!r}, {tokens!r}")
    act = {step: Act.read(step, steps.get(step, 0.0)) for step in STEPS}
    stage = Stage()
    prompts: list[Prompt] = []
    kept: list[Any] = []
    text = Text(tokens, sentences)
    if isinstance(prefill, Mapping):
        speaker: Speaker = ReadingSpeaker(act[REPLY.name], stage, prompts, text, prefill)
    else:
        speaker = Speaker(act[REPLY.name], stage, prompts, text, prefill)

    def each(step: str) -> Any:
        return lambda: act[step].seconds / sentences

    def single(planned: PlannedStep[Any], method: Any, result: Any) -> Any:
        return _Port(method.__name__, stage.port(act[planned.name], method, result))

    def fold(planned: PlannedStep[Any], method: Any, result: Any) -> Any:
        seconds = each(planned.name)
        return _Port(
            method.__name__, stage.port(act[planned.name], method, _nth(act[planned.name], result), seconds=seconds)
        )

    turns = single(REGISTER, ports.TurnStore.begin, lambda *_, **__: None)
    turns.save = stage.port(act[SAVE.name], ports.TurnStore.save, kept.append)
    conversation_lock = MemoryConversationLock()
    matcher, prices = _matcher(), Prices(overrides=PRICES)
    checker, judge = QuoteChecker(matcher, offload=_here), LogisticJudge(matcher, offload=_here)
    return ScriptedServices(
        router=single(BRIEF, ports.Router.route, lambda *_, **__: Brief(EXPERT, "scripted")),
        retriever=single(RETRIEVE, ports.Retriever.search, lambda *_, k, **__: _top(k)),
        tool_suggester=single(SUGGEST, ports.ToolSuggester.suggest, lambda *_: SUGGESTIONS),
        memory=single(RECALL, ports.MemoryStore.recall, lambda *_: MEMORY),
        caller=single(INVOKE, ports.Caller.call, lambda tool_call, **_: _found(tool_call)),
        llm=speaker,
        checker=fold(CITE, ports.CitationChecker.check, checker.check),
        judge=fold(ASSESS, ports.Judge.support, judge.support),
        accountant=fold(TALLY, ports.Accountant.price, prices.price),
        grader=quality,
        turns=turns,
        approvals=MemoryApprovals(kept, conversation_lock),
        argument_validator=_Undemanding(),
        conversation_lock=conversation_lock,
        prompts=prompts,
        calls=stage.calls,
        kept=kept,
    )


@functools.cache
def _matcher() -> Matcher:
    """By words alone: no weights are needed, and it is the same everywhere."""
    return Matcher()


async def _here(work: Callable[..., Any], *args: Any) -> Any:
    """Instead of a thread: what is scripted takes the time that the script says, and no other."""
    return work(*args)


class _Undemanding:
    """Fulfils the port ArgumentValidator: the scripted tool takes any arguments."""

    async def validate(self, tool_call: ToolCall) -> ToolCall:
        return tool_call


def _top(k: int) -> Evidence:
    return Evidence(EVIDENCE.passages[:k], index_version=EVIDENCE.index_version)


def _found(tool_call: ToolCall) -> ToolResult:
    return ToolResult(tool_call, "done", TOOL_OUTPUT, 42)


def _nth(act: Act, work: Any) -> Any:
    """*work*, or the scripted value of a fold: a whole noun is dealt out sentence by sentence."""
    if act.value is NOTHING:
        return work
    dealt: Iterator[Any] = iter(())
    rest: Any = act.value
    match act.value:
        case Citations(items=items):
            dealt, rest = iter([items]), ()
        case Support(sentences=judged):
            dealt, rest = iter(judged), SentenceSupport(0, None)
        case Cost(rows=rows):
            rest = rows[0] if rows else None
        case _:
            pass
    act.value = NOTHING
    return lambda *_, **__: next(dealt, rest)
