"""The tools of a deployment: which a question calls for, and the calling of one that was approved."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from pydantic_core import to_jsonable_python

from vital_engine.errors import ConfigError, InvalidArguments, ServiceError, ToolError, ToolTimeout
from vital_engine.nouns import ArgumentSource, Brief, Effect, Question, Scope, ToolCall, ToolResult, ToolSuggestions
from vital_engine.ports import Embedder
from vital_engine.services.ranking import Match, Profile, Shortlist, words

from .reading import mentions, named
from .schema import canonical
from .seats import Seats, within
from .tool import AnyTool, Output, Reader, Reading, tool

T = TypeVar("T", bound=AnyTool)

MAX_VALUE_BYTES: Final = 65_536
"""Of one result's value as JSON: a receipt keeps it, so that it must not be a document."""

LEAST_COSINE: Final = 0.45
"""From where a tool that the question does not name may still be proposed, if all its arguments stand there."""

_RISK: Final = tuple(Effect)
"""From what changes nothing to what cannot be taken back."""

_BLANKS: Final = re.compile(r"\s{2,}|[^\S \n]")

# What a tool written by others may raise for its own reasons; all else is a defect and goes up as it is.
_FAILURES: Final = (ArithmeticError, LookupError, OSError, TypeError, ValueError)


