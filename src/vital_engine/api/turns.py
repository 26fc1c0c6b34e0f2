"""``/v1/turns``: ask, follow, look at, stop."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Annotated, Final

import anyio
from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from vital_engine.errors import ConfigError, NotFound, VitalError
from vital_engine.modes import StepEvent
from vital_engine.nouns import Memory, Question, Scope
from vital_engine.turn.plan import REGISTER

from .backend import AppState, Principal, TheState
from .events import EVENTS, HEADERS, STORED, EventStream, TurnEvent, ending, rendered, streamed
from .problems import Problem, json_response, refusals, response_of
from .running import LAST_SECONDS, OnDisconnect, RunningTurn
from .schemas import (
    Receipt,
    Turn,
    TurnAccepted,
    TurnCancelled,
    TurnFound,
    TurnProgress,
    TurnRequest,
    links,
    progress,
    turn_body,
)

if TYPE_CHECKING:
    from vital_engine.store import StoredTurn

router = APIRouter(tags=["turns"], responses=refusals(403, 404, 422, 500, 503))

KEYS: Final = uuid.UUID("6f0cbb35-2b1c-5b0e-9d55-6ad6d2f8f0d1")
"""The name space in which an idempotency key of a tenant's user becomes a run id."""
OPEN: Final = frozenset({"paused", "cancelled"})
"""Here this is the last word; in the store there may be a later one: a decision, or what a cancelled turn had said."""
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200)]
LastEvent = Annotated[str | None, Header(alias="Last-Event-ID")]


@router.post(
    "/v1/turns",
    status_code=202,
    response_model=TurnAccepted | TurnFound,
    response_description="The turn was begun; where it is found.",
    responses={
        200: {"content": streamed(TurnEvent), "description": "The turn's events, as they happen."},
        202: {"headers": {"Location": {"description": "Where the turn is found.", "schema": {"type": "string"}}}},
        **refusals(409, 413, 502, 504),
    },
)
async def create_turn(
    asked: TurnRequest, request: Request, app_state: TheState, principal: Principal, key: Key = None
) -> Response:
    """Ask a question. With ``Accept: text/event-stream`` or ``stream: true`` the events follow; else a 202 says where
    they are found.

    The turn does not depend on this request: with ``on_disconnect: continue`` (the default of a 202) it runs on when
    its last reader has gone, with ``cancel`` (the default of a stream) it is stopped then. ``Idempotency-Key``: the
    same key and question again lead to the same turn.
    """
    streams = asked.stream if asked.stream is not None else EVENTS in request.headers.get("accept", "")
    run_id = uuid.uuid5(KEYS, f"{principal.tenant}\0{principal.user}\0{key}").hex if key is not None else ""
    if run_id and (known := await _known(run_id, asked, app_state, principal)) is not None:
        return _again(known, app_state) if streams else json_response(TurnFound(run_id=run_id, **_at(run_id)), 202)
    entry = begin(asked, app_state, principal, otherwise="cancel" if streams else "continue", run_id=run_id)
    if streams:
        return EventStream(entry, rendered(entry), app_state.limits)
    written = await _written_down(entry) and app_state.engine.archive is not None
    if not written and isinstance(entry.log.error, VitalError):
        return response_of(entry.log.error, run_id=entry.run_id)
    body = TurnAccepted(
        run_id=entry.run_id,
        conversation=entry.question.conversation,
        status="running",
        written_down=written,
        **_at(entry.run_id),
    )
    return json_response(body, 202, {"Location": body.turn})


