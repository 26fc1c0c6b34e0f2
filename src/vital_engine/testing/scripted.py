"""Services made of deterministic fakes that fulfil the real ports, in virtual time.

Time, failures and words come from the script; what can be real is real: citations, support, quality and cost are
worked out by the engine's own services, from what was said.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, TypeAlias, TypedDict, Unpack

from vital_engine import ports
from vital_engine.errors import ConfigError
from vital_engine.nouns import (
    ArgumentSource,
    Brief,
    Citations,
    Cost,
    Effect,
    Evidence,
    Expert,
    Memory,
    Passage,
    PastTurn,
    Piece,
    Prefilled,
    Prompt,
    SentenceSupport,
    Support,
    ToolCall,
    ToolResult,
    ToolSuggestions,
    Usage,
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

from .pauses import MemoryApprovals, MemoryConversationLock

STEPS = tuple(
    planned.name for planned in (BRIEF, RETRIEVE, SUGGEST, RECALL, INVOKE, REPLY, CITE, ASSESS, TALLY, REGISTER, SAVE)
)
"""The steps that lean on a service, and can be scripted."""
Behaviour: TypeAlias = (
    float | BaseException | Literal["hang", "deaf", "block"] | tuple[float, Any] | tuple[float, str, BaseException]
)
"""What a scripted step does: see :func:`scripted`."""


class Script(TypedDict, total=False):
    """A behaviour for each step that leans on a service; a type checker sees a misspelt one."""

    register: Behaviour
    brief: Behaviour
    retrieve: Behaviour
    suggest: Behaviour
    recall: Behaviour
    invoke: Behaviour
    reply: Behaviour
    cite: Behaviour
    assess: Behaviour
    tally: Behaviour
    save: Behaviour


MODEL = "scripted"
PRICES = {MODEL: {"input": "0.000001", "output": "0.000004"}}
"""USD per token of the scripted model."""


# -- what is found, remembered and said, if a test does not say otherwise
FACTS = (
    "The trial enrolled 412 adults with type 2 diabetes at 31 sites.",
    "Mean HbA1c fell by 1.2 percentage points after 26 weeks of treatment.",
    "Severe hypoglycaemia was not observed in either group.",
    "Body weight decreased by 4.1 kg in the treated group.",
    "Nausea was the most frequent adverse event and was usually mild.",
    "Eight participants stopped the treatment because of adverse events.",
    "Renal function remained stable in both groups over 52 weeks.",
    "Blood pressure was lower at the end of treatment than at baseline.",
    "The authors conclude that longer follow-up is required.",
)
PER_PASSAGE = 3


def _passages() -> Iterator[Passage]:
    for i in range(0, len(FACTS), PER_PASSAGE):
        text = " ".join(FACTS[i : i + PER_PASSAGE])
        number = i // PER_PASSAGE + 1
        yield Passage(
            id=f"scripted-{number}",
            text=text,
            document=f"document-{number}",
            title=f"Scripted study {number}",
            start=0,
            end=len(text),
            page=1,
            score=1.0 / number,
        )


EVIDENCE = Evidence(tuple(_passages()), index_version="scripted")
MEMORY = Memory((PastTurn("Which drug did we speak of?", "We spoke of the scripted drug."),))
TOOL_OUTPUT = "the scripted tool says 42"
SUGGESTIONS = ToolSuggestions(
    (
        ToolCall(
            "call-1", "scripted_tool", {"x": 6}, "the question asks for a figure", 1.0, Decimal(0), Effect.PURE,
            sources=(ArgumentSource.QUESTION,),
        ),
    )
)  # fmt: skip
EXPERT = Expert(
    "scripted",
    "Scripted expert",
    "Answers as the script says.",
    "You are a scripted expert. You answer in short sentences.",
)


def spoken(tokens: int, sentences: int) -> list[str]:
    """The default answer: exactly *tokens* pieces of text, in exactly *sentences* sentences, each with its citation."""
    pieces: list[str] = []
    for i in range(sentences):
        fact, number = FACTS[i % len(FACTS)], i % len(FACTS) // PER_PASSAGE + 1
        sentence = f"{fact[:-1]} [{number}]." if i < len(FACTS) else f"Again ({i + 1}), {fact[:-1]} [{number}]."
        share = tokens * (i + 1) // sentences - tokens * i // sentences
        pieces += cut(sentence if i == 0 else f" {sentence}", share)
    return pieces


def cut(text: str, pieces: int) -> list[str]:
    """*text* in exactly *pieces* pieces of even length (the last ones empty if there are too few characters)."""
    ends = [round(len(text) * (i + 1) / pieces) for i in range(pieces)]
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def words(text: str) -> list[str]:
    """*text* as a model would stream it: a word at a time, white space kept."""
    result: list[str] = []
    for i, word in enumerate(text.split(" ")):
        result.append(word if i == 0 else f" {word}")
    return result


# -- what a scripted step does: how long it takes, and how it ends
BLOCKED_SECONDS = 0.5
"""How long a ``"block"`` holds its thread."""
WORDS = ("hang", "deaf", "block")
NOTHING: Any = object()


@dataclass(slots=True)
class Recorded:
    """One call of one port. ``start``, ``end``: seconds on the loop's clock; ``end`` None: it never came back."""

    port: str
    method: str
    arguments: dict[str, Any]
    start: float
    end: float | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class Act:
    """One step's script, read from what :func:`scripted` was given."""

    step: str
    seconds: float = 0.0
    value: Any = NOTHING
    said: str | None = None
    error: BaseException | None = None
    word: str = ""

    @classmethod
    def read(cls, step: str, script: Any) -> Act:
        """*script*: seconds, an exception, ``(seconds, exception)``, ``(seconds, value)``, or one of :data:`WORDS`."""
        match script:
            case str() if script in WORDS:
                return cls(step, word=script)
            case BaseException():
                return cls(step, error=script)
            case bool():
                pass
            case int() | float() if script >= 0:
                return cls(step, float(script))
            case (int() | float() as seconds, BaseException() as error) if seconds >= 0:
                return cls(step, float(seconds), error=error)
            case (int() | float() as seconds, str() as said, BaseException() as error) if step == REPLY.name:
                return cls(step, float(seconds), said=said, error=error)
            case (int() | float() as seconds, value) if seconds >= 0:
                return cls(step, float(seconds), value)
            case _:
                pass
        raise ConfigError(
            f"{step}={script!r}: give seconds, an exception, (seconds, exception), (seconds, value), or one of "
            + ", ".join(map(repr, WORDS))
        )

    async def play(self, seconds: float) -> None:
        """Take *seconds*, and fail if the script says so."""
        if self.word == "hang":
            await asyncio.get_running_loop().create_future()
        while self.word == "deaf":
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                continue
        if seconds:
            await asyncio.sleep(seconds)
        if self.error is not None:
            raise self.error


