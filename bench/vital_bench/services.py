"""The services of the benchmark: deterministic fulfilments of the real ports, in drawn time.

They do nothing but take their time, fail as drawn, and write down on the turn's :class:`Stage` what they were asked: what is
measured is the engine. :mod:`vital_engine.testing` has scripted services that also do the real work of a review; these are
lean, since a tail is seen only over many thousand turns.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from decimal import Decimal

from vital_engine import nouns
from vital_engine.errors import ServiceError, StreamBroken
from vital_engine.ports import Replicas, Services

from .draws import Drawn, Fault, Outage
from .durations import REVIEWS, Durations

SILENT_SECONDS = 30.0
"""After so long a call of a silent dependency fails."""
FIRST, SECOND = 0, 1
"""Attempts: the service that is always asked, and the one that a call may be sent to again."""
EVIDENCE = nouns.Evidence((nouns.Passage("passage-1", "What the simulated passage says."),), index_version="simulated")
MEMORY = nouns.Memory((nouns.PastTurn("What was asked before?", "What was answered."),))
MENU, READING_MENU = (
    nouns.ToolSuggestions((nouns.ToolCall("call-1", "simulated_tool", {}, "simulated", 1.0, Decimal(0), effect),))
    for effect in (nouns.Effect.KEYED_WRITE, nouns.Effect.READ)
)
"""The tool of the first one writes, so that one that is called twice is seen."""


class Down(ServiceError):
    """The drawn failure of a call."""

    code = "bench.down"


@dataclass(frozen=True, slots=True)
class Found:
    """What the inputs of a turn bring."""

    evidence: nouns.Evidence = EVIDENCE
    suggestions: nouns.ToolSuggestions = MENU
    memory: nouns.Memory = MEMORY


@dataclass(slots=True)
class Stage:
    """*drawn*, and what was seen: ``began``: step -> when its first attempt began, and the copies' ``sent``: step ->
    seconds after that. ``wasted``: tokens that a model made and no reader was shown. ``effects``: calls that wrote.
    ``kept``: how often the turn was saved. ``copy_spoke``: the replica's answer was heard to its end. ``read``: beginnings of
    prompts that a model server holds, by attempt. ``reviews``: review step -> sentence -> when it was asked about;
    ``again``: (step, sentence) -> seconds after that at which a copy was sent, and that it takes.
    """

    drawn: Drawn
    outages: tuple[Outage, ...] = ()
    found: Found = Found()
    began: dict[str, float] = field(default_factory=dict)
    sent: dict[str, float] = field(default_factory=dict)
    calls: int = 0
    wasted: float = 0.0
    effects: int = 0
    kept: int = 0
    copy_spoke: bool = False
    reviews: dict[str, dict[int, float]] = field(default_factory=lambda: {step: {} for step in REVIEWS})
    again: dict[tuple[str, int], tuple[float, float]] = field(default_factory=dict)
    read: tuple[set[tuple[str, ...]], set[tuple[str, ...]]] = field(default_factory=lambda: (set(), set()))

    def call(self, step: str, attempt: int) -> tuple[Durations, Fault | None]:
        """A call begins: how long it takes, and how it fails."""
        now = asyncio.get_running_loop().time()
        self.calls += 1
        if attempt == FIRST:
            self.began[step] = now
        else:
            self.sent.setdefault(step, round(now - self.began.get(step, now), 9))
        for outage in self.outages:
            if outage.step == step and outage.covers(now):
                fault = Fault("silent", SILENT_SECONDS) if outage.silent else Fault("down")
                return self.drawn.durations[attempt], fault
        return self.drawn.durations[attempt], self.drawn.faults[attempt].get(step)

    def review(self, step: str, sentence: int, attempt: int, *, outside: bool) -> tuple[float, Fault | None]:
        """A review is asked about one sentence: how long it takes, and how it fails. The reviewer stalls or fails, if
        that is drawn for this turn, at the first sentence that it sees.

        :param outside: each sentence is a call to another service; else all of them count as one.
        """
        now, begun = asyncio.get_running_loop().time(), self.reviews[step]
        opens = sentence == 0 if attempt == FIRST else all(asked != step for asked, _ in self.again)
        if opens:
            d, fault = self.call(step, attempt)
        else:
            d, fault = self.drawn.durations[attempt], None
            self.calls += outside
        seconds = d.check(step, 0 if opens else 1)
        if attempt == FIRST:
            begun[sentence] = now
        else:
            self.again[step, sentence] = (round(now - begun[sentence], 9), seconds)
        return seconds, fault

    @property
    def copies(self) -> int:
        """Calls that were sent a second time."""
        return sum(step not in REVIEWS for step in self.sent) + len(self.again)


STAGE: ContextVar[Stage] = ContextVar("stage")
"""The turn whose call it is. A step's tasks carry it with them."""


