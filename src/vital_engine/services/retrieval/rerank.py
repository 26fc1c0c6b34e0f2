"""A second look at the passages that fusion put first: a linear model over what both indexes know of them.

Reciprocal ranks forget by how much one passage is better than the next; the model looks at the scores themselves,
each as a z-score among the passages that are compared. Three features, no text is read again: BM25, cosine, and
*coverage* (the idf of the query's terms in the passage, over the idf of all of them; it tells a passage that holds
every rare term from one that repeats a single one). The coefficients, in rerank.json, are a logistic regression on
the training claims of SciFact, made by bench/train_reranker.py. nDCG@10 before and after, by bench/retrieval.py:
SciFact's test claims .723 and .741, and where nothing was trained PubMedQA .991 and .995, MedQuAD .782 and .809.
Bigrams, the title, the length, ranks and the coverage of the best sentence were tried as further features, some or
all together: SciFact lost .002 to .007, MedQuAD changed by -.005 to +.003. Vectors of sentences were not tried.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

__all__ = ["FEATURES", "coefficients", "scores", "standardised"]

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
