"""What the support model looks at: a claim against the sentences of one passage.

Lexical features are shares of the claim's content stems; dense ones are cosines of unit vectors. The dense part
is left out where there is no embedder, and a model of its own is trained for that case.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vital_engine.services.checks import Check
from vital_engine.services.checks.figures import figures
from vital_engine.services.checks.words import words

__all__ = ["DENSE_CHOICE", "DENSE_SUPPORT", "LEXICAL_CHOICE", "LEXICAL_SUPPORT", "choice_features", "support_features"]

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
