"""Which run uses which slot of a model server: a prefix helps only in the slot in which it was read.

Each slot keeps the tokens of its last prompt. A run whose prompt's beginning was read returns to the same slot with the
rest. Until then the slot is reserved for a while, but softly: an answer takes any idle slot rather than wait; only a
prefill gives way. An answer waits while another slot is idle in one case: its own slot is reading its own prompt, and
reading it twice would take longer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from os.path import commonprefix
from typing import Literal

import anyio

from vital_engine.nouns import Prompt

__all__ = ["KEPT", "Held", "Slot", "Slots", "Use", "text_of"]

KEPT = 20.0
"""Seconds for which an idle slot is kept for the run that had something read there: gathering seldom takes longer."""

Use = Literal["reading", "speaking"]


@dataclass(slots=True, eq=False)
class Slot:
    """One of the server's slots. ``text``: the prompt that was read there last; ``run``: who may come back, and until
    which moment of the loop's clock; ``held``: by whom it is busy."""

    number: int
    text: str = ""
    run: str = ""
    until: float = 0.0
    held: Held | None = None

    def kept(self, now: float) -> bool:
        """Whether the slot is reserved for a run.

        :param now: time of the loop's clock, in seconds.
        """
        return bool(self.run) and now < self.until


@dataclass(slots=True, eq=False)
class Held:
    """A slot that was taken, and for what."""

    slot: Slot
    use: Use


@dataclass(slots=True, eq=False)
class _Waiter:
    run: str
    text: str
    use: Use
    loop: asyncio.AbstractEventLoop
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    held: Held | None = None


class Slots:
    """The account. Slots are taken from an event loop and given back from any thread.

    :param count: slots of the server, numbered from 0.
    :param kept: seconds, see :data:`KEPT`.
    """

    def __init__(self, count: int, *, kept: float = KEPT) -> None:
        self.all = tuple(Slot(number) for number in range(count))
        self._kept = kept
        self._line: deque[_Waiter] = deque()
        self._lock = threading.Lock()

    async def take(self, run: str, text: str, use: Use, *, until: float) -> Held | None:
        """A slot for *run*'s prompt *text*: the one where it read before, else the idle one that knows most of it.

        To read ahead is never waited for, except for one's own slot: None where no slot is to spare.

        :param until: a moment of the loop's clock.
        :raises TimeoutError: none was free by then.
        """
        waiter = _Waiter(run, text, use, asyncio.get_running_loop())
        with self._lock:
            if self._serve(waiter):
                return waiter.held
            self._line.append(waiter)
        try:
            with anyio.fail_after(max(0.0, until - waiter.loop.time())):
                await waiter.ready.wait()
        except BaseException:
            with self._lock:
                if waiter in self._line:
                    self._line.remove(waiter)
            if waiter.held is not None:  # it was given in the same moment in which the wait ended
                self.give(waiter.held)
            raise
        return waiter.held

    def give(self, held: Held) -> None:
        """The server is done with it. A run that has read ahead may come back to the slot; one that has spoken will not."""
        with self._lock:
            slot = held.slot
            slot.held = None
            if held.use == "speaking":
                slot.run = ""
            for waiter in list(self._line):
                if not self._serve(waiter):
                    continue
                self._line.remove(waiter)
                try:
                    waiter.loop.call_soon_threadsafe(waiter.ready.set)
                except RuntimeError:  # its loop was closed: it can neither use the slot nor give it back
                    if waiter.held is not None:
                        waiter.held.slot.held = None

    def _serve(self, waiter: _Waiter) -> bool:
        """Give *waiter* its slot, or none for good. False: it has to wait."""
        slot = self._choose(waiter)
        if slot is None:
            return waiter.use == "reading" and not self._own_is_busy(waiter.run)
        waiter.held = slot.held = Held(slot, waiter.use)
        slot.run, slot.text, slot.until = waiter.run, waiter.text, waiter.loop.time() + self._kept
        return True

    def _choose(self, waiter: _Waiter) -> Slot | None:
        now = waiter.loop.time()
        idle = [s for s in self.all if s.held is None]
        if own := [s for s in idle if s.run == waiter.run and s.kept(now)]:
            return _nearest(own, waiter.text)
        if self._own_is_busy(waiter.run):
            return None
        if free := [s for s in idle if not s.kept(now)]:
            return _nearest(free, waiter.text)
        if waiter.use == "speaking" and idle:
            return min(idle, key=lambda s: s.until)
        return None

    def _own_is_busy(self, run: str) -> bool:
        """Whether a slot is reading *run*'s prompt."""
        mine = [s.held for s in self.all if run and s.run == run and s.held is not None]
        return any(held.use == "reading" for held in mine)


def text_of(prompt: Prompt) -> str:
    """What the model reads, without the marks that its template sets between messages."""
    return "\n".join(message["content"] for message in prompt.messages())


def _nearest(slots: Iterable[Slot], text: str) -> Slot:
    """The slot whose text begins most like *text*; among equals the one that knows least else."""

    def known(slot: Slot) -> int:
        return len(commonprefix((slot.text, text)))  # noqa: RUF071 - of characters, not of paths

    return max(slots, key=lambda s: (known(s), -len(s.text), -s.number))
