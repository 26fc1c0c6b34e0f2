"""What a turn begins before its time: while retrieval runs, the model's server reads what is known of the prompt already.

The order of the prompt's segments is fixed, and is the order in which they usually arrive: instructions with the brief, then
the conversation, then the tools' results. What has been read when the passages come need not be read again: the answer is
the same, only the waiting is shorter (docs/performance.md has the arithmetic). The model is asked once the reading is done,
since a server that is asked in the middle of it would read the same twice.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from vital_engine.flow import Flow, Load, Step, call
from vital_engine.nouns import (
    Brief,
    Memory,
    Prefilled,
    Prompt,
    Question,
    ReadConversation,
    ReadInstructions,
    ReadTools,
    ToolResults,
)
from vital_engine.ports import LLM, Prefiller

from .plan import READ_CONVERSATION, READ_INSTRUCTIONS, READ_TOOLS
from .reply import begun

_loads: WeakValueDictionary[int, Load] = WeakValueDictionary()
"""By the id of the model, which lives as long as the workflows that hold its load."""


def load_of(llm: LLM) -> Load:
    """How busy *llm* is: the calls of all workflows of this process, over its ``capacity``, if it has one."""
    if (load := _loads.get(id(llm))) is None:
        load = _loads[id(llm)] = Load(getattr(llm, "capacity", None) or math.inf)
    return load


def prefill(prefiller: Prefiller, load: Load, *, through: str, within: float) -> Flow:
    """The steps that prefill the model.

    :param prefiller: the model.
    :param load: how busy it is.
    :param through: ``prefix`` (the instructions) or ``segments`` (each as it arrives).
    :param within: seconds that each may take.
    """
    steps: list[Step[Any]] = [READ_INSTRUCTIONS.of(partial(read_instructions, prefiller, load), within=within)]
    if through == "segments":
        steps.append(READ_CONVERSATION.of(partial(read_conversation, prefiller, load), within=within))
        steps.append(READ_TOOLS.of(partial(read_tools, prefiller, load), within=within))
    return Flow("prefill", *steps)


async def read_instructions(prefiller: Prefiller, load: Load, question: Question, brief: Brief) -> ReadInstructions:
    """Prefill the instructions."""
    done = await _read(prefiller, load, begun(question, brief))
    return ReadInstructions(done.computed, done.cached)


async def read_conversation(
    prefiller: Prefiller, load: Load, question: Question, brief: Brief, memory: Memory, before: ReadInstructions
) -> ReadConversation:
    """Prefill the earlier conversation, after the instructions."""
    if before.failed:  # the call for the answer reads the rest; another try would only hold it up
        return ReadConversation(failed=True)
    done = await _read(prefiller, load, begun(question, brief, memory))
    return ReadConversation(done.computed, done.cached)


async def read_tools(
    prefiller: Prefiller,
    load: Load,
    question: Question,
    brief: Brief,
    memory: Memory,
    tool_results: ToolResults,
    before: ReadConversation,
) -> ReadTools:
    """Prefill the tool results, after the conversation."""
    if before.failed:
        return ReadTools(failed=True)
    done = await _read(prefiller, load, begun(question, brief, memory, tool_results))
    return ReadTools(done.computed, done.cached)


async def _read(prefiller: Prefiller, load: Load, prompt: Prompt) -> Prefilled:
    if not prompt.segments[-1].text:  # there is nothing new
        return Prefilled()
    if not load.free and not getattr(prefiller, "reads_between", False):  # it would take the place of another call
        return Prefilled()
    return await call(prefiller.prefill, prompt)
