"""Several rankings into one, by reciprocal rank."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vital_engine.errors import ConfigError

__all__ = ["RANK_CONSTANT", "fuse"]

RANK_CONSTANT = 60
"""How little the first ranks stand out: the value of the paper, where results hardly change between 20 and 100."""


def fuse(
    rankings: Mapping[str, Sequence[int]],
    *,
    weights: Mapping[str, float] | None = None,
    constant: int = RANK_CONSTANT,
) -> list[tuple[int, float]]:
    """All items of the *rankings* (name -> items, best first, none twice), best first, with their scores.

    An item's score is the sum of weight / (constant + rank) over the rankings that hold it, rank from 1
    (Cormack, Clarke and Büttcher 2009). Equal scores are in the order of the items. A ranking that *weights*
    does not name weighs 1.

    :raises ConfigError: a weight is negative or names no ranking.
    """
    given = weights or {}
    unknown = sorted(given.keys() - rankings.keys())
    if unknown or any(weight < 0 for weight in given.values()):
        raise ConfigError(f"weights must be positive and of {sorted(rankings)}: {dict(given)}")
    scores: dict[int, float] = {}
    for name, items in rankings.items():
        weight = given.get(name, 1.0)
        for rank, item in enumerate(items, 1):
            scores[item] = scores.get(item, 0.0) + weight / (constant + rank)
    return sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
