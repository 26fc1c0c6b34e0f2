"""A person's decision in a graph: a node of its own, paused by LangGraph's interrupt, kept by the port Approvals.

The interrupt is an exception that LangGraph must see, so it is raised here and never inside a step. What is written
down before it is written once: the node runs again from its beginning when the graph is resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from langgraph.errors import GraphInterrupt
from langgraph.types import interrupt

from vital_engine.approving import asked
from vital_engine.errors import Conflict, Expired, InvalidArguments, NotFound, Refused, VitalError
from vital_engine.flow import Degraded, Done, Failed
from vital_engine.nouns import Approval, Claim, Consent, Paused, PausedTurn, Question, Scope
from vital_engine.ports import Approvals, ArgumentValidator
from vital_engine.receipt import as_json

from .assemble import assemble_paused, later
from .consent import by_person, not_asked
from .decisions import decisions_of, validated
from .graph_turn import Here
from .graph_watching import Sessions
from .parts import spent
from .pausing import FIRST_LOOK, LAST_LOOK, PausingWorkflow
from .recorded import past_steps
from .settings import KEYS, TurnSettings, known

#: Begins to watch a turn that goes on: its question, its settings, and the right to.
Begin = Callable[[Question, TurnSettings, Claim], object]


async def ask_person(here: Here, approvals: Approvals, sessions: Sessions, begin: Begin) -> Mapping[str, Any]:
    """The node. Pauses if a person must be asked, and ends when all is decided and nobody else goes on.

    :raises Conflict: somebody else has gone on with the turn.
    """
    since = spent(here.state)
    if here.nobody_answers:
        return {"consent": None, "outcomes": {}}
    paused = _paused(here)
    if not asked(paused):
        return {"consent": Consent(paused.refused), "outcomes": {"consent": Done(None, 0.0, since, since)}}
    kept = await _kept(here, paused, approvals)
    if isinstance(kept, Failed):  # what could not be kept cannot be decided: it goes on without tools
        nothing = Consent.missing()
        failed = Degraded(nothing, kept.error, kept.reason, kept.seconds, kept.began, kept.ended)
        return {"consent": nothing, "outcomes": {"consent": later(failed, since)}}
    try:
        turn = await _decided(kept, approvals, here.workflow.services.argument_validator)
    except GraphInterrupt:
        _stand_still(here, await approvals.look(here.question.run_id, here.owner), sessions)
        raise
    claim = await claimed(turn, approvals, here.settings)
    begin(here.question, here.settings, claim)
    return {"consent": by_person(turn), "outcomes": {"consent": Done(None, 0.0, since, since)}}


async def claimed(turn: PausedTurn, approvals: Approvals, settings: TurnSettings) -> Claim:
    """The right to go on with *turn*, once nobody else has it.

    :raises Conflict: somebody else has answered it, or does not end.
    """
    question = turn.paused.question
    whose, loop = Scope(question.tenant, question.user), asyncio.get_running_loop()
    until, pause = loop.time() + settings.turn_timeout_ms / 1000 + 2 * settings.lease_seconds, FIRST_LOOK
    while loop.time() < until:
        if (claim := await approvals.claim(question.run_id, whose, seconds=settings.lease_seconds)) is not None:
            return claim
        if (await approvals.look(question.run_id, whose)).receipt is not None:
            raise Conflict(f"the run {question.run_id} was resumed before, and is answered")
        await asyncio.sleep(pause)
        pause = min(LAST_LOOK, 2 * pause)
    raise Conflict(f"another goes on with the run {question.run_id}, and has not ended")


def _paused(here: Here) -> Paused:
    state, deployed = here.state, here.workflow.settings
    brief = state["brief"]
    assert brief is not None  # somebody answers
    return Paused(
        question=here.question,
        mode=here.workflow.mode.number,
        brief=brief,
        evidence=state["evidence"],
        suggestions=state["suggestions"],
        memory=state["memory"],
        steps=past_steps(state["outcomes"]),
        critical_path=here.run(here.outcomes()).critical_path,
        seconds=spent(state),
        refused=not_asked(state["suggestions"], brief, here.question.limits.cost_usd),
        settings={k: as_json(v) for k in KEYS if (v := getattr(here.settings, k)) != getattr(deployed, k)},
    )


async def _kept(here: Here, paused: Paused, approvals: Approvals) -> PausedTurn | Failed:
    """The pause as it is kept: written the first time that the node runs, and only looked at from then on."""
    try:
        turn = await approvals.look(here.question.run_id, here.owner)
    except NotFound:
        assert isinstance(here.workflow, PausingWorkflow)
        kept = await here.workflow._pause(paused, here.course)
        return kept.value if isinstance(kept, Done) else kept
    here.settings = here.workflow.settings.replace(known(turn.paused.settings))
    return turn


async def _decided(turn: PausedTurn, approvals: Approvals, argument_validator: ArgumentValidator | None) -> PausedTurn:
    """*turn* once nothing of it is pending. A person is asked again for what is left, or was no decision."""
    question = turn.paused.question
    whose = Scope(question.tenant, question.user)
    wrong: VitalError | None = None
    while turn.pending:
        said = interrupt(_request(turn, wrong))
        wrong = None
        try:
            if not isinstance(said, Mapping):
                raise InvalidArguments(f"decisions are a mapping by the call's id, not a {type(said).__name__}")
            decisions = await validated(turn, decisions_of(said), argument_validator)
            turn = await approvals.decide(question.run_id, decisions, whose, by=question.user)
        except (InvalidArguments, NotFound, Refused, Conflict) as error:
            wrong = error
        except Expired:
            turn = await approvals.look(question.run_id, whose)
    return turn


def _request(turn: PausedTurn, wrong: VitalError | None) -> dict[str, Any]:
    """What a client is shown: the calls that wait, and what was wrong with what it said before."""
    calls = [_call(approval) for approval in turn.pending]
    request: dict[str, Any] = {"kind": "approval", "run_id": turn.paused.question.run_id, "calls": calls}
    if wrong is not None:
        request["error"] = {"code": wrong.code, "message": str(wrong)}
    return request


def _call(approval: Approval) -> dict[str, Any]:
    tool_call = approval.tool_call
    return {
        "id": approval.id,
        "tool": tool_call.tool,
        "arguments": as_json(tool_call.arguments),
        "reason": tool_call.reason,
        "cost_usd": as_json(tool_call.cost_usd),
        "effect": tool_call.effect.value,
        "tainted": tool_call.tainted,
        "sources": as_json(tool_call.sources),
        "needs_consent": tool_call.needs_consent,
        "expires_at": approval.expires_at.isoformat(),
    }


def _stand_still(here: Here, turn: PausedTurn, sessions: Sessions) -> None:
    """The watchers are told of the pause as of any end."""
    sessions.pop(here.question.run_id)
    if here.session is not None:
        outcomes, timing = here.outcomes(), here.clock.timing(spent(here.state))
        here.session.end(here.run(outcomes), assemble_paused(turn, outcomes, profile=here.profile, timing=timing))
