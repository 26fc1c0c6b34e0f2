"""What a node holds while it works: the turn's place in its conversation, and the right to go on after a pause.

Both are leases. Between two nodes nobody renews them; they are long enough for what a graph does there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from langgraph.errors import GraphInterrupt

from vital_engine.flow import bounded, run_in_background

from .chat import ChatWorkflow
from .graph_turn import Here
from .lease import leased
from .workflow import SAVE_SECONDS


@contextlib.asynccontextmanager
async def speaking(here: Here) -> AsyncIterator[None]:
    """In a conversation one turn speaks at a time. Each node asks for the turn's place again, and gets the old one.

    :raises ConversationBusy: as of ``execute``.
    """
    workflow, conversation_lock, question = here.workflow, here.workflow.services.conversation_lock, here.question
    if conversation_lock is None or not isinstance(workflow, ChatWorkflow):
        yield
        return
    seconds = here.settings.lease_seconds
    lease = await conversation_lock.ask(question, seconds=seconds)

    async def hold() -> bool:
        return await conversation_lock.hold(lease, seconds=seconds)

    over = True
    try:
        async with leased(hold, seconds=seconds, name=f"conversation of {question.run_id}"):
            if not await conversation_lock.wait(lease, within=0):
                await workflow._queue(conversation_lock, lease, question, here.settings, ())
            yield
        over = here.part.name == "save"
    except GraphInterrupt:  # a paused turn keeps its place until it is decided
        over = False
        raise
    finally:
        if over:
            leaving = run_in_background(
                bounded(conversation_lock.leave(lease), within=SAVE_SECONDS), name="leave the floor"
            )
            await asyncio.wait({leaving})


@contextlib.asynccontextmanager
async def holding(here: Here) -> AsyncIterator[None]:
    """Whoever goes on with a paused turn holds the right to, until it is kept.

    :raises Conflict: another has it now.
    """
    approvals = here.workflow.services.approvals
    claim = None if here.session is None else here.session.claim
    if claim is None or approvals is None:
        yield
        return
    seconds = here.settings.lease_seconds

    async def hold() -> bool:
        return await approvals.hold(claim, seconds=seconds)

    async with leased(hold, seconds=seconds, name=f"run {claim.run_id}"):
        yield
