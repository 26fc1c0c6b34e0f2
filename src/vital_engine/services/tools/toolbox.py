"""The tools of a deployment: which a question calls for, and the calling of one that was approved, on one of its seats."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import hashlib
import inspect
import re
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, ParamSpec, TypeVar, Unpack, overload

from pydantic_core import to_jsonable_python

from vital_engine.errors import ConfigError, InvalidArguments, ServiceError, ToolError, ToolTimeout
from vital_engine.nouns import ArgumentSource, Brief, Effect, Question, Scope, ToolCall, ToolResult, ToolSuggestions
from vital_engine.ports import Embedder
from vital_engine.services.ranking import Match, Profile, Shortlist, words

from .parameters import worded
from .reading import mentions, stems
from .schema import canonical
from .tool import AnyTool, Output, Reader, Reading, Tool, ToolSettings, tool

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

MAX_VALUE_BYTES: Final = 65_536
"""Of one result's value as JSON: a receipt keeps it, so that it must not be a document."""

LEAST_COSINE: Final = 0.45
"""From where a tool that the question does not name may still be proposed, if all its arguments stand there."""

_RISK: Final = tuple(Effect)
"""From what changes nothing to what cannot be taken back."""

_BLANKS: Final = re.compile(r"\s{2,}|[^\S \n]")

_CALLABLE: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")

# What a tool written by others may raise for its own reasons; all else is a defect and goes up as it is.
_FAILURES: Final = (ArithmeticError, LookupError, OSError, TypeError, ValueError)