class Toolbox:
    """Fulfils the ports Suggester and Caller.

    :param embedder: for the dense half of the match; None ranks by words alone.
    :param most: how many calls one question is offered at most.
    """

    def __init__(self, tools: Sequence[AnyTool] = (), *, embedder: Embedder | None = None, most: int = 5) -> None:
        self._embedder = embedder
        self._most = most
        self._tools: dict[str, AnyTool] = {}
        self._seats: dict[str, Seats] = {}
        self._readers: dict[str, Reader] = {}
        self._shortlist: Shortlist | None = None
        self._definitions: str | None = None
        for each in tools:
            self.add(each)

    def add(self, new: T) -> T:
        """Put *new* into the box. ConfigError if its name is taken: a tool never shadows another."""
        if new.name in self._tools:
            raise ConfigError(f"there is already a tool named {new.name}")
        self._tools[new.name] = new
        self._seats[new.name] = Seats(new.concurrency)
        self._readers[new.name] = new.reads or named(new.form)
        self._shortlist = self._definitions = None
        return new

    def tool(self, **settings: Any) -> Callable[[Callable[..., Any]], AnyTool]:
        """Make a typed function a tool of this box; the settings are those of :func:`tool`."""

        def make(function: Callable[..., Any]) -> AnyTool:
            return self.add(tool(**settings)(function))

        return make

    def __getitem__(self, name: str) -> AnyTool:
        """The tool of that name; ToolError if there is none."""
        try:
            return self._tools[name]
        except KeyError:
            raise ToolError(f"there is no tool named {name!r}", service="tool") from None

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[AnyTool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    async def rank(self, query: str) -> tuple[Match, ...]:
        """Every tool, best match first, whether or not its arguments are known."""
        return await self._ranked().rank(query)

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """The calls that the question spells out, best first, of the expert's allowed tools.

        A call is proposed where every required argument stands in the question, valid, and the question names
        the tool; if it names none, the nearest in meaning. An unneeded call costs a person's attention: no guess.
        """
        return await asyncio.to_thread(self._suggest_now, question, brief)

    def _suggest_now(self, question: Question, brief: Brief) -> ToolSuggestions:
        allowed = [t for t in self if not brief.expert.tools or t.name in brief.expert.tools]
        # Runs of blanks mean nothing and, of any length, cost a pattern its square in time.
        text = _BLANKS.sub(lambda run: "\n" if "\n" in run[0] else " ", question.text).strip()
        read = [(t, reading) for t in allowed for reading in self._readings(t, text)]
        if not read:
            return ToolSuggestions()
        matches = {m.id: m for m in self._ranked().rank_now(question.text)}
        spelled = [(t, reading, why) for t, reading in read if (why := _asked_for(t, text))]
        if not spelled:
            nearest, reading = max(read, key=lambda pair: matches[pair[0].name].score)
            cosine = matches[nearest.name].scores.get("dense", 0.0)
            if cosine >= LEAST_COSINE:
                why = f"the question is close to this tool (cosine {cosine:.2f}) and gives every value"
                spelled = [(nearest, reading, why)]
        made = (self._propose(t, reading, question, matches[t.name].score, why) for t, reading, why in spelled)
        tool_calls = {each.id: each for each in made}
        best = sorted(tool_calls.values(), key=lambda p: -p.score)
        return ToolSuggestions(tuple(best[: self._most]))

    def _readings(self, each: AnyTool, text: str) -> list[Reading]:
        """What of the question fits the tool's form; an implausible value makes no call."""
        fitting = []
        for reading in self._readers[each.name](text):
            try:
                fitting.append(Reading(each.form.normal(reading.arguments, tool=each.name), reading.notes))
            except InvalidArguments:
                continue
        return fitting

    @property
    def definitions(self) -> str:
        """A hash of all tools and of the words that they are asked for by: another where one was added."""
        if self._definitions is None:
            of = sorted([t.name, t.definition, list(t.cues), list(t.examples)] for t in self)
            self._definitions = hashlib.sha256(canonical(of).encode()).hexdigest()
        return self._definitions

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        """*proposal* as it would be made for *question*, which has the same text: with the id of its turn."""
        return replace(tool_call, id=_call_id(question, tool_call.tool, tool_call.definition, tool_call.arguments))

    def declared(self, tool_call: ToolCall) -> ToolCall:
        """See :class:`vital_engine.ports.Declaring`. A tool that is not in this box is left as it was proposed."""
        each = self._tools.get(tool_call.tool)
        if each is None:
            return tool_call
        effect = max(tool_call.effect, each.effect, key=_RISK.index)
        cost, consent = max(tool_call.cost_usd, each.cost_usd), tool_call.needs_consent or each.consent
        if (effect, cost, consent) == (tool_call.effect, tool_call.cost_usd, tool_call.needs_consent):
            return tool_call
        return replace(tool_call, effect=effect, cost_usd=cost, needs_consent=consent)

    def _propose(self, each: AnyTool, reading: Reading, question: Question, score: float, why: str) -> ToolCall:
        reason = "; ".join((why, *reading.notes))
        return ToolCall(
            id=_call_id(question, each.name, each.definition, reading.arguments),
            tool=each.name,
            arguments=reading.arguments,
            reason=reason,
            score=round(score, 4),
            cost_usd=each.cost_usd,
            effect=each.effect,
            definition=each.definition,
            needs_consent=each.consent,
            sources=(ArgumentSource.QUESTION,),  # a reader is given the question's text, and nothing else
        )

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:
        """Make the call, under the tool's own limits.

        Raises InvalidArguments, ToolTimeout, ToolUnavailable or another ToolError. A definition that has
        changed since the proposal is refused: what was approved is not what would run.
        """
        each = self[tool_call.tool]
        if tool_call.definition and tool_call.definition != each.definition:
            raise ToolError(f"{each.name}: its definition has changed since the call was proposed", service=each.name)
        arguments = each.bind(tool_call.arguments, scope=scope, key=tool_call.id)
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            work = self._seats[each.name].run(each.function, arguments, is_async=each.is_async)
            result = await within(each.timeout, work)
        except ToolError:
            raise
        except ServiceError as error:  # of what the tool itself leans on
            raise ToolError(f"{each.name}: {error}", service=each.name, retryable=error.retryable) from error
        except TimeoutError:
            # Whether an effect has happened is then not known: only what may be repeated is retryable.
            again = each.effect in (Effect.PURE, Effect.READ)
            told = f"{each.name}: no result within {each.timeout:g} s"
            raise ToolTimeout(told, service=each.name, retryable=again) from None
        except _FAILURES as error:
            raise ToolError(f"{each.name}: {type(error).__name__}: {error}", service=each.name) from error
        return _finding(each, tool_call, result, seconds=clock() - began)

    def _ranked(self) -> Shortlist:
        if self._shortlist is None:
            profiles = [Profile(t.name, f"{words(t.name)}: {t.description}", t.examples) for t in self]
            self._shortlist = Shortlist(profiles, self._embedder)
        return self._shortlist


def _call_id(question: Question, tool: str, definition: str, arguments: Mapping[str, Any]) -> str:
    # The run is part of the id: an approval is for this turn, and the same turn resumed finds it again.
    of = [question.tenant, question.user, question.run_id, tool, definition, arguments]
    return "call_" + hashlib.sha256(canonical(of).encode()).hexdigest()[:24]


def _asked_for(each: AnyTool, text: str) -> str:
    """In what words the question asks for the tool, or "" if it does not."""
    cues = sorted(each.cues or (words(each.name),), key=len, reverse=True)
    named_by = next((cue for cue in cues if mentions(text, cue)), None)
    if named_by is not None:
        return f"the question asks for “{named_by}” and gives every value"
    return "the question spells this call out" if each.reads is not None else ""


def _finding(each: AnyTool, tool_call: ToolCall, result: Any, *, seconds: float) -> ToolResult:
    """*result* as the model and the receipt keep it. ToolError for what is not data, or too much of it."""
    output = result if isinstance(result, Output) else Output(text="", value=result)
    try:
        value = to_jsonable_python(output.value)
        kept = canonical(value)
    except (TypeError, ValueError) as error:
        raise ToolError(f"{each.name}: its result is not data: {error}", service=each.name) from None
    if len(kept.encode()) > MAX_VALUE_BYTES:
        raise ToolError(f"{each.name}: its result is larger than {MAX_VALUE_BYTES} bytes", service=each.name)
    text = output.text or (value if isinstance(value, str) else kept)
    if output.source:
        text = f"{text}\nMethod: {output.source}"
    if len(text) > each.max_chars:
        text = f"{text[: each.max_chars]}\n[cut: {each.max_chars} of {len(text)} characters]"
    return ToolResult(tool_call=tool_call, status="done", text=text, value=value, seconds=seconds)
