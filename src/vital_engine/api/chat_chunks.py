"""A turn's log as chunks of a chat completion, and its answer as a whole one, in the form of OpenAI's API.

Only the answer stands in ``content``. What OpenAI's form has no place for (the run's id, degraded steps, warnings,
quality, cost) stands in the field ``vital``, which its clients keep or ignore. Citations are ``annotations`` of type
``url_citation``, which chat pages show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from vital_engine.answer import Answer
from vital_engine.modes import Broken, Event, Finished, Token
from vital_engine.nouns import Citation, Usage
from vital_engine.receipt import as_json
from vital_engine.services.checks.markers import markers
from vital_engine.text.sentences import split

from .bodies import links
from .problems import body, told
from .running import CANCELLED, RunningTurn

FINISH: Final = {"length": "length", "content_filter": "content_filter"}
DONE: Final = b"data: [DONE]\n\n"


@dataclass(slots=True)
class ChatChunks:
    """Renders a turn's events for one stream. A turn that broke ends in an error object, and without ``[DONE]``.

    :param base: the address of this service, for links to documents.
    :param ignored: parts of the request that have no effect here.
    """

    entry: RunningTurn
    model: str
    base: str
    ignored: Sequence[str] = ()
    with_usage: bool = False
    _created: int = field(default_factory=lambda: int(time.time()))

    def __call__(self, events: Sequence[Event]) -> bytes:
        """All tokens of one wake-up are one chunk."""
        parts: list[bytes] = []
        text = ""
        for event in events:
            match event:
                case Token(text=more):
                    text += more
                    continue
                case Finished(answer=answer):
                    last = list(self._last(answer))
                case Broken(code=code):
                    last = [_data(self._error(code))]
                case _:
                    last = [self._chunk({"role": "assistant", "content": ""})] if event.seq == 1 else []
            if text and last:
                parts.append(self._chunk({"content": text}))
                text = ""
            parts += last
        if text:
            parts.append(self._chunk({"content": text}))
        return b"".join(parts)

    def _last(self, answer: Answer) -> Iterator[bytes]:
        if answer.error is not None:
            yield _data({**self._error(answer.code), "vital": vital_of(answer, self.ignored)})
            return
        if notes := url_citations(answer, self.base):
            yield self._chunk({"annotations": notes})
        finish = FINISH.get(answer.draft.finish, "stop")
        yield self._chunk({}, finish, vital=vital_of(answer, self.ignored))
        if self.with_usage:
            yield _data({**self._head(), "choices": [], "usage": usage_of(answer.draft.usage)})
        yield DONE

    def _error(self, code: str) -> dict[str, Any]:
        code = self.entry.cut if code == CANCELLED and self.entry.cut else code
        return body(code, told(code), run_id=self.entry.run_id)

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        return _data({**self._head(), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    def _head(self) -> dict[str, Any]:
        return {
            "id": f"chatcmpl-{self.entry.run_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
        }


def completion(answer: Answer, *, model: str, base: str, ignored: Sequence[str]) -> dict[str, Any]:
    """A whole answer as a chat completion."""
    message = {
        "role": "assistant",
        "content": answer.text,
        "refusal": None,
        "annotations": url_citations(answer, base),
    }
    return {
        "id": f"chatcmpl-{answer.run_id}",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": FINISH.get(answer.draft.finish, "stop"),
                "logprobs": None,
            }
        ],
        "usage": usage_of(answer.draft.usage),
        "vital": vital_of(answer, ignored),
    }


def url_citations(answer: Answer, base: str) -> list[dict[str, Any]]:
    """Each citation that leads somewhere, at the place of its marker in the answer: ``text[start_index:end_index]``."""
    notes = []
    sentences = split(answer.text)
    for citation in answer.citations:
        if (place := _place(citation, answer, sentences)) is not None:
            start, end = place
            url_citation = {
                "start_index": start,
                "end_index": end,
                "title": citation.title or citation.document,
                "url": url_of(citation, base),
            }
            notes.append({"type": "url_citation", "url_citation": url_citation})
    return notes


def _place(citation: Citation, answer: Answer, sentences: Sequence[Any]) -> tuple[int, int] | None:
    if not 0 <= citation.sentence < len(sentences):
        return None
    sentence = sentences[citation.sentence]
    for marker in markers(sentence.text, len(answer.evidence.passages)):
        if citation.marker in marker.numbers:
            return sentence.start + marker.start, sentence.start + marker.end
    return None


def url_of(citation: Citation, base: str) -> str:
    """Where the cited text can be read: at its source, if that is on the web, else here (RFC 5147 names the span)."""
    if citation.source.startswith(("https://", "http://")):
        return citation.source
    return f"{base}/v1/documents/{quote(citation.document, safe='')}#char={citation.start},{citation.end}"


def usage_of(usage: Usage | None) -> dict[str, Any] | None:
    """Tokens of the answer; None if nobody counted them."""
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {"cached_tokens": usage.cached},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning},
    }


def vital_of(answer: Answer, ignored: Sequence[str]) -> dict[str, Any]:
    """What OpenAI's form has no place for."""
    usage = answer.draft.usage
    return {
        "run_id": answer.run_id,
        "status": answer.status,
        "expert": answer.expert,
        "model": answer.draft.model,
        "degraded": dict(answer.degraded),
        "warnings": list(answer.warnings),
        "quality": answer.quality.score,
        "cost_usd": as_json(answer.cost.usd),
        "usage_estimated": usage.estimated if usage is not None else None,
        "ignored": list(ignored),
        "links": links(answer.run_id),
    }


def _data(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode("utf-8", "replace")
