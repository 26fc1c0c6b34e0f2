"""What a turn gives back: the text, and everything that can be seen and checked about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import StepFailed, VitalError
from .flow import Degraded, Failed, Outcome, Skipped
from .nouns import (
    Approval,
    Brief,
    Citations,
    Consent,
    Cost,
    Draft,
    Evidence,
    Prefilled,
    Quality,
    Question,
    Support,
    ToolResults,
)
from .nouns.replied import CACHE
from .receipt import as_json

Status = Literal["complete", "paused", "partial", "failed"]


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds since the question was asked. None: it never came to that.

    ``wait``: until the model was asked. ``total``: until the answer and all that is known of it were there.
    """

    wait: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    total: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A turn's result. ``outcomes``: by step; ``degraded``: step -> reason code; ``overlap``: see ``speedup``.

    ``speedup`` is the measured seconds of all steps over the measured seconds of the turn: how much work was done
    per second of waiting. It is 1.0 where steps run one after another, and None where no time passed.
    ``approvals``: the calls that a person was asked about, as they stood when this answer was given.
    ``hedges``: step -> when its call was (first) sent a second time (seconds since the question) and whether a copy won.
    """

    run_id: str
    question: Question
    mode: int
    profile: str
    status: Status
    text: str
    brief: Brief | None
    evidence: Evidence
    tool_results: ToolResults
    consent: Consent
    draft: Draft
    citations: Citations
    support: Support
    cost: Cost
    quality: Quality
    outcomes: Mapping[str, Outcome[Any]]
    degraded: Mapping[str, str]
    warnings: tuple[str, ...]
    timing: Timing
    speedup: float | None
    critical_path: tuple[str, ...]
    tiers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    error: BaseException | None = None
    approvals: tuple[Approval, ...] = ()
    hedges: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def overlap(self) -> float | None:
        return self.speedup

    @property
    def expert(self) -> str:
        """The id of the expert who answered; empty if none was chosen."""
        return self.brief.expert.id if self.brief is not None else ""

    @property
    def prefilled(self) -> Prefilled:
        """Tokens of the prompt that the model's server had read before the whole was known."""
        read = [made for o in self.outcomes.values() if isinstance(made := getattr(o, "value", None), Prefilled)]
        return Prefilled(sum(one.computed for one in read), sum(one.cached for one in read))

    @property
    def cached(self) -> tuple[str, ...]:
        """The steps whose product was known from before, or shared with a turn that ran at the same time."""
        made = {name: getattr(outcome, "value", None) for name, outcome in self.outcomes.items()}
        # What a checkpoint has kept of an outcome is not its value.
        made |= {"retrieve": self.evidence} if "retrieve" in made else {}
        # of what the model's server had read, ``cached`` is a number of tokens
        known = [name for name, value in made.items() if getattr(value, "cached", False) is True]
        return (*known, "reply") if self.draft.provider == CACHE else tuple(known)

    @property
    def code(self) -> str:
        """The stable code of what went wrong; empty if the answer is complete."""
        if self.error is None:
            return ""
        return self.error.code if isinstance(self.error, VitalError) else StepFailed.code

    def raise_for_status(self) -> Answer:
        """This answer, if it is complete.

        :raises VitalError: the turn failed or its answer was cut off.
        """
        if self.error is None:
            return self
        if isinstance(self.error, VitalError):
            raise self.error
        raise StepFailed(f"the turn {self.run_id} is {self.status}") from self.error

    def timeline(self) -> list[dict[str, Any]]:
        """When each step ran, in seconds since the turn began, in the order in which they began."""
        rows = [
            {
                "step": name,
                "began": outcome.began,
                "ended": outcome.ended,
                "seconds": outcome.seconds,
                "outcome": type(outcome).__name__.lower(),
                "reason": outcome.reason if isinstance(outcome, Degraded | Failed) else "",
                "critical": name in self.critical_path,
            }
            for name, outcome in self.outcomes.items()
            if not isinstance(outcome, Skipped) or outcome.ended > outcome.began
        ]
        return sorted(rows, key=lambda row: (row["began"], row["ended"]))

    def receipt(self) -> dict[str, Any]:
        """The turn's whole account as plain JSON: steps, paid calls, citations, approvals, the critical path."""
        return {
            "run_id": self.run_id,
            "mode": self.mode,
            "profile": self.profile,
            "status": self.status,
            "error": self.code,
            "question": self.question.text,
            "text": self.text,
            "expert": self.expert,
            "expert_reason": self.brief.reason if self.brief else "",
            "expert_fallback": self.brief.fallback if self.brief else False,
            "expert_scores": as_json(self.brief.scores) if self.brief else {},
            "model": {"name": self.draft.model, "provider": self.draft.provider, "finish": self.draft.finish},
            "steps": {row["step"]: row for row in self.timeline()},
            "skipped": {n: o.because for n, o in self.outcomes.items() if isinstance(o, Skipped)},
            "degraded": dict(self.degraded),
            "hedges": as_json(self.hedges),
            "prefilled": as_json(self.prefilled),
            "warnings": list(self.warnings),
            "retrieved": [
                {
                    "number": i,
                    **{k: as_json(getattr(p, k)) for k in ("id", "document", "title", "page", "start", "end")},
                }
                for i, p in enumerate(self.evidence.passages, start=1)
            ],
            "index_version": self.evidence.index_version,
            "cached": list(self.cached),
            "citations": [as_json(c) for c in self.citations.items],
            "support": {"score": self.support.score, "sentences": [as_json(s) for s in self.support.sentences]},
            "quality": as_json(self.quality),
            "cost": {
                "usd": as_json(self.cost.usd),
                "at_least_usd": as_json(self.cost.at_least),
                "calls": [as_json(row) for row in self.cost.rows],
            },
            "approvals": [as_json(d) for d in self.consent.decisions],
            "proposed": [as_json(a) for a in self.approvals],
            "tool_results": [as_json(f) for f in self.tool_results.results],
            "timing": as_json(self.timing),
            "speedup": self.speedup,
            "tiers": as_json(self.tiers),
            "critical_path": list(self.critical_path),
        }


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """Told to a turn's observers, after its flows' events: the answer, whatever its status."""

    answer: Answer
