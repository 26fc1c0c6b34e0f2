"""The small logistic regressions behind a score of support and the strength of a search, and what they look at.

``choice`` says which sentence of a passage carries a claim; ``support`` says how likely it is that the passage,
by that sentence, supports it. Each exists with and without the dense features: lexical ones are shares of the claim's
content stems, dense ones are cosines of unit vectors. ``bench/train_support.py`` trains them on SciFact (Wadden et al.
2020, arXiv:2004.14974) and writes ``services/models/support.json``, from which they are read; the file carries its own
errors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import ConfigError
from vital_engine.services.checks import Check
from vital_engine.services.checks.alignment import words
from vital_engine.services.checks.figures import figures

__all__ = [
    "DENSE_CHOICE",
    "DENSE_SUPPORT",
    "LEXICAL_CHOICE",
    "LEXICAL_SUPPORT",
    "Logistic",
    "SupportModel",
    "bundled",
    "choice_features",
    "retrieval_strength",
    "support_features",
]

Array = NDArray[np.float64]

LEXICAL_CHOICE = (
    "recall",
    "weighted",
    "jaccard",
    "bigrams",
    "recall_gap",
    "figures",
    "position",
    "length",
    "concludes",
)
DENSE_CHOICE = (*LEXICAL_CHOICE, "cosine", "cosine_gap", "cosine_rank")
LEXICAL_SUPPORT = ("passage_recall", "chosen", "figures", "negation", "direction", "names")
DENSE_SUPPORT = (*LEXICAL_SUPPORT, "cosine", "cosine_mean")

_CONCLUDING = ("conclusion", "in conclusion", "interpretation", "in summary", "these results", "these findings", "our ",
               "we found", "we show", "thus", "these data", "here we")  # fmt: skip


@lru_cache(maxsize=8192)
def _stems(text: str) -> tuple[frozenset[str], frozenset[tuple[str, str]], frozenset[str]]:
    """Content stems, pairs of neighbouring content stems, and figures as written."""
    content = [w.stem for w in words(text) if w.content]
    numbers = frozenset(str(v.normalize()) for f in figures(text) for v in f.values)
    return frozenset(content), frozenset(pairwise(content)), numbers


def _share(part: frozenset[object], whole: frozenset[object]) -> float:
    return len(part & whole) / len(part) if part else 0.0


def _weighted(claim: frozenset[str], text: frozenset[str]) -> float:
    """Recall with each stem weighted by its length: long words are rare words (Zipf 1935), and no corpus is at hand."""
    total = sum(len(s) for s in claim)
    return sum(len(s) for s in claim & text) / total if total else 0.0


def choice_features(claim: str, sentences: Sequence[str], cosines: Array | None, *, opening: bool = True) -> Array:
    """One row per sentence, ``[n, 9]``, or ``[n, 12]`` with the *cosines* of claim and sentences, ``[n]``.

    *opening*: whether the passage begins its document. Only there does a sentence's place say something: abstracts
    end with what they found. Elsewhere each counts as standing in the middle.
    """
    stems, pairs, numbers = _stems(claim)
    rows = np.empty((len(sentences), len(LEXICAL_CHOICE)))
    for i, sentence in enumerate(sentences):
        theirs, their_pairs, their_numbers = _stems(sentence)
        rows[i] = (
            _share(stems, theirs),
            _weighted(stems, theirs),
            len(stems & theirs) / max(1, len(stems | theirs)),
            _share(pairs, their_pairs),
            0.0,
            _share(numbers, their_numbers),
            i / max(1, len(sentences) - 1) if opening else 0.5,
            math.log1p(len(theirs)),
            float(sentence.lower().startswith(_CONCLUDING)),
        )
    rows[:, 4] = rows[:, 0] - rows[:, 0].max(initial=0.0)
    if cosines is None:
        return rows
    ranks = np.argsort(np.argsort(-cosines)) / max(1, len(cosines) - 1)
    return np.column_stack([rows, cosines, cosines - cosines.max(initial=-1.0), ranks])


def support_features(
    claim: str, passage: str, chosen: float, checks: Sequence[Check], cosines: Array | None, at: int
) -> Array:
    """One row for a claim, its passage, and the sentence chosen (number *at*): ``[6]``, or ``[8]`` with *cosines*.

    *chosen* is the logit with which it was chosen. Checks count 1 (agrees), -1 (does not) or 0 (does not apply).
    """
    checked = {c.name: 1.0 if c.agrees else -1.0 for c in checks}
    row = [
        _share(_stems(claim)[0], _stems(passage)[0]),
        chosen,
        *(checked.get(name, 0.0) for name in ("figures", "negation", "direction", "names")),
    ]
    if cosines is not None:
        row += [float(cosines[at]), float(cosines.mean())]
    return np.array(row)


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic regression on standardised features: ``weights``, ``mean`` and ``scale`` are ``[f]``."""

    features: tuple[str, ...]
    weights: Array
    bias: float
    mean: Array
    scale: Array

    def logits(self, rows: Array) -> Array:
        """``[n, f]`` -> ``[n]``."""
        found: Array = ((rows - self.mean) / self.scale) @ self.weights + self.bias
        return found

    def probability(self, row: Array) -> float:
        """``[f]`` -> 0 to 1."""
        return float(1.0 / (1.0 + np.exp(-self.logits(row[None, :])[0])))

    @classmethod
    def parse(cls, stored: Mapping[str, Any], expected: tuple[str, ...]) -> Logistic:
        """:raises ConfigError: the file was made for other features."""
        if tuple(stored["features"]) != expected:
            raise ConfigError(f"the support model was trained on {stored['features']}, not on {list(expected)}")
        arrays = (np.array(stored[key], dtype=np.float64) for key in ("weights", "mean", "scale"))
        weights, mean, scale = arrays
        return cls(expected, weights, float(stored["bias"]), mean, scale)

    def stored(self) -> Mapping[str, Sequence[str] | Sequence[float] | float]:
        """What :meth:`parse` reads, with six significant digits."""
        short = {k: [float(f"{v:.6g}") for v in getattr(self, k)] for k in ("weights", "mean", "scale")}
        return {"features": list(self.features), "bias": float(f"{self.bias:.6g}"), **short}


