"""A call that is paid for, and what it used: of the model that answers, and of one that suggests tools before it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one model call, as the server reported them.

    :param input: input tokens, including ``cached``.
    :param output: output tokens, including ``reasoning``.
    :param cached: input tokens that the server had in its cache.
    :param reasoning: output tokens that are not part of the text.
    :param estimated: the server reported nothing; the numbers are estimates.
    """

    input: int = 0
    output: int = 0
    cached: int = 0
    reasoning: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Call:
    """A model call, for pricing.

    :param id: id of the call.
    :param purpose: reply, suggest, or why the words of a discarded call are not used.
    :param model: name of the model.
    :param provider: name of the provider.
    :param usage: its tokens; None: unknown.
    :param status: done, partial, failed, cancelled, or discarded (its words are not used).
    """

    id: str
    purpose: str
    model: str
    provider: str
    usage: Usage | None
    status: str = "done"
