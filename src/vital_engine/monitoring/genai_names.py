"""The names that OpenTelemetry gives to what a model does, by version of its GenAI conventions.

The conventions are in development and still rename things, so no other module spells a ``gen_ai.`` name. Sources:
semantic-conventions 1.36 (``gen_ai.system``) and 1.41 (the last release that held them), and 0.1 of their own
repository, semantic-conventions-genai, where they have moved. A name that a version does not have is None, and is
then not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from vital_engine.errors import ConfigError
from vital_engine.turn.plan import RECALL, REPLY, RETRIEVE

#: Stable, of the general conventions.
ERROR_TYPE: Final = "error.type"

INVOKE_AGENT: Final = "invoke_agent"
CHAT: Final = "chat"


@dataclass(frozen=True, slots=True)
class Names:
    """Attribute names. ``operations``: step -> the well-known operation that it is."""

    version: str
    provider: str = "gen_ai.provider.name"
    operation: str = "gen_ai.operation.name"
    agent: str = "gen_ai.agent.name"
    conversation: str = "gen_ai.conversation.id"
    response_model: str = "gen_ai.response.model"
    finish_reasons: str = "gen_ai.response.finish_reasons"
    input_tokens: str = "gen_ai.usage.input_tokens"
    output_tokens: str = "gen_ai.usage.output_tokens"
    cached_tokens: str | None = "gen_ai.usage.cache_read.input_tokens"
    reasoning_tokens: str | None = "gen_ai.usage.reasoning.output_tokens"
    time_to_first_chunk: str | None = "gen_ai.response.time_to_first_chunk"
    input_messages: str | None = "gen_ai.input.messages"
    output_messages: str | None = "gen_ai.output.messages"
    documents: str | None = "gen_ai.retrieval.documents"
    query: str | None = "gen_ai.retrieval.query.text"
    operations: Mapping[str, str] = field(
        default_factory=lambda: {REPLY.name: CHAT, RETRIEVE.name: "retrieval", RECALL.name: "search_memory"}
    )


_V0_1: Final = Names("0.1")
_V1_41: Final = replace(_V0_1, version="1.41", operations={REPLY.name: CHAT, RETRIEVE.name: "retrieval"})
_V1_36: Final = replace(
    _V1_41,
    version="1.36",
    provider="gen_ai.system",
    cached_tokens=None,
    reasoning_tokens=None,
    time_to_first_chunk=None,
    input_messages=None,
    output_messages=None,
    documents=None,
    query=None,
    operations={REPLY.name: CHAT},
)
VERSIONS: Final[Mapping[str, Names]] = {n.version: n for n in (_V1_36, _V1_41, _V0_1)}
LATEST: Final = _V0_1.version


def names(version: str = LATEST) -> Names:
    """The names of one *version*.

    :raises ConfigError: it is not one of :data:`VERSIONS`.
    """
    if version not in VERSIONS:
        raise ConfigError(f"no GenAI names of version {version!r}; there are {', '.join(VERSIONS)}")
    return VERSIONS[version]
