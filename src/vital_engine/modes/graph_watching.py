"""One set of observers for a turn that runs as several flows, node by node: they are told of one flow.

Kept in the process, by run id, and outside of what a checkpoint holds. A turn that goes on elsewhere, or after a
pause, is watched anew from there, as the engine's own is.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from vital_engine.nouns.answer import Answer, TurnEnded
from vital_engine.flow import (
    Flow,
    FlowEnded,
    FlowStarted,
    LateResult,
    Observer,
    Run,
    StepEnded,
    StepStarted,
    StreamOpened,
    tell,
)
from vital_engine.monitoring.watching import TURN
from vital_engine.nouns import Claim

from .assemble import later
from .settings import TurnSettings

OPEN_TURNS: Final = 10_000
"""Turns of one graph that are watched at once. The oldest beyond that were left by whoever ran them."""


class Session:
    """A turn under way in this process: its watchers, the settings it began with, and the right to go on."""

    def __init__(self, watchers: Sequence[Observer], settings: TurnSettings, claim: Claim | None = None) -> None:
        self.watchers, self.settings, self.claim = tuple(watchers), settings, claim
        self.began = asyncio.get_running_loop().time()
        tell(self.watchers, FlowStarted(TURN, self.began))

    def observer(self, write: Callable[[Mapping[str, Any]], None]) -> Observer:
        """For the flow of one node. *write*: the graph's stream, which is told when steps begin and end."""
        since = round(asyncio.get_running_loop().time() - self.began, 9)

        def told(event: Any) -> None:
            match event:
                case StepStarted(step=step):
                    write({"kind": "step", "step": step, "outcome": ""})
                    tell(self.watchers, replace(event, flow=TURN))
                case StepEnded(step=step, outcome=outcome):
                    kind, reason = type(outcome).__name__.lower(), getattr(outcome, "reason", "")
                    ended = {"kind": "step", "step": step, "outcome": kind, "seconds": outcome.seconds}
                    write({**ended, "reason": reason})
                    tell(self.watchers, replace(event, flow=TURN, outcome=later(outcome, since)))
                case StreamOpened() | LateResult():
                    tell(self.watchers, replace(event, flow=TURN))
                case _:  # a node's flow is no flow of the turn's
                    pass

        return told

    def end(self, run: Run, answer: Answer | None = None) -> None:
        """All steps but the saving have ended. *answer*: where no saving follows, as in a pause."""
        tell(self.watchers, FlowEnded(TURN, run, asyncio.get_running_loop().time()))
        if answer is not None:
            tell(self.watchers, TurnEnded(answer))


class Sessions:
    """The turns of one graph that are under way in this process, by run id."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, Session] = OrderedDict()

    def get(self, run_id: str) -> Session | None:
        return self._open.get(run_id)

    def put(self, run_id: str, session: Session) -> Session:
        """Whoever had begun to watch the same run before, and those beyond what is watched at once, are let go."""
        left = [self._open.pop(run_id)] if run_id in self._open else []
        self._open[run_id] = session
        if len(self._open) > OPEN_TURNS:
            left.append(self._open.popitem(last=False)[1])
        for earlier in left:
            earlier.end(Run(TURN, Flow(TURN).plan, {}, {}, 0.0))
        return session

    def pop(self, run_id: str) -> Session | None:
        return self._open.pop(run_id, None)

    def __len__(self) -> int:
        return len(self._open)
