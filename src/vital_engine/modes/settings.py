"""How a workflow runs a turn: the settings that may differ by workflow, by request and while it is running."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, TypedDict, get_args

from vital_engine.errors import ConfigError
from vital_engine.flow import DATAFLOW, SEQUENTIAL, TIERS, Shape

Profile = Literal["dataflow", "tiers", "sequential"]
PROFILES: tuple[Profile, ...] = get_args(Profile)
OnContention = Literal["queue", "refuse"]
Prefill = Literal["segments", "prefix", "off"]
CHOICES: dict[str, tuple[str, ...]] = {
    "profile": PROFILES,
    "on_contention": get_args(OnContention),
    "prefill": get_args(Prefill),
}


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """Accepted as keywords, as the mapping ``config={...}``, per request, and per deployment.

    ``profile``: the same steps under different constraints. ``dataflow``: each starts when what it needs is there, and
    tier 2 reads the answer as it is spoken. ``tiers``: with a barrier before and after the model. ``sequential``: one
    after another. ``enable_parallel_tier1``/``2`` false: the steps of that tier one after another.

    ``parallel_timeout_ms``: for each step of tier 1. ``post_generation_timeout_ms``: for each step of tier 2, after the
    last token. ``reply_timeout_ms``: for the model. ``turn_timeout_ms``: for all together; a question may ask for less.

    ``prefill``: how much of the prompt a model that can do so reads while the rest is still being gathered: each segment
    as it arrives, the instructions alone, or nothing. ``hedging``: whether a call that is late may be sent to a second
    replica. Both are of the dataflow profile, and change no answer.

    ``enable_rag``, ``enable_tools``, ``enable_memory``: whether to retrieve, to suggest and call tools, to recall.
    ``tool_cost_ceiling_usd``: what the tool calls of one turn may cost without a person; ``never_automatic``: tools that
    a policy must not approve.

    ``approval_seconds``: how long a person may take to decide. ``lease_seconds``: how long a turn that has died still
    holds its conversation, or the right to go on after a pause; a living one renews it. ``on_contention``: what becomes
    of a message to a conversation that is busy: it waits its turn for ``contention_seconds``, or is refused at once.
    """

    profile: Profile = "dataflow"
    enable_parallel_tier1: bool = True
    enable_parallel_tier2: bool = True
    parallel_timeout_ms: float = 5000
    post_generation_timeout_ms: float = 2000
    reply_timeout_ms: float = 120_000
    turn_timeout_ms: float = 180_000
    prefill: Prefill = "segments"
    hedging: bool = True
    enable_rag: bool = True
    enable_tools: bool = True
    enable_memory: bool = True
    tool_cost_ceiling_usd: Decimal = Decimal("0.10")
    never_automatic: tuple[str, ...] = ()
    approval_seconds: float = 604_800
    lease_seconds: float = 15
    on_contention: OnContention = "queue"
    contention_seconds: float = 120

    def __post_init__(self) -> None:
        for field in fields(self):
            _check(field.name, getattr(self, field.name))

    def replace(self, changes: Mapping[str, object]) -> TurnSettings:
        """These settings with *changes*.

        :raises ConfigError: an unknown key (the nearest known one is named) or a wrong type.
        """
        return replace(self, **validate_keys(changes)) if changes else self

    @property
    def hedges(self) -> bool:
        """Whether late calls may be sent twice: never in the profiles that the dataflow is measured against."""
        return self.hedging and self.profile == "dataflow"

    @property
    def shape(self) -> Shape:
        if self.profile == "sequential":
            return SEQUENTIAL
        switches = {"tier1": self.enable_parallel_tier1, "tier2": self.enable_parallel_tier2}
        lanes = {tier: 1 for tier, on in switches.items() if not on}
        base = TIERS if self.profile == "tiers" else DATAFLOW
        return replace(base, lanes=lanes) if lanes else base


class TurnOptions(TypedDict, total=False):
    """The settings of :class:`TurnSettings` as keywords, for one turn or for a workflow; a checker sees a misspelt one."""

    profile: Profile
    enable_parallel_tier1: bool
    enable_parallel_tier2: bool
    parallel_timeout_ms: float
    post_generation_timeout_ms: float
    reply_timeout_ms: float
    turn_timeout_ms: float
    prefill: Prefill
    hedging: bool
    enable_rag: bool
    enable_tools: bool
    enable_memory: bool
    tool_cost_ceiling_usd: Decimal
    never_automatic: tuple[str, ...]
    approval_seconds: float
    lease_seconds: float
    on_contention: OnContention
    contention_seconds: float


KEYS = tuple(field.name for field in fields(TurnSettings))
GONE = frozenset({"speculation"})
"""Settings that earlier versions had, and may have written down with a paused turn. They changed no answer."""


def validate_keys(changes: Mapping[str, object]) -> dict[str, Any]:
    """*changes*, with each key known and money and lists in their own types.

    :raises ConfigError: an unknown key; the nearest known one is named.
    """
    result: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in KEYS:
            near = difflib.get_close_matches(str(key), KEYS, n=1, cutoff=0.0)
            raise ConfigError(f"unknown setting {key!r}; did you mean {near[0]!r}? Known: {', '.join(KEYS)}")
        result[key] = _fit(key, value)
    return result


def kept_keys(changes: Mapping[str, object]) -> dict[str, Any]:
    """As :func:`validate_keys`, for settings that were kept with a paused turn, perhaps by an earlier version.

    :raises ConfigError: an unknown key that is not one of :data:`GONE`.
    """
    return validate_keys({key: value for key, value in changes.items() if key not in GONE})


def _fit(key: str, value: Any) -> Any:
    if key == "tool_cost_ceiling_usd" and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return Decimal(value)
        except InvalidOperation:
            raise ConfigError(f"{key} must be an amount of money, not {value!r}") from None
    if key == "never_automatic" and isinstance(value, list):
        return tuple(value)
    return value


def _check(key: str, value: Any) -> None:
    if key in CHOICES:
        if value not in CHOICES[key]:
            raise ConfigError(f"{key} must be one of {', '.join(CHOICES[key])}, not {value!r}")
    elif key.startswith("enable_") or key == "hedging":
        if not isinstance(value, bool):
            raise ConfigError(f"{key} must be true or false, not {value!r}")
    elif key.endswith(("_ms", "_seconds")):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
            unit = "milliseconds" if key.endswith("_ms") else "seconds"
            raise ConfigError(f"{key} must be a number of {unit} above 0, not {value!r}")
    elif key == "tool_cost_ceiling_usd":
        if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
            raise ConfigError(f"{key} must be an amount of money (Decimal), not {value!r}")
    elif not isinstance(value, tuple) or not all(isinstance(v, str) for v in value):
        raise ConfigError(f"{key} must be a tuple of names, not {value!r}")
