"""Quality: one number of an answer, made of named parts that are each measured, by a pure function.

=============== ============================================================================== ======
part            what it is                                                                     weight
=============== ============================================================================== ======
support         mean score of support over the sentences that claim something                    .45
coverage        share of those sentences that cite a passage which exists; citation recall of
                ALCE (Gao et al. 2023, arXiv:2305.14627) without its entailment model            .20
validity        share of citations that neither dangle nor mismatch; the like of its precision   .15
retrieval       chance that the search found anything relevant, from its best cosine             .10
steps           share of the turn's steps that run beside others and did their part              .05
finish          1 if the model came to its end, .5 if it was cut at its limit, 0 if it broke      .05
=============== ============================================================================== ======

The score is the weighted mean of the parts, times a ceiling. The weights and ceilings are chosen, not learned:
there is no data that says what a part is worth to a reader. So compare scores; do not read one as a percentage.

A ceiling is named in :attr:`Quality.cap` (the lowest that applies). The score can never exceed it, and is lower than
it would be without:

* "empty": 0. Nothing was said.
* "retrieval": .3. The search failed, so nothing supports the answer; its support counts as 0.
* "uncited": .5. Something is claimed, and no passage that exists is cited.
* "citations": .7 down to .4, as the share of citations that dangle or mismatch goes from few to all.
* "contradicted": .7 down to .4, as the share of claiming sentences whose figures, negation or direction disagree with
  their quote goes from few to all. These checks err: ``bench/support.py`` prints how often.

Unknown stays unknown. Without support or without citations (their step failed) there is no score, only parts. A
retriever without cosines leaves ``retrieval`` out of the mean. An answer that claims nothing has no score, but for
one kind: "not found" (``cap``), an honest answer where nothing is there to be found, and a poor one where something
is. It scores half the chance that the search found nothing relevant.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vital_engine.nouns import Citations, Draft, Evidence, Quality, Support
from vital_engine.services.support.judge import claims_something, is_not_found
from vital_engine.services.support.model import retrieval_strength
from vital_engine.text.sentences import split

__all__ = ["CEILINGS", "WEIGHTS", "quality"]

WEIGHTS: Mapping[str, float] = {
    "support": 0.45,
    "coverage": 0.20,
    "validity": 0.15,
    "retrieval": 0.10,
    "steps": 0.05,
    "finish": 0.05,
}
CEILINGS: Mapping[str, tuple[float, float]] = {
    "retrieval": (0.3, 0.3),
    "uncited": (0.5, 0.5),
    "citations": (0.7, 0.4),
    "contradicted": (0.7, 0.4),
}
"""Name -> the ceiling when almost nothing is wrong, and when all is."""

NOT_FOUND_WORTH = 0.5
_FINISH = {"stop": 1.0, "length": 0.5}
_CONTRADICTING = ("figures", "negation", "direction")


def quality(
    citations: Citations,
    support: Support,
    evidence: Evidence,
    draft: Draft,
    steps: float,
) -> Quality:
    """The quality of *draft*; see the port. Never raises."""
    if not draft.text.strip():
        return Quality(0.0, {}, "empty")
    claiming = [s.index for s in split(draft.text) if claims_something(s.text)]
    parts: dict[str, float | None] = {
        "support": None if evidence.failed else support.score,
        "coverage": _coverage(claiming, citations),
        "validity": _validity(citations),
        "retrieval": _retrieval(evidence),
        "steps": steps,
        "finish": 0.0 if draft.error else _FINISH.get(draft.finish, 0.0),
    }
    if not claiming:
        return _without_claims(draft, parts)
    counted = {**parts, "support": 0.0} if evidence.failed else parts
    if counted["support"] is None or citations.failed:
        return Quality(None, parts)
    ceilings = _ceilings(claiming, citations, support, evidence, parts)
    cap, ceiling = min(ceilings.items(), key=lambda item: item[1], default=("", 1.0))
    # a claim without any citation has no valid one either
    known = {name: v for name, v in {**counted, "validity": parts["validity"] or 0.0}.items() if v is not None}
    mean = sum(WEIGHTS[name] * v for name, v in known.items()) / sum(WEIGHTS[name] for name in known)
    return Quality(ceiling * mean, parts, cap)


def _without_claims(draft: Draft, parts: Mapping[str, float | None]) -> Quality:
    if not is_not_found(draft.text):
        return Quality(None, parts)
    strength = parts["retrieval"]
    return Quality(None if strength is None else NOT_FOUND_WORTH * (1.0 - strength), parts, "not found")


def _coverage(claiming: list[int], citations: Citations) -> float | None:
    if citations.failed or not claiming:
        return None
    cited = {c.sentence for c in citations.cited}
    return sum(index in cited for index in claiming) / len(claiming)


def _validity(citations: Citations) -> float | None:
    """None where there is no citation to be valid."""
    if citations.failed or not citations.items:
        return None
    return 1.0 - _invalid(citations) / len(citations.items)


def _invalid(citations: Citations) -> int:
    return sum(c.verdict in ("dangling", "mismatch") for c in citations.items)


def _retrieval(evidence: Evidence) -> float | None:
    """0 for a search that found nothing; None if the search failed, or the retriever gives no cosines."""
    if evidence.failed:
        return None
    if not evidence.passages:
        return 0.0
    cosines = [p.scores["dense"] for p in evidence.passages if np.isfinite(p.scores.get("dense", np.nan))]
    return retrieval_strength(max(cosines)) if cosines else None


def _ceilings(
    claiming: list[int],
    citations: Citations,
    support: Support,
    evidence: Evidence,
    parts: Mapping[str, float | None],
) -> dict[str, float]:
    """The ceilings that apply, by name."""
    contradicted = sum(any(s.checks.get(name) is False for name in _CONTRADICTING) for s in support.sentences)
    wrong = {
        "retrieval": float(evidence.failed),
        "uncited": float(parts["coverage"] == 0.0),
        "citations": _invalid(citations) / max(1, len(citations.items)),
        "contradicted": min(1.0, contradicted / len(claiming)),
    }
    found = {}
    for name, share in wrong.items():
        if share > 0:
            little, much = CEILINGS[name]
            found[name] = little + (much - little) * share
    return found
