"""What stands behind the routes: the few things that they need of an engine, and what all routes of one application share.

A :class:`Backend` is less than a whole engine, so that one workflow alone can be served.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Protocol, cast

from fastapi import Depends, Request

from vital_engine.errors import OverCapacity
from vital_engine.modes import ParallelBaseWorkflow
from vital_engine.nouns import Expert, PastTurn, Scope
from vital_engine.ports import Embedder

from .identity import Identity
from .limits import ServerLimits
from .running import RunningTurns

if TYPE_CHECKING:
    from vital_engine.engine import Engine
    from vital_engine.store import Conversations, Listing, StoredTurn
    from vital_engine.store.knowledge import Knowledge


class Archive(Protocol):
    """Where finished turns are stored."""

    async def show(self, run_id: str, scope: Scope) -> StoredTurn:
        """A turn of *scope*'s user.

        :param run_id: the turn.
        :param scope: tenant and user.
        :raises NotFound: the user has no such turn.
        """


@dataclass(frozen=True, slots=True)
class Library:
    """Documents: where they stand, and who embeds them (None: they are found by words only)."""

    shelves: Knowledge
    embedder: Embedder | None


@dataclass(frozen=True, slots=True)
class Backend:
    """What the routes need of an engine.

    :param workflow: the workflow of one of ``modes``.
    :param modes: the modes that are served.
    :param tenant: of a request that names none.
    :param user: of a request that names none.
    :param expert: of a request that names none; None: the engine chooses.
    :param archive: None: turns are known only while they run, and a moment longer.
    :param listing: None: there are no lists of approvals and conversations.
    :param conversations: None: conversations cannot be renamed or erased.
    :param library: None: there are no documents.
    :param experts: lists a tenant's experts; None: there is no list.
    :param ping: returns if the database answers within so many seconds, else raises StoreError.
    :param notes: what the engine does without since its start.
    """

    workflow: Callable[[int], ParallelBaseWorkflow]
    modes: tuple[int, ...]
    tenant: str = "local"
    user: str = "local"
    expert: str | None = None
    archive: Archive | None = None
    listing: Listing | None = None
    conversations: Conversations | None = None
    library: Library | None = None
    experts: Callable[[str], Awaitable[Sequence[Expert]]] | None = None
    ping: Callable[[float], Awaitable[None]] | None = None
    notes: tuple[str, ...] = ()

    def window(self, newest_first: Sequence[PastTurn]) -> tuple[PastTurn, ...]:
        """The turns of a conversation that the model reads, oldest first.

        :param newest_first: the latest turns, stored here or handed in by the client.
        """
        if self.conversations is not None:
            return self.conversations.window(newest_first)
        from vital_engine.store.conversations import TOKENS, TURNS, fitting

        return fitting(newest_first[:TURNS], TOKENS)

    @classmethod
    def of(cls, engine: Engine) -> Backend:
        """A whole engine, as it is opened."""
        from vital_engine.engine import MODES
        from vital_engine.store import Listing

        async def ping(within: float) -> None:
            await engine.store.ping(within=within)

        return cls(
            workflow=engine.workflow,
            modes=tuple(MODES),
            tenant=engine.settings.tenant,
            user=engine.settings.user,
            expert=engine.settings.expert,
            archive=engine.turns,
            listing=Listing(engine.store),
            conversations=engine.conversations,
            library=Library(engine.knowledge, engine.embedder),
            experts=engine.router.experts,
            ping=ping,
            notes=engine.notes,
        )

    @classmethod
    def around(cls, workflow: ParallelBaseWorkflow) -> Backend:
        """One workflow and nothing else: no archive, no library."""
        return cls(workflow=lambda _: workflow, modes=(workflow.mode.number,))


@dataclass(slots=True)
class UploadLimiter:
    """At most *count* uploads at once. One more is refused, not queued: it would wait with its whole body in memory.

    :param count: at once.
    :param taken: running now.
    """

    count: int
    taken: int = 0

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Hold a place while the block runs.

        :raises OverCapacity: there is none.
        """
        if self.taken >= self.count:
            raise OverCapacity(f"{self.taken} uploads run")
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1


@dataclass(frozen=True, slots=True)
class AppState:
    """What all routes of one application share."""

    engine: Backend
    limits: ServerLimits
    identity: Identity
    running: RunningTurns
    uploads: UploadLimiter


async def _app_state(request: Request) -> AppState:
    return cast("AppState", request.app.state.app_state)


async def _asker(request: Request) -> Scope:
    return await (await _app_state(request)).identity(request)


TheState = Annotated[AppState, Depends(_app_state)]
Principal = Annotated[Scope, Depends(_asker)]
"""Every route below ``/v1`` asks for it: a request without an identity gets no further."""
