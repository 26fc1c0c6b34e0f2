"""While retrieval runs: let the model's server read what is known of the prompt already, segment by segment.

The order of the segments is fixed, and is the order in which they usually arrive: instructions with the brief, then the
conversation, then the tools' results. What has been read when the passages come need not be read again: the answer is the
same, only the waiting is shorter (docs/performance.md has the arithmetic). The model is asked once the reading is done,
since a server that is asked in the middle of it would read the same twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from vital_engine.flow import Flow, Load, Policy, Step, call, step
from vital_engine.nouns import Brief, Memory, Prefilled, Prompt, Question, ToolResults
from vital_engine.ports import Prefiller

from .reply import begun


@dataclass(frozen=True, slots=True)
class ReadInstructions(Prefilled):
    """The instructions, and who answers, have been read; or it was not tried."""


@dataclass(frozen=True, slots=True)
class ReadConversation(Prefilled):
    """The earlier conversation has been read as well."""


@dataclass(frozen=True, slots=True)
class ReadTools(Prefilled):
    """What the tools said has been read as well."""


def prefill(prefiller: Prefiller, load: Load, *, through: str, within: float) -> Flow:
    """The steps that read ahead.

    :param through: ``prefix`` (the instructions) or ``segments`` (each as it arrives).
    """
    read = partial(_read, prefiller, load)
    steps: list[Step[Any]] = [step(reading_instructions(read)).fallback(ReadInstructions(failed=True))]
    if through == "segments":
        steps.append(step(reading_conversation(read)).fallback(ReadConversation(failed=True)))
        steps.append(step(reading_tools(read)).fallback(ReadTools(failed=True)))
    return Flow("prefill", *(s.under(Policy(within, tier="prefill")) for s in steps))


Read = Callable[[Prompt], Awaitable[Prefilled]]


def reading_instructions(read: Read) -> Callable[..., Awaitable[ReadInstructions]]:
    async def read_instructions(question: Question, brief: Brief) -> ReadInstructions:
        done = await read(begun(question, brief))
        return ReadInstructions(done.computed, done.cached)

    return read_instructions


def reading_conversation(read: Read) -> Callable[..., Awaitable[ReadConversation]]:
    async def read_conversation(
        question: Question, brief: Brief, memory: Memory, before: ReadInstructions
    ) -> ReadConversation:
        if before.failed:  # whoever is asked for the answer reads the rest; another try would only hold it up
            return ReadConversation(failed=True)
        done = await read(begun(question, brief, memory))
        return ReadConversation(done.computed, done.cached)

    return read_conversation


def reading_tools(read: Read) -> Callable[..., Awaitable[ReadTools]]:
    async def read_tools(
        question: Question, brief: Brief, memory: Memory, tool_results: ToolResults, before: ReadConversation
    ) -> ReadTools:
        if before.failed:
            return ReadTools(failed=True)
        done = await read(begun(question, brief, memory, tool_results))
        return ReadTools(done.computed, done.cached)

    return read_tools


async def _read(prefiller: Prefiller, load: Load, prompt: Prompt) -> Prefilled:
    if not prompt.segments[-1].text:  # there is nothing new
        return Prefilled()
    if not load.free and not getattr(prefiller, "reads_between", False):  # what it holds meanwhile, others wait for
        return Prefilled()
    return await call(prefiller.prefill, prompt)
