"""The seed's profile: how long each step of its turn takes, and how long the turn takes in each profile of the engine.

::

    scripted(**SEED)                        a turn of the seed
    scripted(**{**SEED, "recall": "hang"})  one whose memory hangs
"""

from __future__ import annotations

from typing import Any, Final

__all__ = ["DATAFLOW_TOTAL", "SEED", "SEQUENTIAL_TOTAL", "TIERS_TOTAL", "TOTALS"]

SEED: Final[dict[str, Any]] = {
    "retrieve": 0.5,
    "suggest": 0.3,
    "recall": 0.2,
    "reply": 1.5,
    "assess": 0.1,
    "cite": 0.15,
    "tally": 0.05,
}
"""Seconds by step."""

SEQUENTIAL_TOTAL: Final = 2.8
"""Seconds: the sum of all steps."""
TIERS_TOTAL: Final = 2.15
"""Seconds: the longest step of tier 1, the model, the longest of tier 2."""
DATAFLOW_TOTAL: Final = 2.01875
"""Seconds: tier 2 reads along, so that only the last of eight sentences is still to be cited when the model ends."""
TOTALS: Final = {"sequential": SEQUENTIAL_TOTAL, "tiers": TIERS_TOTAL, "dataflow": DATAFLOW_TOTAL}