@dataclass(frozen=True, slots=True)
class SupportModel:
    """Both regressions, for one case. ``embedder``: whose cosines they were trained on; "" for the lexical case."""

    name: str
    embedder: str
    choice: Logistic
    support: Logistic


def bundled(embedder: str = "") -> SupportModel:
    """The model that ships with the package, for cosines of *embedder*, or the lexical one.

    Another embedder's cosines lie elsewhere: it gets the lexical model, whose name says so.

    :raises ConfigError: the file is missing or does not fit the code.
    """
    stored = _stored()
    try:
        dense = bool(embedder) and embedder.startswith(stored["embedder"])
        kind = "dense" if dense else "lexical"
        return SupportModel(
            f"{stored['name']}/{kind}",
            stored["embedder"] if dense else "",
            Logistic.parse(stored[kind]["choice"], DENSE_CHOICE if dense else LEXICAL_CHOICE),
            Logistic.parse(stored[kind]["support"], DENSE_SUPPORT if dense else LEXICAL_SUPPORT),
        )
    except KeyError as error:
        raise ConfigError(f"the support model lacks {error}") from error


def retrieval_strength(cosine: float) -> float:
    """The chance that a search found anything relevant, by the *cosine* of its best passage (all-MiniLM-L6-v2).

    Trained on SciFact claims, searched with and without their evidence in the corpus; the file holds its errors.
    """
    return _retrieval().probability(np.array([cosine]))


@cache
def _retrieval() -> Logistic:
    return Logistic.parse(_stored()["retrieval"], ("best_cosine",))


@cache
def _stored() -> Mapping[str, Any]:
    path = files("vital_engine.services").joinpath("models", "support.json")
    try:
        stored: Mapping[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise ConfigError(f"the support model cannot be read: {error!r}") from error
    return stored
