"""``/v1/chat/completions`` and ``/v1/models``: the engine behind any client of OpenAI's API.

Models are experts: ``expert/<id>``, and ``auto`` for whoever fits. The question is the last user message, and the messages
before it are what was said before. What else a request says (system messages, sampling, tools of the client) has no
effect here: it is named in ``vital.ignored`` of the answer. What would make the answer wrong if it were ignored (``n``
above 1, another form of answer) is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

import anyio
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from vital_engine.nouns import Memory, Scope
from vital_engine.turn.ask import LONGEST_NAME

from .app_state import AppState, Principal, TheDesk
from .bodies import TurnLimits, TurnRequest, degradations
from .chat_chunks import ChatChunks, completion, vital_of
from .earlier import Message, Window, earlier
from .events import EventStream
from .problems import Problem, body, response_of, told
from .running import RunningTurn
from .turns import begin

router = APIRouter(tags=["chat completions"])

AUTO: Final = "auto"
EXPERT: Final = "expert/"
MODE: Final = 2
TALK: Final = 4
"""The mode of a conversation that is kept here."""
LOOK_SECONDS: Final = 0.5
"""How often a request that waits for a whole answer looks whether its client is still there."""
NO_RETRY: Final = {"X-Should-Retry": "false"}
"""OpenAI's clients ask again after a 5xx by themselves; a turn that ran and broke is not to be paid twice for that."""


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatRequest(BaseModel):
    """The part of OpenAI's request that is obeyed. The rest is accepted, as its clients send much of it unasked."""

    model_config = ConfigDict(extra="allow")

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
        else:  # what is kept here counts: nothing is told twice
            memory, ignored = None, [f"messages[{i}]" for i in range(asked)]
        ignored += [f"messages[{asked}].{part}" for part in self.messages[asked].unread()]
        ignored += [f"messages[{i}]" for i in range(asked + 1, len(self.messages))]
        return memory, [*ignored, *sorted(extra)]


@router.get("/v1/models")
async def models(app_state: TheDesk, principal: Principal) -> dict[str, Any]:
    """Who may be asked: ``auto``, and each expert."""
    names = [AUTO, *(EXPERT + each for each in await _experts(app_state, principal, MODE))]
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": 0, "owned_by": "vital-engine"} for name in names],
    }


@router.post(
    "/v1/chat/completions", response_class=JSONResponse, responses={200: {"content": {"text/event-stream": {}}}}
)
async def chat(asked: ChatRequest, request: Request, app_state: TheDesk, principal: Principal) -> Response:
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


async def _whole(
    entry: RunningTurn, request: Request, *, model: str, base: str, ignored: Sequence[str]
) -> JSONResponse:
    """The whole answer, once it is there. An incomplete one is an error, with what there is of it beside."""
    with entry.reading():
        while not entry.log.ended and not await request.is_disconnected():
            with anyio.move_on_after(LOOK_SECONDS):
                await entry.log.result()
    answer = entry.answer
    if answer is None:
        code = entry.cut or getattr(entry.log.error, "code", "turn")
        status = 503 if entry.cut else response_of(entry.log.error).status_code
        return JSONResponse(body(code, told(code), run_id=entry.run_id), status, NO_RETRY)
    vital = vital_of(answer, ignored)
    if answer.error is not None:
        broken = response_of(answer.error, run_id=answer.run_id, more={"vital": {**vital, "partial": answer.text}})
        broken.headers.update(NO_RETRY)
        return broken
    headers = {"X-Vital-Degraded": degradations(answer)} if answer.degraded else {}
    return JSONResponse(completion(answer, model=model, base=base, ignored=ignored), headers=headers)


async def _expert(model: str, app_state: AppState, principal: Scope, mode: int) -> str | None:
    """The expert that *model* names; None for whoever fits."""
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
