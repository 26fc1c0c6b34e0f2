"""``/v1/chat/completions`` and ``/v1/models``: the engine behind any client of OpenAI's API.

Models are experts: ``expert/<id>``, and ``auto``: the engine chooses. The question is the last user message, and the messages
before it are what was said before. What else a request says (system messages, sampling, tools of the client) has no
effect here: it is named in ``vital.ignored`` of the answer. What would make the answer wrong if it were ignored (``n``
above 1, another form of answer) is refused.

Only the answer stands in ``content``. What OpenAI's form has no place for (the run's id, degraded steps, warnings,
quality, cost) stands in the field ``vital``, which its clients keep or ignore. Citations are ``annotations`` of type
``url_citation``, which chat pages show.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import quote

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, RootModel

from vital_engine.errors import VitalError
from vital_engine.modes import Broken, Event, Finished, Token
from vital_engine.nouns import Answer, Citation, Memory, PastTurn, Scope, Usage
from vital_engine.nouns.codec import JSON, to_json
from vital_engine.services.checks.markers import markers
from vital_engine.text.sentences import split
from vital_engine.turn.ask import LONGEST_NAME

from .backend import AppState, Principal, TheState
from .events import EventStream, streamed
from .problems import ErrorBody, Problem, body, json_response, refusals, retry_after, status_of, told
from .running import CANCELLED, RunningTurn
from .schemas import AnswerStatus, Body, Links, Money, Reason, TurnLimits, TurnRequest, degradations, links, one_of
from .turns import begin

router = APIRouter(tags=["chat completions"], responses=refusals(403, 422, 500, 503))

AUTO: Final = "auto"
EXPERT: Final = "expert/"
MODE: Final = 2
TALK: Final = 4
"""The mode of a conversation that is kept here."""
LOOK_SECONDS: Final = 0.5
"""How often a request that waits for a whole answer looks whether its client is still there."""
NO_RETRY: Final = {"X-Should-Retry": "false"}
"""OpenAI's clients ask again after a 5xx by themselves; a turn that ran and broke is not to be paid twice for that."""
FINISH: Final = {"length": "length", "content_filter": "content_filter"}
DONE: Final = b"data: [DONE]\n\n"
FinishReason: TypeAlias = Annotated[str, one_of("stop", *FINISH)]
Window = Callable[[Sequence[PastTurn]], tuple[PastTurn, ...]]
"""Which of a conversation's turns, given newest first, the model is shown, oldest first."""


class Message(BaseModel):
    """``content``: text, or parts of which those of type ``text`` are read."""

    role: str
    content: str | list[dict[str, JSON]] | None = None
    tool_calls: Any = None

    def text(self) -> str:
        """The text of the message, its parts joined."""
        if isinstance(self.content, list):
            return "\n".join(str(part.get("text", "")) for part in self.content if part.get("type") == "text")
        return self.content or ""

    def unread(self) -> list[str]:
        """What it has beside text, by name."""
        parts = self.content if isinstance(self.content, list) else []
        beside = [f"content[{i}]" for i, part in enumerate(parts) if part.get("type") != "text"]
        return [*beside, "tool_calls"] if self.tool_calls else beside


