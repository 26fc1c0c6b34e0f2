"""How a step may behave and how a flow may run: plain data, laid beside the work and never inside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from vital_engine.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Policy:
    """The limits of one step.

    :param within: seconds that it may take; None: only the run's deadline counts. For a step that reads a stream the
        time counts from the end of the stream, because until then it can only wait.
    :param grace: seconds that it may take to unwind once cancelled. A step that is still there then is abandoned:
        counted and reported, and its late result is dropped.
    :param tier: the group that barriers and lanes refer to; a step without one ignores barriers.
    """

    within: float | None = None
    grace: float = 0.05
    tier: str = ""

    def __post_init__(self) -> None:
        if self.within is not None and not 0 < self.within < math.inf:
            raise ConfigError(
                f"'within' must be a time in seconds, or None for no limit of its own, not {self.within!r}"
            )
        if not 0 <= self.grace < math.inf:
            raise ConfigError(f"'grace' must be a time in seconds, not {self.grace!r}")


@dataclass(frozen=True, slots=True)
class Shape:
    """The constraints under which the steps of a flow run. The steps, and what they make, stay the same.

    :param width: how many may run at once; 1 is sequential, in the order of the steps.
    :param lanes: tier -> how many of its steps may run at once.
    :param barriers: a tier starts when all earlier tiers have ended, as in engines that work in supersteps.
    """

    width: float = math.inf
    lanes: Mapping[str, int] = field(default_factory=dict)
    barriers: bool = False

    def __post_init__(self) -> None:
        for name, seats in (("width", self.width), *self.lanes.items()):
            if not seats >= 1:
                raise ConfigError(f"{name!r} must leave room for at least one step, not {seats!r}")

    @property
    def bounded(self) -> bool:
        """Whether the number of steps that run at once is limited."""
        return self.width != math.inf or bool(self.lanes)


DATAFLOW = Shape()
TIERS = Shape(barriers=True)
SEQUENTIAL = Shape(width=1)
