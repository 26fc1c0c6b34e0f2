"""Whether the arguments of a proposed call may hold text that is not the person's own.

Worked out in one place, when a proposal enters the turn: what cannot be shown to come from the question's own text is
tainted. A mark that is set stays set, so that working it out again changes nothing.

===============================================  =====================================================
the suggester says that it read                  tainted
===============================================  =====================================================
the question, or what a person wrote             no
conversation, evidence or results of tools       yes
with a model, the question alone                 unless each value stands in the question's own text
nothing                                          the same; yes, if a conversation was handed in with it
===============================================  =====================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import replace
from typing import Any, Final

from .asked import Question
from .gathered import ArgumentSource, ToolCall, ToolSuggestions

__all__ = ["edited", "marked"]

_VOUCHED: Final = frozenset({ArgumentSource.QUESTION, ArgumentSource.PERSON})
_NUMBER: Final = re.compile(r"[-+−]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD: Final = re.compile(r"\w+")


def marked(suggestions: ToolSuggestions, question: Question) -> ToolSuggestions:
    """*suggestions*, with each call tainted that is not shown to come from *question*'s own text."""
    tool_calls = tuple(_marked(tool_call, question) for tool_call in suggestions.tool_calls)
    return replace(suggestions, tool_calls=tool_calls) if tool_calls != suggestions.tool_calls else suggestions


def edited(tool_call: ToolCall, arguments: Mapping[str, Any]) -> ToolCall:
    """*tool_call* with a person's *arguments*: still tainted if any value, or word of one, is left of what was proposed."""
    left = not _atoms(arguments).isdisjoint(_atoms(tool_call.arguments))
    sources = (*tool_call.sources, ArgumentSource.PERSON) if left else (ArgumentSource.PERSON,)
    return replace(tool_call, arguments=arguments, tainted=tool_call.tainted and left, sources=sources)


def _marked(tool_call: ToolCall, question: Question) -> ToolCall:
    if not tool_call.sources and question.memory is not None:
        tool_call = replace(tool_call, sources=(ArgumentSource.CONVERSATION,))
    if tool_call.tainted or not _foreign(tool_call, question):
        return tool_call
    return replace(tool_call, tainted=True)


def _foreign(tool_call: ToolCall, question: Question) -> bool:
    read = set(tool_call.sources)
    if read - _VOUCHED - {ArgumentSource.MODEL}:
        return True
    if read and ArgumentSource.MODEL not in read:
        return False
    text = _flat(question.text)
    return not all(_stands(leaf, text) for value in tool_call.arguments.values() for leaf in _leaves(value))


def _stands(leaf: Any, text: str) -> bool:
    """Whether *text* says *leaf*. A yes or no is said by no word of its own, and None says nothing."""
    match leaf:
        case None:
            return True
        case bool():
            return False
        case int() | float():
            return any(leaf in _read(found[0]) for found in _NUMBER.finditer(text))
        case str():
            sought = re.escape(_flat(leaf))
            return re.search(rf"(?<!\w){sought}(?!\w)", text) is not None if sought else True
        case _:
            return False


def _read(number: str) -> tuple[float, float]:
    """A number as it is written, and without its sign: in "6-7" the second one is 7."""
    value = float(number.replace(",", "").replace("−", "-"))
    return value, abs(value)


def _flat(text: str) -> str:
    return " ".join(text.casefold().split())


def _leaves(value: Any) -> Iterator[Any]:
    """The values in *value*, and the names of its mappings: their author chose those too."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield name
            yield from _leaves(item)
    elif isinstance(value, list | tuple | Set):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def _atoms(arguments: Mapping[str, Any]) -> set[Any]:
    """Words, numbers and yes or no, of all values of a call."""
    found: set[Any] = set()
    for leaf in (leaf for value in arguments.values() for leaf in _leaves(value)):
        if isinstance(leaf, str):
            found.update(_WORD.findall(leaf.casefold()) or ([leaf] if leaf.strip() else []))
        elif leaf is not None:
            found.add(leaf)
    return found