@dataclass(slots=True)
class Stage:
    """Where the scripted ports are made, and where their calls are written down."""

    calls: list[Recorded] = field(default_factory=list)
    _loop: asyncio.AbstractEventLoop | None = None

    def port(
        self,
        act: Act,
        method: Callable[..., Any],
        result: Callable[..., Any],
        *,
        seconds: Callable[[], float] | None = None,
    ) -> Callable[..., Awaitable[Any] | Any]:
        """A method with the signature of *method* that plays *act* and gives ``result(*args, **kwargs)``.

        ``"block"`` makes it a plain function, as a service that blocks would be: it sleeps in the thread that calls it.
        """
        signature = inspect.signature(method)
        name = method.__name__

        def write(args: tuple[object, ...], kwargs: dict[str, object]) -> Recorded:
            bound = signature.bind(None, *args, **kwargs).arguments
            bound.pop("self", None)
            call = Recorded(act.step, name, dict(bound), self.now())
            self.calls.append(call)
            return call

        def give(args: tuple[object, ...], kwargs: dict[str, object]) -> Any:
            return result(*args, **kwargs) if act.value is NOTHING else act.value

        def blocking(*args: Any, **kwargs: Any) -> Any:
            call = write(args, kwargs)
            time.sleep(BLOCKED_SECONDS)
            call.end = self.now()
            return give(args, kwargs)

        async def waiting(*args: Any, **kwargs: Any) -> Any:
            self._loop = asyncio.get_running_loop()
            call = write(args, kwargs)
            try:
                await act.play(act.seconds if seconds is None else seconds())
            except BaseException as error:
                call.error = error
                raise
            finally:
                call.end = self.now()
            given = give(args, kwargs)
            return await given if inspect.isawaitable(given) else given

        return blocking if act.word == "block" else waiting

    def now(self) -> float:
        """The loop's clock, also from a thread."""
        try:
            self._loop = asyncio.get_running_loop()
        except RuntimeError:  # a thread: the loop that was seen last
            if self._loop is None:
                raise
        return self._loop.time()


