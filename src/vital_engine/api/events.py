"""A turn's log as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

``id`` is the event's number in the log, ``event`` its kind, ``data`` one line of JSON. A reader that returns with the
last id that it has seen continues from there, without a gap and without a repetition: there is one log, and readers are
indexes into it. All that is new at a wake-up is one write, and there are at most a hundred of them in a second.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal

import anyio
from fastapi.sse import KEEPALIVE_COMMENT
from pydantic import BaseModel, Field, RootModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from vital_engine.modes import Broken, Cited, Event, Finished, Spent, Started, Token
from vital_engine.modes import StepEvent as StepProgress
from vital_engine.monitoring.logs import logger
from vital_engine.nouns.codec import JSON, to_json

from . import schemas
from .limits import ServerLimits
from .problems import told
from .running import CANCELLED, RunningTurn
from .schemas import Body, Reason, StepOutcome, turn_body

Render = Callable[[Sequence[Event]], bytes]
"""Events as bytes of a stream; called with the log's events in order, each once."""

EVENTS: Final = "text/event-stream"
STORED: Final = "stored"
"""The id of the one event of a turn whose log is no more."""
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
"""No proxy is to keep or to hold back what streams (the second is nginx's)."""

_log = logger("vital_engine.api")
_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


class StartedData(Body):
    """The turn has an id."""

    seq: int
    run_id: str
    conversation: str | None


class StepData(Body):
    """A step began (``outcome`` is empty) or ended. ``at``: seconds since the start."""

    seq: int
    step: str
    at: float
    outcome: StepOutcome | Literal[""]
    seconds: float
    reason: Reason | Literal[""]


class TokenData(Body):
    """A piece of the answer."""

    seq: int
    text: str


class CitationData(Body):
    """A marker of the answer was checked."""

    seq: int
    citation: schemas.Citation


class CostData(Body):
    """The cost so far; an estimate until the end."""

    seq: int
    cost: schemas.Cost


class EndData(Body):
    """``seq`` is left out where the event comes from the store."""

    seq: int | None = None
    turn: schemas.Turn


class ErrorData(Body):
    """``turn``: what there is of the answer; ``run_id`` stands here where there is nothing of it."""

    seq: int | None = None
    code: str
    message: str
    turn: schemas.Turn | None = None
    run_id: str | None = None


class _Event(Body):
    """``id``: the event's number in the log, or ``stored``."""

    id: str


class StartedEvent(_Event):
    """Always the first one."""

    event: Literal["started"]
    data: StartedData


class StepEvent(_Event):
    """Progress of a step."""

    event: Literal["step"]
    data: StepData


class TokenEvent(_Event):
    """Nothing else writes to the answer."""

    event: Literal["token"]
    data: TokenData


class CitationEvent(_Event):
    """A citation of the text so far."""

    event: Literal["citation"]
    data: CitationData


class CostEvent(_Event):
    """What the turn has cost so far."""

    event: Literal["cost"]
    data: CostData


class FinishedEvent(_Event):
    """The answer is whole. Always the last one."""

    event: Literal["finished"]
    data: EndData


class PausedEvent(_Event):
    """The turn waits for a person: ``turn.proposed``. The last one, until it goes on."""

    event: Literal["paused"]
    data: EndData


class ErrorEvent(_Event):
    """The answer broke off. Always the last one."""

    event: Literal["error"]
    data: ErrorData


class TurnEvent(
    RootModel[
        Annotated[
            StartedEvent
            | StepEvent
            | TokenEvent
            | CitationEvent
            | CostEvent
            | FinishedEvent
            | PausedEvent
            | ErrorEvent,
            Field(discriminator="event"),
        ]
    ]
):
    """One server-sent event of a turn, by its fields; ``data`` is JSON on one line."""


def streamed(model: type[BaseModel]) -> dict[str, Any]:
    """How a route describes a stream of *model*, for its ``content``: a text, each event of which is one.

    Not as the body's own schema: generated clients would read a stream as one object. OpenAPI 3.2 has ``itemSchema`` for
    this, 3.1 refuses it. The application adds the model's schema.
    """
    item = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {EVENTS: {"schema": {"type": "string", "contentMediaType": EVENTS, "contentSchema": item}}}


