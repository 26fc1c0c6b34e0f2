"""``/v1/approvals``: the tool calls that wait for a person; list, read and decide them.

A decision decides its call once; the same decision again gets the same response. When all calls of a turn are decided
the turn continues by itself, and its events can be followed like those of any other turn.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, TypeAlias

from fastapi import APIRouter, Query
from pydantic import ConfigDict, Field, model_validator

from vital_engine.errors import Conflict, Expired, InvalidArguments, NotFound, StoreError, ToolError
from vital_engine.modes import Turn
from vital_engine.nouns import ApprovalDecision, ApprovalStatus, Question, Scope
from vital_engine.nouns.codec import JSON, to_json
from vital_engine.store.plain import json_text
from vital_engine.text.visible import visible

from . import schemas
from .backend import AppState, Principal, TheState
from .problems import Problem, refusals
from .schemas import Body, CallStatus, EffectClass, Moment, Money, Source, Strict, TurnStatus, links

if TYPE_CHECKING:
    from vital_engine.store import ApprovalLine, Listing

router = APIRouter(tags=["approvals"], responses=refusals(403, 404, 422, 500, 503))

OPEN: Final = frozenset({"paused", "running"})
"""Statuses of a turn that has not been answered."""
MOST_OF_A_TURN: Final = 1_000
"""Calls of one turn that are looked at to see whether one still waits."""
Status: TypeAlias = Literal["pending"] | ApprovalStatus


class DecisionRequest(Strict):
    """What a person says to one call. ``arguments``: all of them, for an edit, and for nothing else."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"decision": "approve", "reason": "The dose was checked."},
                {"decision": "edit", "arguments": {"dose_mg": 80, "half_lives": 3}},
            ]
        }
    )

    decision: Literal["approve", "reject", "edit"]
    reason: Annotated[str, Field(max_length=2_000)] = ""
    arguments: dict[str, JSON] | None = None

    @model_validator(mode="after")
    def _fits(self) -> DecisionRequest:
        if (self.decision == "edit") != (self.arguments is not None):
            raise ValueError("arguments: needed for the decision 'edit', and for no other")
        if self.arguments is not None and not _keepable(self.arguments):
            raise ValueError("arguments: they hold a NUL, half of a surrogate pair or a number that is none")
        return self

    def decided(self) -> ApprovalDecision:
        """The request as the engine's decision."""
        return ApprovalDecision(self.decision, self.reason, self.arguments)


class Visible(Body):
    """Text of others as JSON in which every character is seen: show this to who decides."""

    tool: str
    arguments: str
    reason: str


class Decided(Body):
    """What was decided, by whom (a user's name) and when."""

    decision: Annotated[str, schemas.one_of("approve", "reject", "edit")]
    reason: str
    by: str
    at: Moment | None


class CallResult(Body):
    """What became of the call. ``status``: done, or why not; ``text``: what the model reads."""

    status: str
    text: str
    error: str


class WaitingTurn(Body):
    """The turn that the call belongs to, as it stands now."""

    status: TurnStatus
    mode: int
    question: str
    conversation: str | None


class ApprovalBody(Body):
    """A tool call that a person is asked about. ``arguments`` are those of the call as it would run, and
    ``arguments_hash`` is theirs; ``decided`` is null until it is decided."""

    id: str
    run_id: str
    status: CallStatus
    tool: str
    arguments: dict[str, JSON]
    visible: Visible
    arguments_hash: str
    proposed_arguments: dict[str, JSON]
    reason: str
    cost_usd: Money
    effect: EffectClass
    tainted: bool
    sources: list[Source]
    needs_consent: bool
    proposed_at: Moment
    expires_at: Moment
    decided: Decided | None
    attempts: int
    result: CallResult | None
    turn: WaitingTurn
    links: schemas.Links


class ApprovalPage(Body):
    """``next``: the ``after`` of the next page; null on the last."""

    approvals: list[ApprovalBody]
    next: str | None


class DecisionBody(Body):
    """``waits_for``: calls of the turn that are not decided yet; ``runs_on``: the turn goes on, or has."""

    approval: ApprovalBody
    run_id: str
    waits_for: list[str]
    runs_on: bool
    links: schemas.Links


