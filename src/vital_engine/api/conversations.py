"""``/v1/conversations``: what was said, to read, to name and to erase. Messages are turns: ``POST /v1/turns``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from vital_engine.errors import ConversationBusy, NotFound

from . import schemas
from .backend import AppState, Principal, TheState
from .problems import refusals
from .schemas import Body, Moment, Strict, links

if TYPE_CHECKING:
    from vital_engine.store import ConversationLine, Conversations, SaidTurn, Talk

router = APIRouter(tags=["conversations"], responses=refusals(403, 404, 422, 500, 503))


class TitleRequest(Strict):
    """What a conversation is to be called."""

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


class ConversationHead(Body):
    """``updated_at``: when its latest turn began or ended, in UTC."""

    id: str
    title: str
    created_at: Moment
    updated_at: Moment


class ConversationPage(Body):
    """``next``: the ``before`` of the next page; null on the last."""

    conversations: list[ConversationHead]
    next: Moment | None


class ConversationTurn(Body):
    """What was asked and what was answered. ``text`` is empty and ``seconds`` null until it has ended."""

    run_id: str
    mode: int
    expert: str
    question: str
    text: str
    status: schemas.TurnStatus
    begun_at: Moment
    ended_at: Moment | None
    seconds: float | None
    links: schemas.Links


class ConversationBody(ConversationHead):
    """The latest turns, oldest first. ``earlier``: the ``before`` of the page before; null on the first."""

    turns: list[ConversationTurn]
    earlier: int | None


class ConversationTitle(Body):
    """What it is called now."""

    id: str
    title: str


@router.get("/v1/conversations")
async def list_conversations(
    app_state: TheState,
    principal: Principal,
    before: Annotated[AwareDatetime | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ConversationPage:
    """Your conversations, the most recently used first. ``next`` is where the next page begins; null on the last."""
    found = await _conversations(app_state).list(principal, before=before, limit=limit)
    end = _moment(found[-1].updated_at) if len(found) == limit else None
    return ConversationPage(conversations=[ConversationHead(**_headed(each)) for each in found], next=end)


@router.get("/v1/conversations/{conversation:path}")
async def get_conversation(
    conversation: str,
    app_state: TheState,
    principal: Principal,
    before: Annotated[int | None, Query(ge=1, description="The `earlier` of the page after.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> ConversationBody:
    """A conversation and its latest turns, oldest first. ``earlier`` leads to the page before; null on the first."""
    if app_state.engine.listing is None:
        raise _nothing()
    talk, said = await app_state.engine.listing.conversation(conversation, principal, before=before, limit=limit)
    earlier = said[0].ordinal if len(said) == limit else None
    return ConversationBody(**_headed(talk), turns=[_turn(each) for each in said], earlier=earlier)


@router.patch("/v1/conversations/{conversation:path}", responses=refusals(413))
async def rename_conversation(
    conversation: str, said: TitleRequest, app_state: TheState, principal: Principal
) -> ConversationTitle:
    """Give a conversation another title. Until then it is the start of its first question."""
    await _conversations(app_state).rename(conversation, said.title.strip(), principal)
    return ConversationTitle(id=conversation, title=said.title.strip())


@router.delete("/v1/conversations/{conversation:path}", status_code=204, responses=refusals(409))
async def delete_conversation(conversation: str, app_state: TheState, principal: Principal) -> None:
    """Erase a conversation: its turns, what waits for a decision in it, and what was learned of you in it.

    What it cost stays on the bill. 409 while one of its turns runs here, as that would be kept after the erasure.
    """
    if app_state.running.talking(conversation, principal):
        raise ConversationBusy(f"a turn of the conversation {conversation} runs")
    await _conversations(app_state).delete(conversation, principal)
    app_state.running.forget(conversation, principal)


def _headed(talk: ConversationLine | Talk) -> dict[str, str]:
    times = {"created_at": _moment(talk.created_at), "updated_at": _moment(talk.updated_at)}
    return {"id": talk.id, "title": talk.title, **times}


def _turn(said: SaidTurn) -> ConversationTurn:
    return ConversationTurn(
        run_id=said.run_id,
        mode=said.mode,
        expert=said.expert,
        question=said.question,
        text=said.text,
        status=said.status,
        begun_at=said.begun_at.isoformat(),
        ended_at=said.ended_at.isoformat() if said.ended_at is not None else None,
        seconds=said.seconds,
        links=links(said.run_id),
    )


def _moment(time: datetime) -> str:
    """In UTC with a Z, so that it stands in an address as it is: a plus would be read as a blank."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _conversations(app_state: AppState) -> Conversations:
    if app_state.engine.conversations is None:
        raise _nothing()
    return app_state.engine.conversations


def _nothing() -> NotFound:
    return NotFound("this engine keeps no conversations")
