"""A turn that runs in the engine's thread, followed in the terminal's."""

from __future__ import annotations

from collections.abc import Iterator
from queue import SimpleQueue

from anyio.from_thread import BlockingPortal

from vital_engine.modes import Event, Turn


def followed(portal: BlockingPortal, turn: Turn) -> Iterator[Event]:
    """The turn's events until its end. Ctrl-C cancels the turn; its last events come all the same."""
    events: SimpleQueue[Event | None] = SimpleQueue()
    portal.start_task_soon(_pump, turn, events)
    while True:
        try:
            event = events.get()
        except KeyboardInterrupt:
            portal.call(turn.cancel)
            continue
        if event is None:
            return
        yield event


async def _pump(turn: Turn, events: SimpleQueue[Event | None]) -> None:
    async for event in turn.events.reader():
        events.put(event)
    events.put(None)