class Toolbox:
    """Implements the ports :class:`~vital_engine.ports.ToolSuggester` and :class:`~vital_engine.ports.Caller`.

    :param tools: tools, or plain typed functions with a docstring, which only compute (``pure``).
    :param embedder: for the dense half of the match; None: ranks by words alone.
    :param most: the largest number of calls to suggest.
    :param model: whether a model suggests calls as well: then arguments may be what no rule reads, such as free text.
    :raises ConfigError: two tools of one name, or a tool that could never be suggested.
    """

    def __init__(
        self,
        tools: Sequence[AnyTool | Callable[..., Any]] = (),
        *,
        embedder: Embedder | None = None,
        most: int = 5,
        model: bool = False,
    ) -> None:
        self._embedder = embedder
        self._most = most
        self._model = model
        self._tools: dict[str, AnyTool] = {}
        self._seats: dict[str, Seats] = {}
        self._readers: dict[str, Reader] = {}
        self._shortlist: Shortlist | None = None
        self._definitions: str | None = None
        for each in tools:
            self.add(each)

    @overload
    def add(self, new: Tool[P, R]) -> Tool[P, R]: ...
    @overload
    def add(self, new: Callable[P, R]) -> Tool[P, R]: ...
    def add(self, new: Any) -> Any:
        """Put *new*, a tool or a typed function, into the box, and give the tool.

        :raises ConfigError: its name is taken (a tool never shadows another), or it could never be proposed.
        """
        each: AnyTool = new if isinstance(new, Tool) else tool(new)
        if each.name in self._tools:
            raise ConfigError(f"there is already a tool named {each.name}")
        if self._model and not _CALLABLE.fullmatch(each.name):
            raise ConfigError(
                f"tool {each.name}: a model calls only what is named by at most 64 letters, digits, - and _"
            )
        reads = each.reads
        if reads is None:
            wording = worded(each.form)
            lost = {name: why for name, why in wording.unreadable.items() if name in each.form.required}
            if lost and not self._model:
                raise ConfigError(_never_proposed(each.name, lost))
            reads = (lambda _: ()) if lost else wording.read
        self._tools[each.name] = each
        self._seats[each.name] = Seats(each.concurrency)
        self._readers[each.name] = reads
        self._shortlist = self._definitions = None
        return each

    def tool(self, **settings: Unpack[ToolSettings]) -> Callable[[Callable[P, R]], Tool[P, R]]:
        """Make a typed function a tool of this box; the settings are those of :func:`tool`."""

        def make(function: Callable[P, R]) -> Tool[P, R]:
            return self.add(tool(**settings)(function))

        return make

    def __getitem__(self, name: str) -> AnyTool:
        """The tool of that name.

        :param name: of the tool.
        :raises ToolError: there is none.
        """
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

    def allowed(self, brief: Brief) -> tuple[AnyTool, ...]:
        """The tools that the expert may use."""
        return tuple(each for each in self if not brief.expert.tools or each.name in brief.expert.tools)

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
        allowed = self.allowed(brief)
        # Runs of blanks mean nothing and, of any length, cost a pattern its square in time.
        text = _BLANKS.sub(lambda run: "\n" if "\n" in run[0] else " ", question.text).strip()
        read = [(t, reading) for t in allowed for reading in self._readings(t, text)]
        if not read:
            return ToolSuggestions()
        matches = {m.id: m for m in self._ranked().rank_now(question.text)}
        said = stems(text)
        spelled = [(t, reading, why) for t, reading in read if (why := _asked_for(t, text, said, reading))]
        likely = [(t, reading) for t, reading in read if reading.arguments]
        if not spelled and likely:
            nearest, reading = max(likely, key=lambda pair: matches[pair[0].name].score)
            cosine = matches[nearest.name].scores.get("dense", 0.0)
            if cosine >= LEAST_COSINE:
                why = f"the question is close to this tool (cosine {cosine:.2f}) and gives every value"
                spelled = [(nearest, reading, why)]
        made = [self._propose(t, reading, question, matches[t.name].score, why) for t, reading, why in spelled]
        tool_calls = {each.id: each for each in made}
        best = sorted(tool_calls.values(), key=lambda p: -p.score)
        return ToolSuggestions(tuple(best[: self._most]))

    def _readings(self, each: AnyTool, text: str) -> list[Reading]:
        """What of the question fits the tool's form; an implausible value makes no call."""
        fitting = []
        for reading in self._readers[each.name](text):
            try:
                each.form.validate(reading.arguments, tool=each.name)
            except InvalidArguments:
                continue
            fitting.append(reading)
        return fitting

    @property
    def definitions(self) -> str:
        """A hash of all tools and of the words that they are asked for by: another where one was added."""
        if self._definitions is None:
            of = sorted([t.name, t.definition, list(t.cues), list(t.examples)] for t in self)
            self._definitions = hashlib.sha256(canonical(of).encode()).hexdigest()
        return self._definitions

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        """*tool_call* as it would be made for *question*, which has the same text: with the id of its turn."""
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
        return self.tool_call(
            each.name,
            reading.arguments,
            question,
            reason="; ".join((why, *reading.notes)),
            sources=(ArgumentSource.QUESTION,),  # a reader is given the question's text, and nothing else
            score=round(score, 4),
        )

    def tool_call(
        self,
        name: str,
        arguments: Mapping[str, Any],
        question: Question,
        *,
        reason: str,
        sources: tuple[ArgumentSource, ...],
        score: float = 0.0,
    ) -> ToolCall:
        """A call of the tool *name* for *question*, with *arguments* in their normal form.

        :param sources: what the arguments were read from.
        :raises ToolError: there is no such tool.
        :raises InvalidArguments: the tool refuses the arguments; each field at fault is named.
        """
        each = self[name]
        normal = each.form.normal(arguments, tool=name)
        return ToolCall(
            id=_call_id(question, name, each.definition, normal),
            tool=name,
            arguments=normal,
            reason=reason,
            score=score,
            cost_usd=each.cost_usd,
            effect=each.effect,
            definition=each.definition,
            needs_consent=each.consent,
            sources=sources,
        )

    async def call(self, tool_call: ToolCall, *, scope: Scope) -> ToolResult:
        """Make the call, under the tool's own limits.

        :param tool_call: the approved call.
        :param scope: tenant and user.
        :raises InvalidArguments: the tool does not accept the arguments.
        :raises ToolTimeout: the tool took longer than its limit.
        :raises ToolUnavailable: what the tool depends on cannot be reached.
        :raises ToolError: any other failure; also a definition that has changed since the call was suggested: what was
            approved is not what would run.
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


class ToolArgumentValidator:
    """Whether a call may still be made as it stands: fulfils :class:`~vital_engine.ports.ArgumentValidator` for the tools of a box."""

    def __init__(self, toolbox: Toolbox) -> None:
        self._toolbox = toolbox

    async def validate(self, tool_call: ToolCall) -> ToolCall:
        """*tool_call* with its arguments in the tool's normal form.

        :raises ToolError: there is no such tool, or its definition has changed since the call was proposed.
        :raises InvalidArguments: the tool refuses the arguments; each field at fault is named.
        """
        tool = self._toolbox[tool_call.tool]
        if tool_call.definition and tool_call.definition != tool.definition:
            raise ToolError(f"{tool.name}: its definition has changed since the call was proposed", service=tool.name)
        return replace(tool_call, arguments=tool.form.normal(tool_call.arguments, tool=tool.name))


def _call_id(question: Question, tool: str, definition: str, arguments: Mapping[str, Any]) -> str:
    # The run is part of the id: an approval is for this turn, and the same turn resumed finds it again.
    of = [question.tenant, question.user, question.run_id, tool, definition, arguments]
    return "call_" + hashlib.sha256(canonical(of).encode()).hexdigest()[:24]


def _asked_for(each: AnyTool, text: str, said: frozenset[str], reading: Reading) -> str:
    """In what words the question asks for the tool, or "" if it does not. *said*: the stems of its words."""
    cues = sorted(each.cues or (words(each.name),), key=len, reverse=True)
    named_by = next((cue for cue in cues if mentions(text, cue)), None)
    if named_by is not None:
        gives = " and gives every value" if reading.arguments else ""
        return f"the question asks for “{named_by}”{gives}"
    if each.reads is not None:
        return "the question spells this call out"
    if each.cues or not reading.arguments:
        return ""
    # The words of its parameters stand there anyway, if its arguments do: they do not say which tool is meant.
    given = stems(" ".join(map(words, each.form.model.model_fields)))
    name, described = stems(words(each.name)), stems(each.description) - given
    spoken = described & said
    if (name - given and name <= said) or (len(spoken) >= 2 and 2 * len(spoken) >= len(described)):
        return f"the question speaks of “{words(each.name)}” and gives every value"
    return ""


def _never_proposed(name: str, lost: Mapping[str, str]) -> str:
    """What is wrong with a tool whose arguments *lost* (argument -> reason) nothing can read, and what can be done."""
    which = ", ".join(f"{argument} ({why})" for argument, why in lost.items())
    return (
        f"tool {name}: it could never be proposed, since no question is read for its argument {which}. Give the argument "
        "closed choices (Literal or Enum), a default or a reader (Annotated[str, Text(('name',))]), give the tool reads=..., "
        "or let a model suggest calls (the setting tool_suggester; Toolbox(model=True) in a program)"
    )


def _finding(each: AnyTool, tool_call: ToolCall, result: Any, *, seconds: float) -> ToolResult:
    """*result* as the model and the receipt keep it.

    :raises ToolError: it is not data, or too much of it.
    """
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


# -- how many calls of one tool run at once, and for how long
# The hard limit of a step, one that also holds against a call that swallows its cancellation, is kept where steps are run.
# Here a call that does listen is ended by a timer of its own, so that its error names the tool.


async def within(seconds: float, work: Awaitable[T]) -> T:
    """*work*, cancelled after *seconds*. A cancellation from outside stays one.

    :param seconds: of the loop's clock.
    :param work: anything that can be awaited.
    :raises TimeoutError: it took longer.
    """
    task = asyncio.current_task()
    if task is None:  # pragma: no cover  # a coroutine that is awaited always has its task
        return await work
    before, fired = task.cancelling(), False

    def fire() -> None:
        nonlocal fired
        fired = True
        task.cancel()

    timer = asyncio.get_running_loop().call_later(seconds, fire)
    try:
        return await work
    except asyncio.CancelledError:
        # Ours only if there is no other request: uncancel() says how many are still open.
        if fired and task.uncancel() <= before:
            raise TimeoutError from None
        raise
    finally:
        timer.cancel()


class Seats:
    """At most *count* calls at once; who comes later waits. One per tool, for one event loop."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)

    async def run(self, function: Callable[..., Any], arguments: dict[str, Any], *, is_async: bool) -> Any:
        """*function* called with *arguments* on a free seat; a plain function runs in a thread.

        What a plain function gives to be awaited (it wraps one that is not plain) is awaited here, on a seat again.
        """
        await self._free.acquire()
        if is_async:
            try:
                return await function(**arguments)
            finally:
                self._free.release()
        result = await self._in_thread(functools.partial(function, **arguments))
        if not inspect.isawaitable(result):
            return result
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            if inspect.iscoroutine(result):
                result.close()
            raise
        try:
            return await result
        finally:
            self._free.release()

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """A thread cannot be cancelled: its seat is taken until it ends, even if its caller no longer waits."""
        loop, gate, context = asyncio.get_running_loop(), threading.Lock(), contextvars.copy_context()
        started = given_up = False

        def release() -> None:
            try:
                loop.call_soon_threadsafe(self._free.release)
            except RuntimeError:  # the loop has been closed: no caller is left to take the seat
                return

        def in_thread() -> T:
            nonlocal started
            with gate:
                if given_up:
                    raise asyncio.CancelledError
                started = True
            try:
                return context.run(work)
            finally:
                release()

        try:
            return await loop.run_in_executor(None, in_thread)
        except asyncio.CancelledError:
            with gate:
                given_up = True
                if not started:
                    self._free.release()
            raise
