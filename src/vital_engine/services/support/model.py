"""The small logistic regressions behind a score of support and the strength of a search, read from ``services/models/support.json``.

``choice`` says which sentence of a passage carries a claim; ``support`` says how likely it is that the passage,
by that sentence, supports it. Each exists with and without the dense features. ``bench/train_support.py`` trains
them on SciFact (Wadden et al. 2020, arXiv:2004.14974) and writes the file; the file carries its own errors.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vital_engine.errors import ConfigError

from .features import DENSE_CHOICE, DENSE_SUPPORT, LEXICAL_CHOICE, LEXICAL_SUPPORT

__all__ = ["Logistic", "SupportModel", "bundled", "retrieval_strength"]

Array = NDArray[np.float64]


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

    def stored(self) -> dict[str, Any]:
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
