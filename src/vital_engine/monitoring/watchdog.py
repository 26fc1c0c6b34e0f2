"""Notices when something blocks the event loop, measures for how long, and names the frame.

The loop beats at an interval. How late a beat comes is how long the loop was blocked: that is exact, and recorded in
``vital_loop_blocked_seconds``. A thread looks whether beats come; while one is overdue it looks at what the loop's
thread is doing. So a loop that never comes back is named, too. Idle, it costs two short wake-ups per interval.
"""

from __future__ import annotations

import asyncio
import sys
import sysconfig
import threading
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from . import metrics
from .logs import logger

#: Frames that are kept of a stack, innermost last.
FRAMES: Final = 12
#: Where Python's own modules and installed packages live: a block is named after the innermost frame outside of it.
_FOREIGN: Final = tuple({sysconfig.get_path(p) for p in ("stdlib", "platstdlib", "purelib", "platlib")})

_log = logger("vital_engine.watchdog")


@dataclass(frozen=True, slots=True)
class Block:
    """What the loop's thread was doing. ``where``: the innermost frame that is neither Python's nor a package's.

    ``task``: the task that ran, which for a step bears the step's name; empty between tasks.
    """

    where: str
    task: str
    stack: tuple[str, ...]


class Watchdog:
    """Watches one event loop from :meth:`start` to :meth:`stop`.

    :param threshold: seconds that a block may last unnoticed.
    :param interval: seconds between beats; None: half the threshold, so that no longer block slips through.
    :raises ValueError: one of them is not above 0.

    For a loop in real time: on a virtual clock it would be the only thing that keeps time going.
    """

    def __init__(self, threshold: float = 0.1, *, interval: float | None = None) -> None:
        self.threshold = threshold
        self.interval = threshold / 2 if interval is None else interval
        if self.threshold <= 0 or self.interval <= 0:
            raise ValueError("threshold and interval must be above 0 seconds")
        #: The latest block that the thread has seen; None before the first.
        self.seen: Block | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._due = 0.0  # when the next beat should come, by time.monotonic()
        self._told_of = 0.0  # the beat whose lateness has been told

    def start(self) -> None:
        """Begin to watch the running loop. Call it in the loop; while it watches, a second call does nothing."""
        if self._thread is not None:
            return
        self._loop = asyncio.get_running_loop()
        self._stopped.clear()
        self._schedule()
        self._thread = threading.Thread(
            target=self._look, args=(threading.get_ident(),), name="vital-watchdog", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """End the watch and its thread. Call it in the loop."""
        if self._thread is None:
            return
        self._stopped.set()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.join(timeout=self.interval + self.threshold)
        self._thread = None

    def __enter__(self) -> Watchdog:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- in the loop
    def _schedule(self) -> None:
        assert self._loop is not None
        self._due = time.monotonic() + self.interval
        self._timer = self._loop.call_later(self.interval, self._beat)

    def _beat(self) -> None:
        late = time.monotonic() - self._due
        if late > self.threshold:
            metrics.loop_blocked.observe(late)
            block = self.seen if self._told_of == self._due else None
            _log.warning(
                "the event loop was blocked",
                seconds=round(late, 3),
                where=block.where if block else None,
                task=block.task if block else None,
            )
        self._schedule()

    # -- in the thread
    def _look(self, loop_thread: int) -> None:
        while not self._stopped.wait(self.interval):
            due = self._due
            if time.monotonic() - due > self.threshold and self._told_of != due:
                frame = sys._current_frames().get(loop_thread)
                if frame is None or due != self._due:  # the beat came while we looked
                    continue
                self.seen, self._told_of = self._block(frame), due
                _log.warning(
                    "the event loop is blocked",
                    where=self.seen.where,
                    task=self.seen.task,
                    stack=list(self.seen.stack),
                )

    def _block(self, frame: FrameType) -> Block:
        assert self._loop is not None
        stack = traceback.extract_stack(frame)
        ours = [f for f in stack if not f.filename.startswith((*_FOREIGN, "<frozen"))]
        task = asyncio.current_task(self._loop)
        return Block(
            where=_named((ours or stack)[-1]),
            task=task.get_name() if task is not None else "",
            stack=tuple(_named(f) for f in stack[-FRAMES:]),
        )


def _named(frame: traceback.FrameSummary) -> str:
    return f"{Path(frame.filename).name}:{frame.lineno} {frame.name}"
