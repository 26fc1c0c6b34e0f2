"""A turn as its graph's nodes see it: the node at work, its steps, and all of the turn put together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from vital_engine.flow import Failed, Flow, Outcome, Run, Skipped, Step
from vital_engine.nouns import Question, Scope

from .course import Course, TurnClock, limit
from .graph_watching import Session
from .parts import KEYS, Part, spent
from .pausing import PausingWorkflow
from .settings import TurnSettings
from .state import TurnState
from .workflow import ParallelBaseWorkflow


@dataclass(slots=True)
class Here:
    """A node at work. ``session``: None while a person is asked, since what follows is watched anew.

    ``write``: the graph's own stream, for whoever reads it with ``stream_mode="custom"``.
    """

    workflow: ParallelBaseWorkflow
    part: Part
    state: TurnState
    settings: TurnSettings
    session: Session | None
    clock: TurnClock
    write: Callable[[Mapping[str, Any]], None]

    @property
    def question(self) -> Question:
        return self.state["question"]

    @property
    def owner(self) -> Scope:
        return Scope(self.question.tenant, self.question.user)

    @property
    def course(self) -> Course:
        watchers = () if self.session is None else self.session.watchers
        claim = None if self.session is None else self.session.claim
        within = limit(self.question, self.settings)
        return Course(self.question, self.settings, self.clock, watchers, within, claim)

    @property
    def nobody_answers(self) -> bool:
        """No expert could be chosen."""
        return isinstance(self.state.get("outcomes", {}).get("brief"), Failed | Skipped)

    @property
    def profile(self) -> str:
        """Between nodes there are barriers, whatever the settings say."""
        return "sequential" if self.settings.profile == "sequential" else "tiers"

    @property
    def steps(self) -> tuple[Step[Any], ...]:
        """Those of the whole turn, as the engine's own path runs them."""
        if isinstance(self.workflow, PausingWorkflow):
            opening, closing = self.workflow._halves(self.settings)
            return *opening.steps, *closing.steps
        return self.workflow.plain(self.settings).steps

    def outcomes(self) -> dict[str, Outcome[Any]]:
        """How the steps so far ended, each with what it made, which stands under a key of its own."""
        keys = {"consent": "consent", **{s.name: KEYS[s.makes] for s in self.steps if s.makes in KEYS}}
        made: Mapping[str, Any] = self.state
        return {
            name: replace(outcome, value=made.get(keys[name]))
            if name in keys and not isinstance(outcome, Failed)
            else outcome
            for name, outcome in self.state.get("outcomes", {}).items()
        }

    def run(self, outcomes: Mapping[str, Outcome[Any]]) -> Run:
        """The turn so far, as if it had run at once: for its critical path, and for its watchers."""
        flow = Flow("turn", *(s for s in self.steps if s.name in outcomes))
        flow = flow.under(replace(self.settings.shape, barriers=True))
        by_type = {s.makes: outcomes[s.name] for s in flow.steps}
        one_by_one = range(1, len(flow.steps)) if self.profile == "sequential" else ()
        return Run("turn", flow.plan, by_type, {}, spent(self.state), {j: j - 1 for j in one_by_one})