async def until(when: float) -> None:
    """To the nanosecond, as the virtual clock is: what a sum of floats is off by must not become a tick of its own."""
    left = round(when - asyncio.get_running_loop().time(), 9)
    if left > 0:
        await asyncio.sleep(left)


async def take(seconds: float, fault: Fault | None) -> None:
    """Spend *seconds*, or fail as drawn."""
    if fault is not None and fault.error != "cut":
        await asyncio.sleep(fault.seconds)
        raise Down(f"drawn: {fault.error}", service="bench", retryable=True)
    await asyncio.sleep(seconds)


MODEL = "simulated"


class Model:
    """The model server, which fulfils the ports LLM and Prefiller: it reads, holds what it has read, and speaks.

    It keeps the beginnings of prompts that it has read for a turn, as a server with a prefix cache does, and reads only what
    is new. Two requests that read the same at the same time both pay for it, as they do in such servers.

    :param attempt: whose draws it goes by: 0, or 1 for the replica.
    :param by_token: say every token by itself; else the first token, and then a sentence at a time, at the same moments.
    """

    reads_between = True

    def __init__(self, attempt: int, *, by_token: bool) -> None:
        self._attempt, self._by_token = attempt, by_token

    async def prefill(self, prompt: nouns.Prompt) -> nouns.Prefilled:
        stage = STAGE.get()
        computed = await self._read(stage, stage.drawn.durations[self._attempt], prompt)
        return nouns.Prefilled(computed=computed)

    async def stream(self, prompt: nouns.Prompt) -> AsyncIterator[nouns.Piece]:
        stage, loop = STAGE.get(), asyncio.get_running_loop()
        d, fault = stage.call("reply", self._attempt)
        spoke_at, whole = float("inf"), False
        try:
            begun = loop.time()
            if fault is not None and fault.error != "cut":
                await take(0.0, fault)
            await self._read(stage, d, prompt)
            await until(begun + d.held.get("reply", 0.0))
            spoke_at = loop.time()
            for text, at in _said(d.tokens, d.sentences, self._by_token):
                if fault is not None and at > fault.share:
                    await until(spoke_at + fault.share * d.speech)
                    raise StreamBroken("drawn: cut", service="bench", retryable=True)
                await until(spoke_at + at * d.speech)
                yield nouns.Piece(text, model=MODEL, provider=MODEL)
            yield nouns.Piece(usage=nouns.Usage(output=d.tokens), model=MODEL, provider=MODEL, finish="stop")
            whole = True
            stage.copy_spoke = self._attempt == SECOND
        finally:
            if not whole and fault is None and (spent := loop.time() - spoke_at) > 0:
                stage.wasted += min(spent / d.token, d.tokens)

    async def _read(self, stage: Stage, d: Durations, prompt: nouns.Prompt) -> int:
        """Read what is new of *prompt*. :returns: how many segments that were."""
        held, seconds = stage.read[self._attempt], d.segments
        loop = asyncio.get_running_loop()
        begun, done, computed = loop.time(), 0.0, 0
        beginning: tuple[str, ...] = ()
        for segment in prompt.segments:
            if not segment.text:
                continue
            beginning = (*beginning, segment.text)
            if beginning in held:
                continue
            computed += 1
            if took := seconds.get(segment.kind, 0.0):
                done += took
                await until(begun + done)
            held.add(beginning)
        return computed


@functools.cache
def _said(tokens: int, sentences: int, by_token: bool) -> tuple[tuple[str, float], ...]:
    """The answer as (text, share of the speaking time). A sentence ends in a line break, and is known as it ends."""
    words = [f"This is sentence {i + 1} of the answer [1].\n" for i in range(sentences)]
    if not by_token:
        first, rest = words[0][0], words[0][1:]
        ends = [(text, (i + 1) / sentences) for i, text in enumerate(words)]
        return ((first, 1 / tokens), (rest, ends[0][1]), *ends[1:]) if tokens > sentences else tuple(ends)
    pieces: list[tuple[str, float]] = []
    for i, text in enumerate(words):
        share = tokens * (i + 1) // sentences - tokens * i // sentences
        cuts = [round(len(text) * (k + 1) / share) for k in range(share)]
        for start, end in zip([0, *cuts], cuts, strict=False):
            pieces.append((text[start:end], (len(pieces) + 1) / tokens))
    return tuple(pieces)


