"""Every bound of the service, as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What the service takes on at once, how much of it, and for how long it waits. Seconds, bytes, counts.

    ``turns``: that run at once; more are refused with 503. ``ended``, ``ended_seconds``: how many turns that have
    ended are kept in memory, and for how long, so that their readers can rejoin; later the store answers.

    ``idle_seconds``: a stream that says nothing for so long sends a comment, or proxies would cut it.
    ``stalled_seconds``: a reader that takes nothing for so long is dropped; it may rejoin where it was.
    ``gap_seconds``: between two writes to a reader; what comes meanwhile is written together. A first token never waits,
    and nobody sees the difference; measured, 120 tokens in 0.3 s cost 3.0 ms of CPU on their way instead of 4.9.
    ``frame_bytes``: the most that is written at once, about.

    ``drain_seconds``: what running turns are given to end when the server stops.
    """

    turns: int = 64
    ended: int = 256
    ended_seconds: float = 300.0
    idle_seconds: float = 15.0
    stalled_seconds: float = 60.0
    gap_seconds: float = 0.01
    frame_bytes: int = 65_536
    body_bytes: int = 262_144
    upload_bytes: int = 33_554_432
    uploads: int = 2
    drain_seconds: float = 10.0
    ping_seconds: float = 2.0
