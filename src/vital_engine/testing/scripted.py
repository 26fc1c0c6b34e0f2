"""Services made of deterministic fakes that fulfil the real ports, in virtual time.

Time, failures and words come from the script; what can be real is real: citations, support, quality and cost are
worked out by the engine's own services, from what was said.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from vital_engine import ports
from vital_engine.errors import ConfigError
from vital_engine.nouns import (
    Brief,
    Citations,
    Cost,
    Evidence,
    Finding,
    Piece,
    Prompt,
    Proposal,
    SentenceSupport,
    Support,
    Usage,
)
from vital_engine.services.citations import QuoteChecker
from vital_engine.services.cost import Prices
from vital_engine.services.quality import quality
from vital_engine.services.support import LogisticJudge, Matcher

from .material import EVIDENCE, EXPERT, MEMORY, MENU, TOOL_OUTPUT, spoken, words
from .pauses import MemoryApprovals, MemoryFloor
from .script import BLOCKED_SECONDS, NOTHING, Act, Recorded, Stage

STEPS = (
    "brief",
    "retrieve",
    "suggest",
    "recall",
    "invoke",
    "reply",
    "cite",
    "assess",
    "tally",
    "register",
    "save",
)
MODEL = "scripted"
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


def scripted(*, tokens: int = 120, sentences: int = 8, prefill: float = 0.0, **steps: Any) -> ScriptedServices:
    """Services that take as long, say, and fail as told.

    :param steps: by step (``retrieve=0.5``): seconds; an exception (raised at once); ``(seconds, exception)``;
        ``(seconds, value)``; ``"hang"`` (never returns, obeys cancellation), ``"deaf"`` (never returns, swallows
        cancellation) or ``"block"`` (a blocking sleep of 0.5 s in the calling thread). A step that is not named takes
        no time. ``reply`` is the model's whole time; ``(seconds, text)`` lets it say *text*, and
        ``(seconds, text, exception)`` lets it break after that. A value of a tier 2 step is spread evenly over the
        *sentences*.
    :param tokens: pieces of the answer, evenly over the model's time after *prefill* seconds, in *sentences* sentences.
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
    speaker = _Speaker(act["reply"], stage, prompts, tokens, sentences, prefill)

    def each(step: str) -> Any:
        return lambda: act[step].seconds / sentences

    def single(name: str, step: str, method: Any, result: Any) -> Any:
        return _Port(name, stage.port(act[step], method, result))

    def fold(name: str, step: str, method: Any, result: Any) -> Any:
        return _Port(name, stage.port(act[step], method, result, seconds=each(step)))

    floor = MemoryFloor()
    matcher, prices = _matcher(), Prices(overrides=PRICES)
    checker, judge = QuoteChecker(matcher, offload=_here), LogisticJudge(matcher, offload=_here)
    return ScriptedServices(
        roster=single("choose", "brief", ports.Roster.choose, lambda *_, **__: Brief(EXPERT, "scripted")),
        retriever=single("search", "retrieve", ports.Retriever.search, lambda *_, k, **__: _top(k)),
        suggester=single("suggest", "suggest", ports.Suggester.suggest, lambda *_: MENU),
        memory=single("recall", "recall", ports.MemoryStore.recall, lambda *_: MEMORY),
        caller=single("call", "invoke", ports.Caller.call, lambda proposal, **_: _found(proposal)),
        llm=speaker,
        checker=fold("check", "cite", ports.CitationChecker.check, _nth(act["cite"], checker.check)),
        judge=fold("support", "assess", ports.Judge.support, _nth(act["assess"], judge.support)),
        accountant=fold("price", "tally", ports.Accountant.price, _nth(act["tally"], prices.price)),
        grader=quality,
        register=single("begin", "register", ports.Register.begin, lambda *_, **__: None),
        keeper=single("keep", "save", ports.Keeper.keep, kept.append),
        approvals=MemoryApprovals(kept, floor),
        vetter=_Undemanding(),
        floor=floor,
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
    """Fulfils the port Vetter: the scripted tool takes any arguments."""

    async def vet(self, proposal: Proposal) -> Proposal:
        return proposal


def _top(k: int) -> Evidence:
    return Evidence(EVIDENCE.passages[:k], index_version=EVIDENCE.index_version)


def _found(proposal: Proposal) -> Finding:
    return Finding(proposal, "done", TOOL_OUTPUT, 42)


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


class _Speaker:
    """The scripted model. Its text comes evenly over its time, and stops when nobody listens any more."""

    def __init__(
        self, act: Act, stage: Stage, prompts: list[Prompt], tokens: int, sentences: int, prefill: float
    ) -> None:
        self._act, self._stage, self._prompts, self._prefill = act, stage, prompts, prefill
        text = act.said if act.said is not None else act.value if isinstance(act.value, str) else None
        self._pieces = spoken(tokens, sentences) if text is None else words(text)
        if act.error is not None and act.said is None:
            self._pieces = []

    async def stream(self, prompt: Prompt) -> AsyncIterator[Any]:
        act, loop = self._act, asyncio.get_running_loop()
        self._prompts.append(prompt)
        call = Recorded("reply", "stream", {"prompt": prompt}, self._stage.now())
        self._stage.calls.append(call)
        try:
            if act.word == "block":
                await asyncio.to_thread(time.sleep, BLOCKED_SECONDS)
            elif act.word:
                await act.play(0.0)
            if act.value is not NOTHING and not isinstance(act.value, str):
                await asyncio.sleep(act.seconds)
                yield act.value
                return
            began, prefill = loop.time(), min(self._prefill, act.seconds)
            each = (act.seconds - prefill) / max(1, len(self._pieces))
            for i, text in enumerate(self._pieces, start=1):
                await _until(began + prefill + i * each)
                yield Piece(text, model=MODEL, provider=MODEL)
            await _until(began + act.seconds)
            if act.error is not None:
                raise act.error
            used = Usage(input=len(str(prompt).split()), output=len(self._pieces))
            yield Piece(usage=used, model=MODEL, provider=MODEL, finish="stop")
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.end = self._stage.now()


async def _until(when: float) -> None:
    # To the nanosecond, as the virtual clock is: what a sum of floats is off by must not become a tick of its own.
    left = round(when - asyncio.get_running_loop().time(), 9)
    if left > 0:
        await asyncio.sleep(left)
