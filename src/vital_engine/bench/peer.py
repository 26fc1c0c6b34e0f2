"""What an engine must be able to do to be measured beside this one."""

from __future__ import annotations

from typing import Protocol

from .durations import Durations


class Peer(Protocol):
    """One engine, set up for one shape of turn: built once, called once per turn, many turns at once if need be.

    The shapes are ``seed`` (retrieve | suggest | recall, then reply, then cite | assess | tally) and ``uneven`` (the
    same, but suggest waits for recall).
    """

    async def __call__(self, durations: Durations, /) -> object:
        """Run one turn whose steps sleep (``asyncio.sleep``) for these seconds; return when all of it is known.

        A peer that does not read along sleeps for ``durations.result(step)``. What it returns is not looked at.
        """
        ...
