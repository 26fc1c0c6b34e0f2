"""Two rankings into one, by reciprocal rank, and a second look at the passages that this put first.

Reciprocal ranks forget by how much one passage is better than the next. The second look is a linear model over the
scores themselves, each as a z-score among the passages that are compared. Three features, no text is read again: BM25,
cosine, and
*coverage* (the idf of the query's terms in the passage, over the idf of all of them; it tells a passage that holds
every rare term from one that repeats a single one). The coefficients, in rerank.json, are a logistic regression on
the training claims of SciFact, made by bench/train_reranker.py. nDCG@10 before and after, by bench/retrieval.py:
SciFact's test claims .723 and .741, and where nothing was trained PubMedQA .991 and .995, MedQuAD .782 and .809.
Bigrams, the title, the length, ranks and the coverage of the best sentence were tried as further features, some or
all together: SciFact lost .002 to .007, MedQuAD changed by -.005 to +.003. Vectors of sentences were not tried.

The module stands alone because it is pure: the program that trains it needs no store.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import ConfigError

__all__ = ["FEATURES", "RANK_CONSTANT", "coefficients", "fuse", "scores", "standardised"]

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


FEATURES = ("bm25", "dense", "coverage")

NO_SPREAD = 1e-6
"""A feature that is the same for all passages says nothing; this keeps it from being divided by zero."""


def standardised(features: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """*features* (one row per passage, columns as in FEATURES) as z-scores among themselves."""
    rows = np.asarray(features, np.float64)
    spread: NDArray[np.float64] = (rows - rows.mean(axis=0)) / (rows.std(axis=0) + NO_SPREAD)
    return spread


def scores(features: Sequence[Sequence[float]]) -> list[float]:
    """The log-odds that each passage is relevant, comparable among these passages only."""
    if not features:
        return []
    weights, intercept = coefficients()
    found: list[float] = (standardised(features) @ weights + intercept).tolist()
    return found


@functools.cache
def coefficients() -> tuple[NDArray[np.float64], float]:
    """A weight for each feature, and the intercept."""
    kept = json.loads(files(__package__).joinpath("rerank.json").read_text("utf-8"))
    return np.array([kept["weights"][name] for name in FEATURES]), float(kept["intercept"])
