"""What requests may say, and what a turn looks like as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vital_engine.answer import Answer
from vital_engine.modes import Step
from vital_engine.nouns import Limits
from vital_engine.nouns.asked import MOST_PASSAGES
from vital_engine.turn.ask import LONGEST_NAME

from .problems import nearest, told
from .running import CANCELLED, RunningTurn

SHOWN: Final = (
    "run_id", "mode", "profile", "status", "question", "text", "expert", "expert_reason", "expert_fallback", "model",
    "citations", "quality", "tool_results", "steps", "skipped", "degraded", "warnings", "timing", "speedup",
    "critical_path",
)  # fmt: skip
"""The parts of a receipt that make up a turn as clients see it; the receipt itself has all."""


class Strict(BaseModel):
    """A body whose every field is known: one that is misspelt must not be one that is silently not obeyed."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        if isinstance(value, Mapping):
            for name in value:
                if name not in cls.model_fields:
                    raise ValueError(nearest(str(name), cls.model_fields))
        return value


class TurnLimits(Strict):
    """What one turn may use: seconds in all, tokens of the answer, US dollars for tools and model, passages of evidence."""

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    output_tokens: Annotated[int, Field(ge=1)] | None = None
    cost_usd: Annotated[Decimal, Field(ge=0)] | None = None
    passages: Annotated[int, Field(ge=1, le=MOST_PASSAGES)] = 8

    def noun(self) -> Limits:
        return Limits(self.seconds, self.output_tokens, self.cost_usd, self.passages)


class TurnRequest(Strict):
    """A question, and how it is to be answered. ``settings``: those of a turn, for this turn alone."""

    question: str
    mode: int = 2
    expert: str | None = None
    conversation: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)] | None = None
    profile: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    limits: TurnLimits = Field(default_factory=TurnLimits)
    stream: bool | None = None
    on_disconnect: Literal["cancel", "continue"] | None = None

    def overrides(self) -> dict[str, Any]:
        """The settings of this turn alone."""
        return self.settings if self.profile is None else {**self.settings, "profile": self.profile}


def links(run_id: str) -> dict[str, str]:
    """Where the rest of a turn is found."""
    base = f"/v1/turns/{run_id}"
    return {"turn": base, "events": f"{base}/events", "receipt": f"{base}/receipt", "cancel": f"{base}/cancel"}


def turn_body(receipt: Mapping[str, Any], *, conversation: str | None = None) -> dict[str, Any]:
    """A turn that has ended, from its receipt: the same from memory and from the store."""
    code = CANCELLED if receipt["model"]["finish"] == "cancelled" else receipt["error"]
    return {
        **{name: receipt[name] for name in SHOWN},
        "conversation": conversation,
        "proposed": receipt.get("proposed", []),
        "error": {"code": code, "message": told(code)} if code else None,
        "support": receipt["support"]["score"],
        "cost": {name: receipt["cost"][name] for name in ("usd", "at_least_usd")},
        "links": links(receipt["run_id"]),
    }


def running_body(entry: RunningTurn) -> dict[str, Any]:
    """A turn that has not ended, or was stopped: what is known of it. ``last_event``: the log's latest number."""
    ended = entry.log.ended
    code = (entry.cut or getattr(entry.log.error, "code", "") or CANCELLED) if ended else ""
    steps = {e.step: e.outcome or "running" for e in entry.log.items if isinstance(e, Step)}
    return {
        "run_id": entry.run_id,
        "conversation": entry.question.conversation,
        "mode": entry.mode,
        "status": ("failed" if entry.log.error and not entry.cut else "cancelled") if ended else "running",
        "question": entry.question.text,
        "text": entry.text,
        "error": {"code": code, "message": told(code)} if code else None,
        "steps": steps,
        "begun_at": entry.begun_at.isoformat(),
        "last_event": len(entry.log.items),
        "links": links(entry.run_id),
    }


def degradations(answer: Answer) -> str:
    """Which steps did not do their part, as a header says it: ``retrieve=timeout, tally=error``."""
    return ", ".join(f"{step}={reason}" for step, reason in answer.degraded.items())
