"""Settings of a turn: they may differ by workflow, by request, and while a workflow is in use."""

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
    """Settings of a turn, accepted as keywords, as the mapping ``config={...}``, per request, and per deployment.

    :param profile: constraints under which the same steps run. ``dataflow``: each starts when what it needs is there,
        and tier 2 reads the answer as it streams. ``tiers``: with a barrier before and after the model. ``sequential``:
        one after another.
    :param enable_parallel_tier1: false: the steps of tier 1 run one after another.
    :param enable_parallel_tier2: false: the steps of tier 2 run one after another.
    :param parallel_timeout_ms: limit of each step of tier 1.
    :param post_generation_timeout_ms: limit of each step of tier 2, after the last token.
    :param reply_timeout_ms: limit of the model.
    :param turn_timeout_ms: limit of the whole turn; a question may have a lower one.
    :param prefill: how much of the prompt a model that can prefill reads while the rest is gathered: ``segments`` (each
        as it arrives), ``prefix`` (the instructions) or ``off``. Only in the dataflow profile; changes no answer.
    :param hedging: whether a late call may be sent to a replica. Only in the dataflow profile; changes no answer.
    :param enable_rag: whether to retrieve.
    :param enable_tools: whether to suggest and call tools.
    :param enable_memory: whether to recall.
    :param tool_cost_ceiling_usd: what the tool calls of one turn may cost without a person.
    :param never_automatic: tools that a policy must not approve.
    :param approval_seconds: how long a person may take to decide.
    :param lease_seconds: how long a turn that has died still holds its conversation, or the right to continue after a
        pause; a living one renews it.
    :param on_contention: what happens to a message to a busy conversation: ``queue`` (it waits) or ``refuse``.
    :param contention_seconds: how long it waits.
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
        """The constraints of the profile and the switches."""
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
