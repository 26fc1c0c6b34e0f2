"""Tool calls that a model suggests, by function calling; those that the question spells out are the fallback.

::

    question -> Toolbox.suggest          immediately: used if the model fails, is late or asks for nothing that exists
             -> the model                given the expert's tools as functions; what it asks for is checked strictly

The model's call is paid for, also if it failed or was cut off: :attr:`~vital_engine.nouns.ToolSuggestions.calls` has
it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal

from vital_engine.errors import InvalidArguments, ModelError, ServiceError
from vital_engine.nouns import ArgumentSource, Brief, Call, FunctionCall, Memory, Question, ToolCall, ToolSuggestions
from vital_engine.nouns.codec import JSON
from vital_engine.ports import FunctionCalling, ToolSuggester

from .schema import canonical
from .tool import AnyTool
from .toolbox import Toolbox

log = logging.getLogger("vital_engine.tools")

OFFERED: Final = 32
"""Tools that a model is shown at most: the nearest to the question. More of them cost tokens and make its choice worse."""

Counted = Literal["proposed", "unknown_tool", "invalid_arguments", "failed"]
"""What became of a call that the model asked for; ``failed``: it gave no answer at all."""

INSTRUCTIONS: Final = (
    "You decide which functions, if any, must be called to answer the user's question well. Call only what is needed. "
    "Take every argument from what the user says, in the unit that the function asks for; never invent a value. "
    "If a required value is missing, or no function fits, call none."
)


class ModelSuggester:
    """Implements the ports :class:`~vital_engine.ports.ToolSuggester` and :class:`~vital_engine.ports.EarlySuggester`.

    :param model: the model; see :class:`~vital_engine.ports.FunctionCalling`.
    :param toolbox: the tools; made with ``model=True``, it takes those that only a model can suggest.
    :param matcher: suggests until the model has answered; None: *toolbox* itself.
    :param cached: puts a cache before the model, for questions that were asked before: see
        :class:`~vital_engine.services.caching.CachedToolSuggester`.
    :param most: the largest number of calls to suggest.
    :param count: called with what became of each call that the model asked for.
    """

    def __init__(
        self,
        model: FunctionCalling,
        toolbox: Toolbox,
        *,
        matcher: ToolSuggester | None = None,
        cached: Callable[[AskedModel], ToolSuggester] | None = None,
        most: int = 5,
        count: Callable[[Counted], None] = lambda _: None,
    ) -> None:
        self._model, self._toolbox, self._count = model, toolbox, count
        self._matcher: ToolSuggester = toolbox if matcher is None else matcher
        self._asked = AskedModel(model, toolbox, most=most, count=count)
        self._cached: ToolSuggester = self._asked if cached is None else cached(self._asked)

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """The last of :meth:`suggestions`; if the model fails, the one before.

        :param question: the question.
        :param brief: the expert.
        """
        last = ToolSuggestions.missing()
        try:
            async for suggestions in self.suggestions(question, brief):
                last = suggestions
        except ModelError as error:
            log.warning("the model that suggests tools failed: %s", error)
        return last

    async def suggestions(self, question: Question, brief: Brief) -> AsyncIterator[ToolSuggestions]:
        """First what the question spells out, then what the model suggests.

        :param question: the question.
        :param brief: the expert.
        :raises ModelError: the model failed; the first suggestions still count.
        """
        spelled = await self._spelled(question, brief)
        if not self._toolbox.allowed(brief):
            yield spelled
            return
        paid = self._asked.call(question)
        yield replace(spelled, calls=(replace(paid, status="cancelled"),))  # as it stands if the time is up
        # A conversation that was handed in is read as well, and is not part of a cache's key.
        tool_suggester = self._asked if ArgumentSource.CONVERSATION in provenance(question) else self._cached
        try:
            suggestions = await tool_suggester.suggest(question, brief)
        except ModelError:
            self._count("failed")
            yield replace(spelled, calls=(replace(paid, status="failed"),))
            raise
        yield replace(spelled, calls=suggestions.calls) if suggestions.failed else suggestions

    async def _spelled(self, question: Question, brief: Brief) -> ToolSuggestions:
        try:
            return await self._matcher.suggest(question, brief)
        except ServiceError as error:  # the model may know better
            log.warning("tools could not be matched: %s", error)
            return ToolSuggestions.missing()


class AskedModel:
    """Implements the port :class:`~vital_engine.ports.ToolSuggester` by the model alone. ``failed``: the model asked
    for calls, and none of them could be used.
    """

    def __init__(
        self, model: FunctionCalling, toolbox: Toolbox, *, most: int, count: Callable[[Counted], None]
    ) -> None:
        self._model, self._toolbox, self._most, self._count = model, toolbox, most, count

    @property
    def definitions(self) -> str:
        """A hash of all tools, and of who chooses among them."""
        return canonical([self._toolbox.definitions, self._model.provider, self._model.model])

    def renewed(self, tool_call: ToolCall, question: Question) -> ToolCall:
        """The same call in *question*'s turn: with an id of its own."""
        return self._toolbox.renewed(tool_call, question)

    def call(self, question: Question) -> Call:
        """The paid call of *question*'s turn, of which nothing is known yet but the model. The turn says what it was for."""
        return Call(question.run_id, "", self._model.model, self._model.provider, None)

    async def suggest(self, question: Question, brief: Brief) -> ToolSuggestions:
        """:raises ModelError: the model gave no answer."""
        tools = await self._offered(question, brief)
        answer = await self._model.function_calls(messages(question), [_function(each) for each in tools])
        tool_calls: dict[str, ToolCall] = {}
        for asked in answer.calls:
            if (tool_call := self._proposal(asked, tools, question)) is not None:
                tool_calls[tool_call.id] = tool_call
        paid = replace(self.call(question), model=answer.model, provider=answer.provider, usage=answer.usage)
        usable = tuple(tool_calls.values())[: self._most]
        return ToolSuggestions(usable, failed=bool(answer.calls) and not usable, calls=(paid,))

    async def _offered(self, question: Question, brief: Brief) -> tuple[AnyTool, ...]:
        tools = self._toolbox.allowed(brief)
        if len(tools) <= OFFERED:
            return tools
        nearest = [match.id for match in await self._toolbox.rank(question.text)]
        names = {each.name for each in tools}
        return tuple(self._toolbox[name] for name in [name for name in nearest if name in names][:OFFERED])

    def _proposal(self, asked: FunctionCall, tools: Sequence[AnyTool], question: Question) -> ToolCall | None:
        """The call as it may be proposed; None, counted, if there is no such tool for this expert or it refuses it."""
        became: Counted = "invalid_arguments"
        tool_call = None
        try:
            if asked.name not in {each.name for each in tools}:
                became = "unknown_tool"
            elif isinstance(arguments := json.loads(asked.arguments or "{}"), Mapping):
                reason = f"the model {self._model.model} suggests it"
                sources = (ArgumentSource.MODEL, *provenance(question))
                tool_call = self._toolbox.tool_call(asked.name, arguments, question, reason=reason, sources=sources)
                became = "proposed"
        except (InvalidArguments, ValueError, RecursionError):
            log.info("the arguments of a suggested tool call were refused", extra={"tool": asked.name})
        self._count(became)
        return tool_call


def provenance(question: Question) -> tuple[ArgumentSource, ...]:
    """What a model has read that suggests calls for *question*, and so what its arguments may come from."""
    said_before = (ArgumentSource.CONVERSATION,) if _conversation(question.memory) else ()
    return (ArgumentSource.QUESTION, *said_before)


def messages(question: Question) -> list[dict[str, str]]:
    """What the model is asked: all that :func:`provenance` names, and nothing else."""
    parts = {
        ArgumentSource.QUESTION: question.text,
        ArgumentSource.CONVERSATION: _conversation(question.memory),
    }
    order = provenance(question)[::-1]  # what was said before stands before the question
    said = "\n\n".join(parts[each] if len(order) == 1 else f"{each.capitalize()}:\n{parts[each]}" for each in order)
    return [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": said}]


def _conversation(memory: Memory | None) -> str:
    if memory is None:
        return ""
    turns = [f"User: {turn.question}\nAssistant: {turn.answer}" for turn in memory.turns]
    return "\n".join(filter(None, (memory.summary, *memory.facts, *turns)))


def _function(each: AnyTool) -> dict[str, JSON]:
    return {"name": each.name, "description": each.description, "parameters": each.schema}
