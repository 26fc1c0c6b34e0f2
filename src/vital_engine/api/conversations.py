"""``/v1/conversations``: what was said, to read, to name and to erase. Messages are turns: ``POST /v1/turns``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, Field

from vital_engine.errors import ConversationBusy, NotFound
from vital_engine.nouns.codec import to_json

from .app_state import AppState, Principal, TheDesk
from .bodies import Strict, links

if TYPE_CHECKING:
    from vital_engine.store import ConversationLine, Conversations, SaidTurn, Talk

router = APIRouter(tags=["conversations"])


class TitleRequest(Strict):
    """What a conversation is to be called."""

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=r"\S")]


@router.get("/v1/conversations")
async def listed(
    app_state: TheDesk,
    principal: Principal,
    before: Annotated[AwareDatetime | None, Query(description="The `next` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """Your conversations, the most recently used first. ``next`` is where the next page begins; null on the last."""
    found = await _conversations(app_state).list(principal, before=before, limit=limit)
    end = _moment(found[-1].updated_at) if len(found) == limit else None
    return {"conversations": [_headed(each) for each in found], "next": end}


@router.get("/v1/conversations/{conversation:path}")
async def shown(
    conversation: str,
    app_state: TheDesk,
    principal: Principal,
    before: Annotated[int | None, Query(ge=1, description="The `earlier` of the page after.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> dict[str, Any]:
    """A conversation and its latest turns, oldest first. ``earlier`` leads to the page before; null on the first."""
    if app_state.engine.listing is None:
        raise _nothing()
    talk, said = await app_state.engine.listing.conversation(conversation, principal, before=before, limit=limit)
    earlier = said[0].ordinal if len(said) == limit else None
    return {**_headed(talk), "turns": [_turn(each) for each in said], "earlier": earlier}


@router.patch("/v1/conversations/{conversation:path}")
async def renamed(conversation: str, said: TitleRequest, app_state: TheDesk, principal: Principal) -> dict[str, Any]:
    """Give a conversation another title. Until then it is the start of its first question."""
    await _conversations(app_state).rename(conversation, said.title.strip(), principal)
    return {"id": conversation, "title": said.title.strip()}


@router.delete("/v1/conversations/{conversation:path}", status_code=204)
async def erased(conversation: str, app_state: TheDesk, principal: Principal) -> None:
    """Erase a conversation: its turns, what waits for a decision in it, and what was learned of you in it.

    What it cost stays on the bill. 409 while one of its turns runs here, as that would be kept after the erasure.
    """
    if app_state.running.talking(conversation, principal):
        raise ConversationBusy(f"a turn of the conversation {conversation} runs")
    await _conversations(app_state).delete(conversation, principal)
    app_state.running.forget(conversation, principal)


def _headed(talk: ConversationLine | Talk) -> dict[str, Any]:
    times = {"created_at": _moment(talk.created_at), "updated_at": _moment(talk.updated_at)}
    return {"id": talk.id, "title": talk.title, **times}


def _turn(said: SaidTurn) -> dict[str, Any]:
    plain = {name: value for name, value in to_json(said).items() if name != "ordinal"}
    return {**plain, "links": links(said.run_id)}


def _moment(time: datetime) -> str:
    """In UTC with a Z, so that it stands in an address as it is: a plus would be read as a blank."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _conversations(app_state: AppState) -> Conversations:
    if app_state.engine.conversations is None:
        raise _nothing()
    return app_state.engine.conversations


def _nothing() -> NotFound:
    return NotFound("this engine keeps no conversations")