# -- the scripted model


@dataclass(frozen=True, slots=True)
class Text:
    """How an answer is cut that the script does not spell out."""

    tokens: int
    sentences: int


class Speaker:
    """Fulfils the port LLM. It says no more tokens than the prompt allows."""

    model = provider = MODEL

    def __init__(self, act: Act, stage: Stage, prompts: list[Prompt], text: Text, prefill: float) -> None:
        self._act, self._stage, self._prompts = act, stage, prompts
        self._prefill = min(prefill, act.seconds)
        said = act.said if act.said is not None else act.value if isinstance(act.value, str) else None
        self._pieces = spoken(text.tokens, text.sentences) if said is None else words(said)
        if act.error is not None and act.said is None:
            self._pieces = []

    async def stream(self, prompt: Prompt) -> AsyncIterator[Any]:
        """See the port."""
        act, loop = self._act, asyncio.get_running_loop()
        self._prompts.append(prompt)
        call = Recorded(REPLY.name, "stream", {"prompt": prompt}, self._stage.now())
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
            await self._read(prompt)
            began, speaking = loop.time(), act.seconds - self._prefill
            each = speaking / max(1, len(self._pieces))
            said = self._pieces[: prompt.max_output_tokens]
            for i, text in enumerate(said, start=1):
                await _until(began + i * each)
                yield Piece(text, model=MODEL, provider=MODEL)
            cut = len(said) < len(self._pieces)
            if not cut:
                await _until(began + speaking)
            if act.error is not None:
                raise act.error
            used = Usage(input=len(str(prompt).split()), output=len(said))
            yield Piece(usage=used, model=MODEL, provider=MODEL, finish="length" if cut else "stop")
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.end = self._stage.now()

    async def _read(self, prompt: Prompt) -> int:  # noqa: ARG002
        """Take the time that reading *prompt* takes. :returns: how many words of it were read now."""
        await asyncio.sleep(self._prefill)
        return 0


class ReadingSpeaker(Speaker):
    """Fulfils the port Prefiller as well: it keeps the beginnings that it has read for a turn, and reads on from there.

    :param segments: seconds that it takes to read a segment, by its kind.
    :raises ConfigError: they are more than the model's whole time.
    """

    def __init__(
        self, act: Act, stage: Stage, prompts: list[Prompt], text: Text, segments: Mapping[str, float]
    ) -> None:
        whole = round(sum(segments.values()), 9)
        if whole > act.seconds and not act.word:
            raise ConfigError(f"the model cannot read for {whole} s of its {act.seconds} s")
        super().__init__(act, stage, prompts, text, whole)
        self._segments = dict(segments)
        self._held: dict[str, set[tuple[str, ...]]] = {}

    async def prefill(self, prompt: Prompt) -> Prefilled:
        """See the port."""
        call = Recorded(REPLY.name, "prefill", {"prompt": prompt}, self._stage.now())
        self._stage.calls.append(call)
        try:
            computed = await self._read(prompt)
        except BaseException as error:
            call.error = error
            raise
        finally:
            call.end = self._stage.now()
        return Prefilled(computed, len(str(prompt).split()) - computed)

    async def _read(self, prompt: Prompt) -> int:
        held = self._held.setdefault(prompt.question.run_id, set())
        begun, seconds, computed = asyncio.get_running_loop().time(), 0.0, 0
        beginning: tuple[str, ...] = ()
        for segment in prompt.segments:
            if not segment.text:
                continue
            beginning = (*beginning, segment.text)
            if beginning not in held:
                seconds += self._segments.get(segment.kind, 0.0)
                computed += len(segment.text.split())
                await _until(begun + seconds)
                held.add(beginning)
        return computed


async def _until(when: float) -> None:
    # To the nanosecond, as the virtual clock is: what a sum of floats is off by must not become a tick of its own.
    left = round(when - asyncio.get_running_loop().time(), 9)
    if left > 0:
        await asyncio.sleep(left)


# -- the services
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
    *, tokens: int = 120, sentences: int = 8, prefill: float | Mapping[str, float] = 0.0, **steps: Unpack[Script]
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
    scripts: Mapping[str, Any] = dict(steps)
    act = {step: Act.read(step, scripts.get(step, 0.0)) for step in STEPS}
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