_BRIEF = nouns.Brief(nouns.Expert("simulated", "Simulated", "Answers as drawn.", "Answer as drawn."), "simulated")


WRITES = frozenset({nouns.Effect.KEYED_WRITE, nouns.Effect.EFFECT})


class _Router:
    async def route(self, question: nouns.Question, *, mode: int) -> nouns.Brief:
        return _BRIEF


class _Inputs:
    """Fulfils the ports of tier 1: Retriever, Suggester and MemoryStore."""

    def __init__(self, attempt: int) -> None:
        self._attempt = attempt

    async def search(self, query: str, *, k: int, scope: nouns.Scope) -> nouns.Evidence:
        stage = STAGE.get()
        d, fault = stage.call("retrieve", self._attempt)
        await take(d.retrieve, fault)
        return stage.found.evidence

    async def suggest(self, question: nouns.Question, brief: nouns.Brief) -> nouns.ToolSuggestions:
        stage = STAGE.get()
        d, fault = stage.call("suggest", self._attempt)
        await take(d.suggest, fault)
        return stage.found.suggestions

    async def recall(self, question: nouns.Question) -> nouns.Memory:
        stage = STAGE.get()
        d, fault = stage.call("recall", self._attempt)
        await take(d.recall, fault)
        return stage.found.memory


class _Caller:
    async def call(self, tool_call: nouns.ToolCall, *, scope: nouns.Scope) -> nouns.ToolResult:
        STAGE.get().effects += tool_call.effect in WRITES
        return nouns.ToolResult(tool_call, "done", "What the simulated tool says.")


class _Reviews:
    """Fulfils the ports of tier 2, sentence by sentence. *outside*: by calls to another service."""

    def __init__(self, attempt: int, *, outside: bool) -> None:
        self._attempt, self._outside = attempt, outside

    async def check(
        self, sentence: nouns.Sentence, evidence: nouns.Evidence, *, scope: nouns.Scope | None = None
    ) -> Sequence[nouns.Citation]:
        await self._take("cite", sentence.index)
        return ()

    async def support(self, sentence: nouns.Sentence, evidence: nouns.Evidence) -> nouns.SentenceSupport:
        await self._take("assess", sentence.index)
        return nouns.SentenceSupport(sentence.index, 1.0)

    async def price(self, call: nouns.Call) -> nouns.LedgerRow:
        # What is priced is the call and not a sentence, one price after another; a copy is of the last one.
        asked = len(STAGE.get().reviews["tally"])
        await self._take("tally", asked if self._attempt == FIRST else asked - 1)
        return nouns.LedgerRow(call, Decimal(0))

    async def _take(self, step: str, sentence: int) -> None:
        await take(*STAGE.get().review(step, sentence, self._attempt, outside=self._outside))


class _Turns:
    async def begin(self, question: nouns.Question, *, mode: int) -> None: ...

    async def save(self, turn: nouns.TurnRecord) -> None:
        STAGE.get().kept += 1


def _grade(
    citations: nouns.Citations,
    support: nouns.Support,
    evidence: nouns.Evidence,
    draft: nouns.Draft,
    steps: float,
) -> nouns.Quality:
    return nouns.Quality()


def simulated(*, by_token: bool = False, replicas: bool = False, reviews_outside: bool = False) -> Services:
    """Services that take as long as was drawn for the turn of :data:`STAGE`.

    :param replicas: whether there is a second retriever, suggester, memory and model.
    :param reviews_outside: reviews are calls to another service, of which there then is a second one as well.
    """
    inputs, reviews = _Inputs(FIRST), _Reviews(FIRST, outside=reviews_outside)
    services = Services(
        router=_Router(),
        retriever=inputs,
        tool_suggester=inputs,
        memory=inputs,
        caller=_Caller(),
        llm=Model(FIRST, by_token=by_token),
        checker=reviews,
        judge=reviews,
        accountant=reviews,
        grader=_grade,
        turns=_Turns(),
    )
    if not replicas:
        return services
    second = _Inputs(SECOND)
    both = Replicas(second, second, second, Model(SECOND, by_token=by_token))
    if reviews_outside:
        reviewer = _Reviews(SECOND, outside=True)
        both = replace(both, checker=reviewer, judge=reviewer, accountant=reviewer)
    return replace(services, replicas=both)