def frame(data: Mapping[str, Any], *, id: int | str, kind: str) -> bytes:  # noqa: A002 - the field's name in SSE
    """One event. Half a surrogate pair, which a model may emit, cannot be sent and becomes a question mark."""
    return f"id: {id}\nevent: {kind}\ndata: {_json.encode(data)}\n\n".encode("utf-8", "replace")


def ending(receipt: Mapping[str, Any], *, id: int | str, conversation: str | None) -> bytes:  # noqa: A002
    """The last event of a turn: ``finished`` if its answer is whole, ``paused`` if it waits for a person, else ``error``
    with what there is of it."""
    turn = turn_body(receipt, conversation=conversation)
    seq = {"seq": id} if isinstance(id, int) else {}
    if turn["error"] is None:
        return frame({**seq, "turn": turn}, id=id, kind="paused" if turn["status"] == "paused" else "finished")
    return frame({**seq, **turn["error"], "turn": turn}, id=id, kind="error")


def rendered(entry: RunningTurn) -> Render:
    """How this service tells a turn's events."""

    def render(events: Sequence[Event]) -> bytes:
        return b"".join(_one(event, entry) for event in events)

    return render


def _one(event: Event, entry: RunningTurn) -> bytes:
    data: dict[str, JSON] = {"seq": event.seq}
    match event:
        case Token(text=text):
            data["text"] = text
        case Started(run_id=run_id):
            data |= {"run_id": run_id, "conversation": entry.question.conversation}
        case StepProgress():
            data = {name: value for name, value in to_json(event).items() if name != "kind"}
        case Cited(citation=citation):
            data["citation"] = to_json(citation)
        case Spent(cost=cost):
            data["cost"] = {"usd": to_json(cost.usd), "at_least_usd": to_json(cost.at_least)}
        case Finished(answer=answer):
            return ending(answer.receipt(), id=event.seq, conversation=entry.question.conversation)
        case Broken(code=code, message=message):
            if code == CANCELLED and entry.cut:
                code, message = entry.cut, told(entry.cut)
            data |= {"code": code, "message": message, "run_id": entry.run_id}
    return frame(data, id=event.seq, kind=event.kind)


class LogReader(AsyncIterator[bytes]):
    """Reads a turn's log from behind event number *after* on, as *render* tells it.

    A plain iterator, not a generator: a reader that breaks off leaves nothing for the loop to close. It holds one
    write at most; what it has not taken yet stands in the log, which all readers share.
    """

    def __init__(self, entry: RunningTurn, render: Render, limits: ServerLimits, *, after: int = 0) -> None:
        self._log, self._render, self._at = entry.turn.events, render, after
        self._idle, self._most = limits.idle_seconds, max(1, limits.frame_bytes // 256)
        self._gap, self._not_before = limits.gap_seconds, 0.0

    async def __anext__(self) -> bytes:
        log, loop = self._log, asyncio.get_running_loop()
        if not log.ended and (early := self._not_before - loop.time()) > 0:
            await asyncio.sleep(early)
        while self._at >= len(log.items):
            if log.ended:
                raise StopAsyncIteration
            with anyio.move_on_after(self._idle) as waited:
                await log.wait_for_item()
            if waited.cancelled_caught:
                return KEEPALIVE_COMMENT
        fresh = log.items[self._at : self._at + self._most]
        self._at += len(fresh)
        self._not_before = loop.time() + self._gap
        return self._render(fresh)


class EventStream(StreamingResponse):
    """A response that reads a turn's log. However it ends, also before its first event, the turn learns of it."""

    media_type = EVENTS

    def __init__(self, entry: RunningTurn, render: Render, limits: ServerLimits, *, after: int = 0) -> None:
        super().__init__(LogReader(entry, render, limits, after=after), headers=HEADERS)
        self._entry, self._stalled = entry, limits.stalled_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._entry.reading():
            try:
                await super().__call__(scope, receive, send)
            except TimeoutError:
                _log.warning("stalled reader dropped", run_id=self._entry.run_id, seconds=self._stalled)

    async def stream_response(self, send: Send) -> None:
        """Write the events until the last one, or until the reader is gone."""

        async def patient(message: Any) -> None:
            with anyio.fail_after(self._stalled):  # the server holds us here while the socket takes nothing
                await send(message)

        await super().stream_response(patient)