class StreamOptions(BaseModel):
    """What a stream should hold besides the text."""

    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of OpenAI's request that is obeyed. The rest is accepted, as its clients send much of it unasked."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [{"model": "auto", "messages": [{"role": "user", "content": "Does metformin lower HbA1c?"}]}]
        },
    )

    model: str = AUTO
    messages: Annotated[list[Message], Field(min_length=1, max_length=1_000)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    conversation: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = None

    def question(self) -> int:
        """Which message is the question. Problem if there is none."""
        for i in range(len(self.messages) - 1, -1, -1):
            if self.messages[i].role == "user":
                return i
        raise Problem(422, "request.invalid", "messages: there is no message of role 'user'.")

    def before(self, window: Window) -> tuple[Memory | None, list[str]]:
        """What was said before, if it is not kept here; and what has no effect, by name.

        System messages have none: an expert's instructions are the deployment's, and text is never one.
        """
        extra = self.model_extra or {}
        form = extra.get("response_format")
        if isinstance(form, dict) and form.get("type", "text") != "text":
            raise Problem(422, "request.invalid", "response_format: only 'text' is answered here.")
        asked = self.question()
        if self.conversation is None:
            memory, ignored = earlier(self.messages[:asked], window)
        else:  # what is kept here counts: nothing comes twice
            memory, ignored = None, [f"messages[{i}]" for i in range(asked)]
        ignored += [f"messages[{asked}].{part}" for part in self.messages[asked].unread()]
        ignored += [f"messages[{i}]" for i in range(asked + 1, len(self.messages))]
        return memory, [*ignored, *sorted(extra)]


class UrlCitation(Body):
    """The marker's place in the text (``text[start_index:end_index]``), and where the cited text can be read."""

    start_index: int
    end_index: int
    title: str
    url: str


class Annotation(Body):
    """A citation, as chat pages show it."""

    type: Annotated[str, one_of("url_citation")]
    url_citation: UrlCitation


class ChatMessage(Body):
    """The answer. Only its text stands in ``content``."""

    role: Annotated[str, one_of("assistant")]
    content: str
    refusal: str | None
    annotations: list[Annotation]


class ChatChoice(Body):
    """There is one: ``n`` above 1 is refused."""

    index: int
    message: ChatMessage
    finish_reason: FinishReason
    logprobs: None


class CachedTokens(Body):
    """A part of the prompt's tokens."""

    cached_tokens: int


class ReasoningTokens(Body):
    """A part of the answer's tokens."""

    reasoning_tokens: int


class ChatUsage(Body):
    """Tokens, as the model's server counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens
    completion_tokens_details: ReasoningTokens


class Vital(Body):
    """What OpenAI's form has no place for. ``ignored``: parts of the request that have no effect here; ``partial``: what
    was said before the turn broke, where this is the body of an error."""

    run_id: str
    status: AnswerStatus
    expert: str
    model: str
    degraded: dict[str, Reason]
    warnings: list[str]
    quality: float | None
    cost_usd: Money | None
    usage_estimated: bool | None
    ignored: list[str]
    links: Links
    partial: str = ""


class ChatCompletion(Body):
    """A whole answer."""

    id: str
    object: Annotated[str, one_of("chat.completion")]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage | None
    vital: Vital


class ChatDelta(Body):
    """What is new. The first has the role, the last but one all citations."""

    role: Annotated[str, one_of("assistant")] | None = None
    content: str | None = None
    annotations: list[Annotation] | None = None


class ChunkChoice(Body):
    """``finish_reason``: null but in the last chunk of the answer."""

    index: int
    delta: ChatDelta
    finish_reason: FinishReason | None


class ChatCompletionChunk(Body):
    """``choices`` is empty where ``usage`` stands; ``vital`` is in the chunk with the ``finish_reason``."""

    id: str
    object: Annotated[str, one_of("chat.completion.chunk")]
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsage | None = None
    vital: Vital | None = None


class ChatError(ErrorBody):
    """``vital``: of a turn that ran and broke."""

    vital: Vital | None = None


class ChatStream(RootModel[ChatCompletionChunk | ChatError]):
    """The ``data`` of one event of the stream. After the last chunk comes ``[DONE]``; after an error nothing."""


class ModelEntry(Body):
    """An expert, or ``auto``."""

    id: str
    object: Annotated[str, one_of("model")]
    created: int
    owned_by: str


class ModelList(Body):
    """As OpenAI's clients list them."""

    object: Annotated[str, one_of("list")]
    data: list[ModelEntry]


@router.get("/v1/models")
async def list_models(app_state: TheState, principal: Principal) -> ModelList:
    """The experts as models, and ``auto``."""
    names = [AUTO, *(f"{EXPERT}{each}" for each in await _experts(app_state, principal, MODE))]
    entries = [ModelEntry(id=name, object="model", created=0, owned_by="vital-engine") for name in names]
    return ModelList(object="list", data=entries)


@router.post(
    "/v1/chat/completions",
    response_model=ChatCompletion,
    response_description="The whole answer; or its chunks, with `stream`.",
    responses={
        200: {
            "content": streamed(ChatStream),
            "headers": {
                "X-Vital-Degraded": {
                    "description": "Steps that did not do their part, and why; left out if all did.",
                    "schema": {"type": "string", "examples": ["retrieve=timeout, tally=error"]},
                }
            },
        },
        **refusals(413),
        **refusals(403, 404, 409, 422, 500, 502, 503, 504, model=ChatError),
    },
)
async def create_chat_completion(
    asked: ChatRequest, request: Request, app_state: TheState, principal: Principal
) -> Response:
    """Answer the last user message, whole or as a stream. The turn is stopped when the client goes."""
    memory, ignored = asked.before(app_state.engine.window)
    mode = TALK if asked.conversation is not None and TALK in app_state.engine.modes else MODE
    expert = await _expert(asked.model, app_state, principal, mode)
    question = TurnRequest(
        question=asked.messages[asked.question()].text(),
        mode=mode,
        expert=expert,
        conversation=asked.conversation,
        limits=TurnLimits(output_tokens=asked.max_completion_tokens or asked.max_tokens),
    )
    entry = begin(question, app_state, principal, otherwise="cancel", memory=memory)
    base = str(request.base_url).rstrip("/")
    if asked.stream:
        usage = asked.stream_options is not None and asked.stream_options.include_usage
        chunks = ChatChunks(entry, asked.model, base, ignored, usage)
        return EventStream(entry, chunks, app_state.limits)
    return await _whole(entry, request, model=asked.model, base=base, ignored=ignored)


async def _whole(entry: RunningTurn, request: Request, *, model: str, base: str, ignored: Sequence[str]) -> Response:
    """The whole answer, once it is there. An incomplete one is an error, with what there is of it beside."""
    with entry.reading():
        while not entry.log.ended and not await request.is_disconnected():
            with anyio.move_on_after(LOOK_SECONDS):
                await entry.log.result()
    answer = entry.answer
    if answer is None:
        code = entry.cut or getattr(entry.log.error, "code", "turn")
        status = 503 if entry.cut else status_of(entry.log.error)
        return json_response(body(code, told(code), run_id=entry.run_id), status, NO_RETRY)
    vital = vital_of(answer, ignored)
    if answer.error is not None:
        vital.partial = answer.text
        code = answer.error.code if isinstance(answer.error, VitalError) else VitalError.code
        broken = ChatError(error=body(code, told(code), run_id=answer.run_id).error, vital=vital)
        return json_response(broken, status_of(answer.error), {**retry_after(answer.error), **NO_RETRY})
    headers = {"X-Vital-Degraded": degradations(answer)} if answer.degraded else {}
    return json_response(completion(answer, model=model, base=base, ignored=ignored), headers=headers)


async def _expert(model: str, app_state: AppState, principal: Scope, mode: int) -> str | None:
    """The expert that *model* names; None: the engine chooses."""
    if model == AUTO:
        return None
    name = model.removeprefix(EXPERT)
    if not model.startswith(EXPERT) or name not in await _experts(app_state, principal, mode):
        raise Problem(404, "model_not_found", f"There is no model {model!r}; see /v1/models.")
    return name


async def _experts(app_state: AppState, principal: Scope, mode: int) -> list[str]:
    if app_state.engine.experts is None:
        return []
    return [each.id for each in await app_state.engine.experts(principal.tenant) if mode in each.modes]


@dataclass(slots=True)
class _Said:
    """A turn of messages that follow each other: the user's, then the assistant's. ``at``: their numbers."""

    question: list[str] = field(default_factory=list)
    answer: list[str] = field(default_factory=list)
    at: list[int] = field(default_factory=list)

    def turn(self) -> PastTurn:
        return PastTurn("\n".join(self.question), "\n".join(self.answer))


def earlier(messages: Sequence[Message], window: Window) -> tuple[Memory | None, list[str]]:
    """*messages*, which came before the question, as a Memory; and what has no effect, by name.

    Texts of the roles ``user`` and ``assistant`` are taken, as many of the latest as *window* shows. None: there are none.
    """
    said: list[_Said] = []
    names: dict[int, list[str]] = {}
    for i, message in enumerate(messages):
        text = message.text().replace("\x00", "").strip()
        if message.role not in {"user", "assistant"} or not text:
            names[i] = [f"messages[{i}]"]
            continue
        names[i] = [f"messages[{i}].{part}" for part in message.unread()]
        users = message.role == "user"
        if not said or (users and said[-1].answer):
            said.append(_Said())
        (said[-1].question if users else said[-1].answer).append(text)
        said[-1].at.append(i)
    shown = window([each.turn() for each in reversed(said)])
    for dropped in said[: len(said) - len(shown)]:
        names |= {i: [f"messages[{i}]"] for i in dropped.at}
    ignored = [name for i in sorted(names) for name in names[i]]
    return Memory(turns=shown) if shown else None, ignored


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
            yield _data({**self._error(answer.code), "vital": _plain(vital_of(answer, self.ignored))})
            return
        if notes := url_citations(answer, self.base):
            yield self._chunk({"annotations": [_plain(note) for note in notes]})
        finish = FINISH.get(answer.draft.finish, "stop")
        yield self._chunk({}, finish, vital=_plain(vital_of(answer, self.ignored)))
        if self.with_usage:
            usage = usage_of(answer.draft.usage)
            yield _data({**self._head(), "choices": [], "usage": usage and _plain(usage)})
        yield DONE

    def _error(self, code: str) -> dict[str, JSON]:
        code = self.entry.cut if code == CANCELLED and self.entry.cut else code
        return _plain(body(code, told(code), run_id=self.entry.run_id))

    def _chunk(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        return _data({**self._head(), "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more})

    def _head(self) -> dict[str, str | int]:
        return {
            "id": f"chatcmpl-{self.entry.run_id}",
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self.model,
        }


def completion(answer: Answer, *, model: str, base: str, ignored: Sequence[str]) -> ChatCompletion:
    """A whole answer as a chat completion."""
    choice = ChatChoice(
        index=0,
        message=ChatMessage(
            role="assistant", content=answer.text, refusal=None, annotations=url_citations(answer, base)
        ),
        finish_reason=FINISH.get(answer.draft.finish, "stop"),
        logprobs=None,
    )
    return ChatCompletion(
        id=f"chatcmpl-{answer.run_id}",
        object="chat.completion",
        created=int(time.time()),
        model=model,
        choices=[choice],
        usage=usage_of(answer.draft.usage),
        vital=vital_of(answer, ignored),
    )


def url_citations(answer: Answer, base: str) -> list[Annotation]:
    """Each citation that leads somewhere, at the place of its marker in the answer: ``text[start_index:end_index]``."""
    notes = []
    sentences = split(answer.text)
    for citation in answer.citations:
        if (place := _place(citation, answer, sentences)) is not None:
            start, end = place
            url_citation = UrlCitation(
                start_index=start,
                end_index=end,
                title=citation.title or citation.document,
                url=url_of(citation, base),
            )
            notes.append(Annotation(type="url_citation", url_citation=url_citation))
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


def usage_of(usage: Usage | None) -> ChatUsage | None:
    """Tokens of the answer; None: they were not counted."""
    if usage is None:
        return None
    return ChatUsage(
        prompt_tokens=usage.input,
        completion_tokens=usage.output,
        total_tokens=usage.input + usage.output,
        prompt_tokens_details=CachedTokens(cached_tokens=usage.cached),
        completion_tokens_details=ReasoningTokens(reasoning_tokens=usage.reasoning),
    )


def vital_of(answer: Answer, ignored: Sequence[str]) -> Vital:
    """What OpenAI's form has no place for."""
    usage = answer.draft.usage
    return Vital(
        run_id=answer.run_id,
        status=answer.status,
        expert=answer.expert,
        model=answer.draft.model,
        degraded=dict(answer.degraded),
        warnings=list(answer.warnings),
        quality=answer.quality.score,
        cost_usd=to_json(answer.cost.usd),
        usage_estimated=usage.estimated if usage is not None else None,
        ignored=list(ignored),
        links=links(answer.run_id),
    )


def _plain(model: BaseModel) -> dict[str, JSON]:
    return model.model_dump(exclude_unset=True)


def _data(value: Mapping[str, Any]) -> bytes:
    return f"data: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode("utf-8", "replace")