@router.get("/v1/approvals")
async def list_approvals(
    app_state: TheState,
    principal: Principal,
    status: Annotated[list[Status] | None, Query(description="Only these; repeatable. pending: not decided.")] = None,
    after: Annotated[str, Query(pattern=r"^(\d{1,18}-\d{1,9})?$", description="Where the page before ended.")] = "",
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ApprovalPage:
    """The calls that you were asked about: of the latest turn first, in a turn as they were proposed. ``next`` is
    where the next page begins; null on the last."""
    statuses = ["proposed" if each == "pending" else each for each in status or ()]
    ordinal, _, position = after.partition("-")
    place = (int(ordinal), int(position)) if after else None
    lines = await _listing(app_state).approvals(principal, statuses=statuses, after=place, limit=limit)
    end = "-".join(map(str, lines[-1].place)) if len(lines) == limit else None
    return ApprovalPage(approvals=[approval_body(line) for line in lines], next=end)


@router.get("/v1/approvals/{approval}")
async def get_approval(approval: str, app_state: TheState, principal: Principal) -> ApprovalBody:
    """One call, and all that became of it."""
    return approval_body(await _listing(app_state).approval(approval, principal))


@router.post("/v1/approvals/{approval}", responses=refusals(409, 410, 413))
async def decide_approval(
    approval: str, said: DecisionRequest, app_state: TheState, principal: Principal
) -> DecisionBody:
    """Approve, reject or edit a call. It is settled once: the same decision again gives the first outcome, another is
    409, one that comes too late 410.

    With the last decision the turn goes on, whether or not anybody reads it: ``runs_on`` says so, ``links.events``
    leads to what happens. A call that was not decided in time counts as not approved; the 410 lets its turn go on.
    """
    line = await _listing(app_state).approval(approval, principal)
    app_state.running.check_room()  # before anything is settled: a decision that is refused can be sent again as it is
    try:
        await _go_on(line, {approval: said.decided()}, app_state, principal)
    except Expired:
        if not _waiting(await _calls(line, app_state, principal)):
            await _go_on(line, {}, app_state, principal)
        raise
    except InvalidArguments as error:
        fields = f" At fault: {', '.join(error.fields)}." if error.fields else ""
        raise Problem(422, error.code, error.public + fields, run_id=line.approval.run_id) from error
    except ToolError as error:
        changed = "The tool has changed since this call was proposed, or is gone: the call cannot be edited."
        raise Problem(409, Conflict.code, changed, run_id=line.approval.run_id) from error
    calls = await _calls(line, app_state, principal)
    settled = next(each for each in calls if each.approval.id == approval)
    waiting = _waiting(calls)
    return DecisionBody(
        approval=approval_body(settled),
        run_id=settled.approval.run_id,
        waits_for=waiting,
        runs_on=not waiting and settled.turn_status in OPEN,
        links=links(settled.approval.run_id),
    )


def approval_body(line: ApprovalLine) -> ApprovalBody:
    """An approval as clients see it."""
    a = line.approval
    call, said, found = a.call, a.decision, a.tool_result
    decided = result = None
    if said is not None:
        decided = Decided(decision=said.action, reason=said.reason, by=a.by, at=to_json(a.decided_at))
    if found is not None:
        result = CallResult(status=found.status, text=found.text, error=found.error)
    return ApprovalBody(
        id=a.id,
        run_id=a.run_id,
        status=a.status,
        tool=call.tool,
        arguments=to_json(call.arguments),
        visible=Visible(
            tool=visible(call.tool), arguments=visible(to_json(call.arguments)), reason=visible(call.reason)
        ),
        arguments_hash=a.arguments_hash,
        proposed_arguments=to_json(a.tool_call.arguments),
        reason=call.reason,
        cost_usd=to_json(call.cost_usd),
        effect=call.effect.value,
        tainted=call.tainted,
        sources=to_json(call.sources),
        needs_consent=call.needs_consent,
        proposed_at=a.proposed_at.isoformat(),
        expires_at=a.expires_at.isoformat(),
        decided=decided,
        attempts=a.attempts,
        result=result,
        turn=WaitingTurn(
            status=line.turn_status, mode=line.mode, question=line.question, conversation=line.conversation
        ),
        links=links(a.run_id),
    )


async def _go_on(
    line: ApprovalLine, decisions: Mapping[str, ApprovalDecision], app_state: AppState, principal: Scope
) -> None:
    """Settle; and where that was the last of the turn's calls, have what runs on among the running turns."""
    run_id = line.approval.run_id
    turn = await app_state.engine.workflow(line.mode).start_resumed(
        run_id, decisions, scope=principal, by=principal.user
    )
    waiting = _waiting(await _calls(line, app_state, principal))
    if line.turn_status in OPEN and not waiting and not _has_log(app_state, run_id, principal, turn):
        question = Question(
            line.question, principal.tenant, principal.user, conversation=line.conversation, run_id=run_id
        )
        app_state.running.take(turn, question, mode=line.mode, on_disconnect="continue")


def _has_log(app_state: AppState, run_id: str, principal: Scope, turn: Turn) -> bool:
    """Whether the log of what follows the pause is here already: that of the first who decided, not of who repeats."""
    entry = app_state.running.find(run_id, principal)
    if entry is None:
        return False
    return entry.turn is turn or not entry.log.ended or (entry.answer is not None and entry.answer.status != "paused")


async def _calls(line: ApprovalLine, app_state: AppState, principal: Scope) -> tuple[ApprovalLine, ...]:
    """All calls of the turn, as they stand now."""
    return await _listing(app_state).approvals(principal, run_id=line.approval.run_id, limit=MOST_OF_A_TURN)


def _waiting(calls: tuple[ApprovalLine, ...]) -> list[str]:
    return [each.approval.id for each in calls if each.approval.pending]


def _keepable(arguments: Mapping[str, Any]) -> bool:
    """Whether the database gives them back as they are: what a person has approved must be what runs."""
    try:
        return bool(json.loads(json_text(arguments)) == arguments)
    except StoreError:
        return False


def _listing(app_state: AppState) -> Listing:
    if app_state.engine.listing is None:
        raise NotFound("this engine keeps no approvals")
    return app_state.engine.listing