@router.get("/v1/turns/{run_id}", response_model=Turn | TurnProgress, response_model_exclude_unset=True)
async def get_turn(run_id: str, app_state: TheState, principal: Principal) -> Response | TurnProgress:
    """A turn: what is known of it while it runs, and all that clients need of it afterwards."""
    entry = app_state.running.find(run_id, principal)
    if entry is not None and (not entry.log.ended or _status(entry) not in OPEN):
        return _body_here(entry)
    try:
        stored = await _stored(run_id, app_state, principal)
    except NotFound:
        if entry is None:
            raise
        return _body_here(entry)
    line = stored.line
    if stored.receipt is not None:
        return json_response(turn_body(stored.receipt, conversation=line.conversation))
    if entry is not None:
        return _body_here(entry)
    return TurnProgress(
        run_id=line.run_id,
        conversation=line.conversation,
        mode=line.mode,
        status=line.status,
        question=line.question,
        text=stored.text,
        begun_at=line.begun_at.isoformat(),
        links=links(line.run_id),
    )


@router.get(
    "/v1/turns/{run_id}/events",
    response_class=Response,
    responses={
        200: {"content": streamed(TurnEvent), "description": "The turn's events, as they happen."},
        204: {"description": "All events have been seen: do not come back."},
        **refusals(409),
    },
)
async def stream_turn_events(
    run_id: str,
    app_state: TheState,
    principal: Principal,
    after: Annotated[int | None, Query(ge=0, description="As Last-Event-ID, which goes before it.")] = None,
    last: LastEvent = None,
) -> Response:
    """A turn's events from behind the last one that was seen. Of a turn whose log is no more: one final event."""
    if last == STORED:
        return Response(status_code=204)
    seen = _number(last, after or 0)
    entry = app_state.running.find(run_id, principal)
    if entry is None:
        stored = await _stored(run_id, app_state, principal)
        if stored.receipt is None:
            raise _not_here(stored)
        last_event = ending(stored.receipt, id=STORED, conversation=stored.line.conversation)
        return Response(last_event, media_type=EVENTS, headers=HEADERS)
    if seen > len(entry.log.items):
        raise Problem(422, "request.invalid", f"The log has {len(entry.log.items)} events, not {seen}.", run_id=run_id)
    if entry.log.ended and seen == len(entry.log.items):
        return Response(status_code=204)
    return EventStream(entry, rendered(entry), app_state.limits, after=seen)


@router.get("/v1/turns/{run_id}/receipt", response_model=Receipt, responses=refusals(409))
async def get_receipt(run_id: str, app_state: TheState, principal: Principal) -> Response:
    """The turn's whole account: steps, paid calls, citations, approvals, the critical path."""
    entry = app_state.running.find(run_id, principal)
    answer = entry.answer if entry is not None else None
    if answer is not None and answer.status not in OPEN:
        return json_response(answer.receipt())
    if entry is None or (entry.log.ended and app_state.engine.archive is not None):
        stored = await _stored(run_id, app_state, principal)
        if stored.receipt is not None:
            return json_response(stored.receipt)
    elif entry.log.ended:
        raise NotFound(f"of the run {run_id} no receipt was kept")
    raise Problem(409, "turn.running", "The turn has not ended: there is no receipt yet.", run_id=run_id)


@router.post("/v1/turns/{run_id}/cancel", responses=refusals(409))
async def cancel_turn(run_id: str, app_state: TheState, principal: Principal) -> TurnCancelled:
    """Stop the model and the tools of a turn; what was said is kept. A turn that has ended stays as it is."""
    entry = app_state.running.find(run_id, principal)
    if entry is None:
        stored = await _stored(run_id, app_state, principal)
        if stored.receipt is None:
            raise _not_here(stored)
        return TurnCancelled(run_id=run_id, status=stored.line.status, **_at(run_id))
    entry.cancel()
    with anyio.move_on_after(LAST_SECONDS):
        await entry.log.result()
    status = entry.answer.status if entry.answer is not None else "cancelled"
    return TurnCancelled(run_id=run_id, status=status, **_at(run_id))


def begin(
    asked: TurnRequest,
    app_state: AppState,
    principal: Scope,
    *,
    otherwise: OnDisconnect,
    run_id: str = "",
    memory: Memory | None = None,
) -> RunningTurn:
    """Start the turn that was asked for.

    :param otherwise: what a disconnect does, if the request does not say.
    :param memory: what was said before, where the client keeps that.
    :raises Problem: an unknown mode or setting.
    :raises OverCapacity: as :meth:`RunningTurns.begin` does.
    :raises InvalidQuestion: as :meth:`RunningTurns.begin` does.
    """
    if asked.mode not in app_state.engine.modes:
        raise Problem(422, "request.invalid", f"mode: there are {', '.join(map(str, app_state.engine.modes))}.")
    workflow = app_state.engine.workflow(asked.mode)
    question = Question(
        asked.question,
        principal.tenant,
        principal.user,
        conversation=asked.conversation or (uuid.uuid4().hex if workflow.mode.talk == "conversation" else None),
        expert=asked.expert or app_state.engine.expert,
        limits=asked.limits.noun(),
        run_id=run_id,
        memory=memory,
    )
    policy = asked.on_disconnect or otherwise
    try:
        return app_state.running.begin(workflow, question, on_disconnect=policy, overrides=asked.overrides())
    except ConfigError as error:  # a wrong setting is here the request's fault, not the deployment's
        raise Problem(422, error.code, str(error)) from error


async def _known(
    run_id: str, asked: TurnRequest, app_state: AppState, principal: Scope
) -> RunningTurn | StoredTurn | None:
    """The turn that a key has led to before: a running one, a stored one, or None."""
    stored = None
    if app_state.engine.archive is not None and app_state.running.find(run_id, principal) is None:
        try:
            stored = await app_state.engine.archive.show(run_id, principal)
        except NotFound:
            stored = None
    found: RunningTurn | StoredTurn | None
    entry = app_state.running.find(
        run_id, principal
    )  # asked last: nothing may happen between this and the turn's begin
    if entry is not None:
        question, found = entry.question.text, entry
    elif stored is not None:
        # Begun, and neither ended nor here: its process died. It is answered again, and kept once.
        question, found = stored.line.question, stored if stored.receipt is not None else None
    else:
        return None
    if question.strip() != asked.question.strip():
        raise Problem(422, "request.key_reused", "This key was used for another question.", run_id=run_id)
    return found


def _again(known: RunningTurn | StoredTurn, app_state: AppState) -> Response:
    if isinstance(known, RunningTurn):
        return EventStream(known, rendered(known), app_state.limits)
    last_event = ending(known.receipt or {}, id=STORED, conversation=known.line.conversation)
    return Response(last_event, media_type=EVENTS, headers=HEADERS)


def _at(run_id: str) -> dict[str, str]:
    return links(run_id).model_dump()


def _status(entry: RunningTurn) -> str:
    return progress(entry).status if entry.answer is None else entry.answer.status


def _body_here(entry: RunningTurn) -> Response | TurnProgress:
    if entry.answer is None or not entry.log.ended:
        return progress(entry)
    return json_response(turn_body(entry.answer.receipt(), conversation=entry.question.conversation))


def _not_here(stored: StoredTurn) -> Problem:
    run_id = stored.line.run_id
    if stored.line.status == "paused":
        return Problem(409, "turn.paused", "This turn waits for the decision of a person.", run_id=run_id)
    return Problem(409, "turn.elsewhere", "This turn is not run by this server.", run_id=run_id)


async def _written_down(entry: RunningTurn) -> bool:
    """Wait until the turn's beginning is stored, so that "accepted" is true. False if storing failed."""
    async for event in entry.log.reader():
        if isinstance(event, StepEvent) and event.step == REGISTER.name and event.outcome:
            return event.outcome == "done"
    return False


async def _stored(run_id: str, app_state: AppState, principal: Scope) -> StoredTurn:
    if app_state.engine.archive is None:
        raise NotFound(f"no run {run_id}")
    return await app_state.engine.archive.show(run_id, principal)


def _number(last: str | None, otherwise: int) -> int:
    if last is None or last == "":
        return otherwise
    if not last.isdecimal() or len(last) > 9:
        raise Problem(422, "request.invalid", "Last-Event-ID must be the id of an event of this turn.")
    return int(last)
